//! `WebDecoder` for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::decoder::{Decoder, SharedDecoder};
use crate::face::frame;
use crate::face::poller::decoder_of;
use crate::web::decoder::WebDecoder;

/// One connection's bytes of HTTP, then WebSocket's frames; shared with the poller that reads its socket.
#[pyclass(frozen, name = "WebDecoder", module = "kernel")]
pub struct PyWebDecoder {
    decoder: Arc<Mutex<WebDecoder>>,
}

impl PyWebDecoder {
    /// For the poller.
    pub fn shared(&self) -> SharedDecoder {
        self.decoder.clone()
    }

    fn lock(&self) -> MutexGuard<'_, WebDecoder> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A protocol's decoder; one inside itself could never be locked.
fn inner_of(object: &Bound<'_, PyAny>) -> PyResult<SharedDecoder> {
    if object.cast::<PyWebDecoder>().is_ok() {
        return Err(PyTypeError::new_err("a WebDecoder is in no other"));
    }
    decoder_of(object)
}

#[pymethods]
impl PyWebDecoder {
    #[new]
    fn new() -> Self {
        Self {
            decoder: Arc::new(Mutex::new(WebDecoder::new())),
        }
    }

    fn receive_data<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let mut frames = Vec::new();
        py.detach(|| self.lock().receive(data, &mut frames));
        frame::all_to_python(py, frames)
    }

    fn resume<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut frames = Vec::new();
        py.detach(|| self.lock().resume(&mut frames));
        frame::all_to_python(py, frames)
    }

    fn upgrade(
        &self,
        inner: Option<&Bound<'_, PyAny>>,
        leftover: &[u8],
        text_allowed: bool,
        message_size_max: u64,
    ) -> PyResult<()> {
        let inner = inner.map(inner_of).transpose()?;
        let mut decoder = self.lock();
        if decoder.upgraded() {
            return Err(PyValueError::new_err("it was upgraded before"));
        }
        decoder.upgrade(inner, leftover, text_allowed, message_size_max);
        Ok(())
    }

    fn choose(&self, inner: &Bound<'_, PyAny>, first: &[u8], text_allowed: bool) -> PyResult<()> {
        let inner = inner_of(inner)?;
        let mut decoder = self.lock();
        if decoder.has_inner() {
            return Err(PyValueError::new_err("there is an inner decoder"));
        }
        decoder.choose(inner, first, text_allowed);
        Ok(())
    }

    #[getter]
    fn text(&self) -> bool {
        self.lock().text()
    }

    #[getter]
    fn message_size_max(&self) -> u64 {
        self.lock().message_size_max()
    }

    #[setter]
    fn set_message_size_max(&self, size: u64) {
        self.lock().set_message_size_max(size);
    }

    #[getter]
    fn control_room(&self) -> u32 {
        self.lock().control_room()
    }

    #[setter]
    fn set_control_room(&self, count: u32) {
        self.lock().set_control_room(count);
    }

    #[getter]
    fn held(&self) -> usize {
        self.lock().held()
    }

    #[setter]
    fn set_held(&self, size: usize) {
        self.lock().set_held(size);
    }

    #[getter]
    fn stopped(&self) -> bool {
        self.lock().stopped()
    }

    #[getter]
    fn buffered(&self) -> usize {
        self.lock().buffered()
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyWebDecoder>()
}
