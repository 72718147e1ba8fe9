//! `FrameDecoder` for Python: frames between nodes, made by its own class of them.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use crate::peer_frame::{numbers, FrameDecoder, FrameFault, RawFrame};

/// What a frame may have beside its body: `FRAME_OVERHEAD_MAX` of broker/cluster/frame.py.
const OVERHEAD_MAX: usize = 3 + 65_535;

/// (frames, whether all are plain, what is wrong with the next).
type PyTaken<'py> = (Bound<'py, PyList>, bool, Option<Bound<'py, PyAny>>);

#[pyclass(frozen, name = "FrameDecoder", module = "kernel._kernel")]
pub struct PyFrameDecoder {
    inner: Mutex<FrameDecoder>,
    /// (kind, head, body) -> a frame.
    make: Py<PyAny>,
    /// (bytes) -> a head; raises what is the peer's fault.
    decode_head: Py<PyAny>,
    /// (reason, detail) -> such an exception.
    violation: Py<PyAny>,
}

#[pymethods]
impl PyFrameDecoder {
    #[new]
    fn new(make: Py<PyAny>, decode_head: Py<PyAny>, violation: Py<PyAny>) -> Self {
        Self {
            inner: Mutex::default(),
            make,
            decode_head,
            violation,
        }
    }

    #[getter]
    fn unfinished(&self) -> bool {
        self.lock().is_unfinished()
    }

    fn receive_data(&self, data: PyBackedBytes) {
        self.lock().receive_data(Bytes::from_owner(data));
    }

    /// See the stub.
    fn take_frames<'py>(
        &self,
        py: Python<'py>,
        size_max: usize,
        count_max: Option<usize>,
        plain_kind: u8,
    ) -> PyResult<PyTaken<'py>> {
        let frames = PyList::empty(py);
        let mut plain = true;
        while count_max.is_none_or(|count| frames.len() < count) {
            let raw = match self.lock().take_frame(size_max) {
                Ok(None) => break,
                Ok(Some(raw)) => raw,
                Err(fault) => {
                    let error = self.violation.bind(py).call1(words(fault))?;
                    return Ok((frames, plain, Some(error)));
                }
            };
            let numbers = numbers(&raw.head);
            let size: usize = raw.body.iter().map(Bytes::len).sum();
            let has_one = numbers.as_ref().is_some_and(|numbers| numbers.len() == 1);
            plain &= raw.kind == plain_kind && has_one && size + OVERHEAD_MAX <= size_max;
            match self.frame(py, raw, numbers, size) {
                Ok(frame) => frames.append(frame)?,
                Err(error) => {
                    let class = self.violation.bind(py);
                    let error = error.into_value(py).into_bound(py).into_any();
                    let is_theirs = error.get_type().is(class);
                    if !is_theirs {
                        return Err(PyErr::from_value(error));
                    }
                    return Ok((frames, plain, Some(error)));
                }
            }
        }
        Ok((frames, plain, None))
    }
}

impl PyFrameDecoder {
    fn lock(&self) -> std::sync::MutexGuard<'_, FrameDecoder> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frame<'py>(
        &self,
        py: Python<'py>,
        raw: RawFrame,
        numbers: Option<Vec<u64>>,
        size: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let head = match numbers {
            Some(numbers) => PyList::new(py, numbers)?.into_any(),
            None => self
                .decode_head
                .bind(py)
                .call1((PyBytes::new(py, &raw.head),))?,
        };
        let body = PyBytes::new_with(py, size, |mut left| {
            for part in &raw.body {
                let (into, rest) = left.split_at_mut(part.len());
                into.copy_from_slice(part);
                left = rest;
            }
            Ok(())
        })?;
        self.make.bind(py).call1((raw.kind, head, body))
    }
}

/// The reason, by its value in broker/cluster/violation.py, and more of it for people.
fn words(fault: FrameFault) -> (&'static str, String) {
    match fault {
        FrameFault::TooLarge { size, size_max } => (
            "frame-too-large",
            format!("{size} bytes, {size_max} allowed"),
        ),
        FrameFault::LengthChecksum => ("bad-checksum", "of its length".into()),
        FrameFault::TooFew { size } => ("bad-frame", format!("{size} bytes are too few")),
        FrameFault::Checksum => ("bad-checksum", String::new()),
        FrameFault::HeadBeyond { head_size } => (
            "bad-frame",
            format!("a head of {head_size} bytes goes beyond its frame"),
        ),
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyFrameDecoder>()
}
