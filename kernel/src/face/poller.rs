//! `Poller` for Python.

use std::os::fd::{IntoRawFd, RawFd};
use std::sync::{Mutex, MutexGuard};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use rustix::io::Errno;

use crate::decoder::SharedDecoder;
use crate::face::amqp_decoder::PyAmqpDecoder;
use crate::face::chunk::PyChunk;
use crate::face::counters::{Account, Counters};
use crate::face::frame;
use crate::face::mqtt_decoder::PyMqttDecoder;
use crate::face::stomp_decoder::PyStompDecoder;
use crate::face::web_decoder::PyWebDecoder;
use crate::poller::{Piece, Poller, Received};
use crate::sys;

#[pyclass(frozen, name = "Poller", module = "kernel.poller")]
pub struct PyPoller(Mutex<Poller>);

fn os_error(errno: Errno) -> PyErr {
    std::io::Error::from(errno).into()
}

impl PyPoller {
    fn lock(&self) -> MutexGuard<'_, Poller> {
        self.0
            .lock()
            .expect("a round panicked, which ends the broker")
    }
}

/// The bytes of one piece of output, which the list it stands in keeps alive.
fn piece_of<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Piece<'a>> {
    if let Ok(data) = object.cast::<PyBytes>() {
        Ok(Piece::Bytes(data.as_bytes()))
    } else if let Ok(chunk) = object.cast::<PyChunk>() {
        Ok(Piece::Shared(&chunk.get().chunk.0))
    } else {
        Err(PyTypeError::new_err("output is bytes or Chunk"))
    }
}

/// The decoder of any protocol.
pub fn decoder_of(object: &Bound<'_, PyAny>) -> PyResult<SharedDecoder> {
    if let Ok(decoder) = object.cast::<PyAmqpDecoder>() {
        Ok(decoder.get().shared())
    } else if let Ok(decoder) = object.cast::<PyMqttDecoder>() {
        Ok(decoder.get().shared())
    } else if let Ok(decoder) = object.cast::<PyWebDecoder>() {
        Ok(decoder.get().shared())
    } else if let Ok(decoder) = object.cast::<PyStompDecoder>() {
        Ok(decoder.get().shared())
    } else {
        Err(PyTypeError::new_err("no decoder of the kernel's"))
    }
}

#[pymethods]
impl PyPoller {
    #[new]
    fn new(counters: &Counters, input: &Account, output: &Account) -> PyResult<Self> {
        let poller = Poller::new(&counters.0, input.0.clone(), output.0.clone());
        Ok(Self(Mutex::new(poller.map_err(os_error)?)))
    }

    fn fileno(&self) -> RawFd {
        self.lock().fileno()
    }

    #[getter]
    fn pending(&self) -> bool {
        self.lock().pending()
    }

    fn add(&self, token: i64, fd: RawFd, decoder: &Bound<'_, PyAny>) -> PyResult<()> {
        let decoder = decoder_of(decoder)?;
        let fd = sys::own(fd).map_err(os_error)?;
        self.lock().add(token, fd, decoder).map_err(os_error)
    }

    fn remove(&self, token: i64) {
        self.lock().remove(token);
    }

    #[pyo3(signature = (fd, writes = false))]
    fn watch(&self, fd: RawFd, writes: bool) -> PyResult<i64> {
        let fd = sys::duplicate(fd).map_err(os_error)?;
        self.lock().watch(fd, writes).map_err(os_error)
    }

    fn unwatch(&self, token: i64) {
        self.lock().unwatch(token);
    }

    fn accept(&self, token: i64) -> PyResult<(RawFd, String, u16)> {
        let (fd, address) = self.lock().accept(token).map_err(os_error)?;
        let address = address.ok_or_else(|| os_error(Errno::CONNABORTED))?;
        Ok((
            fd.into_raw_fd(),
            address.ip().to_canonical().to_string(),
            address.port(),
        ))
    }

    fn round<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let received = py.detach(|| self.lock().round());
        let list = PyList::empty(py);
        for (token, received) in received {
            let frames = match received {
                Received::Frames(frames) => frame::all_to_python(py, frames)?.into_any(),
                Received::End | Received::Watched => py.None().into_bound(py),
            };
            let token = token.into_pyobject(py)?.into_any();
            list.append(PyTuple::new(py, [token, frames])?)?;
        }
        Ok(list)
    }

    fn send(&self, token: i64, output: &Bound<'_, PyList>) -> PyResult<()> {
        let objects: Vec<Bound<'_, PyAny>> = output.iter().collect();
        let pieces = objects.iter().map(piece_of).collect::<PyResult<Vec<_>>>()?;
        self.lock().send(token, pieces.into_iter());
        Ok(())
    }

    fn flush(&self, py: Python<'_>) -> Vec<(i64, usize)> {
        py.detach(|| self.lock().flush())
    }

    fn take_unblocked(&self) -> Vec<(i64, usize)> {
        self.lock().take_unblocked()
    }

    fn pause(&self, token: i64) {
        self.lock().pause(token);
    }

    fn resume(&self, token: i64) {
        self.lock().resume(token);
    }

    fn wake(&self, token: i64) {
        self.lock().wake(token);
    }

    fn hang_up(&self, token: i64) {
        self.lock().hang_up(token);
    }

    fn output_size(&self, token: i64) -> usize {
        self.lock().output_size(token)
    }

    fn input_size(&self, token: i64) -> usize {
        self.lock().input_size(token)
    }

    fn slow_inputs(&self, py: Python<'_>, least: u64) -> Vec<i64> {
        py.detach(|| self.lock().slow_inputs(least))
    }

    #[pyo3(signature = (block_us, spin_us=0))]
    fn wait(&self, py: Python<'_>, block_us: u64, spin_us: u64) -> bool {
        py.detach(|| self.lock().wait(block_us * 1000, spin_us * 1000))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPoller>()
}
