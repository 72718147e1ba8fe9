//! `Inflight` and `Receipts` for Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::face::packet_ids::PyPacketIds;
use crate::mqtt::inflight::{ForeignRange, Inflight, Range};
use crate::mqtt::packet::{PUBACK, PUBCOMP, PUBREC};
use crate::mqtt::receipts::Receipts;

/// Queue, first and last sequence.
type Foreign = (u64, u64, u64);

fn of_queues(ranges: &[ForeignRange]) -> Vec<Foreign> {
    let ranges = ranges.iter();
    ranges
        .map(|range| (range.queue, range.first, range.last))
        .collect()
}

#[pyclass(name = "Inflight", module = "kernel")]
pub struct PyInflight(Inflight);

#[pymethods]
impl PyInflight {
    #[new]
    fn new() -> Self {
        Self(Inflight::default())
    }

    fn push(&mut self, sequences: Vec<Range>) -> PyResult<PyPacketIds> {
        let pushed = self.0.push(&sequences);
        pushed.map(PyPacketIds).map_err(PyValueError::new_err)
    }

    fn push_foreign(
        &mut self,
        queue: u64,
        sequences: Vec<Range>,
        next_sequence: u64,
    ) -> PyResult<PyPacketIds> {
        let pushed = self.0.push_foreign(queue, &sequences, next_sequence);
        pushed.map(PyPacketIds).map_err(PyValueError::new_err)
    }

    fn acknowledge(
        &mut self,
        packet_ids: &PyPacketIds,
        kind: u8,
    ) -> PyResult<(Vec<Range>, Vec<Foreign>, Vec<u16>)> {
        if ![PUBACK, PUBREC, PUBCOMP].contains(&kind) {
            let text = "a subscriber acknowledges with PUBACK (4), PUBREC (5) or PUBCOMP (7)";
            return Err(PyValueError::new_err(text));
        }
        let done = self.0.acknowledge(&packet_ids.0, kind);
        Ok((done.settled, of_queues(&done.foreign), done.unknown))
    }

    fn owed(&self) -> PyPacketIds {
        PyPacketIds(self.0.owed())
    }

    fn restore_owed(&mut self, packet_ids: &PyPacketIds) -> PyResult<()> {
        let restored = self.0.restore_owed(&packet_ids.0);
        restored.map_err(PyValueError::new_err)
    }

    #[getter]
    fn outstanding(&self) -> usize {
        self.0.outstanding()
    }

    fn room(&self, next_sequence: u64) -> u64 {
        self.0.room(next_sequence)
    }

    fn take_sent(&mut self) -> (Vec<Range>, Vec<Foreign>) {
        let (sent, foreign) = self.0.take_sent();
        (sent, of_queues(&foreign))
    }

    fn __repr__(&self) -> String {
        format!("<Inflight outstanding={}>", self.0.outstanding())
    }
}

#[pyclass(name = "Receipts", module = "kernel")]
pub struct PyReceipts(Receipts);

#[pymethods]
impl PyReceipts {
    #[new]
    fn new() -> Self {
        Self(Receipts::default())
    }

    fn push(&mut self, first_tag: u64, packet_ids: &PyPacketIds) -> PyResult<()> {
        let pushed = self.0.push(first_tag, &packet_ids.0);
        pushed.map_err(PyValueError::new_err)
    }

    fn settle(&mut self, first_tag: u64, last_tag: u64, reason: u8) -> Vec<(u8, PyPacketIds)> {
        let due = self.0.settle(first_tag, last_tag, reason).into_iter();
        due.map(|(reason, ids)| (reason, PyPacketIds(ids)))
            .collect()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("<Receipts waiting={}>", self.0.len())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyInflight>()?;
    m.add_class::<PyReceipts>()
}
