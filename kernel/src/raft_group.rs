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

mod inside;

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
    /// A leader's: for how many ticks each peer was not heard from.
    silent: BTreeMap<u64, usize>,
    /// Messages that came from one who leads.
    contacts: u64,
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
            skip_bcast_commit: !options.tells_commits,
            ..Config::default()
        };
        let hard_state = raft::eraftpb::HardState {
            term: boot.term,
            vote: boot.vote,
            commit: boot.commit,
            ..raft::eraftpb::HardState::default()
        };
        let whole = options.tail.first().is_some_and(|entry| entry.index == 1)
            && options.tail.iter().all(|e| e.kind == entry_kind::NORMAL);
        let mut tail = options.tail.into_iter();
        let base = if whole {
            Position::default()
        } else {
            // Its term is all that is needed of the first one.
            tail.next().map_or(options.applied, |entry| Position {
                index: entry.index,
                term: entry.term,
            })
        };
        let mut log = RaftLog::new(base, options.conf.to_state(), hard_state);
        for entry in tail {
            log.append(entry.index, entry.term, entry.kind, entry.data);
        }
        log.note_applied(options.applied.index);
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
            silent: BTreeMap::new(),
            contacts: 0,
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

    /// The same, but a snapshot is refused: see [`RaftGroup::step_snapshot`].
    pub fn step_plain(&mut self, data: &Bytes) -> Outcome<()> {
        self.run(|group| group.step_plain(data))
    }

    /// `leader` leads in a later term, as it said by another way than Raft's: what its heartbeat would do.
    pub fn follow(&mut self, leader: u64, term: u64) -> Outcome<()> {
        self.run(|group| group.follow(leader, term))
    }

    /// A leader's message that carries a snapshot, for which `position` is what the state machine comes to: the
    /// snapshot's own, or a later one, of which `conf` is the configuration. Raft may ignore it all the same; if not
    /// it is in the next ready, at `position`.
    pub fn step_snapshot(
        &mut self,
        data: &Bytes,
        position: Position,
        conf: Option<&Conf>,
    ) -> Outcome<()> {
        self.run(|group| group.step_snapshot(data, position, conf))
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

    /// Forgets applied entries, but for what a member may soon ask for; of a group of one, all.
    pub fn trim(&mut self) -> Outcome<()> {
        self.run(|group| {
            group.trim();
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

    /// What it holds after an index and has given out to be written.
    pub fn entries_after(&self, index: u64) -> Vec<LogEntry> {
        self.group.raw.store().entries_after(index)
    }

    /// Somebody was asked to lead: nothing can be proposed until it does or time is up.
    pub fn is_transferring(&self) -> bool {
        self.group.raw.raft.lead_transferee.is_some()
    }

    /// Nothing is under way, so that the group's clock may stand still: a leader whose members all have its
    /// whole log and know that it is committed, a follower that has applied all it has, or one that never joined. See
    /// `Group::is_quiet`.
    pub fn is_quiet(&self) -> bool {
        self.dead.is_none() && self.group.is_quiet()
    }

    /// It was a member and is none, by all that it holds, which is applied.
    pub fn was_let_go(&self) -> bool {
        self.dead.is_none() && self.group.was_let_go()
    }

    /// The same said by who leads in `term`, since when nobody who leads has said anything else to it.
    pub fn was_dropped(&self, term: u64, contacts: u64) -> bool {
        self.dead.is_none() && self.group.was_dropped(term, contacts)
    }

    /// How many messages of leaders came: each may have been answered with a promise.
    pub fn contacts(&self) -> u64 {
        self.group.contacts
    }

    /// Entries through here are durable.
    pub fn persisted(&self) -> u64 {
        self.group.raw.raft.raft_log.persisted
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
