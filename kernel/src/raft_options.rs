//! What a Raft group starts from, and whether it may.
//!
//! The group's state machine stands at `applied` under `conf`, from its checkpoint; hard state and
//! entries come from the journal. The log must reach from there to its own end without a gap.

use crate::group_record::{HardState, LogEntry};
use crate::raft_conf::Conf;
use crate::raft_guard::check_conf;
use crate::raft_log::{entry_kind, Position};

/// See the file's head; sizes in bytes, times in ticks.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// This node's peer id: random, never 0, never used again.
    pub peer: u64,
    pub group: u32,
    pub seed: u64,
    /// The configuration as of `applied`. Without voters: a new peer that waits for a leader's snapshot.
    pub conf: Conf,
    pub applied: Position,
    pub hard_state: Option<HardState>,
    /// Ascending; those through `applied` are ignored.
    pub entries: Vec<LogEntry>,
    /// What led to `applied`, in a row and through it, for followers who are behind; may be empty.
    pub tail: Vec<LogEntry>,
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    pub append_size_max: u64,
    pub appends_in_flight_max: usize,
    pub uncommitted_size_max: u64,
    pub uncommitted_entries_max: u64,
    pub committed_size_max: u64,
    pub snapshot_ticks_max: u32,
    /// Followers are told at once what is committed, not along with the next entry or heartbeat.
    pub tells_commits: bool,
}

impl GroupOptions {
    /// A new group of `voters`, with the usual limits.
    pub fn new(peer: u64, group: u32, voters: &[u64], seed: u64) -> Self {
        Self {
            peer,
            group,
            seed,
            conf: Conf::of_voters(voters),
            applied: Position::default(),
            hard_state: None,
            entries: Vec::new(),
            tail: Vec::new(),
            election_ticks: 10,
            heartbeat_ticks: 1,
            append_size_max: 1 << 20,
            appends_in_flight_max: 16,
            uncommitted_size_max: 64 << 20,
            uncommitted_entries_max: 4096,
            committed_size_max: 4 << 20,
            snapshot_ticks_max: 600,
            tells_commits: true,
        }
    }
}

/// The hard state to start from, or why this log and this state machine do not belong together.
pub(crate) fn check_boot(options: &GroupOptions) -> Result<HardState, &'static str> {
    if options.peer == 0 {
        return Err("peer 0 is nobody");
    }
    let joining = options.conf == Conf::default();
    if joining && options.applied.index > 0 {
        return Err("a configuration without voters");
    }
    if !joining {
        check_conf(&options.conf.to_state())?;
    }
    let tail_end = options.tail.last().map(|entry| Position {
        index: entry.index,
        term: entry.term,
    });
    if tail_end.is_some_and(|end| end != options.applied) {
        return Err("a tail that does not lead to the state machine");
    }
    let last = check_entries(options)?;
    let hard_state = match options.hard_state {
        Some(hard_state) => hard_state,
        None if last == Position::default() => HardState::default(),
        None => return Err("a log without a hard state"),
    };
    // Each record holds the hard state that its entries were taken under.
    if last.term > hard_state.term {
        return Err("a log from a term after the hard state's");
    }
    Ok(HardState {
        // The commit index is not synced on its own, and being applied proves being committed.
        commit: hard_state.commit.max(options.applied.index).min(last.index),
        ..hard_state
    })
}

/// The position of the log's end.
fn check_entries(options: &GroupOptions) -> Result<Position, &'static str> {
    let applied = options.applied;
    if (applied.index == 0) != (applied.term == 0) {
        return Err("a position that is none");
    }
    let mut last = applied;
    let mut ends_before_applied = false;
    for entry in &options.entries {
        let through_applied = entry.index <= applied.index;
        ends_before_applied = entry.index < applied.index;
        if entry.index == applied.index && entry.term != applied.term {
            return Err("the state machine is of another log");
        }
        if through_applied {
            continue;
        }
        if entry.kind == entry_kind::SNAPSHOT {
            return Err("the state machine is older than a received snapshot: restore that first");
        }
        if entry.index != last.index + 1 {
            return Err("entries are missing between the state machine and the log's end");
        }
        if entry.term < last.term {
            return Err("entries whose terms go back");
        }
        last = Position {
            index: entry.index,
            term: entry.term,
        };
    }
    if ends_before_applied {
        return Err("the log ends before what was applied");
    }
    Ok(last)
}
