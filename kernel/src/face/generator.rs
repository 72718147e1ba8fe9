//! The load generator for Python.

use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::generator::{
    look_up, run, LoadResult, LoadSpec, LookUpResult, LookUpSpec, Pattern, Subscribers,
};

create_exception!(
    kernel,
    LoadError,
    PyRuntimeError,
    "The broker refused, hung up, or lost, repeated or reordered messages."
);

impl<'py> FromPyObject<'_, 'py> for Pattern {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let name = object.extract::<&str>()?;
        let found = Pattern::ALL.into_iter().find(|(known, _)| *known == name);
        found
            .map(|(_, pattern)| pattern)
            .ok_or_else(|| PyValueError::new_err(format!("no pattern {name:?}")))
    }
}

/// Does `work` without the GIL. A signal (Ctrl-C) ends it, and is raised instead of its outcome.
#[allow(clippy::redundant_closure_for_method_calls)] // the method itself is not general enough
fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, String> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let outcome = py.detach(|| {
        work(&mut || {
            raised = Python::attach(|py| py.check_signals()).err();
            raised.is_some()
        })
    });
    match raised {
        Some(error) => Err(error),
        None => outcome.map_err(LoadError::new_err),
    }
}

#[pyfunction]
fn run_load(py: Python<'_>, spec: LoadSpec) -> PyResult<LoadResult> {
    interruptible(py, |interrupted| run(&spec, interrupted))
}

#[pyfunction]
fn look_up_retained(py: Python<'_>, spec: LookUpSpec) -> PyResult<LookUpResult> {
    interruptible(py, |interrupted| look_up(&spec, interrupted))
}

#[pyclass(name = "MqttSubscribers", module = "kernel._kernel")]
struct PySubscribers(Subscribers);

#[pymethods]
impl PySubscribers {
    #[new]
    fn new(py: Python<'_>, host: &str, port: u16, count: usize, nonce: u32) -> PyResult<Self> {
        interruptible(py, |interrupted| {
            Subscribers::open(host, port, count, nonce, interrupted)
        })
        .map(Self)
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.0.seconds()
    }

    fn close(&mut self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("LoadError", module.py().get_type::<LoadError>())?;
    module.add_class::<PySubscribers>()?;
    module.add_function(wrap_pyfunction!(look_up_retained, module)?)?;
    module.add_function(wrap_pyfunction!(run_load, module)?)
}
