//! `Unsettled` for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::unsettled::{Settled, Unsettled};

#[pyclass(frozen, name = "Unsettled", module = "kernel")]
pub struct PyUnsettled {
    unsettled: Mutex<Unsettled>,
}

impl PyUnsettled {
    fn lock(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

type Ranges = Vec<(u32, u64, u64, u64)>;

fn ranges(settled: Vec<Settled>) -> Ranges {
    settled
        .into_iter()
        .map(|s| (s.consumer, s.queue, s.first, s.last))
        .collect()
}

#[pymethods]
impl PyUnsettled {
    #[new]
    fn new() -> Self {
        Self {
            unsettled: Mutex::new(Unsettled::default()),
        }
    }

    fn __len__(&self) -> usize {
        self.lock().count() as usize
    }

    /// Gives the next tags to deliveries of these sequences; answers the first tag.
    #[pyo3(signature = (consumer, queue, sequences, kept=true))]
    fn push(&self, consumer: u32, queue: u64, sequences: Vec<(u64, u64)>, kept: bool) -> u64 {
        let mut unsettled = self.lock();
        let mut tag = 0;
        for (first, last) in sequences {
            let given = unsettled.push(consumer, queue, first, last + 1 - first, kept);
            if tag == 0 {
                tag = given;
            }
        }
        tag
    }

    /// [(consumer, queue, first, last sequence)], or None if a tag is not unsettled.
    fn settle(&self, first: u64, last: u64) -> Option<Ranges> {
        self.lock().settle(first, last).map(ranges)
    }

    /// The same, to see what settles would come to.
    fn copy(&self) -> Self {
        Self {
            unsettled: Mutex::new(self.lock().clone()),
        }
    }

    fn take_all(&self) -> Ranges {
        ranges(self.lock().take_all())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyUnsettled>()
}
