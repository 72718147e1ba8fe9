//! `TopicTrie` and `Wildcard` for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::topic_trie::{PatternLevel, TopicTrie};

#[pyclass(name = "Wildcard", module = "kernel", frozen, eq, hash)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::upper_case_acronyms)]
pub enum PyWildcard {
    ONE,
    MANY,
}

#[derive(FromPyObject)]
enum PyLevel<'py> {
    Wildcard(PyRef<'py, PyWildcard>),
    Exact(Bound<'py, PyBytes>),
}

impl From<PyLevel<'_>> for PatternLevel {
    fn from(level: PyLevel<'_>) -> Self {
        match level {
            PyLevel::Exact(bytes) => Self::Exact(bytes.as_bytes().into()),
            PyLevel::Wildcard(wildcard) => match *wildcard {
                PyWildcard::ONE => Self::One,
                PyWildcard::MANY => Self::Many,
            },
        }
    }
}

fn pattern_of(levels: Vec<PyLevel<'_>>) -> Vec<PatternLevel> {
    levels.into_iter().map(PatternLevel::from).collect()
}

#[pyclass(name = "TopicTrie", module = "kernel", frozen)]
struct PyTopicTrie(Mutex<TopicTrie>);

impl PyTopicTrie {
    fn trie(&self) -> MutexGuard<'_, TopicTrie> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyTopicTrie {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(TopicTrie::new()))
    }

    fn insert(&self, pattern: Vec<PyLevel<'_>>, id: u64) -> bool {
        self.trie().insert(&pattern_of(pattern), id)
    }

    fn remove(&self, pattern: Vec<PyLevel<'_>>, id: u64) -> bool {
        self.trie().remove(&pattern_of(pattern), id)
    }

    #[pyo3(name = "match", signature = (levels, *, leading_wildcards = true))]
    fn find(&self, levels: Vec<Bound<'_, PyBytes>>, leading_wildcards: bool) -> Vec<u64> {
        let levels: Vec<&[u8]> = levels.iter().map(PyBytesMethods::as_bytes).collect();
        self.trie().find(&levels, leading_wildcards)
    }

    fn __len__(&self) -> usize {
        self.trie().len()
    }

    #[getter]
    fn node_count(&self) -> usize {
        self.trie().node_count()
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyWildcard>()?;
    m.add_class::<PyTopicTrie>()
}
