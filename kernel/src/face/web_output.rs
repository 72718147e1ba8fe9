//! WebSocket's frames around an adapter's output, for Python.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::chunk::Chunk;
use crate::face::chunk::PyChunk;
use crate::web::frame::{is_control, CONTROL_SIZE_MAX};
use crate::web::output;

fn bytes_of<'a>(piece: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    if let Ok(data) = piece.cast::<PyBytes>() {
        Ok(data.as_bytes())
    } else if let Ok(chunk) = piece.cast::<PyChunk>() {
        Ok(&chunk.get().chunk.0)
    } else {
        Err(PyTypeError::new_err("output is bytes or Chunk"))
    }
}

/// A part of a piece: itself if it is all of it, of a chunk another share of its memory.
fn part_of<'py>(
    piece: &Bound<'py, PyAny>,
    whole: &[u8],
    share: &output::Share,
) -> PyResult<Bound<'py, PyAny>> {
    let range = share.range.clone();
    if range.len() == whole.len() {
        return Ok(piece.clone());
    }
    match piece.cast::<PyChunk>() {
        Ok(chunk) => {
            let part = Chunk(chunk.get().chunk.0.slice(range));
            Ok(Bound::new(piece.py(), PyChunk::new(part))?.into_any())
        }
        Err(_) => Ok(PyBytes::new(piece.py(), &whole[range]).into_any()),
    }
}

#[pyfunction]
fn encode_web_messages<'py>(
    py: Python<'py>,
    output: Vec<Bound<'py, PyAny>>,
    text: bool,
) -> PyResult<Bound<'py, PyList>> {
    let pieces = output.iter().map(bytes_of).collect::<PyResult<Vec<_>>>()?;
    let list = PyList::empty(py);
    for message in output::messages(&pieces, text) {
        list.append(PyBytes::new(py, &message.head))?;
        for share in &message.shares {
            let number = share.piece;
            list.append(part_of(&output[number], pieces[number], share)?)?;
        }
    }
    Ok(list)
}

#[pyfunction]
fn encode_web_control<'py>(
    py: Python<'py>,
    opcode: u8,
    payload: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    if !is_control(opcode) || opcode > 15 || payload.len() > CONTROL_SIZE_MAX {
        return Err(PyValueError::new_err(
            "a control frame has at most 125 bytes",
        ));
    }
    let mut out = output::head(opcode, payload.len());
    out.extend_from_slice(payload);
    Ok(PyBytes::new(py, &out))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(encode_web_messages, m)?)?;
    m.add_function(wrap_pyfunction!(encode_web_control, m)?)
}
