//! A queue as its leader sees it: what is ready, what is checked out.
//!
//! The leader's memory, never replicated (`log-and-shards.md` section 8). *Ready* is what was never
//! checked out (from the cursor on) and what came back (below it); *held* is checked out or proposed
//! as settled.

use std::collections::{BTreeMap, VecDeque};

use crate::queue_state::QueueState;

/// Delivered-through marks are reserved this far ahead: what a crash may flag as redelivered although it
/// never left, against one small item in a wave for so many deliveries.
pub const MARK_STEP: u64 = 16_384;

#[derive(Clone, Debug, Default)]
pub struct QueueLeader {
    /// Never checked out by this leader: sequences from here on.
    pub cursor: u64,
    /// First -> last of what came back.
    again: BTreeMap<u64, u64>,
    pub held: u64,
    /// Settled and not applied, in the order of the settles: nobody gives that back, whoever else holds it too.
    settling: VecDeque<(u64, u64)>,
    /// What its next message gets, counting the waves under way.
    pub proposed_next: u64,
    /// Messages in waves under way.
    pub proposed_count: u64,
    pub proposed_mark: u64,
    /// Delivered before this leader began, perhaps: flagged when delivered.
    pub flagged_below: u64,
}

impl QueueLeader {
    /// A leader that begins with a queue as the log has it: nothing is checked out.
    pub fn begin(state: &QueueState) -> Self {
        Self {
            proposed_next: state.next_sequence,
            proposed_mark: state.mark,
            flagged_below: state.mark,
            ..Self::default()
        }
    }

    pub fn ready_count(&self, state: &QueueState) -> u64 {
        state.message_count.saturating_sub(self.held)
    }

    /// The lowest range that may be ready: (first, last); the last one is open at its end.
    pub fn first_ready(&self) -> (u64, u64) {
        self.again
            .first_key_value()
            .map_or((self.cursor, u64::MAX - 1), |(a, z)| (*a, *z))
    }

    /// All ranges that may be ready, in order.
    pub fn ready_ranges(&self) -> Vec<(u64, u64)> {
        let again = self.again.iter().map(|(a, z)| (*a, *z));
        again.chain([(self.cursor, u64::MAX - 1)]).collect()
    }

    /// What of `first..=last` may be ready, in order.
    pub fn ready_within(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut within: Vec<(u64, u64)> = Vec::new();
        if first > last {
            return within;
        }
        let before = self.again.range(..first).next_back();
        for (start, end) in before.into_iter().chain(self.again.range(first..=last)) {
            if *end >= first {
                within.push(((*start).max(first), (*end).min(last)));
            }
        }
        if last >= self.cursor {
            within.push((first.max(self.cursor), last));
        }
        within
    }

    /// `first..=last`, the lowest part of what is ready, is checked out: `count` messages of it exist.
    pub fn check_out(&mut self, first: u64, last: u64, count: u64) {
        self.held += count;
        self.skip(first, last);
    }

    /// `first..=last`, which are all there and ready, are checked out; what is ready before them stays so.
    pub fn hold(&mut self, first: u64, last: u64) {
        if first > self.cursor {
            // What is passed over counts as come back.
            self.again.insert(self.cursor, first - 1);
            self.cursor = first;
        }
        self.check_out(first, last, last + 1 - first);
    }

    /// `first..=last` is not ready (any more). It may go across several ranges that came back, and on
    /// beyond the cursor.
    pub fn skip(&mut self, first: u64, last: u64) {
        if last >= self.cursor {
            self.cursor = last + 1;
        }
        while let Some((start, end)) = self.again.range(..=last).next_back().map(|(a, z)| (*a, *z))
        {
            if end < first {
                break;
            }
            self.again.remove(&start);
            if end > last {
                self.again.insert(last + 1, end);
            }
            if start < first {
                self.again.insert(start, first - 1);
                break;
            }
        }
    }

    /// `first..=last` is proposed as settled.
    pub fn begin_settling(&mut self, first: u64, last: u64) {
        match self.settling.back_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.settling.push_back((first, last)),
        }
    }

    /// The same is applied, in the same order.
    pub fn end_settling(&mut self, first: u64, last: u64) {
        match self.settling.front_mut() {
            Some((start, end)) if *start == first && *end > last => *start = last + 1,
            Some((start, end)) if *start == first && *end == last => {
                self.settling.pop_front();
            }
            _ => debug_assert!(false, "{first} to {last} was settled by no leader here"),
        }
    }

    /// What of `first..=last` may come back: it is neither ready nor being settled.
    pub fn out_within(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut not_out = self.ready_within(first, last);
        let settling = self.settling.iter();
        not_out.extend(settling.filter(|(start, end)| *start <= last && *end >= first));
        not_out.sort_unstable();
        let mut out = Vec::new();
        let mut at = first;
        for (start, end) in not_out.into_iter().chain([(last + 1, last + 1)]) {
            if at < start {
                out.push((at, start - 1));
            }
            at = at.max(end + 1);
        }
        out
    }

    /// `first..=last` came back: `count` messages of it exist.
    pub fn come_back(&mut self, first: u64, last: u64, count: u64) {
        debug_assert!(last < self.cursor);
        self.held -= count;
        let (mut first, mut last) = (first, last);
        if let Some((start, end)) = self
            .again
            .range(..=first)
            .next_back()
            .map(|(a, z)| (*a, *z))
        {
            if end + 1 >= first {
                self.again.remove(&start);
                first = start;
                last = last.max(end);
            }
        }
        if let Some(end) = self.again.get(&(last + 1)).copied() {
            self.again.remove(&(last + 1));
            last = end;
        }
        self.again.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::QueueLeader;

    #[test]
    fn what_is_checked_out_across_what_came_back_and_the_cursor_is_ready_no_more() {
        let mut leader = QueueLeader::default();
        leader.check_out(0, 9, 10);
        for (first, last) in [(0, 0), (2, 4), (9, 9)] {
            leader.come_back(first, last, last + 1 - first);
        }
        leader.check_out(9, 20, 12);
        assert_eq!(leader.cursor, 21);
        let all = |leader: &QueueLeader| leader.ready_ranges();
        assert_eq!(all(&leader), [(0, 0), (2, 4), (21, u64::MAX - 1)]);
        leader.skip(0, 2);
        assert_eq!(all(&leader), [(3, 4), (21, u64::MAX - 1)]);
        leader.skip(3, 3);
        assert_eq!(all(&leader), [(4, 4), (21, u64::MAX - 1)]);
    }

    #[test]
    fn what_is_ready_within_a_range_is_cut_to_it() {
        let mut leader = QueueLeader::default();
        leader.check_out(0, 9, 10);
        leader.come_back(1, 3, 3);
        leader.come_back(6, 6, 1);
        assert_eq!(leader.ready_within(2, 7), [(2, 3), (6, 6)]);
        assert_eq!(leader.ready_within(4, 5), []);
        assert_eq!(leader.ready_within(3, 12), [(3, 3), (6, 6), (10, 12)]);
        assert_eq!(leader.ready_within(11, 12), [(11, 12)]);
    }

    #[test]
    fn what_is_held_in_the_middle_leaves_ready_what_is_around_it() {
        let mut leader = QueueLeader::default();
        leader.hold(3, 4);
        leader.hold(8, 8);
        leader.hold(0, 0);
        leader.hold(6, 7);
        assert_eq!(leader.ready_ranges(), [(1, 2), (5, 5), (9, u64::MAX - 1)]);
        assert_eq!(leader.held, 6);
    }
}
