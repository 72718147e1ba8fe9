//! Entries that can't be applied must not keep the journal's files.
//!
//! A file goes when all that it holds of any group is applied. A group that has lost its majority, or left this peer
//! without its having learned that, may hold entries for good, while others fill one file after the other. So what
//! stands unapplied in a file that many follow is written again, as one record: the index then finds it in the newest
//! file, and a start takes the later copy for the same entry, as Raft's own overwriting is taken.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::group_record::GroupRecord;
use crate::store::Store;

/// Full files after the one that holds an unapplied entry, from which on it is written again: half of those after
/// which publishers wait.
const FILES_AFTER: usize = 4;

/// The last submission that carried something.
#[derive(Default)]
pub struct Carried(AtomicU64);

impl Store {
    /// Writes again what holds old files back. `applied`: each group and the last entry it has applied; `unapplied`: what
    /// it holds after that. True: files must not go yet, as a copy is not durable.
    pub fn carry(
        &self,
        applied: &[(u32, u64)],
        unapplied: impl Fn(u32) -> Option<GroupRecord>,
    ) -> bool {
        if self.is_cycling() {
            return false; // what it retires it may choose by an index that names copies, durable or not
        }
        if self.carried.0.load(Ordering::Relaxed) > self.journal.synced() {
            return true;
        }
        let outlived = applied
            .iter()
            .filter(|(group, applied)| self.is_outlived(*group, *applied));
        let records: Vec<GroupRecord> = outlived
            .filter_map(|(group, _)| unapplied(*group))
            .collect();
        if records.is_empty() {
            return false;
        }
        let submission = self.journal.submit(records);
        self.carried.0.store(submission, Ordering::Relaxed);
        true
    }

    fn is_outlived(&self, group: u32, applied: u64) -> bool {
        self.journal.with(|journal| {
            let log = journal.index().group(group);
            let Some(place) = log.and_then(|log| log.location(applied + 1)) else {
                return false;
            };
            let files = journal.full_files().into_iter();
            files.filter(|file| *file > u64::from(place.file)).count() >= FILES_AFTER
        })
    }
}
