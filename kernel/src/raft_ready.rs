//! What a Raft group wants done, and what it tells about itself: values only.

use bytes::Bytes;
use protobuf::wire_format::WireType;
use protobuf::{CodedOutputStream, Message as _, ProtobufResult};
use raft::eraftpb::{Entry, Message, MessageType, Snapshot};
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
    /// In a row they are the message: large entries as they lie in the log, the others with what is around them.
    pub pieces: Vec<Bytes>,
}

/// From which on data is a piece of its own; what is smaller goes together with what is around it.
pub(crate) const PIECE_SIZE_MIN: usize = 16 << 10;
/// Protobuf's numbers of a message's entries, and of an entry's data.
const ENTRIES: u32 = 7;
const DATA: u32 = 4;

impl PeerMessage {
    pub(crate) fn of(mut message: Message) -> Self {
        let kind = message.get_msg_type();
        let entries = message.take_entries();
        let mut pieces = Vec::new();
        let mut written = encoded(&message);
        // Fields may come in any order: entries last, and of an entry its data.
        for mut entry in entries {
            let size = entry.compute_size();
            let data = std::mem::take(&mut entry.data);
            write_head(&entry, size, data.len() as u32, &mut written);
            if data.len() < PIECE_SIZE_MIN {
                written.extend_from_slice(&data);
            } else {
                pieces.extend([std::mem::take(&mut written).into(), data]);
            }
        }
        if !written.is_empty() {
            pieces.push(written.into());
        }
        Self {
            to: message.to,
            bulk: matches!(kind, MessageType::MsgAppend | MessageType::MsgSnapshot),
            pieces,
        }
    }

    /// The message in one.
    pub fn data(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

fn encoded(message: &impl protobuf::Message) -> Vec<u8> {
    message.write_to_bytes().unwrap_or_default() // fails only for missing required fields
}

/// What comes before an entry's data in a message; `size`: of the entry with it.
fn write_head(entry: &Entry, size: u32, data_size: u32, written: &mut Vec<u8>) {
    let mut out = CodedOutputStream::vec(written);
    let mut write = || {
        out.write_tag(ENTRIES, WireType::WireTypeLengthDelimited)?;
        out.write_raw_varint32(size)?;
        entry.write_to(&mut out)?;
        if data_size > 0 {
            out.write_tag(DATA, WireType::WireTypeLengthDelimited)?;
            out.write_raw_varint32(data_size)?;
        }
        out.flush()
    };
    let written: ProtobufResult<()> = write();
    assert!(written.is_ok(), "memory takes everything");
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
            data: encoded(&snapshot).into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use raft::eraftpb::EntryType;

    fn entry(index: u64, data: Bytes) -> Entry {
        let mut entry = Entry::default();
        entry.set_entry_type(EntryType::EntryNormal);
        entry.term = 300;
        entry.index = index;
        entry.data = data;
        entry
    }

    #[test]
    fn pieces_are_the_message_and_large_entries_are_not_copied() {
        let sizes = [0, 5, PIECE_SIZE_MIN - 1, PIECE_SIZE_MIN, 1 << 20, 0, 200];
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.to, message.from, message.term, message.commit) = (2, 1 << 40, 301, 7);
        let data = sizes.map(|size| Bytes::from(vec![size as u8; size]));
        let entries = data.iter().zip(8_u64..);
        message.entries = entries
            .map(|(data, index)| entry(index, data.clone()))
            .collect();
        let pieces = PeerMessage::of(message.clone());
        assert!(pieces.bulk && pieces.to == 2);
        let read = crate::raft_guard::decode(&Bytes::from(pieces.data())).unwrap();
        assert!(read == message);
        let held = |bytes: &Bytes| pieces.pieces.iter().any(|it| it.as_ptr() == bytes.as_ptr());
        assert_eq!(data.each_ref().map(held)[3..5], [true, true]);
        assert_eq!(pieces.pieces.len(), 5);
    }

    #[test]
    fn a_message_without_entries_is_one_piece() {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgHeartbeat);
        message.to = 3;
        let pieces = PeerMessage::of(message.clone());
        assert_eq!((pieces.bulk, pieces.pieces.len()), (false, 1));
        let read = crate::raft_guard::decode(&pieces.pieces[0]).unwrap();
        assert!(read == message);
    }
}
