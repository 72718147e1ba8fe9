//! States that exports read from: what they want is kept, whatever is settled meanwhile.
//!
//! A cycle that begins while a pin is held counts the pinned state among those that want records. So an
//! export reads by entry through the store, wherever a record lies by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shard_state::ShardState;

#[derive(Default)]
struct Inside {
    next: u64,
    /// By pin: group and state.
    held: BTreeMap<u64, (u32, ShardState)>,
    /// Groups of pins that went: what only they wanted is wanted no more.
    unpinned: BTreeSet<u32>,
}

/// Shared by its clones.
#[derive(Clone, Default)]
pub struct ExportPins {
    inside: Arc<Mutex<Inside>>,
}

impl ExportPins {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called while the shard can't be frozen for a cycle.
    pub fn pin(&self, group: u32, state: ShardState) -> ExportPin {
        let mut inside = self.inside();
        inside.next += 1;
        let number = inside.next;
        inside.held.insert(number, (group, state));
        ExportPin {
            pins: self.clone(),
            number,
        }
    }

    /// The states that want records beside the shards' own, by group.
    pub fn states(&self) -> BTreeMap<u32, Vec<ShardState>> {
        let mut states: BTreeMap<u32, Vec<ShardState>> = BTreeMap::new();
        for (group, state) in self.inside().held.values() {
            states.entry(*group).or_default().push(state.clone());
        }
        states
    }

    /// The group's data was replaced: nothing can be read for its pins any more.
    pub fn revoke(&self, group: u32) {
        self.inside().held.retain(|_, (held, _)| *held != group);
    }

    /// Groups whose pins went since this was last asked.
    pub fn take_unpinned(&self) -> BTreeSet<u32> {
        std::mem::take(&mut self.inside().unpinned)
    }

    /// What came of `take_unpinned` is for the next cycle.
    pub fn give_back(&self, mut unpinned: BTreeSet<u32>) {
        self.inside().unpinned.append(&mut unpinned);
    }
}

/// Held until it is dropped.
pub struct ExportPin {
    pins: ExportPins,
    number: u64,
}

impl ExportPin {
    pub fn is_revoked(&self) -> bool {
        !self.pins.inside().held.contains_key(&self.number)
    }
}

impl Drop for ExportPin {
    fn drop(&mut self) {
        let mut inside = self.pins.inside();
        if let Some((group, _)) = inside.held.remove(&self.number) {
            inside.unpinned.insert(group);
        }
    }
}
