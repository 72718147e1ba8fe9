//! The load generator for Python.

use pyo3::create_exception;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::generator::{run, LoadResult, LoadSpec};

create_exception!(
    kernel,
    LoadError,
    PyRuntimeError,
    "The broker refused, hung up, or lost, repeated or reordered messages."
);

#[pyfunction]
fn run_load(py: Python<'_>, spec: LoadSpec) -> PyResult<LoadResult> {
    py.detach(|| run(&spec)).map_err(LoadError::new_err)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("LoadError", module.py().get_type::<LoadError>())?;
    module.add_function(wrap_pyfunction!(run_load, module)?)
}
