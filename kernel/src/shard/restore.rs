//! A shard as checkpoint and journal have it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Shard;
use crate::group_record::{HardState, LogEntry};
use crate::raft_conf::Conf;
use crate::raft_group::RaftGroup;
use crate::raft_log::{entry_kind, Position, TAIL_SIZE_MAX};
use crate::raft_options::GroupOptions;
use crate::shard_state::{Changes, ShardState};
use crate::wave::{Sender, Wave};

/// Of a leader's clock, against an election's ten.
const HEARTBEAT_TICKS: usize = 2;

/// The shard by whose topology every node routes; what others commit only their leaders act upon, so that followers may
/// learn of it with what comes next: a message and a round of each for every commit less.
const META: u32 = 0;

/// What a shard starts from.
#[derive(Debug, Default)]
pub struct Restored {
    /// From the newest checkpoint.
    pub state: ShardState,
    /// The group's configuration there, or the one it was founded with; without voters: it joins one.
    pub conf: Conf,
    pub hard_state: Option<HardState>,
    /// Its host takes messages and replica effects.
    pub is_replica: bool,
}

/// Applied entries, in a row, that followers may still ask for.
#[derive(Default)]
struct Tail {
    entries: VecDeque<LogEntry>,
    size: usize,
}

impl Tail {
    fn push(&mut self, entry: LogEntry) {
        self.size += entry.data.len();
        self.entries.push_back(entry);
        while self.size > TAIL_SIZE_MAX {
            self.size -= self.entries.pop_front().map_or(0, |entry| entry.data.len());
        }
    }
}

impl Shard {
    /// A logged shard from its checkpoint's state and the log around and after it, in a row.
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
        let Restored {
            mut state,
            mut conf,
            mut hard_state,
            is_replica,
        } = start;
        let mut changes = Changes::default();
        let mut commands = Vec::new();
        let (mut tail, mut rest) = (Tail::default(), Vec::new());
        let commit = hard_state.map_or(0, |hard_state| hard_state.commit);
        for entry in entries {
            let entry = entry?;
            if entry.index > commit.max(state.applied_index) {
                rest.push(entry);
                continue;
            }
            if entry.index > state.applied_index {
                replay(&mut state, &mut changes, &mut commands, &entry)?;
                if changes_conf(&entry) {
                    let damaged = |what| format!("entry {}: {what}", entry.index);
                    conf = conf.changed_by(&entry).map_err(damaged)?;
                }
            }
            if is_replica {
                tail.push(entry);
            }
        }
        let applied = Position {
            index: state.applied_index,
            term: state.applied_term,
        };
        let leads_there =
            |entry: &LogEntry| (entry.index, entry.term) == (applied.index, applied.term);
        if !tail.entries.back().is_some_and(leads_there) {
            tail.entries.clear();
        }
        if rest.is_empty() {
            hard_state = hard_state.map(|hard_state| of_term(hard_state, applied));
        }
        let options = GroupOptions {
            applied,
            conf,
            hard_state,
            entries: rest,
            tail: tail.entries.into(),
            heartbeat_ticks: HEARTBEAT_TICKS,
            tells_commits: id == META,
            ..GroupOptions::new(sender.peer, id, &[], seed)
        };
        let group = RaftGroup::new(options).map_err(|error| format!("shard {id}: {error:?}"))?;
        let mut shard = Self::new(id, sender, state, Some(group), cache_budget);
        shard.changes = changes;
        shard.has_effects = !commands.is_empty();
        shard.effects.commands = commands;
        shard.is_replica = is_replica;
        Ok(shard)
    }
}

/// A snapshot may have become durable whose term Raft had not recorded yet: in that one nobody was voted for.
fn of_term(hard_state: HardState, applied: Position) -> HardState {
    if hard_state.term >= applied.term {
        return hard_state;
    }
    HardState {
        term: applied.term,
        vote: 0,
        commit: applied.index,
    }
}

fn changes_conf(entry: &LogEntry) -> bool {
    matches!(
        entry.kind,
        entry_kind::CONF_CHANGE | entry_kind::CONF_CHANGE_V2
    )
}

/// Applies a committed entry of an earlier life.
pub fn replay(
    state: &mut ShardState,
    changes: &mut Changes,
    commands: &mut Vec<(u64, u64, Bytes)>,
    entry: &LogEntry,
) -> Result<(), String> {
    if entry.kind == entry_kind::SNAPSHOT {
        return Err(format!(
            "entry {}: a snapshot's state is missing",
            entry.index
        ));
    }
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
