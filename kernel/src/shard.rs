//! A shard at its leader: proposes waves, applies what is committed, says what is ready.
//!
//! Logged: waves go through a Raft group to the journal and take effect when committed. Volatile: the
//! same, but a wave is applied as it is proposed and written nowhere. Nothing here decides anything: who
//! gets what, what expires and what is dropped are the core's decisions, told as ranges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::frame_cache::FrameCache;
use crate::frozen::FrozenGroup;
use crate::group_record::{GroupRecord, HardState, LogEntry};
use crate::message_run::MessageRun;
use crate::pending_wave::{PendingWave, Target, Targets};
use crate::queue_leader::QueueLeader;
use crate::queue_state::QueueState;
use crate::raft_conf::Conf;
use crate::raft_group::RaftGroup;
use crate::raft_log::{entry_kind, Position};
use crate::raft_options::GroupOptions;
use crate::shard_ready::pieces;
use crate::shard_state::{Changes, FrozenShard, ShardState};
use crate::wave::{Outcome, Sender, SequenceRange, Wave};

mod waves;

/// What a shard starts from.
#[derive(Debug, Default)]
pub struct Restored {
    /// From the newest checkpoint.
    pub state: ShardState,
    /// The group's configuration there; None: this node alone.
    pub conf: Option<Conf>,
    pub hard_state: Option<HardState>,
}

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

pub struct Shard {
    pub id: u32,
    pub sender: Sender,
    pub(crate) state: ShardState,
    changes: Changes,
    pub(crate) group: Option<RaftGroup>,
    pub(crate) cache: FrameCache,
    pub(crate) cache_budget: usize,
    pub(crate) queues: BTreeMap<u64, QueueLeader>,
    pub(crate) pending: PendingWave,
    /// Proposed and not applied yet: (index, wave with its frames in memory, bytes), in order.
    under_way: VecDeque<(u64, Wave, usize)>,
    under_way_size: usize,
    last_number: u64,
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
    /// Term and vote of the last record.
    voted: (u64, u64),
    /// A hard state that may ride with the next record (only its commit moved).
    lazy_record: Option<GroupRecord>,
    encoded_size_hint: usize,
}

impl Shard {
    /// A volatile shard, empty.
    pub fn volatile(id: u32, sender: Sender) -> Self {
        Self::new(id, sender, ShardState::default(), None, usize::MAX)
    }

    /// A logged shard that leads `group`, with the state of what was applied before.
    pub fn new(
        id: u32,
        sender: Sender,
        state: ShardState,
        group: Option<RaftGroup>,
        cache_budget: usize,
    ) -> Self {
        let queues = state
            .queues
            .iter()
            .map(|(id, q)| (*id, QueueLeader::begin(q)))
            .collect();
        let may_expire = state
            .queues
            .values()
            .flat_map(QueueState::slices)
            .any(|(_, slice)| slice.expires_ms != 0);
        let last_number = state.senders.get(&sender).copied().unwrap_or(0);
        Self {
            id,
            sender,
            last_time_ms: state.time_ms,
            last_index: state.applied_index,
            state,
            changes: Changes::default(),
            group,
            cache: FrameCache::default(),
            cache_budget,
            queues,
            pending: PendingWave::default(),
            under_way: VecDeque::new(),
            under_way_size: 0,
            last_number,
            may_expire,
            effects: Effects::default(),
            has_effects: false,
            wanted_reads: BTreeSet::new(),
            reading: BTreeSet::new(),
            waiting_for_reads: BTreeSet::new(),
            sealed_through: 0,
            released: 0,
            writes: VecDeque::new(),
            voted: (0, 0),
            lazy_record: None,
            encoded_size_hint: 4096,
        }
    }

    /// A logged shard from its checkpoint's state and the log after it, its group's only voter.
    ///
    /// What the hard state says is committed is applied here and now, so that a long log never lies in
    /// memory whole; topology commands among it are in the first effects. An error says what is wrong.
    pub fn restore(
        id: u32,
        sender: Sender,
        start: Restored,
        entries: impl Iterator<Item = Result<LogEntry, String>>,
        seed: u64,
        cache_budget: usize,
    ) -> Result<Self, String> {
        let mut state = start.state;
        let mut changes = Changes::default();
        let mut commands = Vec::new();
        let mut tail = Vec::new();
        let commit = start.hard_state.map_or(0, |hard_state| hard_state.commit);
        for entry in entries {
            let entry = entry?;
            if entry.index > commit {
                tail.push(entry);
            } else if entry.index > state.applied_index {
                replay(&mut state, &mut changes, &mut commands, &entry)?;
            }
        }
        let applied = Position {
            index: state.applied_index,
            term: state.applied_term,
        };
        let mut options = GroupOptions {
            applied,
            hard_state: start.hard_state,
            entries: tail,
            ..GroupOptions::new(sender.peer, id, &[sender.peer], seed)
        };
        options.conf = start.conf.unwrap_or(options.conf);
        let group = RaftGroup::new(options).map_err(|error| format!("shard {id}: {error:?}"))?;
        let mut shard = Self::new(id, sender, state, Some(group), cache_budget);
        shard.changes = changes;
        shard.has_effects = !commands.is_empty();
        shard.effects.commands = commands;
        shard.voted = start.hard_state.map_or((0, 0), |h| (h.term, h.vote));
        Ok(shard)
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

    /// Somebody waits for what was gathered, and it can be proposed.
    pub fn is_urgent(&self) -> bool {
        if self.group.is_none() {
            return self.has_pending();
        }
        self.pending.urgent && !self.is_full()
    }

    /// Something was gathered that is not proposed, or happened that nobody was told of.
    pub fn is_busy(&self) -> bool {
        self.has_effects || self.has_pending()
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The number of the front's next command, which rides in the wave being gathered.
    fn number(&mut self) -> u64 {
        self.pending.urgent = true;
        self.number_in_time()
    }

    /// Its number, where nobody waits for it: it rides with the next wave.
    fn number_in_time(&mut self) -> u64 {
        self.last_number += 1;
        self.pending.through(self.sender, self.last_number);
        self.last_number
    }

    /// A command that does nothing but be applied: all that was said before it is applied with it.
    pub fn barrier(&mut self, urgent: bool) -> u64 {
        if urgent {
            self.number()
        } else {
            self.number_in_time()
        }
    }

    /// A front's publish. Answers its number and the records some queue rejected.
    pub fn publish(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        turns: &[u64],
    ) -> (u64, Vec<u32>) {
        let rejected = self.append(run, keys, turns);
        (self.number(), rejected)
    }

    /// Puts messages into an outbox together with a command, in one wave.
    pub fn accept(&mut self, run: &Arc<MessageRun>, outbox: u64, command: Bytes) -> u64 {
        self.append_to(run, outbox);
        self.propose_command(command)
    }

    /// A transaction's part in this shard, in one wave: messages go where `keys` say, ranges are settled, and a
    /// command says what is still to be done elsewhere. Answers its number.
    pub fn commit(
        &mut self,
        messages: Option<&Arc<MessageRun>>,
        keys: &[Targets],
        turns: &[u64],
        settled: &[SequenceRange],
        command: Option<Bytes>,
    ) -> u64 {
        if let Some(run) = messages {
            // It may begin a new wave; nothing that follows does.
            let rejected = self.append(run, keys, turns);
            debug_assert!(rejected.is_empty(), "there was room for all of it");
        }
        for range in settled {
            self.pending.settle(*range);
        }
        self.pending.wave.commands.extend(command);
        self.number()
    }

    /// The sequence that the next message of a queue gets, what is under way counted in.
    pub fn next_sequence(&self, queue: u64) -> u64 {
        self.queues.get(&queue).map_or(0, |q| q.proposed_next)
    }

    /// A move from another shard's outbox, numbered by its sequence there.
    pub fn receive_move(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        turns: &[u64],
        sender: Sender,
        number: u64,
    ) {
        self.append(run, keys, turns);
        self.pending.through(sender, number);
        self.pending.urgent = true;
    }

    /// The last number applied for a sender; 0: none.
    pub fn applied_through(&self, sender: Sender) -> u64 {
        self.state.senders.get(&sender).copied().unwrap_or(0)
    }

    /// All of a run into one queue. It may begin a new wave; a settle or a command after it never does.
    fn append_to(&mut self, run: &Arc<MessageRun>, queue: u64) {
        let targets: Targets = Arc::new(vec![Target::of(queue)]);
        let keys: Vec<Targets> = run.dictionary.iter().map(|_| targets.clone()).collect();
        self.append(run, &keys, &[]);
    }

    fn append(&mut self, run: &Arc<MessageRun>, keys: &[Targets], turns: &[u64]) -> Vec<u32> {
        let queues = &mut self.queues;
        self.pending.publish(run, keys, turns, |queue, count| {
            let leader = queues.entry(queue).or_default();
            let first = leader.proposed_next;
            leader.proposed_next += count;
            leader.proposed_count += count;
            first
        })
    }

    pub fn create_queue(&mut self, queue: u64) -> u64 {
        self.pending.wave.created_queues.push(queue);
        self.queues.entry(queue).or_default();
        self.number()
    }

    pub fn drop_queue(&mut self, queue: u64) -> u64 {
        self.pending.wave.dropped_queues.push(queue);
        self.number()
    }

    /// A change of topology, for the core to apply once it is committed.
    pub fn propose_command(&mut self, command: Bytes) -> u64 {
        self.pending.wave.commands.push(command);
        self.number()
    }

    /// A command that nobody waits for: it rides with the next wave.
    pub fn note_command(&mut self, command: Bytes) {
        self.pending.wave.commands.push(command);
    }

    pub fn forget_sender(&mut self, sender: Sender) {
        self.pending.wave.forgotten_senders.push(sender);
    }

    /// Settles checked-out messages; rides with the next wave.
    pub fn settle(&mut self, queue: u64, first: u64, last: u64, outcome: Outcome) {
        self.pending.settle(SequenceRange {
            queue,
            first,
            last,
            outcome: outcome as u8,
        });
    }

    /// Checked-out messages come back at once, at their place; that they were returned once more is logged.
    pub fn give_back(&mut self, queue: u64, first: u64, last: u64) {
        self.pending.give_back(SequenceRange {
            queue,
            first,
            last,
            outcome: 0,
        });
        let Some(state) = self.state.queues.get(&queue) else {
            return;
        };
        let Some(leader) = self.queues.get_mut(&queue) else {
            return;
        };
        for (from, to, _, _) in pieces(state, first, last) {
            leader.come_back(from, to, to + 1 - from);
        }
        self.effects.changed_queues.insert(queue);
        self.has_effects = true;
    }

    pub fn take_effects(&mut self) -> Option<Effects> {
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

    /// Raft's clock.
    pub fn tick(&mut self) {
        if let Some(group) = self.group.as_mut() {
            group.tick().expect("Raft is alive");
        }
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

    /// The state as of `index` is durable: Raft need not remember what led to it.
    pub fn receive_checkpoint(&mut self, index: u64, sealed_through: u64) {
        self.sealed_through = sealed_through;
        if let Some(group) = self.group.as_mut() {
            group.compact(index).expect("it was applied");
        }
    }

    /// How many records in sealed entries settles let go of since this was last asked.
    pub fn take_released(&mut self) -> u64 {
        std::mem::take(&mut self.released)
    }
}

/// Applies a committed entry of an earlier life.
pub fn replay(
    state: &mut ShardState,
    changes: &mut Changes,
    commands: &mut Vec<(u64, u64, Bytes)>,
    entry: &LogEntry,
) -> Result<(), String> {
    if entry.kind != entry_kind::NORMAL || entry.data.is_empty() {
        state.applied_index = entry.index;
        state.applied_term = entry.term;
        return Ok(());
    }
    let wave =
        Wave::decode(&entry.data).map_err(|what| format!("entry {}: {what}", entry.index))?;
    state.apply(entry.index, entry.term, &wave, changes);
    let copied = wave
        .commands
        .iter()
        .map(|c| (entry.index, wave.time_ms, Bytes::copy_from_slice(c)));
    commands.extend(copied);
    Ok(())
}
