//! A shard in its group: what peers and the clock say, who leads, and what follows from that.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Departure, Effects, ReplicaEffects, Shard, Standing};
use crate::frame_cache::FrameCache;
use crate::group_record::GroupRecord;
use crate::pending_wave::PendingWave;
use crate::queue_leader::QueueLeader;
use crate::queue_state::QueueState;
use crate::raft_conf::{Conf, ConfChange};
use crate::raft_group::{GroupError, RaftGroup};
use crate::raft_log::Position;
use crate::raft_ready::{PeerMessage, SnapshotMark, Status};
use crate::shard_state::{Changes, ShardState};

/// What came of asking a group: the record to be written, for the journal, if there is one.
pub type Asked = Result<Option<GroupRecord>, GroupError>;

/// The same of a snapshot, and whether it took the state's place.
pub type Stepped = Result<(bool, Option<GroupRecord>), GroupError>;

const VOLATILE: GroupError = GroupError::Refused("a volatile shard has no group");
const LEAVING: GroupError = GroupError::Refused("its group has let it go");

impl Shard {
    /// Asks the group something, and takes what it wants done.
    fn ask(&mut self, call: impl FnOnce(&mut RaftGroup) -> Result<(), GroupError>) -> Asked {
        if self.is_leaving() {
            return Err(LEAVING);
        }
        call(self.group.as_mut().ok_or(VOLATILE)?)?;
        Ok(self.take_record())
    }

    /// A peer's message. One that is refused did nothing; one with a snapshot always is (`step_snapshot`).
    pub fn step(&mut self, message: &Bytes) -> Asked {
        self.ask(|group| group.step_plain(message))
    }

    /// Another peer says that it leads in a later term. Refused: not of a later one.
    pub fn follow(&mut self, leader: u64, term: u64) -> Asked {
        self.ask(|group| group.follow(leader, term))
    }

    /// Raft's clock. A volatile shard has none.
    pub fn tick(&mut self) -> Option<GroupRecord> {
        if self.is_leaving() {
            return None;
        }
        let ready = self.group.as_mut()?.tick();
        // Refused: it is dead, which `dead` tells.
        ready.ok()?.then(|| self.take_record()).flatten()
    }

    /// Starts an election, which a group's only voter wins.
    pub fn campaign(&mut self) -> Asked {
        self.ask(RaftGroup::campaign)
    }

    /// Asks another voter to lead; what was gathered waits until it does or time is up.
    pub fn transfer_leader(&mut self, peer: u64) -> Asked {
        self.ask(|group| group.transfer_leader(peer))
    }

    /// The last message to `peer` was not sent.
    pub fn report_unreachable(&mut self, peer: u64) -> Asked {
        self.ask(|group| group.report_unreachable(peer))
    }

    /// The snapshot sent to `peer` arrived, or did not: must follow every one.
    pub fn report_snapshot(&mut self, peer: u64, arrived: bool) -> Asked {
        self.ask(|group| group.report_snapshot(peer, arrived))
    }

    /// The snapshot to `peer` is still on its way.
    pub fn report_snapshot_progress(&mut self, peer: u64) {
        if let Some(group) = self.group.as_mut() {
            group.report_snapshot_progress(peer);
        }
    }

    /// Proposes a change of the members; more than one at once goes through a joint configuration.
    pub fn propose_conf(&mut self, changes: &[ConfChange]) -> Asked {
        self.ask(|group| group.propose_conf_change(changes).map(|_| ()))
    }

    /// Asks through where a reader must have applied to see all that is committed now. The answer is among the
    /// replica effects, under `context`; it may never come.
    pub fn read_index(&mut self, context: u64) -> Asked {
        self.ask(|group| group.read_index(context))
    }

    /// Messages to peers that may be sent now.
    pub fn take_messages(&mut self) -> Vec<PeerMessage> {
        std::mem::take(&mut self.outbox)
    }

    /// `take_messages` would give some.
    pub fn has_messages(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub fn take_replica_effects(&mut self) -> Option<ReplicaEffects> {
        self.replica_effects.take()
    }

    // ---- what it is

    /// Leads and has applied an entry of its own term, or is volatile: only then does it decide.
    pub fn is_serving(&self) -> bool {
        self.served.is_some()
    }

    pub fn is_leading(&self) -> bool {
        self.group.as_ref().is_none_or(RaftGroup::is_leading)
    }

    /// Whom it takes for the leader, and the term.
    pub fn standing(&self) -> Standing {
        let group = self.group.as_ref();
        Standing {
            serving: self.is_serving(),
            leader: group.map_or(0, RaftGroup::leader),
            term: group.map_or(0, RaftGroup::term),
        }
    }

    /// The configuration in effect; a volatile shard has none.
    pub fn conf(&self) -> Option<Conf> {
        self.group.as_ref().map(RaftGroup::conf)
    }

    pub fn status(&self) -> Option<Status> {
        self.group.as_ref().map(RaftGroup::status)
    }

    /// Its clock may stand still: nothing is under way here, and as a leader it knows that of all members too.
    pub fn is_quiet(&self) -> bool {
        self.is_idle() && self.group.as_ref().is_none_or(RaftGroup::is_quiet)
    }

    /// Nothing is under way here.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
            && !self.has_pending()
            && self.outbox.is_empty()
            && self.writes.is_empty()
            && self.installing.is_none()
    }

    /// What it holds and has not applied, to be written again (`carry.rs`). None: nothing, or it is dead.
    pub fn unapplied(&self) -> Option<GroupRecord> {
        let group = self.group.as_ref().filter(|_| self.dead().is_none())?;
        let entries = group.entries_after(self.state.applied_index);
        (!entries.is_empty()).then_some(GroupRecord {
            group: self.id,
            hard_state: None,
            entries,
        })
    }

    /// Why it does nothing any more: it is to be restored from the journal.
    pub fn dead(&self) -> Option<&str> {
        let group = self.group.as_ref()?;
        self.fault.as_deref().or_else(|| group.dead())
    }

    /// Has part in nothing any more, and serves nobody: what it wrote last may be gone.
    pub fn leave(&mut self, why: &str) {
        self.outbox.clear();
        self.departure = Departure::Left;
        self.fail(why.to_owned());
    }

    /// From now on it tells which senders' commands are on this leader's disk.
    pub fn tell_synced(&mut self) {
        self.synced_index.get_or_insert(0);
    }

    pub fn has_left(&self) -> bool {
        self.departure == Departure::Left
    }

    pub(super) fn fail(&mut self, what: String) {
        self.fault.get_or_insert(what);
        self.stop_serving();
    }

    pub(super) fn note_replica(&mut self, note: impl FnOnce(&mut ReplicaEffects)) {
        if self.is_replica {
            note(self.replica_effects.get_or_insert_default());
        }
    }

    /// Begins and ends to serve as Raft says.
    pub(super) fn follow_standing(&mut self) {
        let Some(group) = self.group.as_ref() else {
            return;
        };
        let serves = (self.fault.is_none() && group.is_serving()).then(|| group.term());
        if self.served != serves {
            self.stop_serving();
            if serves.is_some() {
                self.begin_to_serve(serves);
            }
        }
        if self.is_replica {
            let standing = self.standing();
            if standing != self.told {
                self.told = standing;
                self.note_replica(|effects| effects.standing = Some(standing));
            }
        }
    }

    /// The leader's memory: all before this term is applied, and nothing of it is under way.
    fn begin_to_serve(&mut self, term: Option<u64>) {
        self.served = term;
        let queues = self.state.queues.iter();
        self.queues = queues
            .map(|(id, queue)| (*id, QueueLeader::begin(queue)))
            .collect();
        let mut slices = self.state.queues.values().flat_map(QueueState::slices);
        self.may_expire = slices.any(|(_, slice)| slice.expires_ms != 0);
        self.last_number = self.applied_through(self.sender);
        // The clock may have gone back since; the shard's time never does.
        self.last_time_ms = self.last_time_ms.max(self.state.time_ms);
        if self.is_replica {
            let all = self.state.queues.keys().copied();
            self.effects.changed_queues.extend(all);
            self.has_effects = true;
        }
    }

    /// What it gathered and proposed is its senders' to say again; what Raft commits of it all the same is applied
    /// as anybody's.
    fn stop_serving(&mut self) {
        self.served = None;
        self.queues = BTreeMap::new();
        self.pending = PendingWave::default();
        self.stalled.clear();
        self.under_way.clear();
        self.under_way_size = 0;
        self.accepted = BTreeMap::new();
        self.wanted_reads.clear();
        self.reading.clear();
        self.waiting_for_reads.clear();
    }

    // ---- snapshots

    /// A leader's message with a snapshot; `state`, which is durable here already, is what it brought, or a later one
    /// that an earlier message had brought; then `conf` is the configuration there. False: Raft had no use for it, and the
    /// state is dropped.
    pub fn step_snapshot(
        &mut self,
        message: &Bytes,
        state: ShardState,
        conf: Option<&Conf>,
    ) -> Stepped {
        let position = position(&state);
        if position.index <= self.state.applied_index {
            return Err(GroupError::Refused("a snapshot of what is applied"));
        }
        if self.is_leaving() {
            return Err(LEAVING);
        }
        let group = self.group.as_mut().ok_or(VOLATILE)?;
        group.step_snapshot(message, position, conf)?;
        self.arriving = Some(state);
        let record = self.take_record();
        let installed = self.arriving.take().is_none();
        Ok((installed, record))
    }

    /// Raft's snapshot is in a ready: the state that came with it takes the place of ours.
    pub(super) fn install(&mut self, at: Position) {
        let Some(state) = self.arriving.take().filter(|state| position(state) == at) else {
            self.fail(format!("a snapshot at {} without its state", at.index));
            return;
        };
        self.stop_serving();
        self.state = state;
        self.changes = Changes::default();
        self.cache = FrameCache::default();
        self.effects = Effects::default();
        self.has_effects = true;
        self.released = 0;
        self.installing = Some(at.index);
        let applied = self.state.senders.iter();
        let applied = applied.map(|(sender, through)| (*sender, *through));
        let applied: BTreeMap<_, _> = applied.collect();
        self.note_replica(|effects| {
            effects.restored = true;
            effects.applied = applied;
        });
    }

    /// The peer for which a newer snapshot must be offered; asked once.
    pub fn wants_snapshot(&mut self) -> Option<u64> {
        self.group.as_mut()?.take_snapshot_wanted()
    }

    /// A frozen copy of the state, and Raft's mark of where it stands.
    pub fn snapshot_mark(&mut self) -> Result<(SnapshotMark, ShardState), GroupError> {
        if self.owes_commands() {
            return Err(GroupError::Refused("rows are owed"));
        }
        let mark = self.group.as_mut().ok_or(VOLATILE)?.mark_snapshot()?;
        if mark.position() != position(&self.state) {
            return Err(GroupError::Refused("a snapshot is being installed"));
        }
        Ok((mark, self.state.clone()))
    }

    /// The state as of `mark` can be fetched: followers that need it are sent `data`.
    pub fn offer_snapshot(&mut self, mark: &SnapshotMark, data: Bytes) -> Asked {
        self.ask(|group| group.offer_snapshot(mark, data))
    }
}

fn position(state: &ShardState) -> Position {
    Position {
        index: state.applied_index,
        term: state.applied_term,
    }
}
