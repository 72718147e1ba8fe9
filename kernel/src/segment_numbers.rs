//! Numbers for new segments: cycles and imports write at the same time.
//!
//! While a store is open no number is given twice, so that a name never leads to another content. What an
//! interrupted process left under a number was never named by a manifest, and is written over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Inside {
    next: u64,
    /// Given to somebody who is not done with them.
    lent: BTreeSet<u64>,
}

/// Shared by its clones.
#[derive(Clone, Debug)]
pub struct SegmentNumbers {
    inside: Arc<Mutex<Inside>>,
}

impl SegmentNumbers {
    /// `next`: the first one that is free.
    pub fn new(next: u64) -> Self {
        let lent = BTreeSet::new();
        Self {
            inside: Arc::new(Mutex::new(Inside { next, lent })),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Above all that were given.
    pub fn next(&self) -> u64 {
        self.inside().next
    }

    /// Whether somebody may be writing that segment.
    pub fn is_lent(&self, number: u64) -> bool {
        self.inside().lent.contains(&number)
    }

    pub fn lend(&self) -> LentNumbers {
        LentNumbers {
            numbers: self.clone(),
            taken: Vec::new(),
        }
    }
}

/// The numbers of who writes segments, until it is dropped.
#[derive(Debug)]
pub struct LentNumbers {
    numbers: SegmentNumbers,
    taken: Vec<u64>,
}

impl LentNumbers {
    pub fn take(&mut self) -> u64 {
        let mut inside = self.numbers.inside();
        let number = inside.next;
        inside.next += 1;
        inside.lent.insert(number);
        self.taken.push(number);
        number
    }

    /// Ascending.
    pub fn taken(&self) -> &[u64] {
        &self.taken
    }
}

impl Drop for LentNumbers {
    fn drop(&mut self) {
        let mut inside = self.numbers.inside();
        for number in &self.taken {
            inside.lent.remove(number);
        }
    }
}
