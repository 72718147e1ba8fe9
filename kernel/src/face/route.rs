//! `Route` for Python.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::message_run::NO_EXPIRATION;
use crate::pending_wave::{Share, Target, Targets, Wanted};

/// Where a key of a run leads within one shard; made once for many publishes.
#[pyclass(frozen, name = "Route", module = "kernel")]
pub struct PyRoute {
    targets: Targets,
}

/// A queue's id, its message TTL in ms, how many more it takes before it rejects; None: no bound.
type Plain = (u64, Option<u32>, Option<u64>);

/// All five of a target.
type ToldTarget = (u64, Option<u32>, Option<u64>, u8, Option<(u32, u32)>);

fn told_target(target: &Target) -> ToldTarget {
    let wanted = match target.wanted {
        Wanted::All => 0,
        Wanted::Persistent => 1,
        Wanted::Transient => 2,
        Wanted::Retained => 3,
    };
    let ttl_ms = (target.ttl_ms != NO_EXPIRATION).then_some(target.ttl_ms);
    let room = (target.room != u64::MAX).then_some(target.room);
    let share = target.share.map(|share| (share.member, share.members));
    (target.queue, ttl_ms, room, wanted, share)
}

#[derive(FromPyObject)]
enum AnyTarget {
    Plain(Plain),
    /// Which messages it gets (0 all, 1 persistent, 2 transient, 3 to be retained), and whose turn it is of how many.
    Chosen(u64, Option<u32>, Option<u64>, u8, Option<(u32, u32)>),
}

impl AnyTarget {
    fn target(self) -> PyResult<Target> {
        let ((queue, ttl_ms, room), wanted, share) = match self {
            Self::Plain(plain) => (plain, 0, None),
            Self::Chosen(queue, ttl_ms, room, wanted, share) => {
                ((queue, ttl_ms, room), wanted, share)
            }
        };
        let wanted = match wanted {
            0 => Wanted::All,
            1 => Wanted::Persistent,
            2 => Wanted::Transient,
            3 => Wanted::Retained,
            _ => return Err(PyValueError::new_err("no such kind of messages")),
        };
        if share.is_some_and(|(member, members)| member >= members) {
            return Err(PyValueError::new_err("no such member"));
        }
        Ok(Target {
            ttl_ms: ttl_ms.unwrap_or(NO_EXPIRATION),
            room: room.unwrap_or(u64::MAX),
            wanted,
            share: share.map(|(member, members)| Share { member, members }),
            ..Target::of(queue)
        })
    }
}

#[pymethods]
impl PyRoute {
    #[new]
    fn new(targets: Vec<AnyTarget>) -> PyResult<Self> {
        let targets: PyResult<Vec<Target>> = targets.into_iter().map(AnyTarget::target).collect();
        Ok(Self {
            targets: Arc::new(targets?),
        })
    }

    /// Some queue of it may reject.
    #[getter]
    fn bounded(&self) -> bool {
        self.targets.iter().any(|target| target.room != u64::MAX)
    }

    /// It leads nowhere.
    #[getter]
    fn empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What it was made of.
    #[getter]
    fn targets(&self) -> Vec<ToldTarget> {
        self.targets.iter().map(told_target).collect()
    }
}

pub fn targets(routes: &[PyRef<'_, PyRoute>]) -> Vec<Targets> {
    routes.iter().map(|route| route.targets.clone()).collect()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRoute>()
}
