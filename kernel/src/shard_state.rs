//! The replicated state of a shard: what its applied waves come to.
//!
//! Apply is blind (`log-and-shards.md` section 3): no clock, consumer or credit is known here, so every
//! replica, and every replay, that applied the same waves holds the same state and the same hash.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use imbl::OrdMap;

use crate::queue_state::{QueueState, Released, Selection, Slice};
use crate::wave::{Sender, Wave};

/// Queues changed since the last checkpoint, and those dropped.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub queues: BTreeSet<u64>,
    /// Those of them that let go of messages.
    pub shrunk: BTreeSet<u64>,
    pub rows: BTreeSet<Vec<u8>>,
}

/// The state; `Clone` is O(1) in the number of queues, rows and messages.
#[derive(Clone, Debug, Default)]
pub struct ShardState {
    /// The last wave applied.
    pub applied_index: u64,
    pub applied_term: u64,
    pub time_ms: u64,
    pub queues: OrdMap<u64, QueueState>,
    /// The last number applied for each sender.
    pub senders: OrdMap<Sender, u64>,
    /// The meta shard's rows, opaque here.
    pub rows: OrdMap<Vec<u8>, Arc<[u8]>>,
}

/// What a checkpoint is written from: the state past some entry, and what it changed since the last one.
#[derive(Clone, Debug, Default)]
pub struct FrozenShard {
    pub group: u32,
    pub state: ShardState,
    pub changes: Changes,
}

/// What applying a wave did, for the leader to act on.
#[derive(Debug, Default)]
pub struct Applied {
    /// (queue, first sequence, count) of what was appended.
    pub appended: Vec<(u64, u64, u64)>,
    pub released: Vec<Released>,
    /// (queue, how many messages went).
    pub settled: Vec<(u64, u64)>,
    pub dropped_queues: Vec<u64>,
    /// Routed to a queue that is not here: accepted and dropped (section 11).
    pub unknown_queues: Vec<(u64, u16)>,
}

impl ShardState {
    /// Applies a committed wave.
    pub fn apply(&mut self, index: u64, term: u64, wave: &Wave, changes: &mut Changes) -> Applied {
        assert!(
            index > self.applied_index,
            "wave {index} after {}",
            self.applied_index
        );
        assert!(
            wave.time_ms >= self.time_ms,
            "time goes back at wave {index}"
        );
        self.applied_index = index;
        self.applied_term = term;
        self.time_ms = wave.time_ms;
        let mut applied = Applied::default();
        for (sender, through) in &wave.senders {
            let before = self.senders.insert(*sender, *through);
            assert!(
                before.is_none_or(|b| b < *through),
                "a sender's commands twice at {index}"
            );
        }
        for sender in &wave.forgotten_senders {
            self.senders.remove(sender);
        }
        for queue in &wave.created_queues {
            self.queues.entry(*queue).or_default();
            changes.queues.insert(*queue);
        }
        self.append(index, wave, changes, &mut applied);
        self.settle(wave, changes, &mut applied);
        for (queue, mark) in &wave.marks {
            if let Some(state) = self.queues.get_mut(queue) {
                state.mark = state.mark.max(*mark);
                changes.queues.insert(*queue);
            }
        }
        for queue in &wave.dropped_queues {
            if let Some(mut state) = self.queues.remove(queue) {
                let last = state.next_sequence;
                state.settle(0, last, &mut applied.released);
                applied.dropped_queues.push(*queue);
                changes.queues.insert(*queue);
                changes.shrunk.insert(*queue);
            }
        }
        applied
    }

    fn append(&mut self, index: u64, wave: &Wave, changes: &mut Changes, applied: &mut Applied) {
        for route in &wave.routes {
            let Some(state) = self.queues.get_mut(&route.queue) else {
                applied.unknown_queues.push((route.queue, route.frame));
                continue;
            };
            let slice = Slice {
                entry: index,
                frame: route.frame,
                selection: route.selection.clone(),
                expires_ms: route.expires_ms,
                size: route.size,
            };
            let count = slice.count();
            let first = state.push(slice);
            assert_eq!(
                first, route.first_sequence,
                "queue {} at wave {index}",
                route.queue
            );
            changes.queues.insert(route.queue);
            match applied.appended.last_mut() {
                Some((queue, _, n)) if *queue == route.queue => *n += count,
                _ => applied.appended.push((route.queue, first, count)),
            }
        }
    }

    fn settle(&mut self, wave: &Wave, changes: &mut Changes, applied: &mut Applied) {
        for range in &wave.settled {
            if let Some(state) = self.queues.get_mut(&range.queue) {
                let count = state.settle(range.first, range.last, &mut applied.released);
                applied.settled.push((range.queue, count));
                changes.queues.insert(range.queue);
                changes.shrunk.insert(range.queue);
            }
        }
        for range in &wave.returned {
            if let Some(state) = self.queues.get_mut(&range.queue) {
                state.give_back(range.first, range.last);
                changes.queues.insert(range.queue);
            }
        }
    }

    /// A number over all of the state: equal states have equal ones, in every process (SipHash, fixed keys).
    pub fn hash(&self) -> u64 {
        #[allow(deprecated)]
        // the fixed-key hasher is just what is wanted: the same in every process
        let mut hasher = std::hash::SipHasher::new();
        (self.applied_index, self.applied_term, self.time_ms).hash(&mut hasher);
        for (sender, through) in &self.senders {
            (sender.peer, sender.incarnation, through).hash(&mut hasher);
        }
        for (key, value) in &self.rows {
            (key, value).hash(&mut hasher);
        }
        for (queue, state) in &self.queues {
            (
                queue,
                state.next_sequence,
                state.mark,
                state.message_count,
                state.size,
            )
                .hash(&mut hasher);
            for (first, slice) in state.slices() {
                (
                    first,
                    slice.entry,
                    slice.frame,
                    slice.expires_ms,
                    slice.size,
                )
                    .hash(&mut hasher);
                match &slice.selection {
                    Selection::Range { first, count } => (0, first, count).hash(&mut hasher),
                    Selection::List { records, at, count } => {
                        records[*at as usize..(at + count) as usize].hash(&mut hasher);
                    }
                }
            }
            for run in state.returned() {
                run.hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

// ---- a queue's bytes in a checkpoint (docs/log-format.md)

/// Appends a queue's bytes: next sequence, mark, slices, returns.
pub fn encode_queue(state: &QueueState, out: &mut Vec<u8>) {
    let put = |out: &mut Vec<u8>, value: u64| out.extend_from_slice(&value.to_le_bytes());
    put(out, state.next_sequence);
    put(out, state.mark);
    put(out, state.slices().count() as u64);
    put(out, state.returned().count() as u64);
    for (first, slice) in state.slices() {
        for value in [first, slice.entry, slice.expires_ms, slice.size] {
            put(out, value);
        }
        out.extend_from_slice(&slice.frame.to_le_bytes());
        match &slice.selection {
            Selection::Range { first, count } => {
                out.push(0);
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
            Selection::List { records, at, count } => {
                out.push(1);
                out.extend_from_slice(&count.to_le_bytes());
                for record in &records[*at as usize..(at + count) as usize] {
                    out.extend_from_slice(&record.to_le_bytes());
                }
            }
        }
    }
    for (first, last, times) in state.returned() {
        put(out, first);
        put(out, last);
        out.extend_from_slice(&times.to_le_bytes());
    }
}

/// Reads what [`encode_queue`] wrote; `data` must hold just that.
pub fn decode_queue(data: &[u8]) -> Result<QueueState, String> {
    let mut bytes = Fields { rest: data };
    let (next_sequence, mark) = (bytes.u64()?, bytes.u64()?);
    let (slice_count, returned_count) = (bytes.u64()?, bytes.u64()?);
    let mut slices = Vec::with_capacity(bytes.check(slice_count, 43)?);
    for _ in 0..slice_count {
        let (first, entry, expires_ms, size) =
            (bytes.u64()?, bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let frame = u16::from_le_bytes(bytes.take()?);
        let [listed] = bytes.take()?;
        let selection = if listed == 0 {
            Selection::Range {
                first: bytes.u32()?,
                count: bytes.u32()?,
            }
        } else {
            let count = bytes.u32()?;
            let mut records = Vec::with_capacity(bytes.check(u64::from(count), 4)?);
            for _ in 0..count {
                records.push(bytes.u32()?);
            }
            Selection::List {
                records: records.into(),
                at: 0,
                count,
            }
        };
        slices.push((
            first,
            Slice {
                entry,
                frame,
                selection,
                expires_ms,
                size,
            },
        ));
    }
    let mut returned = Vec::with_capacity(bytes.check(returned_count, 20)?);
    for _ in 0..returned_count {
        returned.push((bytes.u64()?, bytes.u64()?, bytes.u32()?));
    }
    if !bytes.rest.is_empty() {
        return Err(format!("{} bytes after a queue's end", bytes.rest.len()));
    }
    let mut sizes = slices.iter().map(|(_, slice)| slice.size);
    if sizes.try_fold(0, u64::checked_add).is_none() {
        return Err("a queue's size is beyond counting".to_owned());
    }
    Ok(QueueState::restored(next_sequence, mark, slices, returned))
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or("a queue is cut short")?;
        self.rest = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_le_bytes)
    }

    /// `count` items of at least `size` bytes must fit in what is left, before memory is taken for them.
    fn check(&self, count: u64, size: u64) -> Result<usize, String> {
        if count > self.rest.len() as u64 / size {
            return Err(format!(
                "{count} items can't fit in a queue's {} bytes",
                self.rest.len()
            ));
        }
        Ok(count as usize)
    }
}
