//! `Chunk` for Python.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::chunk::Chunk;

/// Encoded output that several connections may share.
#[pyclass(frozen, eq, name = "Chunk", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyChunk {
    pub chunk: Chunk,
}

impl PyChunk {
    pub fn new(chunk: Chunk) -> Self {
        Self { chunk }
    }
}

#[pymethods]
impl PyChunk {
    #[new]
    fn of(data: &[u8]) -> Self {
        Self::new(Chunk(Bytes::copy_from_slice(data)))
    }

    fn __len__(&self) -> usize {
        self.chunk.0.len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.chunk.0)
    }

    fn __repr__(&self) -> String {
        format!("<Chunk size={}>", self.chunk.0.len())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyChunk>()
}
