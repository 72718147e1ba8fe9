//! Dead-lettering for Python.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::amqp::death::{self, Death};
use crate::face::delivery_run::PyDeliveryRun;
use crate::face::message_run::PyMessageRun;

#[pyfunction]
fn dead_letter(
    py: Python<'_>,
    deliveries: &PyDeliveryRun,
    queue: &[u8],
    reason: &str,
    exchange: &[u8],
    routing_key: Option<&[u8]>,
    now_s: u64,
) -> PyResult<PyMessageRun> {
    let names = [
        queue,
        reason.as_bytes(),
        exchange,
        routing_key.unwrap_or_default(),
    ];
    if names.iter().any(|name| name.len() > 255) {
        return Err(PyValueError::new_err("a name has at most 255 bytes"));
    }
    let death = Death {
        queue,
        reason: reason.as_bytes(),
        exchange,
        routing_key,
        time_s: now_s,
    };
    let run = deliveries.run.clone();
    let messages = py.detach(|| death::dead_letter(&run, &death));
    Ok(PyMessageRun::new(0, Arc::new(messages)))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(dead_letter, m)?)
}
