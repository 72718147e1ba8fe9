//! What a group does inside the guard against panics: each call checked first, then the crate's.

use bytes::Bytes;

use raft::Progress;

use super::*;

impl Group {
    /// The crate draws election timeouts from a thread's random source at many places; after every
    /// call a value that depends on nothing but the group's own history replaces it. The group's
    /// number is in it, or one node would win every group of the cluster.
    pub(super) fn draw_election_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let ticks = raft.election_timeout();
        let mut hash = mix(self.seed ^ u64::from(self.number));
        for value in [raft.id, raft.term, self.campaigns] {
            hash = mix(hash ^ value);
        }
        raft.set_randomized_election_timeout(ticks + (hash % ticks as u64) as usize);
    }

    pub(super) fn is_leading(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    pub(super) fn must_lead(&self) -> Outcome<()> {
        if self.is_leading() {
            return Ok(());
        }
        Err(GroupError::NotLeader {
            leader: self.raw.raft.leader_id,
        })
    }

    /// Starting an election would not trip an assertion of the crate: a sole voter whose log is not
    /// durable would lead at once; after a snapshot that is not applied the entries are missing.
    pub(super) fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        let alone = raft.prs().is_singleton();
        raft.promotable()
            && log.applied + 1 >= log.first_index()
            && (!alone || log.persisted == log.last_index())
    }

    pub(super) fn propose(&mut self, entry_type: EntryType, data: Bytes) -> Outcome<Position> {
        self.must_lead()?;
        let log = &self.raw.raft.raft_log;
        // `max_uncommitted_size` counts payload only; empty entries would pile up without end.
        if log.last_index() - log.committed >= self.uncommitted_entries_max {
            return Err(GroupError::Full);
        }
        let entry = Entry {
            entry_type,
            data,
            ..Entry::default()
        };
        let mut message = Message {
            msg_type: MessageType::MsgPropose,
            from: self.raw.raft.id,
            ..Message::default()
        };
        message.set_entries(vec![entry].into());
        self.raw.raft.step(message).map_err(|_| GroupError::Full)?;
        Ok(Position {
            index: self.raw.raft.raft_log.last_index(),
            term: self.raw.raft.term,
        })
    }

    pub(super) fn step(&mut self, data: &Bytes) -> Outcome<()> {
        let message = raft_guard::decode(data).map_err(GroupError::Refused)?;
        self.step_message(message)
    }

    pub(super) fn follow(&mut self, leader: u64, term: u64) -> Outcome<()> {
        if term <= self.raw.raft.term {
            return Err(GroupError::Refused("of no later term"));
        }
        self.step_message(Message {
            msg_type: MessageType::MsgHeartbeat,
            from: leader,
            to: self.raw.raft.id,
            term,
            ..Message::default()
        })
    }

    pub(super) fn step_plain(&mut self, data: &Bytes) -> Outcome<()> {
        let message = raft_guard::decode(data).map_err(GroupError::Refused)?;
        if message.get_msg_type() == MessageType::MsgSnapshot {
            return Err(GroupError::Refused("a snapshot comes with its state"));
        }
        self.step_message(message)
    }

    pub(super) fn step_snapshot(
        &mut self,
        data: &Bytes,
        position: Position,
        conf: Option<&Conf>,
    ) -> Outcome<()> {
        let mut message = raft_guard::decode(data).map_err(GroupError::Refused)?;
        if message.get_msg_type() != MessageType::MsgSnapshot {
            return Err(GroupError::Refused("not a snapshot"));
        }
        let metadata = message.mut_snapshot().mut_metadata();
        if position.index < metadata.index || position.term < metadata.term {
            return Err(GroupError::Refused("a state before the snapshot's"));
        }
        if position.index == metadata.index && position.term != metadata.term {
            return Err(GroupError::Refused("a state of another log"));
        }
        // What was committed later is as good: who leads has it in its log.
        if position.index > metadata.index {
            let conf = conf.ok_or(GroupError::Refused("a state of another snapshot"))?;
            metadata.index = position.index;
            metadata.term = position.term;
            metadata.set_conf_state(conf.to_state());
        }
        self.step_message(message)
    }

    fn step_message(&mut self, message: Message) -> Outcome<()> {
        let standing = Standing {
            peer: self.raw.raft.id,
            last_index: self.raw.raft.raft_log.last_index(),
            leading: self.is_leading(),
            joining: self.raw.raft.prs().iter().len() == 0,
            may_campaign: self.may_campaign(),
        };
        raft_guard::check(standing, &message).map_err(GroupError::Refused)?;
        self.contacts += u64::from(raft_guard::is_leaders(&message));
        self.raw
            .step(message)
            .map_err(|_| GroupError::Refused("not of this group"))
    }

    pub(super) fn tick(&mut self) -> bool {
        if self.is_leading() {
            self.note_silence();
            self.raw.tick();
            self.give_up_lost_snapshots();
            self.leave_joint_conf();
        } else {
            self.silent.clear();
            if self.may_campaign() || !self.raw.raft.promotable() {
                self.campaigns += u64::from(self.raw.tick());
            } else {
                // Its patience with the leader runs out all the same: others may need its vote.
                self.raw.raft.election_elapsed += 1;
            }
        }
        self.raw.has_ready()
    }

    /// The crate forgets at each of its checks who was heard from, until they are heard again.
    fn note_silence(&mut self) {
        let peers = self.raw.raft.prs();
        self.silent.retain(|peer, _| peers.get(*peer).is_some());
        for (peer, progress) in peers.iter() {
            let ticks = self.silent.entry(*peer).or_default();
            *ticks = if progress.recent_active {
                0
            } else {
                *ticks + 1
            };
        }
    }

    /// Heard from within about an election timeout.
    fn is_active(&self, peer: u64, progress: &Progress) -> bool {
        let ticks = self.silent.get(&peer).copied().unwrap_or(0);
        progress.recent_active || ticks <= self.raw.raft.election_timeout()
    }

    /// A lost snapshot leaves its peer without entries until somebody says so.
    pub(super) fn give_up_lost_snapshots(&mut self) {
        let mut lost = Vec::new();
        for (peer, ticks) in &mut self.snapshots_sent {
            *ticks += 1;
            if *ticks >= self.snapshot_ticks_max {
                lost.push(*peer);
            }
        }
        for peer in lost {
            self.report_snapshot(peer, false);
        }
    }

    pub(super) fn report_snapshot(&mut self, peer: u64, arrived: bool) {
        self.snapshots_sent.remove(&peer);
        let status = if arrived {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.raw.report_snapshot(peer, status);
    }

    /// The crate leaves a joint configuration by itself only if the leader that entered it is still
    /// there; a later leader has to be told.
    pub(super) fn leave_joint_conf(&mut self) {
        let raft = &self.raw.raft;
        if *raft.prs().conf().auto_leave() && !raft.has_pending_conf() {
            // Full: the next tick tries again.
            let _ = self.propose(EntryType::EntryConfChangeV2, Bytes::new());
        }
    }

    pub(super) fn campaign(&mut self) -> Outcome<()> {
        if self.is_leading() || !self.may_campaign() {
            return Err(GroupError::Refused("not able to campaign now"));
        }
        self.campaigns += 1;
        self.raw
            .campaign()
            .map_err(|_| GroupError::Refused("not able to campaign now"))
    }

    pub(super) fn ready(&mut self) -> Ready {
        let mut ready = self.raw.ready();
        let number = ready.number();
        let at_once = ready.take_messages();
        let persisted_first = ready.take_persisted_messages();
        let committed = ready.take_committed_entries();
        let committed: Vec<LogEntry> = committed.iter().map(log_entry).collect();
        let reads = ready.take_read_states();
        let role = ready.ss().map(|soft| RoleChange {
            role: Role::of(soft.raft_state),
            leader: soft.leader_id,
        });
        // Raft goes by the configuration that is committed: who starts again must not find one that was left, whose
        // members may be gone.
        let reconfigured = committed
            .iter()
            .any(|entry| entry.kind != entry_kind::NORMAL);
        let record = (ready.must_sync() || reconfigured).then(|| self.record(&mut ready));
        let snapshot = (!ready.snapshot().is_empty()).then(|| ready.snapshot().clone());
        if let Some(snapshot) = &snapshot {
            self.handed = self.handed.max(snapshot.get_metadata().index);
            self.conf_entries.clear(); // the snapshot's configuration holds them
        }
        // The log must hold the update before this: Raft forgets its own copy.
        self.raw.advance_append_async(ready);
        let unstable = &mut self.raw.raft.raft_log.unstable.entries;
        if unstable.is_empty() {
            unstable.shrink_to(UNSTABLE_CAPACITY_MAX);
        }
        self.note_committed(&committed);
        let mut messages = self.outgoing(at_once);
        messages.extend(self.hold(number, record.is_some(), persisted_first));
        Ready {
            number,
            messages,
            record,
            snapshot: snapshot.map(ReceivedSnapshot::of),
            committed,
            reads: reads
                .into_iter()
                .filter_map(|read| Read::of(&read))
                .collect(),
            role,
        }
    }

    /// Puts a ready's update in the log, and makes the journal's record of it.
    pub(super) fn record(&mut self, ready: &mut raft::Ready) -> GroupRecord {
        let raft = &self.raw.raft;
        let hard_state = HardState {
            term: raft.term,
            vote: raft.vote,
            commit: raft.raft_log.committed,
        };
        let mut record = GroupRecord {
            group: self.number,
            hard_state: (hard_state != self.recorded).then_some(hard_state),
            entries: Vec::new(),
        };
        self.recorded = hard_state;
        if !ready.snapshot().is_empty() {
            let snapshot = ready.snapshot().clone();
            record.entries.push(LogEntry {
                index: snapshot.get_metadata().index,
                term: snapshot.get_metadata().term,
                kind: entry_kind::SNAPSHOT,
                data: snapshot.write_to_bytes().unwrap_or_default().into(),
            });
            self.raw.mut_store().install(snapshot);
        }
        let entries = ready.take_entries();
        record.entries.reserve_exact(entries.len());
        for entry in &entries {
            let entry = log_entry(entry);
            let (index, term, kind) = (entry.index, entry.term, entry.kind);
            self.raw
                .mut_store()
                .append(index, term, kind, entry.data.clone());
            record.entries.push(entry);
        }
        record
    }

    pub(super) fn note_committed(&mut self, committed: &[LogEntry]) {
        if let Some(last) = committed.last() {
            self.handed = last.index;
        }
        let changes = committed
            .iter()
            .filter(|entry| entry.kind != entry_kind::NORMAL);
        self.conf_entries.extend(changes.cloned());
    }

    /// Keeps the messages of a ready until it is durable. A ready without a record is as durable as
    /// the one before it.
    pub(super) fn hold(
        &mut self,
        number: u64,
        has_record: bool,
        messages: Vec<Message>,
    ) -> Vec<PeerMessage> {
        if has_record || !self.held.is_empty() {
            self.held.push_back(Held {
                number,
                has_record,
                messages,
            });
            return Vec::new();
        }
        self.raw.on_persist_ready(number);
        self.outgoing(messages)
    }

    pub(super) fn on_persisted(&mut self, number: u64) -> Outcome<Vec<PeerMessage>> {
        let owed = |held: &Held| held.number == number && held.has_record;
        if !self.held.iter().any(owed) {
            return Err(GroupError::Refused("no such record is being written"));
        }
        let mut through = number;
        let mut messages = Vec::new();
        while let Some(held) = self.held.front() {
            if held.has_record && held.number > number {
                break;
            }
            through = held.number;
            messages.extend(
                self.held
                    .pop_front()
                    .map_or(Vec::new(), |held| held.messages),
            );
        }
        self.raw.on_persist_ready(through);
        Ok(self.outgoing(messages))
    }

    pub(super) fn outgoing(&mut self, messages: Vec<Message>) -> Vec<PeerMessage> {
        let mut outgoing = Vec::with_capacity(messages.len());
        for message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.snapshots_sent.insert(message.to, 0);
            }
            outgoing.push(PeerMessage::of(message));
        }
        outgoing
    }

    pub(super) fn on_applied(&mut self, index: u64) -> Outcome<()> {
        let log = &self.raw.raft.raft_log;
        let durable = log.committed.min(log.persisted);
        if index < log.applied || index > self.handed || index > durable {
            return Err(GroupError::Refused("applied what was not given out"));
        }
        while let Some(entry) = self.conf_entries.front() {
            if entry.index > index {
                break;
            }
            let change = decode_change(entry).map_err(GroupError::Refused)?;
            let applied_through = entry.index;
            self.raw
                .apply_conf_change(&change)
                .map_err(|_| GroupError::Refused("a committed change that can't be"))?;
            self.conf_entries.pop_front();
            self.raw.advance_apply_to(applied_through);
            // A newcomer knows no voters, so it may not follow the log from its beginning: without the
            // first entry it is sent a snapshot, which names them.
            self.raw.mut_store().compact(1);
            self.stop_leading_if_removed();
        }
        self.raw.advance_apply_to(index);
        self.raw.mut_store().note_applied(index);
        Ok(())
    }

    pub(super) fn trim(&mut self) {
        let raft = &self.raw.raft;
        let applied = raft.raft_log.applied;
        if raft.prs().iter().len() == 1 && raft.prs().is_singleton() {
            self.raw.mut_store().compact(applied);
            return;
        }
        let mut matched = applied;
        if self.is_leading() {
            let peers = raft.prs().iter();
            let active = peers.filter(|(peer, progress)| self.is_active(**peer, progress));
            matched = active
                .map(|(_, peer)| peer.matched)
                .min()
                .unwrap_or(applied);
        }
        self.raw.mut_store().trim(matched);
    }

    /// A leader that stops its clock sends no heartbeats, so every member must know all that is committed: one that
    /// does not would go on ticking, and stand for election.
    pub(super) fn is_quiet(&self) -> bool {
        if !self.is_settled() {
            return false;
        }
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        let knows_all = |(peer, progress): (&u64, &Progress)| {
            progress.matched == last && (*peer == raft.id || progress.committed_index == last)
        };
        match raft.state {
            StateRole::Leader => {
                raft.apply_to_current_term()
                    && !raft.has_pending_conf()
                    && !self.conf().is_joint()
                    && raft.lead_transferee.is_none()
                    && raft.pending_read_count() == 0
                    && self.snapshots_sent.is_empty()
                    && raft.prs().iter().all(knows_all)
            }
            // One that knows no members elects nobody: its clock means nothing.
            StateRole::Follower => {
                raft.leader_id != raft::INVALID_ID || raft.prs().iter().len() == 0
            }
            StateRole::PreCandidate | StateRole::Candidate => false,
        }
    }

    /// All that it holds is written, committed and applied, and nothing is to be done.
    fn is_settled(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let last = log.last_index();
        let settled = log.committed == last && log.applied == last && log.persisted == last;
        settled && self.held.is_empty() && !self.raw.has_ready()
    }

    pub(super) fn was_let_go(&self) -> bool {
        let conf = self.conf();
        let follows = self.raw.raft.state == StateRole::Follower;
        follows && self.is_settled() && !conf.voters.is_empty() && !conf.has(self.raw.raft.id)
    }

    /// Entries that it holds and that were never committed need no keeping: no configuration in effect counts it.
    pub(super) fn was_dropped(&self, term: u64, contacts: u64) -> bool {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        let written = log.persisted == log.last_index() && self.held.is_empty();
        let untold = raft.term <= term && self.contacts == contacts;
        !self.is_leading() && written && untold && !self.raw.has_ready()
    }

    /// The crate lets a leader that is no voter any more go on, and panics when it counts its own
    /// progress. It comes to that when the one who proposed the removal was followed by its victim.
    pub(super) fn stop_leading_if_removed(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && !raft.promotable() {
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
        }
    }

    pub(super) fn propose_conf_change(&mut self, changes: &[ConfChange]) -> Outcome<Position> {
        self.must_lead()?;
        let raft = &self.raw.raft;
        // A second one would become an empty entry, in silence.
        if raft.has_pending_conf() || self.conf().is_joint() {
            return Err(GroupError::Refused("a change is under way"));
        }
        let change = validated(raft.id, raft.raft_log.committed, raft.prs(), changes)
            .map_err(GroupError::Refused)?;
        let data = change.write_to_bytes().unwrap_or_default();
        self.propose(EntryType::EntryConfChangeV2, data.into())
    }

    pub(super) fn transfer_leader(&mut self, peer: u64) -> Outcome<()> {
        self.must_lead()?;
        if peer == self.raw.raft.id || !self.conf().voters.contains(&peer) {
            return Err(GroupError::Refused("not another voter"));
        }
        self.raw.transfer_leader(peer);
        Ok(())
    }

    pub(super) fn read_index(&mut self, context: u64) -> Outcome<()> {
        self.must_lead()?;
        let raft = &self.raw.raft;
        // Before its own term's first commit the crate drops the question in silence.
        if !raft.commit_to_current_term() {
            return Err(GroupError::Refused("nothing committed in this term yet"));
        }
        if raft.pending_read_count() + raft.ready_read_count() >= READS_MAX {
            return Err(GroupError::Full);
        }
        self.raw.read_index(context.to_be_bytes().to_vec());
        Ok(())
    }

    pub(super) fn mark_snapshot(&mut self) -> Outcome<SnapshotMark> {
        let index = self.raw.raft.raft_log.applied;
        let term = self.raw.store().term(index);
        match term {
            Ok(term) => Ok(SnapshotMark {
                position: Position { index, term },
                conf: self.conf(),
            }),
            Err(_) => Err(GroupError::Refused("a snapshot is being installed")),
        }
    }

    pub(super) fn offer_snapshot(&mut self, mark: &SnapshotMark, data: Bytes) -> Outcome<()> {
        if mark.position.index == 0 || mark.position.index > self.raw.raft.raft_log.applied {
            return Err(GroupError::Refused("a snapshot of what is not applied"));
        }
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().index = mark.position.index;
        snapshot.mut_metadata().term = mark.position.term;
        snapshot.mut_metadata().set_conf_state(mark.conf.to_state());
        snapshot.data = data;
        self.raw.mut_store().offer_snapshot(snapshot);
        Ok(())
    }

    pub(super) fn conf(&self) -> Conf {
        Conf::from_state(&self.raw.raft.prs().conf().to_conf_state())
    }

    pub(super) fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let mut progress: Vec<PeerProgress> = Vec::new();
        if self.is_leading() {
            let of = |(peer, progress): (&u64, &Progress)| {
                PeerProgress::of(*peer, progress, self.is_active(*peer, progress))
            };
            progress = raft.prs().iter().map(of).collect();
            progress.sort_unstable_by_key(|progress| progress.peer);
        }
        Status {
            role: Role::of(raft.state),
            term: raft.term,
            vote: raft.vote,
            leader: raft.leader_id,
            first_index: raft.raft_log.first_index(),
            last_index: raft.raft_log.last_index(),
            commit: raft.raft_log.committed,
            persisted: raft.raft_log.persisted,
            applied: raft.raft_log.applied,
            log_size: self.raw.store().data_size(),
            unstable_capacity: raft.raft_log.unstable.entries.capacity(),
            uncommitted_size: raft.uncommitted_size(),
            election_timeout_ticks: raft.randomized_election_timeout(),
            progress,
        }
    }
}

/// Splitmix64's finaliser.
fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
