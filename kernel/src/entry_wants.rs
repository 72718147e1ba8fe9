//! What a state wants of the log, entry by entry, without holding all of it at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::frozen::Want;
use crate::queue_state::{QueueState, Slice};
use crate::segment_format::Address;
use crate::shard_state::ShardState;

/// The next slice of a queue: (entry, queue, first sequence).
type Next = Reverse<(u64, u64, u64)>;

/// Goes through the entries that some slice names, ascending: (entry, what is wanted of it by frame and
/// then by queue). Its memory is one item for each queue.
pub struct EntryWants {
    state: ShardState,
    heap: BinaryHeap<Next>,
}

impl EntryWants {
    pub fn new(state: ShardState) -> Self {
        let first = |(id, queue): (&u64, &QueueState)| {
            let (sequence, slice) = queue.slices().next()?;
            Some(Reverse((slice.entry, *id, sequence)))
        };
        let heap = state.queues.iter().filter_map(first).collect();
        Self { state, heap }
    }

    /// The entry that comes next.
    pub fn peek(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((entry, _, _))| *entry)
    }
}

impl Iterator for EntryWants {
    type Item = (u64, Vec<Want>);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.peek()?;
        let mut wants = Vec::new();
        while self.peek() == Some(entry) {
            let Some(Reverse((_, id, sequence))) = self.heap.pop() else {
                break;
            };
            let Some(queue) = self.state.queues.get(&id) else {
                continue;
            };
            for (sequence, slice) in queue.slices_from(sequence) {
                if slice.entry != entry {
                    self.heap.push(Reverse((slice.entry, id, sequence)));
                    break;
                }
                wants.push(want(id, slice));
            }
        }
        wants.sort_by_key(|want| (want.address, want.queue));
        Some((entry, wants))
    }
}

pub fn want(queue: u64, slice: &Slice) -> Want {
    Want {
        address: Address {
            entry: slice.entry,
            frame: slice.frame,
        },
        queue,
        selection: slice.selection.clone(),
    }
}

/// The records that at least one of these wants, as ascending ranges that don't touch.
pub fn wanted_records(wants: &[Want]) -> Vec<Range<u32>> {
    let runs = wants.iter().flat_map(|want| want.selection.runs());
    let mut runs: Vec<Range<u32>> = runs.map(|(first, count)| first..first + count).collect();
    runs.sort_unstable_by_key(|run| run.start);
    let mut union: Vec<Range<u32>> = Vec::new();
    for run in runs {
        match union.last_mut() {
            Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
            _ => union.push(run),
        }
    }
    union
}

/// How many records the ranges hold.
pub fn record_count(ranges: &[Range<u32>]) -> u64 {
    let sizes = ranges
        .iter()
        .map(|range| u64::from(range.end - range.start));
    sizes.sum()
}
