//! STOMP's encoders and receipts for Python.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::chunk::Chunk;
use crate::face::chunk::PyChunk;
use crate::face::delivery_run::PyDeliveryRun;
use crate::face::message_run::PyMessageRun;
use crate::face::stomp_decoder::check_version;
use crate::face::stomp_frame::PySendReceipts;
use crate::message_run::Origin;
use crate::stomp::frame;
use crate::stomp::message::{self, Subscription};
use crate::stomp::receipt::Receipts;

#[pyclass(frozen, name = "StompSubscription", module = "kernel")]
pub struct PyStompSubscription(Subscription);

#[pymethods]
impl PyStompSubscription {
    #[new]
    fn new(
        subscription_id: Option<&[u8]>,
        channel: u16,
        session: &[u8],
        version: u8,
        wants_ack: bool,
    ) -> PyResult<Self> {
        check_version(version)?;
        let id = subscription_id;
        Ok(Self(Subscription::new(
            id, channel, session, version, wants_ack,
        )))
    }
}

#[pyfunction]
fn encode_messages(
    py: Python<'_>,
    deliveries: &PyDeliveryRun,
    first_tag: u64,
    subscription: &PyStompSubscription,
) -> PyResult<PyChunk> {
    let run = &*deliveries.run;
    if first_tag == 0 || first_tag.checked_add(run.count() as u64).is_none() {
        return Err(PyValueError::new_err("a tag is 1 or more, and a u64"));
    }
    let wire = py.detach(|| message::encode(run, first_tag, &subscription.0));
    Ok(PyChunk::new(Chunk(wire.into())))
}

#[pyfunction]
fn encode_stomp_frame<'py>(
    py: Python<'py>,
    command: &[u8],
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: &[u8],
    version: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    check_version(version)?;
    let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    let wire = frame::encode(command, &headers, body, version);
    Ok(PyBytes::new(py, &wire))
}

#[pyfunction]
fn replace_reply_to(
    py: Python<'_>,
    messages: &PyMessageRun,
    value: &[u8],
) -> PyResult<PyMessageRun> {
    if messages.run.origin != Origin::Stomp {
        return Err(PyValueError::new_err("messages of STOMP's own"));
    }
    let run = py.detach(|| message::replace_reply_to(&messages.run, value));
    Ok(PyMessageRun::new(messages.channel, Arc::new(run)))
}

#[pyclass(name = "StompReceipts", module = "kernel")]
pub struct PyStompReceipts(Receipts);

#[pymethods]
impl PyStompReceipts {
    #[new]
    fn new(version: u8) -> PyResult<Self> {
        check_version(version)?;
        Ok(Self(Receipts::new(version)))
    }

    fn add_sends(
        &mut self,
        receipts: &PySendReceipts,
        first_tag: u64,
        confirmed: bool,
    ) -> PyResult<()> {
        let added = self
            .0
            .add_sends(&receipts.0, confirmed.then_some(first_tag));
        added.map_err(PyValueError::new_err)
    }

    fn add(&mut self, receipt_id: &[u8]) -> u64 {
        self.0.add(receipt_id)
    }

    fn finish(&mut self, number: u64) -> PyResult<()> {
        self.0.finish(number).map_err(PyValueError::new_err)
    }

    fn confirm(&mut self, ranges: Vec<(u64, u64)>) {
        for (first, last) in ranges {
            self.0.confirm(first, last);
        }
    }

    fn reject<'py>(&self, py: Python<'py>, ranges: Vec<(u64, u64)>) -> Option<Bound<'py, PyBytes>> {
        let mut asked = ranges
            .iter()
            .map(|(first, last)| self.0.reject(*first, *last));
        asked.find_map(|id| id.map(|id| PyBytes::new(py, id)))
    }

    fn take<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.take())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("<StompReceipts owed={}>", self.0.len())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyStompSubscription>()?;
    m.add_class::<PyStompReceipts>()?;
    m.add_function(wrap_pyfunction!(encode_messages, m)?)?;
    m.add_function(wrap_pyfunction!(encode_stomp_frame, m)?)?;
    m.add_function(wrap_pyfunction!(replace_reply_to, m)?)
}
