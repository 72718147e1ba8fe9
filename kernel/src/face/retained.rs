//! `RetainedIndex` for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::face::message_run::PyMessageRun;
use crate::face::shard::PyShard;
use crate::retained::{Filter, RetainedIndex};
use crate::shard_retained::RetainedLimits;

/// A page's sequences, and where to go on.
type PyPage<'py> = (Vec<u64>, Option<Bound<'py, PyBytes>>);

/// Topics and their last messages in one queue of a shard.
#[pyclass(frozen, name = "RetainedIndex", module = "kernel")]
pub struct PyRetainedIndex {
    index: Mutex<RetainedIndex>,
    queue: u64,
    limits: RetainedLimits,
}

impl PyRetainedIndex {
    fn lock(&self) -> MutexGuard<'_, RetainedIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyRetainedIndex {
    #[new]
    fn new(queue: u64, count_max: usize, size_max: u64) -> Self {
        Self {
            index: Mutex::default(),
            queue,
            limits: RetainedLimits {
                count: count_max,
                size: size_max,
            },
        }
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    fn collect(&self, shard: &PyShard) -> Option<(usize, usize)> {
        shard
            .lock()
            .collect_retained(self.queue, &mut self.lock(), self.limits)
    }

    fn expire(&self, shard: &PyShard, now_ms: u64) {
        shard
            .lock()
            .expire_retained(self.queue, &mut self.lock(), now_ms);
    }

    #[getter]
    fn expires_ms(&self) -> u64 {
        self.lock().expires_ms()
    }

    fn page<'py>(&self, py: Python<'py>, filter: &[u8], from_: &[u8], count: usize) -> PyPage<'py> {
        let page = self.lock().page(&Filter::new(filter), from_, count);
        (
            page.sequences,
            page.next.map(|next| PyBytes::new(py, &next)),
        )
    }

    fn fetch(&self, shard: &PyShard, sequences: Vec<u64>, now_ms: u64) -> (PyMessageRun, usize) {
        let (run, count) = shard.lock().fetch_retained(self.queue, &sequences, now_ms);
        (PyMessageRun::new(0, Arc::new(run)), count)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRetainedIndex>()
}
