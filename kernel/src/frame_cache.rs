//! Frames in memory: what a message still in memory is delivered from.
//!
//! Charged by the bytes it holds. A frame goes when nothing wants it any more, and the oldest go first
//! when a logged shard is over its budget: they are on disk. A volatile shard's frames are nowhere else
//! and never evicted; its budget stops publishers instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message_run::MessageRun;
use crate::queue_state::Released;

/// What an entry's bookkeeping costs beside its bytes.
const ENTRY_COST: usize = 128;

#[derive(Debug)]
struct Cached {
    frames: Vec<Option<Arc<MessageRun>>>,
    /// Records still wanted, counted once for each queue that wants them.
    wanted: u64,
    size: usize,
}

#[derive(Debug, Default)]
pub struct FrameCache {
    entries: BTreeMap<u64, Cached>,
    size: usize,
}

impl FrameCache {
    /// Bytes held.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn get(&self, entry: u64, frame: u16) -> Option<&Arc<MessageRun>> {
        self.entries
            .get(&entry)?
            .frames
            .get(usize::from(frame))?
            .as_ref()
    }

    pub fn contains(&self, entry: u64) -> bool {
        self.entries.contains_key(&entry)
    }

    /// Holds an entry's frames, `wanted` of whose records (counted for each queue) somebody wants.
    pub fn insert(&mut self, entry: u64, frames: Vec<Option<Arc<MessageRun>>>, wanted: u64) {
        if wanted == 0 {
            return;
        }
        let size = ENTRY_COST + held(&frames);
        self.size += size;
        if let Some(before) = self.entries.insert(
            entry,
            Cached {
                frames,
                wanted,
                size,
            },
        ) {
            self.size -= before.size;
        }
    }

    /// A settle let go of records.
    pub fn release(&mut self, released: &Released) {
        let Some(cached) = self.entries.get_mut(&released.entry) else {
            return;
        };
        cached.wanted = cached.wanted.saturating_sub(u64::from(released.count));
        if cached.wanted == 0 {
            self.size -= cached.size;
            self.entries.remove(&released.entry);
        }
    }

    /// Lets the oldest entries go until no more than `budget` bytes are held.
    pub fn evict(&mut self, budget: usize) {
        while self.size > budget {
            let Some((_, cached)) = self.entries.pop_first() else {
                return;
            };
            self.size -= cached.size;
        }
    }

    /// Copies out runs that pin a much larger buffer than they need, of the entries from `from` on.
    pub fn unpin(&mut self, from: u64) {
        for cached in self.entries.range_mut(from..).map(|(_, c)| c) {
            for messages in cached.frames.iter_mut().flatten() {
                if messages.payload_size() * 2 < messages.buffer.len() {
                    *messages = Arc::new(messages.compacted());
                }
            }
            let size = ENTRY_COST + held(&cached.frames);
            self.size = self.size - cached.size + size;
            cached.size = size;
        }
    }
}

fn held(frames: &[Option<Arc<MessageRun>>]) -> usize {
    let entry = std::mem::size_of::<crate::message_run::Entry>();
    frames
        .iter()
        .flatten()
        .map(|run| run.buffer.len() + run.entries.len() * entry)
        .sum()
}
