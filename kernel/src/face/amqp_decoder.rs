//! `AmqpDecoder` for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::amqp::decoder::AmqpDecoder;
use crate::decoder::Decoder;
use crate::face::frame;

/// One AMQP 0-9-1 connection's bytes to frames; shared with the poller that reads its socket.
#[pyclass(frozen, name = "AmqpDecoder", module = "kernel")]
pub struct PyAmqpDecoder {
    decoder: Arc<Mutex<AmqpDecoder>>,
}

impl PyAmqpDecoder {
    /// For the poller.
    pub fn shared(&self) -> Arc<Mutex<dyn Decoder>> {
        self.decoder.clone()
    }

    fn lock(&self) -> MutexGuard<'_, AmqpDecoder> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyAmqpDecoder {
    #[new]
    #[pyo3(signature = (frame_size_max = 8192, message_size_max = 16_777_216))]
    fn new(frame_size_max: usize, message_size_max: u64) -> Self {
        Self {
            decoder: Arc::new(Mutex::new(AmqpDecoder::new(
                frame_size_max,
                message_size_max,
            ))),
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
    fn frame_size_max(&self) -> usize {
        self.lock().frame_size_max()
    }

    #[setter]
    fn set_frame_size_max(&self, size: usize) {
        self.lock().set_frame_size_max(size);
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
    fn stopped(&self) -> bool {
        self.lock().stopped()
    }

    #[getter]
    fn buffered(&self) -> usize {
        self.lock().buffered()
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyAmqpDecoder>()
}
