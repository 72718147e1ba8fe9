//! `NamePattern` for Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::name_pattern::NamePattern;

#[pyclass(name = "NamePattern", module = "kernel", frozen)]
struct PyNamePattern(NamePattern);

#[pymethods]
impl PyNamePattern {
    #[new]
    fn new(pattern: &str) -> PyResult<Self> {
        NamePattern::new(pattern)
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyNamePattern>()
}
