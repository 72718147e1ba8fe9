//! Conversions of messages for Python.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::conversion;
use crate::face::message_run::PyMessageRun;
use crate::message_run::MessageRun;

#[pyfunction]
fn to_mqtt(py: Python<'_>, messages: &PyMessageRun) -> PyMessageRun {
    converted(py, messages, conversion::to_mqtt)
}

#[pyfunction]
fn to_amqp(py: Python<'_>, messages: &PyMessageRun) -> PyMessageRun {
    converted(py, messages, conversion::to_amqp)
}

#[pyfunction]
fn to_stomp(py: Python<'_>, messages: &PyMessageRun) -> PyMessageRun {
    converted(py, messages, conversion::to_stomp)
}

fn converted(
    py: Python<'_>,
    messages: &PyMessageRun,
    convert: fn(&MessageRun) -> MessageRun,
) -> PyMessageRun {
    let run = messages.run.clone();
    PyMessageRun::new(messages.channel, Arc::new(py.detach(|| convert(&run))))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(to_mqtt, m)?)?;
    m.add_function(wrap_pyfunction!(to_amqp, m)?)?;
    m.add_function(wrap_pyfunction!(to_stomp, m)?)
}
