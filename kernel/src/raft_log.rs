//! A group's log as Raft reads it: the entries after the base, in memory.
//!
//! The journal keeps entries; this view answers Raft's questions about them. It always holds
//! everything after what was applied (Raft may not wait for old entries in an election), and as much
//! before it as the host leaves for slow followers.

use std::cell::Cell;
use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::group_record::LogEntry;

/// What [`LogEntry::kind`] says.
pub mod entry_kind {
    pub const NORMAL: u8 = 0;
    pub const CONF_CHANGE: u8 = 1;
    pub const CONF_CHANGE_V2: u8 = 2;
    /// Not one of Raft's: everything up to this index was replaced by a snapshot, which is `data`.
    pub const SNAPSHOT: u8 = 3;
}

/// What an entry's header costs in a message, beside its data (for `max_size`).
const ENTRY_OVERHEAD: u64 = 24;
/// Applied entries that are kept for followers who are slightly behind, in bytes and in number ...
pub const TAIL_SIZE_MAX: usize = 16 << 20;
const TAIL_COUNT_MAX: u64 = 16 << 10;
/// ... and by a leader for a member that is heard from and does not have them yet. Who is further behind
/// needs a snapshot.
const LAG_SIZE_MAX: usize = 64 << 20;
const LAG_COUNT_MAX: u64 = 128 << 10;
/// A log that fell under a quarter of its capacity gives the rest back from here on.
const SHRINK_CAPACITY_MIN: usize = 1024;

/// A place in the log. (0, 0) stands before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub index: u64,
    pub term: u64,
}

/// An entry without its index, which its place says: 48 bytes instead of protobuf's 104.
struct Slot {
    term: u64,
    kind: u8,
    data: Bytes,
}

/// The entries after `base`.
#[derive(Default)]
pub struct RaftLog {
    pub(crate) hard_state: HardState,
    pub(crate) conf: ConfState,
    base: Position,
    slots: VecDeque<Slot>,
    data_size: usize,
    /// Entries through here are applied, and the bytes of those that are held.
    applied: u64,
    applied_size: usize,
    snapshot: Option<Snapshot>,
    snapshot_wanted: Cell<Option<u64>>,
}

impl RaftLog {
    /// A log that begins after `base`, under `conf` as of `base`.
    pub fn new(base: Position, conf: ConfState, hard_state: HardState) -> Self {
        Self {
            hard_state,
            conf,
            base,
            applied: base.index,
            ..Self::default()
        }
    }

    pub fn base(&self) -> Position {
        self.base
    }

    pub fn last_position(&self) -> Position {
        let term = self.slots.back().map_or(self.base.term, |slot| slot.term);
        Position {
            index: self.base.index + self.slots.len() as u64,
            term,
        }
    }

    /// Bytes of data held.
    pub fn data_size(&self) -> usize {
        self.data_size
    }

    fn last(&self) -> u64 {
        self.base.index + self.slots.len() as u64
    }

    fn slot(&self, index: u64) -> &Slot {
        &self.slots[(index - self.base.index - 1) as usize]
    }

    fn entry(&self, index: u64) -> Entry {
        let slot = self.slot(index);
        Entry {
            index,
            term: slot.term,
            entry_type: entry_type(slot.kind),
            data: slot.data.clone(),
            ..Entry::default()
        }
    }

    /// Those after an index, or all.
    pub fn entries_after(&self, index: u64) -> Vec<LogEntry> {
        let first = index.max(self.base.index) + 1;
        (first..=self.last())
            .map(|index| log_entry(&self.entry(index)))
            .collect()
    }

    /// Appends an entry; whatever stood at and after its index goes.
    ///
    /// # Panics
    /// If it would leave a gap or replace what lies before the base.
    pub fn append(&mut self, index: u64, term: u64, kind: u8, data: Bytes) {
        assert!(
            self.base.index < index && index <= self.last() + 1,
            "append at {index} to a log from {} through {}",
            self.base.index,
            self.last()
        );
        while self.last() >= index {
            self.data_size -= self.slots.pop_back().map_or(0, |slot| slot.data.len());
        }
        self.data_size += data.len();
        self.slots.push_back(Slot { term, kind, data });
    }

    /// Forgets entries through `through`, or through the last one.
    pub fn compact(&mut self, through: u64) {
        while self.base.index < through {
            let Some(slot) = self.slots.pop_front() else {
                break;
            };
            self.data_size -= slot.data.len();
            self.base = Position {
                index: self.base.index + 1,
                term: slot.term,
            };
            if self.base.index <= self.applied {
                self.applied_size -= slot.data.len();
            }
        }
        let capacity = self.slots.capacity();
        if capacity > SHRINK_CAPACITY_MIN && self.slots.len() < capacity / 4 {
            self.slots.shrink_to(capacity / 2);
        }
    }

    /// Everything through `index` is applied.
    pub fn note_applied(&mut self, index: u64) {
        while self.applied < index {
            self.applied += 1;
            if self.base.index < self.applied && self.applied <= self.last() {
                self.applied_size += self.slot(self.applied).data.len();
            }
        }
    }

    /// Forgets applied entries, all but a tail and what is after `matched`, which some member lacks.
    pub fn trim(&mut self, matched: u64) {
        let mut through = self.base.index;
        let mut size = self.applied_size;
        while through < self.applied {
            let (size_max, count_max) = if through < matched {
                (TAIL_SIZE_MAX, TAIL_COUNT_MAX)
            } else {
                (LAG_SIZE_MAX, LAG_COUNT_MAX)
            };
            if size <= size_max && self.applied - through <= count_max {
                break;
            }
            through += 1;
            size -= self.slot(through).data.len();
        }
        self.compact(through);
    }

    /// Starts over after a snapshot that a leader sent.
    pub fn install(&mut self, snapshot: Snapshot) {
        let metadata = snapshot.get_metadata();
        self.base = Position {
            index: metadata.index,
            term: metadata.term,
        };
        self.conf = metadata.get_conf_state().clone();
        self.hard_state.commit = self.hard_state.commit.max(metadata.index);
        self.slots.clear();
        self.data_size = 0;
        self.applied = metadata.index;
        self.applied_size = 0;
        self.snapshot = Some(snapshot);
    }

    /// The snapshot that followers are sent from now on.
    pub fn offer_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
    }

    /// The peer that was last refused a snapshot because there is none that suits it; forgets it.
    pub fn take_snapshot_wanted(&self) -> Option<u64> {
        self.snapshot_wanted.take()
    }
}

fn entry_type(kind: u8) -> EntryType {
    match kind {
        entry_kind::CONF_CHANGE => EntryType::EntryConfChange,
        entry_kind::CONF_CHANGE_V2 => EntryType::EntryConfChangeV2,
        _ => EntryType::EntryNormal,
    }
}

/// Raft's entry as the journal and the state machine see it; its data is shared, not copied.
pub fn log_entry(entry: &Entry) -> LogEntry {
    LogEntry {
        index: entry.index,
        term: entry.term,
        kind: match entry.get_entry_type() {
            EntryType::EntryNormal => entry_kind::NORMAL,
            EntryType::EntryConfChange => entry_kind::CONF_CHANGE,
            EntryType::EntryConfChangeV2 => entry_kind::CONF_CHANGE_V2,
        },
        data: entry.data.clone(),
    }
}

fn names(conf: &ConfState, peer: u64) -> bool {
    conf.voters.contains(&peer)
        || conf.learners.contains(&peer)
        || conf.voters_outgoing.contains(&peer)
}

impl Storage for RaftLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let size_max = max_size.into().unwrap_or(u64::MAX);
        let mut entries = Vec::new();
        let mut size = 0;
        for index in low..high {
            size += self.slot(index).data.len() as u64 + ENTRY_OVERHEAD;
            if size > size_max && !entries.is_empty() {
                break;
            }
            entries.push(self.entry(index));
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.index {
            return Ok(self.base.term);
        }
        if index < self.base.index {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last() {
            return Err(StorageError::Unavailable.into());
        }
        Ok(self.slot(index).term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// A peer silently refuses a snapshot whose configuration lacks it, and the leader then waits for
    /// ever; so such a one is "temporarily unavailable" until the host has made a newer one.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        if let Some(snapshot) = &self.snapshot {
            let metadata = snapshot.get_metadata();
            let reaches_the_log =
                metadata.index >= request_index && metadata.index >= self.base.index;
            if reaches_the_log && names(metadata.get_conf_state(), to) {
                return Ok(snapshot.clone());
            }
        }
        self.snapshot_wanted.set(Some(to));
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(terms: &[u64]) -> RaftLog {
        let mut log = RaftLog::default();
        for (i, term) in terms.iter().enumerate() {
            log.append(
                i as u64 + 1,
                *term,
                entry_kind::NORMAL,
                Bytes::from_static(b"abc"),
            );
        }
        log
    }

    fn indexes(log: &RaftLog, low: u64, high: u64, size: u64) -> Vec<u64> {
        let entries = log.entries(low, high, size, GetEntriesContext::empty(false));
        entries.unwrap().iter().map(|entry| entry.index).collect()
    }

    fn snapshot_at(index: u64, voters: Vec<u64>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().index = index;
        snapshot.mut_metadata().term = 1;
        snapshot.mut_metadata().mut_conf_state().voters = voters;
        snapshot
    }

    #[test]
    fn an_append_truncates_what_stood_there() {
        let mut log = log_of(&[1, 1, 1, 1]);
        log.append(3, 2, entry_kind::NORMAL, Bytes::from_static(b"x"));
        assert_eq!(log.last_position(), Position { index: 3, term: 2 });
        assert_eq!(log.data_size(), 7);
    }

    #[test]
    #[should_panic(expected = "append at 6")]
    fn an_append_may_not_leave_a_gap() {
        log_of(&[1, 1, 1, 1]).append(6, 2, entry_kind::NORMAL, Bytes::new());
    }

    #[test]
    fn a_compacted_log_remembers_the_term_at_its_base() {
        let mut log = log_of(&[1, 2, 3, 4]);
        log.compact(2);
        assert_eq!(log.base(), Position { index: 2, term: 2 });
        assert_eq!(log.term(2), Ok(2));
        assert!(log.term(1).is_err());
        assert_eq!(log.data_size(), 6);
    }

    #[test]
    fn entries_stop_at_the_size_asked_but_give_at_least_one() {
        let log = log_of(&[1, 1, 1, 1]);
        assert_eq!(indexes(&log, 1, 5, 0), [1]);
        assert_eq!(indexes(&log, 1, 5, 2 * (3 + ENTRY_OVERHEAD)), [1, 2]);
        assert_eq!(indexes(&log, 2, 5, u64::MAX), [2, 3, 4]);
    }

    #[test]
    fn a_backlog_that_went_gives_its_memory_back() {
        let mut log = log_of(&vec![1; 100_000]);
        for through in 0..100_000 {
            log.compact(through);
        }
        assert!(log.slots.capacity() <= 2 * SHRINK_CAPACITY_MIN);
    }

    #[test]
    fn a_tail_is_kept_and_more_for_who_lags() {
        let mut log = RaftLog::default();
        let data = Bytes::from(vec![0; 1 << 20]);
        for index in 1..=200 {
            log.append(index, 1, entry_kind::NORMAL, data.clone());
        }
        log.note_applied(10);
        log.trim(10);
        assert_eq!(log.base().index, 0);
        log.note_applied(100);
        log.trim(50);
        assert_eq!(log.base().index, 50, "all that is lacking");
        log.trim(100);
        assert_eq!(log.base().index, 84, "the tail");
        log.note_applied(190);
        log.trim(84);
        assert_eq!(log.base().index, 126, "who lags further needs a snapshot");
        assert_eq!((log.last(), log.data_size()), (200, 74 << 20));
    }

    #[test]
    fn a_snapshot_made_before_a_peer_joined_is_not_offered_to_it() {
        let mut log = log_of(&[1, 1]);
        log.offer_snapshot(snapshot_at(2, vec![1]));
        assert!(log.snapshot(0, 1).is_ok());
        assert!(log.take_snapshot_wanted().is_none());
        assert!(log.snapshot(0, 4).is_err());
        assert_eq!(log.take_snapshot_wanted(), Some(4));
        assert_eq!(log.take_snapshot_wanted(), None);
    }

    #[test]
    fn a_snapshot_older_than_the_base_is_not_offered() {
        let mut log = log_of(&[1, 1, 1]);
        log.offer_snapshot(snapshot_at(2, vec![1]));
        log.compact(3);
        assert!(log.snapshot(0, 1).is_err());
    }
}
