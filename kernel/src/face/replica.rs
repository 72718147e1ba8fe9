//! `Shard` for Python: what only the host of a replica asks and is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::face::journal::store_error;
use crate::face::shard::PyShard;
use crate::raft_conf::ConfChange;
use crate::raft_ready::{ReceivedSnapshot, Role};
use crate::shard::ReplicaEffects;
use crate::shard_open::resume_snapshot;
use crate::wave::Sender;

/// (sender's peer, incarnation, number).
type Applied = Vec<(u64, u64, u64)>;

/// (applied, [(context, index)] of reads, (serving, leader, term) if that changed, restored from a snapshot, synced).
type PyReplicaEffects = (
    Applied,
    Vec<(u64, u64)>,
    Option<(bool, u64, u64)>,
    bool,
    Applied,
);

fn by_sender(through: BTreeMap<Sender, u64>) -> Applied {
    let through = through.into_iter();
    through
        .map(|(sender, through)| (sender.peer, sender.incarnation, through))
        .collect()
}

/// (voters, voters that are being left, learners, next learners).
type PyConf = (Vec<u64>, Vec<u64>, Vec<u64>, Vec<u64>);

/// (role, term, leader, last index, commit, applied, [(peer, matched, active, snapshot pending)]).
type PyStatus = (
    &'static str,
    u64,
    u64,
    u64,
    u64,
    u64,
    Vec<(u64, u64, bool, bool)>,
);

fn conf_change((op, peer): (String, u64)) -> PyResult<ConfChange> {
    match op.as_str() {
        "voter" => Ok(ConfChange::AddVoter(peer)),
        "learner" => Ok(ConfChange::AddLearner(peer)),
        "remove" => Ok(ConfChange::Remove(peer)),
        _ => Err(PyValueError::new_err("no such change")),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

#[pymethods]
impl PyShard {
    /// Replica effects tell from now on what is on this leader's disk.
    fn tell_synced(&self) {
        self.lock().tell_synced();
    }

    #[getter]
    fn leading(&self) -> bool {
        self.lock().is_leading()
    }

    #[getter]
    fn leader(&self) -> u64 {
        self.lock().standing().leader
    }

    #[getter]
    fn term(&self) -> u64 {
        self.lock().standing().term
    }

    #[getter]
    fn quiet(&self) -> bool {
        self.lock().is_quiet()
    }

    #[getter]
    fn dead(&self) -> Option<String> {
        self.lock().dead().map(str::to_owned)
    }

    /// Has part in nothing any more, and serves nobody; `dead` then says why.
    fn leave(&self, why: &str) {
        self.lock().leave(why);
    }

    /// Another peer says that it leads in a later term; false: not in a later one.
    fn follow(&self, leader: u64, term: u64) -> PyResult<bool> {
        self.ask(|shard| shard.follow(leader, term))
    }

    fn transfer_leader(&self, peer: u64) -> PyResult<bool> {
        self.ask(|shard| shard.transfer_leader(peer))
    }

    fn report_unreachable(&self, peer: u64) -> PyResult<()> {
        self.ask(|shard| shard.report_unreachable(peer)).map(|_| ())
    }

    fn report_snapshot(&self, peer: u64, arrived: bool) -> PyResult<()> {
        let asked = self.ask(|shard| shard.report_snapshot(peer, arrived));
        asked.map(|_| ())
    }

    fn report_snapshot_progress(&self, peer: u64) {
        self.lock().report_snapshot_progress(peer);
    }

    /// Changes of members: ("voter" | "learner" | "remove", peer); several at once by a joint configuration.
    fn propose_conf(&self, changes: Vec<(String, u64)>) -> PyResult<bool> {
        let changes: PyResult<Vec<ConfChange>> = changes.into_iter().map(conf_change).collect();
        let changes = changes?;
        self.ask(|shard| shard.propose_conf(&changes))
    }

    fn conf(&self) -> PyConf {
        let conf = self.lock().conf().unwrap_or_default();
        let outgoing = conf.voters_outgoing;
        (conf.voters, outgoing, conf.learners, conf.learners_next)
    }

    fn status(&self) -> Option<PyStatus> {
        let status = self.lock().status()?;
        let progress = status.progress.iter();
        let progress = progress
            .map(|peer| (peer.peer, peer.matched, peer.active, peer.snapshot_pending))
            .collect();
        Some((
            role_name(status.role),
            status.term,
            status.leader,
            status.last_index,
            status.commit,
            status.applied,
            progress,
        ))
    }

    fn read_index(&self, context: u64) -> PyResult<bool> {
        self.ask(|shard| shard.read_index(context))
    }

    fn take_replica_effects(&self) -> Option<PyReplicaEffects> {
        let effects = self.lock().take_replica_effects()?;
        let ReplicaEffects {
            applied,
            synced,
            reads,
            standing,
            restored,
        } = effects;
        let standing = standing.map(|now| (now.serving, now.leader, now.term));
        Some((
            by_sender(applied),
            reads.into_iter().map(|r| (r.context, r.index)).collect(),
            standing,
            restored,
            by_sender(synced),
        ))
    }

    /// The peer for which a newer snapshot must be offered; asked once.
    fn wants_snapshot(&self) -> Option<u64> {
        self.lock().wants_snapshot()
    }

    /// A leader's message with a snapshot that was imported before, or a later one was. None: it is to be fetched;
    /// false: Raft had no use for it.
    fn resume_snapshot(&self, message: &[u8]) -> PyResult<Option<bool>> {
        let message = Bytes::copy_from_slice(message);
        let Some(store) = self.store() else {
            return Ok(None);
        };
        let mut shard = self.lock();
        match resume_snapshot(store, &mut shard, &message).map_err(store_error)? {
            Some(stepped) => self.receive_stepped(&mut shard, stepped).map(Some),
            None => Ok(None),
        }
    }

    /// Of a message with a snapshot: (the leader, index, term, data); None: it carries none.
    #[staticmethod]
    fn snapshot_in<'py>(
        py: Python<'py>,
        message: &[u8],
    ) -> Option<(u64, u64, u64, Bound<'py, PyBytes>)> {
        let (from, snapshot) = ReceivedSnapshot::in_message(&Bytes::copy_from_slice(message))?;
        let position = snapshot.position;
        let data = PyBytes::new(py, &snapshot.data);
        Some((from, position.index, position.term, data))
    }
}
