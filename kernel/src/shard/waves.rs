//! A shard's waves: gathered ones are proposed, committed ones applied.

use std::sync::Arc;

use bytes::Bytes;

use super::Shard;
use crate::group_record::{GroupRecord, LogEntry};
use crate::message_run::{MessageRun, Origin};
use crate::raft_group::RaftGroup;
use crate::raft_log::entry_kind;
use crate::record_batch;
use crate::shard_state::Applied;
use crate::wave::Wave;

/// Waves and bytes proposed and not committed, after which the next ones wait.
const UNDER_WAY_COUNT_MAX: usize = 1024;
const UNDER_WAY_SIZE_MAX: usize = 32 << 20;

impl Shard {
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
                .map_or(Origin::Amqp091, |m| m.origin);
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
    pub(super) fn is_full(&self) -> bool {
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
        // The clock may have gone back since; the shard's time never does.
        self.last_time_ms = self.last_time_ms.max(wave.time_ms);
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
}
