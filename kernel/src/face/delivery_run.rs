//! `DeliveryRun` for Python.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::delivery_run::{DeliveryRun, Part};
use crate::delivery_wire;
use crate::face::message_run::PyMessageRun;
use crate::mqtt::delivery_topics::DeliveryTopics;

/// What one consumer is handed in one go.
#[pyclass(frozen, name = "DeliveryRun", module = "kernel")]
pub struct PyDeliveryRun {
    pub run: Arc<DeliveryRun>,
}

impl PyDeliveryRun {
    pub fn new(run: DeliveryRun) -> Self {
        Self { run: Arc::new(run) }
    }

    fn locate(&self, index: usize) -> PyResult<(&Part, usize)> {
        let located = self.run.locate(index);
        located.ok_or_else(|| PyIndexError::new_err("no such delivery"))
    }
}

#[pymethods]
impl PyDeliveryRun {
    #[staticmethod]
    fn of(messages: &PyMessageRun, first: u32, count: u32, redelivered: bool) -> PyResult<Self> {
        if u64::from(first) + u64::from(count) > messages.run.entries.len() as u64 {
            return Err(PyValueError::new_err("more than the run holds"));
        }
        Ok(Self::new(DeliveryRun {
            parts: vec![Part {
                messages: messages.run.clone(),
                first,
                count,
                redelivered,
                expires_ms: 0,
            }],
        }))
    }

    /// These runs one after the other.
    #[staticmethod]
    fn joined(runs: Vec<PyRef<'_, PyDeliveryRun>>) -> Self {
        let parts = runs.iter().flat_map(|run| run.run.parts.iter().cloned());
        Self::new(DeliveryRun {
            parts: parts.collect(),
        })
    }

    /// For the front of another node (`delivery_wire.rs`).
    fn encode<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut out = Vec::with_capacity(self.run.size() as usize + 256);
        delivery_wire::encode(&self.run, &mut out);
        PyBytes::new(py, &out)
    }

    #[staticmethod]
    fn decode(data: &[u8]) -> PyResult<Self> {
        let run = delivery_wire::decode(&Bytes::copy_from_slice(data));
        Ok(Self::new(run.map_err(PyValueError::new_err)?))
    }

    /// The same messages as a run of their own, to be published again.
    fn messages(&self) -> PyMessageRun {
        PyMessageRun::new(0, Arc::new(self.run.messages()))
    }

    #[getter]
    fn count(&self) -> usize {
        self.run.count()
    }

    fn __len__(&self) -> usize {
        self.run.count()
    }

    #[getter]
    fn size(&self) -> u64 {
        self.run.size()
    }

    /// Distinct topics, whatever the origin.
    fn topics<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let topics = DeliveryTopics::of(&self.run).topics;
        topics.iter().map(|topic| PyBytes::new(py, topic)).collect()
    }

    fn redelivered(&self, index: usize) -> PyResult<bool> {
        Ok(self.locate(index)?.0.redelivered)
    }

    fn body<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let (part, entry) = self.locate(index)?;
        Ok(PyBytes::new(py, part.messages.body(entry)))
    }

    fn properties<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let (part, entry) = self.locate(index)?;
        Ok(PyBytes::new(py, part.messages.properties(entry)))
    }

    fn exchange<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let (part, entry) = self.locate(index)?;
        let key = part.messages.entries[entry].key;
        Ok(PyBytes::new(py, part.messages.exchange(key)))
    }

    fn routing_key<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let (part, entry) = self.locate(index)?;
        let key = part.messages.entries[entry].key;
        Ok(PyBytes::new(py, part.messages.routing_key(key)))
    }

    fn __repr__(&self) -> String {
        format!(
            "<DeliveryRun count={} parts={}>",
            self.run.count(),
            self.run.parts.len()
        )
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDeliveryRun>()
}
