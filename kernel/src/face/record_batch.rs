//! Record batches for Python: for people who look at a log, and for tests.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::face::message_run::PyMessageRun;
use crate::record_batch;

#[pyfunction]
fn encode_record_batch<'py>(
    py: Python<'py>,
    messages: &PyMessageRun,
    time_ms: i64,
) -> PyResult<Bound<'py, PyBytes>> {
    if messages.run.entries.is_empty() {
        return Err(PyValueError::new_err("a batch has a record"));
    }
    let mut out = Vec::new();
    record_batch::encode(&messages.run, time_ms, &mut out);
    Ok(PyBytes::new(py, &out))
}

/// Time, messages and their record numbers.
#[pyfunction]
fn decode_record_batch(frame: &[u8]) -> PyResult<(i64, PyMessageRun, Vec<u32>)> {
    let buffer = Bytes::copy_from_slice(frame);
    let time_ms = record_batch::time_ms(frame).map_err(PyValueError::new_err)?;
    let retained = record_batch::decode_retained(&buffer, 0, buffer.len());
    let retained = retained.map_err(PyValueError::new_err)?;
    let messages = PyMessageRun::new(0, Arc::new(retained.run));
    Ok((time_ms, messages, retained.numbers))
}

/// `ranges`: first and past the last, ascending.
#[pyfunction]
fn retain_records<'py>(
    py: Python<'py>,
    frame: &[u8],
    ranges: Vec<(u32, u32)>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let ranges: Vec<_> = ranges.iter().map(|&(first, past)| first..past).collect();
    let retained = record_batch::retain(frame, &ranges).map_err(PyValueError::new_err)?;
    Ok(retained.map(|bytes| PyBytes::new(py, &bytes)))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(encode_record_batch, m)?)?;
    m.add_function(wrap_pyfunction!(decode_record_batch, m)?)?;
    m.add_function(wrap_pyfunction!(retain_records, m)?)
}
