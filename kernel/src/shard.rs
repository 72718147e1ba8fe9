//! A shard: proposes waves, applies what is committed, says what is ready.
//!
//! Logged: a replica of a Raft group; waves go through it to the journal and take effect when committed. Every
//! replica applies; only the one that *serves* (it leads, and has applied an entry of its own term) holds the
//! leader's memory, takes anything in and has anything ready. Volatile: the same, but a wave is applied as it is
//! proposed and written nowhere. Nothing here decides anything: who gets what, what expires and what is dropped
//! are the core's decisions, told as ranges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::frame_cache::FrameCache;
use crate::frozen::FrozenGroup;
use crate::message_run::MessageRun;
use crate::pending_wave::{PendingWave, Target, Targets};
use crate::queue_leader::QueueLeader;
use crate::raft_group::RaftGroup;
use crate::raft_log::Position;
use crate::raft_ready::{PeerMessage, Read};
use crate::shard_ready::pieces;
use crate::shard_state::{Changes, FrozenShard, ShardState};
use crate::wave::{Outcome, Sender, SequenceRange, Wave};

mod departure;
mod numbers;
mod replica;
mod restore;
mod waves;

pub use replica::{Asked, Stepped};
pub use restore::{replay, Restored};

/// What happened since it was last asked, for the core.
#[derive(Debug, Default)]
pub struct Effects {
    /// Queues that may have something to deliver, or changed otherwise.
    pub changed_queues: BTreeSet<u64>,
    pub dropped_queues: Vec<u64>,
    /// (sender, through).
    pub applied: Vec<(Sender, u64)>,
    /// Topology commands committed, in order: (index, time in ms, bytes).
    pub commands: Vec<(u64, u64, Bytes)>,
}

/// What only a replica's host wants to know beside that.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReplicaEffects {
    /// Each sender's commands that were applied while it serves, through this number.
    pub applied: BTreeMap<Sender, u64>,
    /// Each sender's commands that are on this leader's disk, through this number, once somebody asked (`tell_synced`).
    pub synced: BTreeMap<Sender, u64>,
    pub reads: Vec<Read>,
    /// As it is now, if it changed.
    pub standing: Option<Standing>,
    /// A snapshot took the state's place: all of it is to be looked at anew. Commands told with this are later.
    pub restored: bool,
}

/// A replica's part in its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub serving: bool,
    /// 0: none is known.
    pub leader: u64,
    pub term: u64,
}

/// Whether its host parts with a replica, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Departure {
    None,
    /// Its group has let it go, and the store is about to forget it: it takes nothing in.
    Begun,
    /// Its node has left it, and it is dead.
    Left,
}

/// A wave proposed and not applied yet.
struct UnderWay {
    position: Position,
    /// With its frames in memory.
    wave: Wave,
    size: usize,
}

pub struct Shard {
    pub id: u32,
    pub sender: Sender,
    pub(crate) state: ShardState,
    changes: Changes,
    pub(crate) group: Option<RaftGroup>,
    pub(crate) cache: FrameCache,
    pub(crate) cache_budget: usize,
    /// The term in which it serves; a volatile shard's is 0. None: what the leader remembers is empty.
    served: Option<u64>,
    pub(crate) queues: BTreeMap<u64, QueueLeader>,
    pub(crate) pending: PendingWave,
    /// Waves taken from `pending` that Raft had no room for; they go first.
    stalled: VecDeque<Wave>,
    /// In order.
    under_way: VecDeque<UnderWay>,
    under_way_size: usize,
    /// The last number taken in of this node's front, while it serves.
    last_number: u64,
    /// The same of other senders, where it is ahead of the state's.
    accepted: BTreeMap<Sender, u64>,
    last_time_ms: u64,
    /// Volatile: counts waves as a log would.
    last_index: u64,
    pub(crate) may_expire: bool,
    pub(crate) effects: Effects,
    pub(crate) has_effects: bool,
    pub(crate) wanted_reads: BTreeSet<u64>,
    /// Entries that are being read.
    pub(crate) reading: BTreeSet<u64>,
    /// Queues that stopped at a message that is not in memory.
    pub(crate) waiting_for_reads: BTreeSet<u64>,
    /// Entries through here are sealed: segments want to know what is let go of.
    pub sealed_through: u64,
    /// Records in them that settles let go of.
    released: u64,
    /// Ready numbers of the writes under way: (the journal's write, Raft's ready).
    writes: VecDeque<(u64, u64)>,
    encoded_size_hint: usize,
    /// Its host takes messages and replica effects: nothing of them is kept for who does not.
    is_replica: bool,
    outbox: Vec<PeerMessage>,
    replica_effects: Option<ReplicaEffects>,
    told: Standing,
    /// Entries through here are among what was told as synced; None: nobody asked yet.
    synced_index: Option<u64>,
    /// A snapshot's state while its message is stepped.
    arriving: Option<ShardState>,
    /// A snapshot through here replaced the state and is not durable yet.
    installing: Option<u64>,
    departure: Departure,
    /// Why it does nothing any more.
    fault: Option<String>,
}

impl Shard {
    /// A volatile shard, empty.
    pub fn volatile(id: u32, sender: Sender) -> Self {
        Self::new(id, sender, ShardState::default(), None, usize::MAX)
    }

    /// A logged shard over `group`, with the state of what was applied before.
    pub fn new(
        id: u32,
        sender: Sender,
        state: ShardState,
        group: Option<RaftGroup>,
        cache_budget: usize,
    ) -> Self {
        Self {
            id,
            sender,
            last_time_ms: state.time_ms,
            last_index: state.applied_index,
            state,
            changes: Changes::default(),
            served: group.is_none().then_some(0),
            group,
            cache: FrameCache::default(),
            cache_budget,
            queues: BTreeMap::new(),
            pending: PendingWave::default(),
            stalled: VecDeque::new(),
            under_way: VecDeque::new(),
            under_way_size: 0,
            last_number: 0,
            accepted: BTreeMap::new(),
            may_expire: false,
            effects: Effects::default(),
            has_effects: false,
            wanted_reads: BTreeSet::new(),
            reading: BTreeSet::new(),
            waiting_for_reads: BTreeSet::new(),
            sealed_through: 0,
            released: 0,
            writes: VecDeque::new(),
            encoded_size_hint: 4096,
            is_replica: false,
            outbox: Vec::new(),
            replica_effects: None,
            told: Standing::default(),
            synced_index: None,
            arriving: None,
            installing: None,
            departure: Departure::None,
            fault: None,
        }
    }

    pub fn is_logged(&self) -> bool {
        self.group.is_some()
    }

    pub fn state(&self) -> &ShardState {
        &self.state
    }

    pub fn state_mut(&mut self) -> (&mut ShardState, &mut Changes) {
        (&mut self.state, &mut self.changes)
    }

    /// Bytes in memory: cached frames and what is under way.
    pub fn memory_size(&self) -> usize {
        self.cache.size() + self.under_way_size + self.pending.size()
    }

    /// Bytes proposed and not committed.
    pub fn under_way_size(&self) -> usize {
        self.under_way_size + self.pending.size()
    }

    /// Somebody waits for what was gathered, and it can be proposed. Not what Raft had no room for: that waits for a
    /// commit, and `propose` would come to nothing until then.
    pub fn is_urgent(&self) -> bool {
        if self.group.is_none() {
            return self.has_pending();
        }
        self.pending.urgent && self.stalled.is_empty() && self.may_propose()
    }

    /// Something was gathered that is not proposed, or happened that nobody was told of.
    pub fn is_busy(&self) -> bool {
        self.has_effects || self.has_pending() || self.replica_effects.is_some()
    }

    /// A step would make something of it now.
    pub fn is_due(&self) -> bool {
        self.has_effects || self.replica_effects.is_some() || self.is_urgent()
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty() || !self.stalled.is_empty()
    }

    /// The sequence that the next message of a queue gets, what is under way counted in.
    pub fn next_sequence(&self, queue: u64) -> u64 {
        self.queues.get(&queue).map_or(0, |q| q.proposed_next)
    }

    /// All of a run into one queue. It may begin a new wave; a settle or a command after it never does.
    fn append_to(&mut self, run: &Arc<MessageRun>, queue: u64) {
        let targets: Targets = Arc::new(vec![Target::of(queue)]);
        let keys: Vec<Targets> = run.dictionary.iter().map(|_| targets.clone()).collect();
        self.append(run, &keys, &[]);
    }

    /// Messages into queues. Answers the records some queue rejected. It may begin a new wave.
    pub fn append(&mut self, run: &Arc<MessageRun>, keys: &[Targets], turns: &[u64]) -> Vec<u32> {
        let queues = &mut self.queues;
        self.pending.publish(run, keys, turns, |queue, count| {
            let leader = queues.entry(queue).or_default();
            let first = leader.proposed_next;
            leader.proposed_next += count;
            leader.proposed_count += count;
            first
        })
    }

    /// Settles messages, checked out or not: nobody else is handed them. Rides with the next wave.
    pub fn settle(&mut self, queue: u64, first: u64, last: u64, outcome: Outcome) {
        self.settle_range(SequenceRange {
            queue,
            first,
            last,
            outcome: outcome as u8,
        });
    }

    pub(crate) fn settle_range(&mut self, range: SequenceRange) {
        self.hold(range.queue, range.first, range.last);
        if let Some(leader) = self.queues.get_mut(&range.queue) {
            leader.begin_settling(range.first, range.last);
        }
        self.pending.settle(range);
    }

    /// What of these is checked out comes back at once, at its place; that it was returned once more is logged.
    pub fn give_back(&mut self, queue: u64, first: u64, last: u64) {
        let Some(state) = self.state.queues.get(&queue) else {
            return;
        };
        let Some(leader) = self.queues.get_mut(&queue) else {
            return;
        };
        for (first, last) in leader.out_within(first, last) {
            self.pending.give_back(SequenceRange {
                queue,
                first,
                last,
                outcome: 0,
            });
            for (from, to, _, _) in pieces(state, first, last) {
                leader.come_back(from, to, to + 1 - from);
            }
        }
        self.effects.changed_queues.insert(queue);
        self.has_effects = true;
    }

    /// Not before it is taken that the state is a snapshot's: commands after that are of what it says.
    pub fn take_effects(&mut self) -> Option<Effects> {
        if self.replica_effects.as_ref().is_some_and(|it| it.restored) {
            return None;
        }
        std::mem::take(&mut self.has_effects).then(|| std::mem::take(&mut self.effects))
    }

    /// A row of the meta shard, as the core made it from a committed command; None: gone.
    pub fn put_row(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.changes.rows.insert(key.clone());
        match value {
            Some(value) => self.state.rows.insert(key, value.into()),
            None => self.state.rows.remove(&key),
        };
    }

    /// Puts messages into an outbox and settles those they stand for, in one wave.
    pub fn bury(
        &mut self,
        run: &Arc<MessageRun>,
        outbox: u64,
        queue: u64,
        ranges: &[(u64, u64)],
        outcome: Outcome,
    ) {
        self.append_to(run, outbox);
        for (first, last) in ranges {
            self.settle(queue, *first, *last, outcome);
        }
        self.pending.urgent = true;
    }

    /// Copies survivors out of buffers they pin: of a volatile shard's waves from `from` on.
    pub fn unpin(&mut self, from: u64) -> u64 {
        self.cache.unpin(from);
        self.last_index + 1
    }

    /// Topology commands were applied that the core has not made rows of yet: not to be frozen now.
    pub fn owes_commands(&self) -> bool {
        !self.effects.commands.is_empty()
    }

    /// For a checkpoint: a logged shard's state now, and what it changed since this was last asked.
    pub fn freeze(&mut self) -> FrozenGroup {
        let conf = self.group.as_ref().map(|group| group.conf().encode());
        FrozenGroup {
            conf: conf.unwrap_or_default().into(),
            shard: FrozenShard {
                group: self.id,
                state: self.state.clone(),
                changes: std::mem::take(&mut self.changes),
            },
        }
    }

    /// A checkpoint is durable: entries through `sealed_through` are no longer in the journal.
    pub fn receive_checkpoint(&mut self, sealed_through: u64) {
        self.sealed_through = sealed_through;
    }

    /// How many records in sealed entries settles let go of since this was last asked.
    pub fn take_released(&mut self) -> u64 {
        std::mem::take(&mut self.released)
    }
}
