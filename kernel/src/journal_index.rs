//! Where each group's entries lie in the journal.
//!
//! 16 bytes an entry; terms and kinds are kept once per stretch, since they rarely change. Along a
//! group's log the file numbers never go down, so that a file's entries are one range.

use std::collections::{BTreeMap, VecDeque};

use crate::group_record::HardState;
use crate::journal_format::{EntryRow, RecordRow};
use crate::raft_log::{entry_kind, Position};

/// The place of an entry's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub file: u32,
    pub position: u32,
    pub size: u32,
    pub checksum: u32,
}

/// Entries from `first` on have this term and kind.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u64,
    term: u64,
    kind: u8,
}

/// One group's log as far as the journal holds it.
#[derive(Clone, Debug, Default)]
pub struct GroupLog {
    pub hard_state: HardState,
    /// Index of `locations[0]`.
    first: u64,
    locations: VecDeque<Location>,
    stretches: VecDeque<Stretch>,
}

impl GroupLog {
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// First index held, or to be held when empty; 0: there never was one.
    pub fn first_index(&self) -> u64 {
        self.first
    }

    /// Last index held; `first_index() - 1` when empty.
    pub fn last_index(&self) -> u64 {
        (self.first + self.locations.len() as u64).saturating_sub(1)
    }

    pub fn location(&self, index: u64) -> Option<Location> {
        let place = index.checked_sub(self.first)?;
        self.locations.get(place as usize).copied()
    }

    /// The first of the entries before and through `last` that hold at most about `size_max` bytes.
    pub fn tail_from(&self, last: u64, size_max: u64) -> u64 {
        let mut first = last + 1;
        let mut size = 0;
        while let Some(place) = first.checked_sub(1).and_then(|index| self.location(index)) {
            size += u64::from(place.size);
            if size > size_max {
                break;
            }
            first -= 1;
        }
        first
    }

    /// Term and kind of an entry that is held.
    pub fn term_and_kind(&self, index: u64) -> (u64, u8) {
        let after = self
            .stretches
            .partition_point(|stretch| stretch.first <= index);
        let stretch = self.stretches[after - 1];
        (stretch.term, stretch.kind)
    }

    /// Whether the entry at that position is held, with that term.
    pub fn holds(&self, position: Position) -> bool {
        self.location(position.index).is_some()
            && self.term_and_kind(position.index).0 == position.term
    }

    /// A snapshot of that position is in the store. A log that holds the entry there goes on after it;
    /// any other one is of no use (Raft's own rule), whatever it holds.
    fn begin_after(&mut self, position: Position) {
        if !self.holds(position) {
            self.begin_anew(position.index + 1);
            return;
        }
        let gone = (position.index + 1 - self.first) as usize;
        self.locations.drain(..gone);
        self.forget_before(position.index + 1);
    }

    fn begin_anew(&mut self, first: u64) {
        self.locations.clear();
        self.stretches.clear();
        self.first = first;
    }

    /// Truncates at the row's index and puts it there. A gap starts the log anew: the entries
    /// between came by a snapshot.
    fn append(&mut self, row: &EntryRow, location: Location) {
        if row.kind == entry_kind::SNAPSHOT {
            // What stood before it may be of another log, and its own data is no wave: what is wanted of all
            // these came with the snapshot.
            self.begin_anew(row.index + 1);
            return;
        }
        if row.index < self.first || row.index > self.last_index() + 1 {
            self.begin_anew(row.index);
        }
        if self.locations.is_empty() {
            self.first = row.index;
        }
        self.locations.truncate((row.index - self.first) as usize);
        while self
            .stretches
            .back()
            .is_some_and(|last| last.first >= row.index)
        {
            self.stretches.pop_back();
        }
        self.locations.push_back(location);
        let same = |last: &Stretch| last.term == row.term && last.kind == row.kind;
        if !self.stretches.back().is_some_and(same) {
            self.stretches.push_back(Stretch {
                first: row.index,
                term: row.term,
                kind: row.kind,
            });
        }
    }

    /// Indexes of the entries that lie in that file: first and last, if any.
    pub fn range_in_file(&self, file: u32) -> Option<(u64, u64)> {
        let start = self.locations.partition_point(|held| held.file < file) as u64;
        let end = self.locations.partition_point(|held| held.file <= file) as u64;
        (start < end).then(|| (self.first + start, self.first + end - 1))
    }

    /// The last entry that lies in files up to `file`, if any.
    pub fn last_in_files_through(&self, file: u32) -> Option<u64> {
        let count = self.locations.partition_point(|held| held.file <= file) as u64;
        (count > 0).then(|| self.first + count - 1)
    }

    /// Forgets the entries that lie in files up to `file`.
    fn forget_files_through(&mut self, file: u32) {
        let gone = self.locations.partition_point(|held| held.file <= file);
        self.locations.drain(..gone);
        self.forget_before(self.first + gone as u64);
    }

    /// The log begins at `first` now.
    fn forget_before(&mut self, first: u64) {
        self.first = first;
        while self.stretches.len() > 1 && self.stretches[1].first <= self.first {
            self.stretches.pop_front();
        }
        if self.locations.is_empty() {
            self.stretches.clear();
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct JournalIndex {
    groups: BTreeMap<u32, GroupLog>,
}

impl JournalIndex {
    pub fn group(&self, group: u32) -> Option<&GroupLog> {
        self.groups.get(&group)
    }

    /// Ascending by group.
    pub fn groups(&self) -> impl Iterator<Item = (u32, &GroupLog)> {
        self.groups.iter().map(|(group, log)| (*group, log))
    }

    /// Takes in a write's rows; `position` is where its data starts in `file`.
    pub fn append(&mut self, rows: &[RecordRow], file: u32, mut position: u64) {
        for row in rows {
            let log = self.groups.entry(row.group).or_default();
            if let Some(hard_state) = row.hard_state {
                log.hard_state = hard_state;
            }
            for entry in &row.entries {
                let location = Location {
                    file,
                    position: position as u32,
                    size: entry.size,
                    checksum: entry.checksum,
                };
                log.append(entry, location);
                position += entry.size as u64;
            }
        }
    }

    /// See [`GroupLog::begin_after`].
    pub fn begin_after(&mut self, group: u32, position: Position) {
        if let Some(log) = self.groups.get_mut(&group) {
            log.begin_after(position);
        }
    }

    pub fn forget_files_through(&mut self, file: u32) {
        for log in self.groups.values_mut() {
            log.forget_files_through(file);
        }
    }
}
