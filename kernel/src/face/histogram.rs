//! `Histogram` for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::histogram;

#[pyclass(frozen, module = "kernel")]
#[derive(Default)]
pub struct Histogram(Mutex<histogram::Histogram>);

impl Histogram {
    pub fn of(histogram: histogram::Histogram) -> Self {
        Self(Mutex::new(histogram))
    }

    // A panic of ours inside (an interval of 0) leaves the counts whole.
    fn lock(&self) -> MutexGuard<'_, histogram::Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Histogram {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    #[pyo3(signature = (value, count=1))]
    fn record(&self, value: u64, count: u64) {
        self.lock().record(value, count);
    }

    fn record_spaced(&self, value: u64, interval: u64) {
        self.lock().record_spaced(value, interval);
    }

    fn merge(&self, other: &Histogram) {
        // Copied first: a histogram may be merged with itself.
        let other = other.lock().clone();
        self.lock().merge(&other);
    }

    fn percentile(&self, percent: f64) -> u64 {
        self.lock().percentile(percent)
    }

    #[getter]
    fn count(&self) -> u64 {
        self.lock().count()
    }

    #[getter]
    fn min(&self) -> u64 {
        self.lock().min()
    }

    #[getter]
    fn max(&self) -> u64 {
        self.lock().max()
    }

    #[getter]
    fn mean(&self) -> f64 {
        self.lock().mean()
    }

    fn buckets(&self) -> Vec<(u64, u64, u64)> {
        let histogram = self.lock();
        histogram
            .buckets()
            .map(|bucket| (bucket.lowest, bucket.highest, bucket.count))
            .collect()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Histogram>()
}
