//! One Raft group: the `raft` crate without I/O, made safe to hold.
//!
//! Input is proposals, peers' messages, ticks and what the disk did; output is taken as a [`Ready`].
//! The order of one ready: send its messages; make its record durable, then
//! [`RaftGroup::on_persisted`], which gives the messages that had to wait for that; apply what is
//! committed, then [`RaftGroup::on_applied`]. Take ready until there is none after every input.
//!
//! Laws: what the crate would panic on or be corrupted by is refused before it sees it (`raft_guard`,
//! and the checks here); a panic that comes through all the same makes the group dead, which its host
//! restarts from the journal; nothing depends on a clock, a random source or the order of a hash.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType, Snapshot};
use raft::{Config, RawNode, SnapshotStatus, StateRole, Storage as _};

use crate::contained::contained;
use crate::group_record::{GroupRecord, HardState, LogEntry};
use crate::raft_conf::{decode_change, validated, Conf, ConfChange};
use crate::raft_guard::{self, Standing};
use crate::raft_log::{entry_kind, log_entry, Position, RaftLog};
use crate::raft_options::{check_boot, GroupOptions};
use crate::raft_ready::{
    PeerMessage, PeerProgress, Read, Ready, ReceivedSnapshot, Role, RoleChange, SnapshotMark,
    Status,
};

/// The crate's vector of unstable entries never shrinks by itself (a 600,000-entry backlog held
/// 106 MB for ever); between rounds it is empty.
const UNSTABLE_CAPACITY_MAX: usize = 64;
/// Reads that wait for a quorum; the crate keeps as many as it is given.
const READS_MAX: usize = 4096;

/// Why a group did not do what it was asked. Nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// Raft panicked before, with these words: restart the group from the journal.
    Dead(String),
    /// Ask the leader; 0: none is known.
    NotLeader { leader: u64 },
    /// Too much is not committed yet, or a transfer of the leadership is under way: ask again.
    Full,
    /// The request or the peer's message is wrong, and how.
    Refused(&'static str),
}

type Outcome<T> = Result<T, GroupError>;

/// A ready that is not known to be durable, and the messages that promise it is.
struct Held {
    number: u64,
    has_record: bool,
    messages: Vec<Message>,
}

/// See the file's head. Never touched again once Raft panicked in it.
struct Group {
    raw: RawNode<RaftLog>,
    number: u32,
    seed: u64,
    uncommitted_entries_max: u64,
    snapshot_ticks_max: u32,
    campaigns: u64,
    held: VecDeque<Held>,
    /// The last index given out as committed, or by a snapshot.
    handed: u64,
    /// Committed changes of configuration that were given out and not applied.
    conf_entries: VecDeque<LogEntry>,
    recorded: HardState,
    /// Peers that were sent a snapshot, and for how many ticks.
    snapshots_sent: BTreeMap<u64, u32>,
}

/// One Raft group of this node.
pub struct RaftGroup {
    group: Group,
    dead: Option<String>,
}

impl RaftGroup {
    /// A group as it was when its last record became durable. Refuses a log that does not reach from
    /// the state machine to its own end, and a configuration that is none.
    pub fn new(options: GroupOptions) -> Outcome<Self> {
        let boot = check_boot(&options).map_err(GroupError::Refused)?;
        let config = Config {
            id: options.peer,
            election_tick: options.election_ticks,
            heartbeat_tick: options.heartbeat_ticks,
            applied: options.applied.index,
            max_size_per_msg: options.append_size_max,
            max_inflight_msgs: options.appends_in_flight_max,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: options.uncommitted_size_max,
            max_committed_size_per_ready: options.committed_size_max,
            ..Config::default()
        };
        let hard_state = raft::eraftpb::HardState {
            term: boot.term,
            vote: boot.vote,
            commit: boot.commit,
            ..raft::eraftpb::HardState::default()
        };
        let mut log = RaftLog::new(options.applied, options.conf.to_state(), hard_state);
        for entry in options.entries {
            if entry.index > options.applied.index {
                log.append(entry.index, entry.term, entry.kind, entry.data);
            }
        }
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = contained(|| RawNode::new(&config, log, &logger))
            .map_err(GroupError::Dead)?
            .map_err(|_| GroupError::Refused("limits that contradict each other"))?;
        let mut group = Group {
            raw,
            number: options.group,
            seed: options.seed,
            uncommitted_entries_max: options.uncommitted_entries_max,
            snapshot_ticks_max: options.snapshot_ticks_max,
            campaigns: 0,
            held: VecDeque::new(),
            handed: options.applied.index,
            conf_entries: VecDeque::new(),
            recorded: boot,
            snapshots_sent: BTreeMap::new(),
        };
        group.draw_election_timeout();
        Ok(Self { group, dead: None })
    }

    /// Runs `call` unless the group is dead; a panic in it kills the group.
    fn run<T>(&mut self, call: impl FnOnce(&mut Group) -> Outcome<T>) -> Outcome<T> {
        if let Some(reason) = &self.dead {
            return Err(GroupError::Dead(reason.clone()));
        }
        let group = &mut self.group;
        let outcome = contained(|| {
            let outcome = call(group);
            group.draw_election_timeout();
            outcome
        });
        outcome.unwrap_or_else(|reason| {
            self.dead = Some(reason.clone());
            Err(GroupError::Dead(reason))
        })
    }

    /// Appends `data` to the leader's log. It is not committed until it comes back in a ready.
    pub fn propose(&mut self, data: Bytes) -> Outcome<Position> {
        self.run(|group| group.propose(EntryType::EntryNormal, data))
    }

    /// A message of a peer, as it came. One that is refused did nothing.
    pub fn step(&mut self, data: &Bytes) -> Outcome<()> {
        self.run(|group| group.step(data))
    }

    /// Time went by. Says whether there may be something ready.
    pub fn tick(&mut self) -> Outcome<bool> {
        self.run(|group| Ok(group.tick()))
    }

    /// Starts an election now.
    pub fn campaign(&mut self) -> Outcome<()> {
        self.run(Group::campaign)
    }

    pub fn has_ready(&self) -> bool {
        self.dead.is_none() && self.group.raw.has_ready()
    }

    /// What became due, once. After it the host owes its record, its messages and its entries.
    pub fn ready(&mut self) -> Outcome<Option<Ready>> {
        if self.dead.is_none() && !self.group.raw.has_ready() {
            return Ok(None);
        }
        self.run(|group| Ok(Some(group.ready())))
    }

    /// The record of ready `number`, and so of all before it, is durable. Gives the messages that
    /// may be sent now. Only a ready with a record has a number to be told.
    pub fn on_persisted(&mut self, number: u64) -> Outcome<Vec<PeerMessage>> {
        self.run(|group| group.on_persisted(number))
    }

    /// Everything through `index` is in the state machine. Changes of configuration on the way take
    /// effect here.
    pub fn on_applied(&mut self, index: u64) -> Outcome<()> {
        self.run(|group| group.on_applied(index))
    }

    /// Proposes a change of the voters and learners: one at a time. See [`ConfChange`].
    pub fn propose_conf_change(&mut self, changes: &[ConfChange]) -> Outcome<Position> {
        self.run(|group| group.propose_conf_change(changes))
    }

    /// Asks `peer` to lead. Proposals are [`GroupError::Full`] until it does or time is up.
    pub fn transfer_leader(&mut self, peer: u64) -> Outcome<()> {
        self.run(|group| group.transfer_leader(peer))
    }

    /// Asks until where a reader must have applied to see all that is committed now; the answer is
    /// in a ready's `reads`, under `context`. An answer may never come: then ask again.
    pub fn read_index(&mut self, context: u64) -> Outcome<()> {
        self.run(|group| group.read_index(context))
    }

    /// The last message to `peer` was not sent.
    pub fn report_unreachable(&mut self, peer: u64) -> Outcome<()> {
        self.run(|group| {
            group.raw.report_unreachable(peer);
            Ok(())
        })
    }

    /// The snapshot sent to `peer` arrived, or did not. Must follow every snapshot: until then the
    /// peer gets nothing. A silent host counts as a failure after `snapshot_ticks_max` ticks.
    pub fn report_snapshot(&mut self, peer: u64, arrived: bool) -> Outcome<()> {
        self.run(|group| {
            group.report_snapshot(peer, arrived);
            Ok(())
        })
    }

    /// The snapshot to `peer` is still on its way: its time starts again.
    pub fn report_snapshot_progress(&mut self, peer: u64) {
        if let Some(ticks) = self.group.snapshots_sent.get_mut(&peer) {
            *ticks = 0;
        }
    }

    /// Where the state machine stands, with the configuration there: to be taken together with a
    /// frozen copy of it.
    pub fn mark_snapshot(&mut self) -> Outcome<SnapshotMark> {
        self.run(|group: &mut Group| group.mark_snapshot())
    }

    /// The state machine as of `mark` is durable; followers that need it are sent `data`.
    pub fn offer_snapshot(&mut self, mark: &SnapshotMark, data: Bytes) -> Outcome<()> {
        self.run(|group| group.offer_snapshot(mark, data))
    }

    /// The peer for which a newer snapshot must be made and offered; asked once.
    pub fn take_snapshot_wanted(&mut self) -> Option<u64> {
        self.group.raw.store().take_snapshot_wanted()
    }

    /// Forgets entries through `index` (at most the applied one); who still needs them gets a
    /// snapshot.
    pub fn compact(&mut self, index: u64) -> Outcome<()> {
        self.run(|group| {
            if index > group.raw.raft.raft_log.applied {
                return Err(GroupError::Refused("compacting what is not applied"));
            }
            group.raw.mut_store().compact(index);
            Ok(())
        })
    }

    pub fn group(&self) -> u32 {
        self.group.number
    }

    pub fn peer(&self) -> u64 {
        self.group.raw.raft.id
    }

    pub fn term(&self) -> u64 {
        self.group.raw.raft.term
    }

    pub fn leader(&self) -> u64 {
        self.group.raw.raft.leader_id
    }

    pub fn is_leading(&self) -> bool {
        self.dead.is_none() && self.group.is_leading()
    }

    /// Leads, and has applied an entry of its own term: only now may it decide and answer.
    pub fn is_serving(&self) -> bool {
        self.is_leading() && self.group.raw.raft.apply_to_current_term()
    }

    /// Why the group is dead.
    pub fn dead(&self) -> Option<&str> {
        self.dead.as_deref()
    }

    /// The configuration in effect.
    pub fn conf(&self) -> Conf {
        self.group.conf()
    }

    pub fn status(&self) -> Status {
        self.group.status()
    }
}

impl Group {
    /// The crate draws election timeouts from a thread's random source at many places; after every
    /// call a value that depends on nothing but the group's own history replaces it. The group's
    /// number is in it, or one node would win every group of the cluster.
    fn draw_election_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let ticks = raft.election_timeout();
        let mut hash = mix(self.seed ^ u64::from(self.number));
        for value in [raft.id, raft.term, self.campaigns] {
            hash = mix(hash ^ value);
        }
        raft.set_randomized_election_timeout(ticks + (hash % ticks as u64) as usize);
    }

    fn is_leading(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn must_lead(&self) -> Outcome<()> {
        if self.is_leading() {
            return Ok(());
        }
        Err(GroupError::NotLeader {
            leader: self.raw.raft.leader_id,
        })
    }

    /// Starting an election would not trip an assertion of the crate: a sole voter whose log is not
    /// durable would lead at once; after a snapshot that is not applied the entries are missing.
    fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        let alone = raft.prs().is_singleton();
        raft.promotable()
            && log.applied + 1 >= log.first_index()
            && (!alone || log.persisted == log.last_index())
    }

    fn propose(&mut self, entry_type: EntryType, data: Bytes) -> Outcome<Position> {
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

    fn step(&mut self, data: &Bytes) -> Outcome<()> {
        let message = raft_guard::decode(data).map_err(GroupError::Refused)?;
        let standing = Standing {
            peer: self.raw.raft.id,
            last_index: self.raw.raft.raft_log.last_index(),
            leading: self.is_leading(),
            joining: self.raw.raft.prs().iter().len() == 0,
            may_campaign: self.may_campaign(),
        };
        raft_guard::check(standing, &message).map_err(GroupError::Refused)?;
        self.raw
            .step(message)
            .map_err(|_| GroupError::Refused("not of this group"))
    }

    fn tick(&mut self) -> bool {
        if self.is_leading() {
            self.raw.tick();
            self.give_up_lost_snapshots();
            self.leave_joint_conf();
        } else if self.may_campaign() && self.raw.tick() {
            self.campaigns += 1;
        }
        self.raw.has_ready()
    }

    /// A lost snapshot leaves its peer without entries until somebody says so.
    fn give_up_lost_snapshots(&mut self) {
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

    fn report_snapshot(&mut self, peer: u64, arrived: bool) {
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
    fn leave_joint_conf(&mut self) {
        let raft = &self.raw.raft;
        if *raft.prs().conf().auto_leave() && !raft.has_pending_conf() {
            // Full: the next tick tries again.
            let _ = self.propose(EntryType::EntryConfChangeV2, Bytes::new());
        }
    }

    fn campaign(&mut self) -> Outcome<()> {
        if self.is_leading() || !self.may_campaign() {
            return Err(GroupError::Refused("not able to campaign now"));
        }
        self.campaigns += 1;
        self.raw
            .campaign()
            .map_err(|_| GroupError::Refused("not able to campaign now"))
    }

    fn ready(&mut self) -> Ready {
        let mut ready = self.raw.ready();
        let number = ready.number();
        let at_once = ready.take_messages();
        let persisted_first = ready.take_persisted_messages();
        let committed = ready.take_committed_entries();
        let reads = ready.take_read_states();
        let role = ready.ss().map(|soft| RoleChange {
            role: Role::of(soft.raft_state),
            leader: soft.leader_id,
        });
        let record = ready.must_sync().then(|| self.record(&mut ready));
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
        let committed: Vec<LogEntry> = committed.iter().map(log_entry).collect();
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
    fn record(&mut self, ready: &mut raft::Ready) -> GroupRecord {
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

    fn note_committed(&mut self, committed: &[LogEntry]) {
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
    fn hold(&mut self, number: u64, has_record: bool, messages: Vec<Message>) -> Vec<PeerMessage> {
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

    fn on_persisted(&mut self, number: u64) -> Outcome<Vec<PeerMessage>> {
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

    fn outgoing(&mut self, messages: Vec<Message>) -> Vec<PeerMessage> {
        let mut outgoing = Vec::with_capacity(messages.len());
        for message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.snapshots_sent.insert(message.to, 0);
            }
            outgoing.push(PeerMessage::of(&message));
        }
        outgoing
    }

    fn on_applied(&mut self, index: u64) -> Outcome<()> {
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
            self.stop_leading_if_removed();
        }
        self.raw.advance_apply_to(index);
        // A newcomer knows no voters, so it may not follow the log from its beginning: without the
        // first entry it is sent a snapshot, which names them.
        self.raw.mut_store().compact(index.min(1));
        Ok(())
    }

    /// The crate lets a leader that is no voter any more go on, and panics when it counts its own
    /// progress. It comes to that when the one who proposed the removal was followed by its victim.
    fn stop_leading_if_removed(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && !raft.promotable() {
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
        }
    }

    fn propose_conf_change(&mut self, changes: &[ConfChange]) -> Outcome<Position> {
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

    fn transfer_leader(&mut self, peer: u64) -> Outcome<()> {
        self.must_lead()?;
        if peer == self.raw.raft.id || !self.conf().voters.contains(&peer) {
            return Err(GroupError::Refused("not another voter"));
        }
        self.raw.transfer_leader(peer);
        Ok(())
    }

    fn read_index(&mut self, context: u64) -> Outcome<()> {
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

    fn mark_snapshot(&mut self) -> Outcome<SnapshotMark> {
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

    fn offer_snapshot(&mut self, mark: &SnapshotMark, data: Bytes) -> Outcome<()> {
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

    fn conf(&self) -> Conf {
        Conf::from_state(&self.raw.raft.prs().conf().to_conf_state())
    }

    fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let mut progress: Vec<PeerProgress> = Vec::new();
        if self.is_leading() {
            progress = raft.prs().iter().map(PeerProgress::of).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_raft_kills_its_group_for_good() {
        let mut group = RaftGroup::new(GroupOptions::new(1, 0, &[1], 7)).unwrap();
        let outcome: Outcome<()> = group.run(|_| panic!("to_commit 9 is out of range"));
        let dead = GroupError::Dead("to_commit 9 is out of range".into());
        assert_eq!(outcome, Err(dead.clone()));
        assert_eq!(group.propose(Bytes::new()), Err(dead.clone()));
        assert_eq!(group.tick(), Err(dead.clone()));
        assert_eq!(group.ready().map(|_| ()), Err(dead));
        assert!(!group.has_ready() && !group.is_leading());
    }
}
