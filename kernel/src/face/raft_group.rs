//! `RaftGroup` for Python's tests: new groups, without the changes of members.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::create_exception;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::group_record::LogEntry;
use crate::raft_group::{GroupError, RaftGroup as Inner};
use crate::raft_options::GroupOptions;
use crate::raft_ready::PeerMessage;

create_exception!(
    kernel,
    RaftRefused,
    PyRuntimeError,
    "The group did nothing of it; the text says why."
);

fn refused(error: GroupError) -> PyErr {
    RaftRefused::new_err(match error {
        GroupError::Dead(reason) => format!("dead: {reason}"),
        GroupError::NotLeader { leader } => format!("not the leader: that is {leader}"),
        GroupError::Full => "full".into(),
        GroupError::Refused(reason) => reason.into(),
    })
}

type Messages = Vec<(u64, Py<PyBytes>)>;
type Entries = Vec<(u64, u64, u8, Py<PyBytes>)>;

fn messages_of(py: Python<'_>, messages: Vec<PeerMessage>) -> Messages {
    messages
        .into_iter()
        .map(|message| (message.to, PyBytes::new(py, &message.data()).unbind()))
        .collect()
}

fn entries_of(py: Python<'_>, entries: &[LogEntry]) -> Entries {
    entries
        .iter()
        .map(|entry| {
            let data = PyBytes::new(py, &entry.data).unbind();
            (entry.index, entry.term, entry.kind, data)
        })
        .collect()
}

#[pyclass(frozen, get_all, module = "kernel")]
struct RaftReady {
    number: u64,
    messages: Messages,
    must_sync: bool,
    entries: Entries,
    committed: Entries,
}

#[pyclass(frozen, module = "kernel")]
struct RaftGroup(Mutex<Inner>);

impl RaftGroup {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl RaftGroup {
    #[new]
    fn new(peer: u64, group: u32, voters: Vec<u64>, seed: u64) -> PyResult<Self> {
        let inner = Inner::new(GroupOptions::new(peer, group, &voters, seed)).map_err(refused)?;
        Ok(Self(Mutex::new(inner)))
    }

    fn propose(&self, data: Vec<u8>) -> PyResult<(u64, u64)> {
        let position = self.lock().propose(data.into()).map_err(refused)?;
        Ok((position.term, position.index))
    }

    fn step(&self, data: Vec<u8>) -> PyResult<()> {
        self.lock().step(&Bytes::from(data)).map_err(refused)
    }

    fn tick(&self) -> PyResult<bool> {
        self.lock().tick().map_err(refused)
    }

    fn campaign(&self) -> PyResult<()> {
        self.lock().campaign().map_err(refused)
    }

    fn ready(&self, py: Python<'_>) -> PyResult<Option<RaftReady>> {
        let Some(ready) = self.lock().ready().map_err(refused)? else {
            return Ok(None);
        };
        Ok(Some(RaftReady {
            number: ready.number,
            messages: messages_of(py, ready.messages),
            must_sync: ready.record.is_some(),
            entries: ready
                .record
                .map_or_else(Vec::new, |record| entries_of(py, &record.entries)),
            committed: entries_of(py, &ready.committed),
        }))
    }

    fn on_persisted(&self, py: Python<'_>, number: u64) -> PyResult<Messages> {
        let messages = self.lock().on_persisted(number).map_err(refused)?;
        Ok(messages_of(py, messages))
    }

    fn on_applied(&self, index: u64) -> PyResult<()> {
        self.lock().on_applied(index).map_err(refused)
    }

    #[getter]
    fn term(&self) -> u64 {
        self.lock().term()
    }

    #[getter]
    fn leader(&self) -> u64 {
        self.lock().leader()
    }

    #[getter]
    fn is_leading(&self) -> bool {
        self.lock().is_leading()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("RaftRefused", module.py().get_type::<RaftRefused>())?;
    module.add_class::<RaftReady>()?;
    module.add_class::<RaftGroup>()
}
