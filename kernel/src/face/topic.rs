//! Topics and routing keys for Python.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::conversion::topic::{self, FilterLevel};
use crate::face::topic_trie::PyWildcard;

#[pyfunction]
fn routing_key_of_topic<'py>(py: Python<'py>, topic: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &topic::routing_key_of(topic))
}

#[pyfunction]
fn topic_of_routing_key<'py>(py: Python<'py>, routing_key: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &topic::topic_of(routing_key))
}

#[pyfunction]
fn queue_of_topic<'py>(py: Python<'py>, topic: &[u8]) -> Option<Bound<'py, PyBytes>> {
    topic::queue_of(topic).map(|queue| PyBytes::new(py, &queue))
}

#[pyfunction]
fn filter_levels<'py>(py: Python<'py>, filter: &[u8]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for level in topic::filter_levels(filter) {
        match level {
            FilterLevel::One => list.append(PyWildcard::ONE)?,
            FilterLevel::Many => list.append(PyWildcard::MANY)?,
            FilterLevel::Word(word) => list.append(PyBytes::new(py, &word))?,
        }
    }
    Ok(list)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(routing_key_of_topic, m)?)?;
    m.add_function(wrap_pyfunction!(topic_of_routing_key, m)?)?;
    m.add_function(wrap_pyfunction!(queue_of_topic, m)?)?;
    m.add_function(wrap_pyfunction!(filter_levels, m)?)
}
