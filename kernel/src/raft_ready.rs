//! What a Raft group wants done, and what it tells about itself: values only.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType, Snapshot};
use raft::{Progress, ProgressState, ReadState, StateRole};

use crate::group_record::{GroupRecord, LogEntry};
use crate::raft_conf::Conf;
use crate::raft_log::{entry_kind, Position};

/// A message to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerMessage {
    pub to: u64,
    /// Appends and snapshots travel apart, so that heartbeats never wait behind them.
    pub bulk: bool,
    pub data: Vec<u8>,
}

impl PeerMessage {
    pub(crate) fn of(message: &Message) -> Self {
        let kind = message.get_msg_type();
        Self {
            to: message.to,
            bulk: matches!(kind, MessageType::MsgAppend | MessageType::MsgSnapshot),
            data: message.write_to_bytes().unwrap_or_default(), // fails only for missing required fields
        }
    }
}

/// A snapshot that replaces the state machine and the log through `position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSnapshot {
    pub position: Position,
    pub conf: Conf,
    pub data: Bytes,
}

impl ReceivedSnapshot {
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let metadata = snapshot.get_metadata();
        Self {
            position: Position {
                index: metadata.index,
                term: metadata.term,
            },
            conf: Conf::from_state(metadata.get_conf_state()),
            data: snapshot.data,
        }
    }

    /// The snapshot in a peer's message, and which peer that is; None: it carries none.
    pub fn in_message(data: &Bytes) -> Option<(u64, Self)> {
        let mut message = crate::raft_guard::decode(data).ok()?;
        let carries = message.get_msg_type() == MessageType::MsgSnapshot;
        carries.then(|| (message.from, Self::of(message.take_snapshot())))
    }

    /// A log entry of kind `SNAPSHOT` that says where the log begins anew.
    pub fn mark(position: Position, conf: &Conf) -> LogEntry {
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().index = position.index;
        snapshot.mut_metadata().term = position.term;
        snapshot.mut_metadata().set_conf_state(conf.to_state());
        LogEntry {
            index: position.index,
            term: position.term,
            kind: entry_kind::SNAPSHOT,
            data: snapshot.write_to_bytes().unwrap_or_default().into(),
        }
    }

    /// What a log entry of kind `SNAPSHOT` holds.
    pub fn decode(data: &[u8]) -> Result<Self, &'static str> {
        let mut snapshot = Snapshot::default();
        snapshot
            .merge_from_bytes(data)
            .map_err(|_| "not a snapshot")?;
        Ok(Self::of(snapshot))
    }
}

/// A place of the state machine and the configuration there. Only Raft's own state makes one: a
/// snapshot under a wrong configuration splits the group in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMark {
    pub(crate) position: Position,
    pub(crate) conf: Conf,
}

impl SnapshotMark {
    pub fn position(&self) -> Position {
        self.position
    }

    pub fn conf(&self) -> &Conf {
        &self.conf
    }
}

/// Who has applied through `index` may answer the reader that asked under `context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub context: u64,
    pub index: u64,
}

impl Read {
    pub(crate) fn of(read: &ReadState) -> Option<Self> {
        let context = read.request_ctx.as_slice().try_into().ok()?;
        Some(Self {
            context: u64::from_be_bytes(context),
            index: read.index,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

impl Role {
    pub(crate) fn of(state: StateRole) -> Self {
        match state {
            StateRole::Follower => Self::Follower,
            StateRole::PreCandidate => Self::PreCandidate,
            StateRole::Candidate => Self::Candidate,
            StateRole::Leader => Self::Leader,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChange {
    pub role: Role,
    /// 0: none is known.
    pub leader: u64,
}

/// One round's work, to be done in the order of these fields.
#[derive(Clone, Debug)]
pub struct Ready {
    pub number: u64,
    /// Send at once.
    pub messages: Vec<PeerMessage>,
    /// Make durable, then say [`crate::raft_group::RaftGroup::on_persisted`] with `number`. None: nothing is owed.
    pub record: Option<GroupRecord>,
    /// Restore the state machine from it; once the record is durable say `on_applied` with its index.
    pub snapshot: Option<ReceivedSnapshot>,
    /// Apply in order, then say `on_applied`. Raft's own entries are among them: of a kind that is
    /// not normal, or empty.
    pub committed: Vec<LogEntry>,
    pub reads: Vec<Read>,
    /// Present when it changed.
    pub role: Option<RoleChange>,
}

/// How far a leader knows a peer to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    pub peer: u64,
    pub matched: u64,
    /// Heard from within about an election timeout.
    pub active: bool,
    pub snapshot_pending: bool,
}

impl PeerProgress {
    pub(crate) fn of(peer: u64, progress: &Progress, active: bool) -> Self {
        Self {
            peer,
            matched: progress.matched,
            active,
            snapshot_pending: progress.state == ProgressState::Snapshot,
        }
    }
}

/// What a group tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub role: Role,
    pub term: u64,
    pub vote: u64,
    pub leader: u64,
    pub first_index: u64,
    pub last_index: u64,
    pub commit: u64,
    pub persisted: u64,
    pub applied: u64,
    /// Bytes of entries' data in memory.
    pub log_size: usize,
    pub unstable_capacity: usize,
    pub uncommitted_size: usize,
    pub election_timeout_ticks: usize,
    /// Sorted by peer; a follower knows of none.
    pub progress: Vec<PeerProgress>,
}
