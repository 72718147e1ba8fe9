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
use crate::message_run::{MessageRun, NO_EXPIRATION};
use crate::pending_wave::{PendingWave, Target, Targets};
use crate::queue_leader::QueueLeader;
use crate::queue_state::QueueState;
use crate::raft_conf::Conf;
use crate::raft_group::RaftGroup;
use crate::raft_log::{entry_kind, Position};
use crate::raft_options::GroupOptions;
use crate::record_batch;
use crate::shard_ready::pieces;
use crate::shard_state::{Applied, Changes, FrozenShard, ShardState};
use crate::wave::{Outcome, Sender, SequenceRange, Wave};

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

/// Waves and bytes proposed and not committed, after which the next ones wait.
const UNDER_WAY_COUNT_MAX: usize = 1024;
const UNDER_WAY_SIZE_MAX: usize = 32 << 20;

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
        self.pending.urgent && !self.is_full()
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The number of the front's next command, which rides in the wave being gathered.
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.pending.through(self.sender, self.last_number);
        self.pending.urgent = true;
        self.last_number
    }

    /// A command that does nothing but be applied: all that was said before it is applied with it.
    pub fn barrier(&mut self) -> u64 {
        self.number()
    }

    /// A front's publish. Answers its number and the records some queue rejected.
    pub fn publish(&mut self, run: &Arc<MessageRun>, keys: &[Targets]) -> (u64, Vec<u32>) {
        let rejected = self.append(run, keys);
        (self.number(), rejected)
    }

    /// A move from another shard's outbox, numbered by its sequence there.
    pub fn receive_move(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        sender: Sender,
        number: u64,
    ) {
        self.append(run, keys);
        self.pending.through(sender, number);
        self.pending.urgent = true;
    }

    /// The last number applied for a sender; 0: none.
    pub fn applied_through(&self, sender: Sender) -> u64 {
        self.state.senders.get(&sender).copied().unwrap_or(0)
    }

    fn append(&mut self, run: &Arc<MessageRun>, keys: &[Targets]) -> Vec<u32> {
        let queues = &mut self.queues;
        self.pending.publish(run, keys, |queue, count| {
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

    // ---- proposing and applying

    /// Proposes what was gathered. Answers the record to be written, for the journal; the caller says
    /// with `written` which of its writes took it. A volatile shard applies at once.
    pub fn propose(&mut self, now_ms: u64) -> Option<GroupRecord> {
        self.last_time_ms = self.last_time_ms.max(now_ms);
        if self.group.is_none() {
            let waves = self.pending.take(self.last_time_ms);
            for wave in waves {
                self.last_index += 1;
                self.apply(self.last_index, 0, wave);
            }
            return None;
        }
        if self.is_full() || !self.is_serving() {
            return None;
        }
        for wave in self.pending.take(self.last_time_ms) {
            self.propose_wave(wave);
        }
        self.take_record()
    }

    fn propose_wave(&mut self, mut wave: Wave) {
        let mut out = Vec::with_capacity(self.encoded_size_hint);
        let time_ms = wave.time_ms as i64;
        let mut layouts = Vec::with_capacity(wave.frames.len());
        wave.encode(&mut out, |run, out| {
            layouts.push(record_batch::encode(run, time_ms, out));
        });
        self.encoded_size_hint = (out.len() + out.len() / 8).clamp(4096, 2 << 20);
        if out.capacity() > out.len() * 2 {
            out.shrink_to_fit();
        }
        let data = Bytes::from(out);
        for (frame, layout) in wave.frames.iter_mut().zip(layouts) {
            let origin = frame
                .messages
                .as_ref()
                .map_or(crate::message_run::Origin::Amqp091, |m| m.origin);
            frame.messages = Some(Arc::new(MessageRun {
                origin,
                buffer: data.clone(),
                entries: layout.entries,
                dictionary: layout.dictionary,
            }));
        }
        let size = data.len();
        let group = self.group.as_mut().expect("a logged shard");
        let position = group
            .propose(data)
            .expect("the only voter leads and is not full");
        self.under_way_size += size;
        self.under_way.push_back((position.index, wave, size));
    }

    /// Too much is under way: what was gathered waits.
    fn is_full(&self) -> bool {
        self.under_way.len() >= UNDER_WAY_COUNT_MAX || self.under_way_size >= UNDER_WAY_SIZE_MAX
    }

    /// Leads and has applied an entry of its own term, or is volatile: only then does it decide.
    pub fn is_serving(&self) -> bool {
        self.group.as_ref().is_none_or(RaftGroup::is_serving)
    }

    /// Starts an election, which the only voter wins.
    pub fn campaign(&mut self) -> Option<GroupRecord> {
        self.group
            .as_mut()
            .expect("a logged shard")
            .campaign()
            .expect("a voter with a durable log");
        self.take_record()
    }

    /// Takes Raft's ready: what must be written goes out as one record, what is committed is applied.
    fn take_record(&mut self) -> Option<GroupRecord> {
        let mut record = self.lazy_record.take();
        let mut must_write = false;
        let mut committed = Vec::new();
        let group = self.group.as_mut()?;
        while let Some(ready) = group.ready().expect("Raft is alive") {
            if let Some(more) = ready.record {
                self.writes.push_back((u64::MAX, ready.number));
                let voted = more
                    .hard_state
                    .is_some_and(|h| (h.term, h.vote) != self.voted);
                must_write |= voted || !more.entries.is_empty();
                let whole = record.get_or_insert_with(|| GroupRecord {
                    group: self.id,
                    ..GroupRecord::default()
                });
                whole.hard_state = more.hard_state.or(whole.hard_state);
                whole.entries.extend(more.entries);
            }
            committed.extend(ready.committed);
        }
        if let Some(hard_state) = record.as_ref().and_then(|r| r.hard_state) {
            self.voted = (hard_state.term, hard_state.vote);
        }
        for entry in committed {
            self.apply_committed(entry);
        }
        if must_write {
            return record;
        }
        // Nobody waits for a commit index on disk: it rides with the next record.
        self.lazy_record = record;
        None
    }

    /// The journal took the last record in this write.
    pub fn written(&mut self, write: u64) {
        for (at, _) in self
            .writes
            .iter_mut()
            .rev()
            .take_while(|(at, _)| *at == u64::MAX)
        {
            *at = write;
        }
    }

    /// All writes through this one are synced: applies what that commits.
    pub fn receive_synced(&mut self, write: u64) -> Option<GroupRecord> {
        let mut number = 0;
        while let Some((at, ready)) = self.writes.front().copied() {
            if at > write {
                break;
            }
            number = ready;
            self.writes.pop_front();
        }
        if number == 0 {
            return None;
        }
        self.group
            .as_mut()?
            .on_persisted(number)
            .expect("a number that was given out");
        self.take_record()
    }

    fn apply_committed(&mut self, entry: LogEntry) {
        let LogEntry {
            index,
            term,
            kind,
            data,
        } = entry;
        if kind != entry_kind::NORMAL || data.is_empty() {
            self.state.applied_index = index;
            self.state.applied_term = term;
        } else if self
            .under_way
            .front()
            .is_some_and(|(at, _, _)| *at == index)
        {
            if let Some((_, wave, size)) = self.under_way.pop_front() {
                self.under_way_size -= size;
                self.apply(index, term, wave);
            }
        } else {
            // Proposed by an earlier leader: its checksum held, so what it says can be trusted.
            let wave = Wave::decode(&data).expect("a wave that was committed");
            self.adopt(&wave);
            self.apply(index, term, wave);
        }
        let group = self.group.as_mut().expect("a logged shard");
        group.on_applied(index).expect("what was given out");
        // No follower needs it from memory: the journal and the frame cache have it.
        group.compact(index).expect("what was applied");
    }

    /// The leader's memory takes in a wave it did not propose.
    fn adopt(&mut self, wave: &Wave) {
        for queue in &wave.created_queues {
            self.queues.entry(*queue).or_default();
        }
        for route in &wave.routes {
            let leader = self.queues.entry(route.queue).or_default();
            leader.proposed_count += u64::from(route.selection.count());
            leader.proposed_next = route.first_sequence + u64::from(route.selection.count());
        }
        for (queue, mark) in &wave.marks {
            if let Some(leader) = self.queues.get_mut(queue) {
                leader.proposed_mark = leader.proposed_mark.max(*mark);
                leader.flagged_below = leader.flagged_below.max(*mark);
            }
        }
        if let Some((_, through)) = wave.senders.iter().find(|(s, _)| *s == self.sender) {
            self.last_number = *through;
        }
    }

    fn apply(&mut self, index: u64, term: u64, wave: Wave) {
        let applied = self.state.apply(index, term, &wave, &mut self.changes);
        let wanted: u64 = applied.appended.iter().map(|(_, _, count)| count).sum();
        if wave.frames.iter().any(|frame| frame.messages.is_some()) {
            let frames = wave
                .frames
                .into_iter()
                .map(|frame| frame.messages)
                .collect();
            self.cache.insert(index, frames, wanted);
        }
        for route in &wave.routes {
            self.may_expire |= route.expires_ms != 0;
            if let Some(leader) = self.queues.get_mut(&route.queue) {
                leader.proposed_count -= u64::from(route.selection.count());
                if leader.proposed_count == 0 && !self.state.queues.contains_key(&route.queue) {
                    self.queues.remove(&route.queue);
                }
            }
        }
        self.note(applied);
        self.has_effects = true;
        self.effects.applied.extend(wave.senders);
        let time_ms = wave.time_ms;
        self.effects
            .commands
            .extend(wave.commands.into_iter().map(|c| (index, time_ms, c)));
        self.effects
            .changed_queues
            .extend(wave.marks.iter().map(|(queue, _)| *queue));
        self.cache.evict(self.cache_budget);
    }

    /// The leader's memory follows what was applied.
    fn note(&mut self, applied: Applied) {
        for (queue, _, _) in &applied.appended {
            self.effects.changed_queues.insert(*queue);
        }
        for (queue, count) in &applied.settled {
            if let Some(leader) = self.queues.get_mut(queue) {
                leader.held = leader.held.saturating_sub(*count);
            }
            self.effects.changed_queues.insert(*queue);
        }
        for released in &applied.released {
            self.cache.release(released);
            if released.entry <= self.sealed_through {
                self.released += u64::from(released.count);
            }
        }
        for queue in applied.dropped_queues {
            self.queues.remove(&queue);
            self.effects.dropped_queues.push(queue);
        }
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
        let target = Target {
            queue: outbox,
            ttl_ms: NO_EXPIRATION,
            room: u64::MAX,
        };
        let targets: Targets = Arc::new(vec![target]);
        let keys: Vec<Targets> = run.dictionary.iter().map(|_| targets.clone()).collect();
        // The run first: it may begin a new wave, a settle never does.
        self.append(run, &keys);
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
