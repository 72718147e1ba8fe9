//! `MqttDecoder` for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::decoder::Decoder;
use crate::face::frame;
use crate::mqtt::decoder::MqttDecoder;

/// One MQTT connection's bytes to frames; shared with the poller that reads its socket.
#[pyclass(frozen, name = "MqttDecoder", module = "kernel")]
pub struct PyMqttDecoder {
    decoder: Arc<Mutex<MqttDecoder>>,
}

impl PyMqttDecoder {
    /// For the poller.
    pub fn shared(&self) -> Arc<Mutex<dyn Decoder>> {
        self.decoder.clone()
    }

    fn lock(&self) -> MutexGuard<'_, MqttDecoder> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyMqttDecoder {
    #[new]
    #[pyo3(signature = (packet_size_max = 65_536))]
    fn new(packet_size_max: usize) -> Self {
        Self {
            decoder: Arc::new(Mutex::new(MqttDecoder::new(packet_size_max))),
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
        if ![0, 3, 4, 5].contains(&version) {
            return Err(PyValueError::new_err("a version is 3, 4 or 5; 0: none"));
        }
        self.lock().set_version(version);
        Ok(())
    }

    #[getter]
    fn packet_size_max(&self) -> usize {
        self.lock().packet_size_max()
    }

    #[setter]
    fn set_packet_size_max(&self, size: usize) {
        self.lock().set_packet_size_max(size);
    }

    #[getter]
    fn topic_alias_max(&self) -> u16 {
        self.lock().topic_alias_max()
    }

    #[setter]
    fn set_topic_alias_max(&self, count: u16) {
        self.lock().set_topic_alias_max(count);
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
    m.add_class::<PyMqttDecoder>()
}
