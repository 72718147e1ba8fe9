//! `StompDecoder` for Python, and what it gives beside frames.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::decoder::Decoder;
use crate::face::frame;
use crate::stomp::decoder::StompDecoder;
use crate::stomp::destination::{self, Kind};

/// One STOMP connection's bytes to frames; shared with the poller that reads its socket.
#[pyclass(frozen, name = "StompDecoder", module = "kernel")]
pub struct PyStompDecoder {
    decoder: Arc<Mutex<StompDecoder>>,
}

impl PyStompDecoder {
    /// For the poller.
    pub fn shared(&self) -> Arc<Mutex<dyn Decoder>> {
        self.decoder.clone()
    }

    fn lock(&self) -> MutexGuard<'_, StompDecoder> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyStompDecoder {
    #[new]
    #[pyo3(signature = (frame_size_max = 65_536))]
    fn new(frame_size_max: usize) -> Self {
        Self {
            decoder: Arc::new(Mutex::new(StompDecoder::new(frame_size_max))),
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

    #[getter]
    fn version(&self) -> u8 {
        self.lock().version()
    }

    #[setter]
    fn set_version(&self, version: u8) -> PyResult<()> {
        if version != 0 {
            check_version(version)?;
        }
        self.lock().set_version(version);
        Ok(())
    }

    #[getter]
    fn frame_size_max(&self) -> usize {
        self.lock().frame_size_max()
    }

    #[setter]
    fn set_frame_size_max(&self, size: usize) {
        self.lock().set_frame_size_max(size);
    }

    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.lock().session())
    }

    #[setter]
    fn set_session(&self, session: Vec<u8>) {
        self.lock().set_session(session);
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

pub fn check_version(version: u8) -> PyResult<()> {
    if (10..=12).contains(&version) {
        Ok(())
    } else {
        Err(PyValueError::new_err("a version is 10, 11 or 12"))
    }
}

/// Kind, exchange and routing key.
type Destination<'py> = (u8, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyfunction]
fn parse_destination<'py>(py: Python<'py>, destination: &[u8]) -> PyResult<Destination<'py>> {
    let parsed = destination::parse(destination).map_err(PyValueError::new_err)?;
    Ok((
        parsed.kind as u8,
        PyBytes::new(py, &parsed.exchange),
        PyBytes::new(py, &parsed.routing_key),
    ))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("DESTINATION_QUEUE", Kind::Queue as u8)?;
    m.add("DESTINATION_TOPIC", Kind::Topic as u8)?;
    m.add("DESTINATION_EXCHANGE", Kind::Exchange as u8)?;
    m.add("DESTINATION_AMQ_QUEUE", Kind::AmqQueue as u8)?;
    m.add("DESTINATION_REPLY_QUEUE", Kind::ReplyQueue as u8)?;
    m.add("DESTINATION_TEMP_QUEUE", Kind::TempQueue as u8)?;
    m.add_function(wrap_pyfunction!(parse_destination, m)?)?;
    m.add_class::<PyStompDecoder>()
}
