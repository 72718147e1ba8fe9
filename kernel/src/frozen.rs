//! What sealing and checkpoints ask of a shard's frozen state.

use bytes::Bytes;

use crate::queue_state::Selection;
use crate::segment_format::Address;
use crate::shard_state::{FrozenShard, ShardState};

/// One group as it stood at an applied entry; cheap to take on the round.
#[derive(Clone, Debug)]
pub struct FrozenGroup {
    /// The last entry the state machine has taken, whatever its kind, and its term.
    pub applied_index: u64,
    pub applied_term: u64,
    /// The group's configuration there, encoded by Raft.
    pub conf: Bytes,
    pub shard: FrozenShard,
}

impl FrozenGroup {
    pub fn group(&self) -> u32 {
        self.shard.group
    }

    pub fn state(&self) -> &ShardState {
        &self.shard.state
    }
}

/// A queue wants these records of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub address: Address,
    pub queue: u64,
    pub selection: Selection,
}

/// All that is wanted of the entries `first..=last`, by address and then by queue.
pub fn wants(state: &ShardState, first: u64, last: u64) -> Vec<Want> {
    let mut wants: Vec<Want> = Vec::new();
    for (queue, queue_state) in &state.queues {
        wants.extend(
            queue_state
                .slices_of_entries(first, last)
                .map(|(_, slice)| Want {
                    address: Address {
                        entry: slice.entry,
                        frame: slice.frame,
                    },
                    queue: *queue,
                    selection: slice.selection.clone(),
                }),
        );
    }
    // Stable: within a queue slices stay in order.
    wants.sort_by_key(|want| want.address);
    wants
}

/// How many records `queue` wants between two addresses.
pub fn want_count(state: &ShardState, queue: u64, first: Address, last: Address) -> u64 {
    let Some(queue) = state.queues.get(&queue) else {
        return 0;
    };
    queue
        .slices_of_entries(first.entry, last.entry)
        .filter(|(_, slice)| {
            let address = Address {
                entry: slice.entry,
                frame: slice.frame,
            };
            (first..=last).contains(&address)
        })
        .map(|(_, slice)| slice.count())
        .sum()
}
