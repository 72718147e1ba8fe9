//! A logged shard from its store: the newest checkpoint and the journal around and after it.

use bytes::Bytes;

use crate::damage::{Damage, StoreResult};
use crate::file_header::REMEDY_COPY;
use crate::raft_conf::Conf;
use crate::raft_log::TAIL_SIZE_MAX;
use crate::raft_ready::ReceivedSnapshot;
use crate::shard::{Restored, Shard, Stepped};
use crate::store::Store;
use crate::store_open::RecoveredGroup;
use crate::wave::Sender;

/// Entries read at a time.
const READ_SIZE: usize = 8 << 20;

/// A shard that is to be opened.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    pub id: u32,
    /// Of this start of the node.
    pub incarnation: u64,
    pub seed: u64,
    pub cache_size_max: usize,
    /// A replica's: the configuration of a group that the store knows nothing of; empty to join one. None: this node
    /// alone, whose host has no peers.
    pub voters: Option<Vec<u64>>,
}

/// What `recovered` and the journal after it come to. Damage says what makes no sense.
pub fn open_shard(
    store: &Store,
    recovered: RecoveredGroup,
    options: ShardOptions,
) -> StoreResult<Shard> {
    let senseless = |what: String| Damage::new("journal", 0, what, REMEDY_COPY);
    let ShardOptions { id, voters, .. } = options;
    let applied = recovered.state.applied_index;
    let tail_size = if voters.is_some() { TAIL_SIZE_MAX } else { 0 };
    let first = store.journal().with(|journal| {
        let log = journal.index().group(id)?;
        let tail = || log.tail_from(applied, tail_size as u64);
        (!log.is_empty()).then(|| log.first_index().max(tail()))
    });
    let peer = store.identity().peer;
    let is_replica = voters.is_some();
    // There is a log and no checkpoint: this node founded the group, whatever it is told now.
    let founded = voters.filter(|voters| !voters.is_empty() || first.is_none());
    let start = Restored {
        conf: if recovered.conf.is_empty() {
            Conf::of_voters(&founded.unwrap_or_else(|| vec![peer]))
        } else {
            Conf::decode(&recovered.conf).map_err(|what| senseless(what.to_owned()))?
        },
        state: recovered.state,
        hard_state: recovered.hard_state,
        is_replica,
    };
    let mut next = first;
    let mut read = Vec::new().into_iter();
    let entries = std::iter::from_fn(|| loop {
        if let Some(entry) = read.next() {
            return Some(Ok(entry));
        }
        let first = next?;
        match store.journal().read_entries(id, first, READ_SIZE) {
            Ok(entries) if entries.is_empty() => return None,
            Ok(entries) => {
                next = entries.last().map(|entry| entry.index + 1);
                read = entries.into_iter();
            }
            Err(error) => {
                next = None;
                return Some(Err(error.to_string()));
            }
        }
    });
    let sender = Sender {
        peer,
        incarnation: options.incarnation,
    };
    let shard = Shard::restore(
        id,
        sender,
        start,
        entries,
        options.seed,
        options.cache_size_max,
    );
    let mut shard = shard.map_err(senseless)?;
    shard.sealed_through = store.sealed_through(id);
    Ok(shard)
}

/// A leader's message with a snapshot, where the store holds the group as of there or later already: an import was
/// finished, and Raft was not told in time. None: it does not, so the snapshot is to be fetched.
pub fn resume_snapshot(
    store: &Store,
    shard: &mut Shard,
    message: &Bytes,
) -> StoreResult<Option<Stepped>> {
    let Some((_, snapshot)) = ReceivedSnapshot::in_message(message) else {
        return Ok(None);
    };
    if shard.is_leaving() {
        return Ok(Some(Ok((false, None)))); // what was fetched would be forgotten along with the rest
    }
    let checkpoint = store.checkpoint_index(shard.id);
    if checkpoint < snapshot.position.index || checkpoint <= shard.state().applied_index {
        return Ok(None);
    }
    let RecoveredGroup { state, conf, .. } = store.checkpointed(shard.id)?;
    let conf = Conf::decode(&conf).unwrap_or_default();
    Ok(Some(shard.step_snapshot(message, state, Some(&conf))))
}
