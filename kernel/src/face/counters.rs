//! `Counters` and `Account` for Python.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::counters;

#[pyclass(frozen, module = "kernel")]
pub struct Counters(pub Arc<counters::Counters>);

#[pymethods]
impl Counters {
    #[new]
    fn new() -> Self {
        Self(Arc::new(counters::Counters::new()))
    }

    #[pyo3(signature = (name, count=1))]
    fn add(&self, name: &str, count: u64) {
        self.0.counter(name).add(count);
    }

    fn get(&self, name: &str) -> u64 {
        self.0.counter(name).get()
    }

    fn values(&self) -> Vec<(String, u64)> {
        self.0.values()
    }
}

#[pyclass(frozen, module = "kernel")]
pub struct Account(pub Arc<counters::Account>);

#[pymethods]
impl Account {
    #[new]
    fn new(name: &str, budget: u64) -> Self {
        Self(Arc::new(counters::Account::new(name, budget)))
    }

    fn charge(&self, size: u64) {
        self.0.charge(size);
    }

    fn release(&self, size: u64) {
        self.0.release(size);
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[getter]
    fn budget(&self) -> u64 {
        self.0.budget()
    }

    #[getter]
    fn charged(&self) -> u64 {
        self.0.charged()
    }

    #[getter]
    fn exceeded(&self) -> bool {
        self.0.exceeded()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Counters>()?;
    module.add_class::<Account>()
}
