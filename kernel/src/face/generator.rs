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
#[allow(clippy::redundant_closure_for_method_calls)] // the method itself is not general enough
fn run_load(py: Python<'_>, spec: LoadSpec) -> PyResult<LoadResult> {
    // A signal (Ctrl-C) ends the load, and is raised instead of its outcome.
    let mut raised = None;
    let outcome = py.detach(|| {
        run(&spec, &mut || {
            raised = Python::attach(|py| py.check_signals()).err();
            raised.is_some()
        })
    });
    match raised {
        Some(error) => Err(error),
        None => outcome.map_err(LoadError::new_err),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("LoadError", module.py().get_type::<LoadError>())?;
    module.add_function(wrap_pyfunction!(run_load, module)?)
}
