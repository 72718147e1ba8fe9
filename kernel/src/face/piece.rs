//! Bytes of the kernel's, as Python's buffers: nothing is copied.
#![allow(unsafe_code)]

use std::ffi::c_int;

use bytes::Bytes;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A piece of something that is to be sent.
#[pyclass(frozen, name = "Piece", module = "kernel._kernel")]
pub struct PyPiece {
    bytes: Bytes,
}

impl PyPiece {
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

#[pymethods]
impl PyPiece {
    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    // SAFETY: `view` is Python's, to be filled. What it is filled with is never written, and lives as long as the object
    // does, which the view holds on to.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().bytes;
        let size = bytes.len() as ffi::Py_ssize_t;
        let start = bytes.as_ptr().cast_mut().cast();
        if unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, size, 1, flags) } == 0 {
            return Ok(());
        }
        Err(PyErr::take(slf.py()).unwrap_or_else(|| PyBufferError::new_err("it can't be written")))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPiece>()
}
