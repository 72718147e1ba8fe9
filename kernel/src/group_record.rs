//! What one Raft group wants written in one round: the unit the journal keeps whole.
//!
//! One record per Raft *ready*: its hard state and its entries become durable together or not at
//! all. Replay takes records in the order they were written; an append at index `i` truncates
//! everything at and above `i` of that group.

use bytes::Bytes;

/// What Raft must remember before it answers anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    pub term: u64,
    /// The peer voted for in `term`; 0: none.
    pub vote: u64,
    pub commit: u64,
}

/// One entry of a group's log. `kind` is Raft's entry type and opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub data: Bytes,
}

/// Entries are contiguous and ascending by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecord {
    pub group: u32,
    /// Present when it changed.
    pub hard_state: Option<HardState>,
    pub entries: Vec<LogEntry>,
}

impl GroupRecord {
    /// Bytes of the entries' data.
    pub fn data_size(&self) -> usize {
        self.entries.iter().map(|entry| entry.data.len()).sum()
    }
}
