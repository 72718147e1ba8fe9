//! What sealing and checkpoints ask of a shard's frozen state.

use bytes::Bytes;

use crate::checkpoint::{BlockKey, BLOCK_RESET};
use crate::entry_wants::want;
use crate::file_header::u64_at;
use crate::queue_state::Selection;
use crate::segment_format::Address;
use crate::shard_state::{decode_queue, encode_queue, Changes, FrozenShard, ShardState};
use crate::wave::Sender;

/// One group as it stood at an applied entry; cheap to take on the round.
#[derive(Clone, Debug)]
pub struct FrozenGroup {
    /// The group's configuration there, encoded by Raft.
    pub conf: Bytes,
    pub shard: FrozenShard,
}

impl FrozenGroup {
    pub fn group(&self) -> u32 {
        self.shard.group
    }

    /// Its `applied_index` is that of the last entry taken, whatever the entry's kind.
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

/// All that these states want of the entries `first..=last`, by address and then by queue.
pub fn wants<'a>(
    states: impl IntoIterator<Item = &'a ShardState>,
    first: u64,
    last: u64,
) -> Vec<Want> {
    let mut wants: Vec<Want> = Vec::new();
    let queues = states.into_iter().flat_map(|state| &state.queues);
    for (id, queue) in queues {
        let slices = queue.slices_of_entries(first, last);
        wants.extend(slices.map(|(_, slice)| want(*id, slice)));
    }
    // Stable: within a queue slices stay in order.
    wants.sort_by_key(|want| (want.address, want.queue));
    wants
}

/// How many records between two addresses at least one of the queues wants in at least one of the states.
pub fn live_count<'a>(
    states: impl IntoIterator<Item = &'a ShardState>,
    queues: &[u64],
    first: Address,
    last: Address,
) -> u64 {
    let mut records: Vec<(Address, u32, u32)> = Vec::new();
    let states = states.into_iter();
    for queue in states.flat_map(|state| queues.iter().filter_map(|id| state.queues.get(id))) {
        for (_, slice) in queue.slices_of_entries(first.entry, last.entry) {
            let address = Address {
                entry: slice.entry,
                frame: slice.frame,
            };
            if (first..=last).contains(&address) {
                let runs = slice.selection.runs().into_iter();
                records.extend(runs.map(|(start, count)| (address, start, start + count)));
            }
        }
    }
    records.sort_unstable();
    let (mut live, mut at) = (0, None);
    let mut reached = 0;
    for (address, start, end) in records {
        if at != Some(address) {
            (at, reached) = (Some(address), 0);
        }
        live += u64::from(end.saturating_sub(start.max(reached)));
        reached = reached.max(end);
    }
    live
}

// ---- a shard's blocks in a checkpoint (docs/log-format.md)

/// The one block of a group that is always written: applied index and term, time, senders.
pub const BLOCK_HEAD: u8 = 0;
/// A queue, by its id (big endian, so that blocks sort).
pub const BLOCK_QUEUE: u8 = 1;
/// A row, by its key.
pub const BLOCK_ROW: u8 = 2;

/// The keys of the blocks that a checkpoint of these changes writes, the head first.
pub fn changed_blocks(group: u32, changes: &Changes) -> Vec<BlockKey> {
    let head = [block_key(group, BLOCK_HEAD, &[])].into_iter();
    let queues = changes.queues.iter().map(|id| queue_key(group, *id));
    let rows = changes
        .rows
        .iter()
        .map(|key| block_key(group, BLOCK_ROW, key));
    head.chain(queues).chain(rows).collect()
}

/// The keys of all blocks there are.
pub fn all_blocks(group: u32, state: &ShardState) -> Vec<BlockKey> {
    let head = [block_key(group, BLOCK_HEAD, &[])].into_iter();
    let queues = state.queues.keys().map(|id| queue_key(group, *id));
    let rows = state
        .rows
        .keys()
        .map(|key| block_key(group, BLOCK_ROW, key));
    head.chain(queues).chain(rows).collect()
}

/// The key of the block that says that nothing is left of what earlier files say of a group.
pub fn reset_key(group: u32) -> BlockKey {
    block_key(group, BLOCK_RESET, &[])
}

fn block_key(group: u32, kind: u8, key: &[u8]) -> BlockKey {
    BlockKey {
        group,
        kind,
        key: key.to_vec(),
    }
}

fn queue_key(group: u32, id: u64) -> BlockKey {
    block_key(group, BLOCK_QUEUE, &id.to_be_bytes())
}

/// Appends a block's content; false: there is nothing of that key any more.
pub fn encode_block(state: &ShardState, key: &BlockKey, out: &mut Vec<u8>) -> bool {
    match key.kind {
        BLOCK_HEAD => encode_head(state, out),
        BLOCK_QUEUE => {
            let Some(queue) = queue_id(key).and_then(|id| state.queues.get(&id)) else {
                return false;
            };
            encode_queue(queue, out);
        }
        _ => {
            let Some(row) = state.rows.get(&key.key) else {
                return false;
            };
            out.extend_from_slice(row);
        }
    }
    true
}

fn queue_id(key: &BlockKey) -> Option<u64> {
    Some(u64::from_be_bytes(key.key.as_slice().try_into().ok()?))
}

fn encode_head(state: &ShardState, out: &mut Vec<u8>) {
    let senders = state.senders.iter();
    let senders = senders.flat_map(|(sender, through)| [sender.peer, sender.incarnation, *through]);
    let head = [state.applied_index, state.applied_term, state.time_ms];
    for word in head.into_iter().chain(senders) {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn decode_head(content: &[u8], state: &mut ShardState) -> Option<()> {
    if content.len() % 24 != 0 {
        return None;
    }
    let mut words = content.chunks_exact(8).map(|word| u64_at(word, 0));
    (state.applied_index, state.applied_term) = (words.next()?, words.next()?);
    state.time_ms = words.next()?;
    while let (Some(peer), Some(incarnation), Some(through)) =
        (words.next(), words.next(), words.next())
    {
        state.senders.insert(Sender { peer, incarnation }, through);
    }
    Some(())
}

/// Puts a block back into a state; an error says what is wrong with it.
pub fn restore_block(state: &mut ShardState, key: &BlockKey, content: &[u8]) -> Result<(), String> {
    match key.kind {
        BLOCK_HEAD => decode_head(content, state).ok_or("a shard's head is cut short")?,
        BLOCK_QUEUE => {
            let id = queue_id(key).ok_or("a queue's id has not 8 bytes")?;
            state.queues.insert(id, decode_queue(content)?);
        }
        BLOCK_ROW => {
            state.rows.insert(key.key.clone(), content.into());
        }
        kind => return Err(format!("a block of kind {kind} is not known")),
    }
    Ok(())
}
