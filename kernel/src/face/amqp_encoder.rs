//! AMQP's encoders for Python.

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::amqp::encoder;
use crate::chunk::Chunk;
use crate::face::chunk::PyChunk;
use crate::face::delivery_run::PyDeliveryRun;
use crate::face::message_run::PyMessageRun;

#[pyfunction]
fn encode_deliveries(
    py: Python<'_>,
    deliveries: &PyDeliveryRun,
    channel: u16,
    consumer_tag: &[u8],
    first_tag: u64,
    frame_size_max: usize,
) -> PyResult<PyChunk> {
    check(consumer_tag, frame_size_max)?;
    let run = deliveries.run.clone();
    Ok(to_chunk(py.detach(|| {
        encoder::encode_deliveries(&run, channel, consumer_tag, first_tag, frame_size_max)
    })))
}

#[pyfunction]
fn encode_get_ok(
    deliveries: &PyDeliveryRun,
    channel: u16,
    tag: u64,
    message_count: u32,
    frame_size_max: usize,
) -> PyResult<PyChunk> {
    check(&[], frame_size_max)?;
    if deliveries.run.count() != 1 {
        return Err(PyValueError::new_err("a get brings one message"));
    }
    let run = &deliveries.run;
    let encoded = encoder::encode_get_ok(run, channel, tag, message_count, frame_size_max);
    Ok(to_chunk(encoded))
}

#[pyfunction]
fn encode_returns(
    py: Python<'_>,
    messages: &PyMessageRun,
    channel: u16,
    reply_code: u16,
    reply_text: &[u8],
    frame_size_max: usize,
) -> PyResult<PyChunk> {
    check(reply_text, frame_size_max)?;
    let run = messages.run.clone();
    Ok(to_chunk(py.detach(|| {
        encoder::encode_returns(&run, channel, reply_code, reply_text, frame_size_max)
    })))
}

#[pyfunction]
fn encode_confirms(
    py: Python<'_>,
    channel: u16,
    ranges: Vec<(u64, u64)>,
    settled_through: u64,
    nack: bool,
) -> PyResult<Bound<'_, PyBytes>> {
    if ranges
        .iter()
        .any(|&(first, last)| first == 0 || first > last)
    {
        return Err(PyValueError::new_err("a range is first and last, from 1"));
    }
    let encoded = encoder::encode_confirms(channel, &ranges, settled_through, nack);
    Ok(PyBytes::new(py, &encoded))
}

fn check(short_string: &[u8], frame_size_max: usize) -> PyResult<()> {
    if short_string.len() > 255 {
        return Err(PyValueError::new_err(
            "a short string has at most 255 bytes",
        ));
    }
    if frame_size_max < 4096 {
        return Err(PyValueError::new_err("a frame has room for 4096 bytes"));
    }
    Ok(())
}

fn to_chunk(encoded: Vec<u8>) -> PyChunk {
    PyChunk::new(Chunk(Bytes::from(encoded)))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(encode_deliveries, m)?)?;
    m.add_function(wrap_pyfunction!(encode_get_ok, m)?)?;
    m.add_function(wrap_pyfunction!(encode_returns, m)?)?;
    m.add_function(wrap_pyfunction!(encode_confirms, m)?)
}
