//! Who votes in a group, and the changes a leader may propose to that.
//!
//! One change at a time, validated against Raft's own state before it is proposed: what the crate
//! finds wrong later becomes an empty entry or a wedged group, in silence.

use protobuf::Message as _;
use raft::eraftpb::{self, ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use raft::{Changer, Config, ProgressState, ProgressTracker, RawNode};

use crate::contained::contained;
use crate::group_record::LogEntry;
use crate::raft_guard::check_conf;
use crate::raft_log::{entry_kind, Position, RaftLog};

/// A learner is made a voter only when at most this many entries behind: before that the group
/// would wait for it at each commit.
const LEARNER_LAG_MAX: u64 = 1024;

/// A group's configuration. Lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    /// The voters of the configuration that is being left (joint consensus); else empty.
    pub voters_outgoing: Vec<u64>,
    pub learners_next: Vec<u64>,
    pub auto_leave: bool,
}

fn sorted(peers: &[u64]) -> Vec<u64> {
    let mut peers = peers.to_vec();
    peers.sort_unstable();
    peers
}

impl Conf {
    pub fn of_voters(voters: &[u64]) -> Self {
        Self {
            voters: sorted(voters),
            ..Self::default()
        }
    }

    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// `peer` is its only member.
    pub fn is_alone(&self, peer: u64) -> bool {
        self.voters == [peer] && self.learners.is_empty() && !self.is_joint()
    }

    pub fn has(&self, peer: u64) -> bool {
        let lists = [
            &self.voters,
            &self.voters_outgoing,
            &self.learners,
            &self.learners_next,
        ];
        lists.iter().any(|list| list.contains(&peer))
    }

    /// What a committed change makes of it, as Raft reckons that.
    pub fn changed_by(&self, entry: &LogEntry) -> Result<Self, &'static str> {
        let change = decode_change(entry)?;
        let base = Position { index: 1, term: 1 };
        let hard_state = eraftpb::HardState {
            term: 1,
            commit: 1,
            ..eraftpb::HardState::default()
        };
        let log = RaftLog::new(base, self.to_state(), hard_state);
        let config = Config {
            id: 1,
            applied: 1,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let changed = contained(|| {
            let mut raw = RawNode::new(&config, log, &logger)?;
            raw.apply_conf_change(&change)
        });
        match changed {
            Ok(Ok(state)) => Ok(Self::from_state(&state)),
            _ => Err("a committed change that can't be"),
        }
    }

    /// As a checkpoint keeps it: a protobuf `ConfState`.
    pub fn encode(&self) -> Vec<u8> {
        self.to_state().write_to_bytes().unwrap_or_default() // fails only for missing required fields
    }

    /// What `encode` wrote. An error says what is wrong with it.
    pub fn decode(data: &[u8]) -> Result<Self, &'static str> {
        let mut state = ConfState::default();
        state
            .merge_from_bytes(data)
            .map_err(|_| "not a configuration")?;
        if state != ConfState::default() {
            check_conf(&state)?;
        }
        Ok(Self::from_state(&state))
    }

    pub(crate) fn from_state(state: &ConfState) -> Self {
        Self {
            voters: sorted(&state.voters),
            learners: sorted(&state.learners),
            voters_outgoing: sorted(&state.voters_outgoing),
            learners_next: sorted(&state.learners_next),
            auto_leave: state.auto_leave,
        }
    }

    pub(crate) fn to_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }
}

/// One peer's part in a change of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChange {
    /// Only a learner that has caught up becomes a voter.
    AddVoter(u64),
    /// A voter that is made a learner is demoted.
    AddLearner(u64),
    Remove(u64),
}

impl ConfChange {
    pub fn peer(self) -> u64 {
        match self {
            Self::AddVoter(peer) | Self::AddLearner(peer) | Self::Remove(peer) => peer,
        }
    }

    fn to_single(self) -> ConfChangeSingle {
        ConfChangeSingle {
            node_id: self.peer(),
            change_type: match self {
                Self::AddVoter(_) => ConfChangeType::AddNode,
                Self::AddLearner(_) => ConfChangeType::AddLearnerNode,
                Self::Remove(_) => ConfChangeType::RemoveNode,
            },
            ..ConfChangeSingle::default()
        }
    }
}

/// The change in a committed entry.
pub(crate) fn decode_change(entry: &LogEntry) -> Result<ConfChangeV2, &'static str> {
    let damaged = |_| "a committed change that can't be read";
    let mut changes = ConfChangeV2::default();
    if entry.kind == entry_kind::CONF_CHANGE {
        let mut change = eraftpb::ConfChange::default();
        change.merge_from_bytes(&entry.data).map_err(damaged)?;
        let single = ConfChangeSingle {
            node_id: change.node_id,
            change_type: change.change_type,
            ..ConfChangeSingle::default()
        };
        changes.set_changes(vec![single].into());
    } else {
        changes.merge_from_bytes(&entry.data).map_err(damaged)?;
    }
    Ok(changes)
}

/// The change as Raft wants it, or why the leader `us` must not propose it. More than one peer at
/// once goes through a joint configuration, which is left by itself.
pub(crate) fn validated(
    us: u64,
    committed: u64,
    peers: &ProgressTracker,
    changes: &[ConfChange],
) -> Result<ConfChangeV2, &'static str> {
    if changes.is_empty() {
        return Err("no change");
    }
    let mut named: Vec<u64> = changes.iter().map(|change| change.peer()).collect();
    named.sort_unstable();
    named.dedup();
    if named.len() != changes.len() || named[0] == 0 {
        return Err("a change names peer 0, or a peer twice");
    }
    for change in changes {
        check_change(us, committed, peers, *change)?;
    }
    let mut proposal = ConfChangeV2::default();
    proposal.set_changes(
        changes
            .iter()
            .map(|change| change.to_single())
            .collect::<Vec<_>>()
            .into(),
    );
    let mut changer = Changer::new(peers);
    let outcome = match proposal.enter_joint() {
        Some(auto_leave) => changer.enter_joint(auto_leave, &proposal.changes),
        None => changer.simple(&proposal.changes),
    };
    match outcome {
        Ok(_) => Ok(proposal),
        Err(_) => Err("the configuration can't be changed so"),
    }
}

fn check_change(
    us: u64,
    committed: u64,
    peers: &ProgressTracker,
    change: ConfChange,
) -> Result<(), &'static str> {
    match change {
        ConfChange::AddVoter(peer) => {
            let progress = peers.get(peer).ok_or("a voter begins as a learner")?;
            let behind = progress.matched == 0
                || progress.matched + LEARNER_LAG_MAX < committed
                || progress.state == ProgressState::Snapshot;
            if behind {
                return Err("the learner has not caught up");
            }
            Ok(())
        }
        // The crate lets a leader that left go on leading for ever.
        ConfChange::AddLearner(peer) | ConfChange::Remove(peer) if peer == us => {
            Err("transfer the leadership first")
        }
        ConfChange::Remove(peer) if peers.get(peer).is_none() => Err("no such peer"),
        _ => Ok(()),
    }
}
