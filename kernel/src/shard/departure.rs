//! A replica that its group has let go: what it holds is forgotten, and it begins anew, as one that may join.

use super::{Departure, Shard};
use crate::raft_group::RaftGroup;
use crate::shard_open::ShardOptions;

impl Shard {
    /// By all that it holds, which is applied and written, it was a member and is none: from here on it takes nothing in.
    /// False: not so.
    ///
    /// What made it a member again would be an entry that it does not hold, so it has promised nobody anything since.
    pub fn let_go(&mut self) -> bool {
        self.depart(RaftGroup::was_let_go)
    }

    /// The same by the word of who leads in `term`, asked when `contacts` messages of leaders had come: that it is no
    /// member. What it holds need not say so, as nobody sends it anything any more.
    ///
    /// Had it been made a member again since, it could have promised something only to a leader that it heard from.
    pub fn let_go_by(&mut self, term: u64, contacts: u64) -> bool {
        self.depart(|group| group.was_dropped(term, contacts))
    }

    fn depart(&mut self, is_let_go: impl FnOnce(&RaftGroup) -> bool) -> bool {
        let idle = self.is_idle() && !self.is_leaving() && self.dead().is_none();
        if !idle || !self.group.as_ref().is_some_and(is_let_go) {
            return false;
        }
        self.departure = Departure::Begun;
        true
    }

    /// How many messages of its group's leaders came.
    pub fn contacts(&self) -> u64 {
        self.group.as_ref().map_or(0, RaftGroup::contacts)
    }

    pub fn is_leaving(&self) -> bool {
        self.departure == Departure::Begun
    }

    /// It goes on as it was.
    pub fn stay(&mut self) {
        if self.is_leaving() {
            self.departure = Departure::None;
        }
    }

    /// Of the one that begins in its place: it joins no group by itself.
    pub fn options_anew(&self) -> ShardOptions {
        ShardOptions {
            id: self.id,
            incarnation: self.sender.incarnation,
            seed: self.sender.incarnation ^ self.state.applied_index ^ u64::from(self.id) << 32,
            cache_size_max: self.cache_budget,
            voters: Some(Vec::new()),
        }
    }
}
