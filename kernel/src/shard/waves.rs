//! A shard's waves: gathered ones are proposed, committed ones applied.

use std::sync::Arc;

use bytes::Bytes;

use super::{Shard, UnderWay};
use crate::group_record::{GroupRecord, LogEntry};
use crate::message_run::{MessageRun, Origin};
use crate::raft_group::{GroupError, RaftGroup};
use crate::raft_log::{entry_kind, Position};
use crate::raft_ready::Ready;
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
        if !self.may_propose() {
            return None;
        }
        let mut waves = std::mem::take(&mut self.stalled);
        waves.extend(self.pending.take(self.last_time_ms));
        while let Some(wave) = waves.pop_front() {
            if let Err(wave) = self.propose_wave(wave) {
                waves.push_front(*wave);
                break;
            }
        }
        self.stalled = waves;
        self.take_record()
    }

    /// Gives the wave back if Raft has no room for it.
    fn propose_wave(&mut self, mut wave: Wave) -> Result<(), Box<Wave>> {
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
        let group = self.group.as_mut().expect("a logged shard");
        let Ok(position) = group.propose(data.clone()) else {
            return Err(Box::new(wave));
        };
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
        self.under_way_size += size;
        self.under_way.push_back(UnderWay {
            position,
            wave,
            size,
        });
        Ok(())
    }

    /// Too much is under way: what was gathered waits.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= UNDER_WAY_COUNT_MAX || self.under_way_size >= UNDER_WAY_SIZE_MAX
    }

    /// What was gathered can be proposed now.
    pub(super) fn may_propose(&self) -> bool {
        let transferring = self.group.as_ref().is_some_and(RaftGroup::is_transferring);
        self.is_serving() && !self.is_full() && !transferring
    }

    /// Takes Raft's ready: what must be written goes out as one record, what is committed is applied.
    pub(super) fn take_record(&mut self) -> Option<GroupRecord> {
        let mut record = None;
        if !self.is_leading() && self.group.is_some() {
            // Before what others committed is applied.
            self.follow_standing();
        }
        while self.fault.is_none() {
            let group = self.group.as_mut()?;
            match group.ready() {
                Ok(Some(ready)) => self.take_ready(ready, &mut record),
                // Dead, which `dead` tells; or nothing is left.
                _ => break,
            }
        }
        self.follow_standing();
        record
    }

    fn take_ready(&mut self, ready: Ready, record: &mut Option<GroupRecord>) {
        if self.is_replica {
            self.outbox.extend(ready.messages);
        }
        if let Some(more) = ready.record {
            self.writes.push_back((u64::MAX, ready.number));
            match record {
                Some(whole) => {
                    whole.hard_state = more.hard_state.or(whole.hard_state);
                    whole.entries.extend(more.entries);
                }
                None => *record = Some(more),
            }
        }
        if let Some(snapshot) = ready.snapshot {
            self.install(snapshot.position);
        }
        if let Some(last) = ready.committed.last().map(|entry| entry.index) {
            for entry in ready.committed {
                self.apply_committed(entry);
            }
            self.note_applied(last);
        }
        if !ready.reads.is_empty() {
            self.note_replica(|effects| effects.reads.extend(ready.reads));
        }
    }

    /// Raft is told what is applied, and need not hold it for longer than a member may ask for it.
    fn note_applied(&mut self, index: u64) {
        let Some(group) = self.group.as_mut() else {
            return;
        };
        // What the journal and the frame cache have no follower needs from memory, if there is none.
        let told = group.on_applied(index).and_then(|()| group.trim());
        if let Err(GroupError::Refused(what)) = told {
            self.fail(format!("entry {index}: {what}"));
        }
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
        let group = self.group.as_mut()?;
        match group.on_persisted(number) {
            Ok(messages) if self.is_replica => self.outbox.extend(messages),
            Ok(_) => {}
            Err(GroupError::Refused(what)) => {
                self.fail(format!("ready {number}: {what}"));
                return None;
            }
            Err(_) => return None, // dead, which `dead` tells
        }
        let persisted = self.group.as_ref().map_or(0, RaftGroup::persisted);
        if let Some(index) = self.installing.filter(|index| *index <= persisted) {
            self.installing = None;
            self.note_applied(index);
        }
        self.note_synced(persisted);
        self.take_record()
    }

    /// A replica tells who asks for no more than that it is on the leader's disk.
    fn note_synced(&mut self, persisted: u64) {
        let Some(told) = self.synced_index.filter(|_| self.is_replica) else {
            return;
        };
        self.synced_index = Some(persisted);
        let fresh = self
            .under_way
            .iter()
            .skip_while(|under_way| under_way.position.index <= told)
            .take_while(|under_way| under_way.position.index <= persisted);
        for under_way in fresh {
            if under_way.wave.senders.is_empty() {
                continue;
            }
            let effects = self.replica_effects.get_or_insert_default();
            effects
                .synced
                .extend(under_way.wave.senders.iter().copied());
        }
    }

    fn apply_committed(&mut self, entry: LogEntry) {
        let LogEntry {
            index,
            term,
            kind,
            data,
        } = entry;
        if self.fault.is_some() {
            return;
        }
        if kind != entry_kind::NORMAL || data.is_empty() {
            self.state.applied_index = index;
            self.state.applied_term = term;
            return;
        }
        let ours = |wave: &UnderWay| wave.position == Position { index, term };
        if self.under_way.front().is_some_and(ours) {
            if let Some(UnderWay { wave, size, .. }) = self.under_way.pop_front() {
                self.under_way_size -= size;
                self.apply(index, term, wave);
            }
            return;
        }
        // Another leader's, or of an earlier term.
        match Wave::decode(&data) {
            Ok(wave) => self.apply(index, term, wave),
            Err(what) => self.fail(format!("entry {index}: {what}")),
        }
    }

    fn apply(&mut self, index: u64, term: u64, mut wave: Wave) {
        let applied = self.state.apply(index, term, &wave, &mut self.changes);
        let wanted: u64 = applied.appended.iter().map(|(_, _, count)| count).sum();
        if wave.frames.iter().any(|frame| frame.messages.is_some()) {
            let frames = std::mem::take(&mut wave.frames)
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
        for range in &wave.settled {
            if let Some(leader) = self.queues.get_mut(&range.queue) {
                leader.end_settling(range.first, range.last);
            }
        }
        for sender in &wave.forgotten_senders {
            self.accepted.remove(sender);
        }
        self.note_released(&applied);
        if self.is_nobodys_business(&wave, &applied) {
            self.cache.evict(self.cache_budget);
            return;
        }
        self.note(applied);
        self.has_effects = true;
        if self.is_serving() {
            self.note_replica(|effects| effects.applied.extend(wave.senders.iter().copied()));
        }
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

    /// Messages came and went in a replica that doesn't serve: it hands nothing out and answers nobody, and once it
    /// serves all its queues are looked at.
    fn is_nobodys_business(&self, wave: &Wave, applied: &Applied) -> bool {
        let moved = !wave.routes.is_empty() || !wave.settled.is_empty();
        let told = !wave.commands.is_empty() || !applied.dropped_queues.is_empty();
        self.is_replica && !self.is_serving() && moved && !told
    }

    fn note_released(&mut self, applied: &Applied) {
        for released in &applied.released {
            self.cache.release(released);
            if released.entry <= self.sealed_through {
                self.released += u64::from(released.count);
            }
        }
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
        for queue in applied.dropped_queues {
            self.queues.remove(&queue);
            self.effects.dropped_queues.push(queue);
        }
    }
}
