//! A queue as the log knows it: what was appended and is not settled.
//!
//! A queue is a sorted map of *slices* over the log, not of messages. This is replicated state:
//! every method is arithmetic on what the leader decided (`log-and-shards.md` section 3), so every
//! replica that applied the same waves holds the same. The maps are persistent (`imbl`): a frozen
//! copy for a checkpoint costs one clone however long the queue is.

use std::sync::Arc;

use imbl::OrdMap;

/// Which records of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    Range {
        first: u32,
        count: u32,
    },
    /// `count` of the listed records, from position `at`: what a key of many leaves of a frame.
    List {
        records: Arc<[u32]>,
        at: u32,
        count: u32,
    },
}

impl Selection {
    pub fn count(&self) -> u32 {
        match self {
            Self::Range { count, .. } | Self::List { count, .. } => *count,
        }
    }

    /// The records from `skip` on, `count` of them.
    #[must_use]
    pub fn part(&self, skip: u32, count: u32) -> Self {
        debug_assert!(skip + count <= self.count());
        match self {
            Self::Range { first, .. } => Self::Range {
                first: first + skip,
                count,
            },
            Self::List { records, at, .. } => Self::List {
                records: records.clone(),
                at: at + skip,
                count,
            },
        }
    }

    /// Runs of neighbouring records: (first record, count).
    pub fn runs(&self) -> Vec<(u32, u32)> {
        match self {
            Self::Range { first, count } => vec![(*first, *count)],
            Self::List { records, at, count } => {
                let mut runs: Vec<(u32, u32)> = Vec::new();
                for &record in &records[*at as usize..(at + count) as usize] {
                    match runs.last_mut() {
                        Some((first, count)) if *first + *count == record => *count += 1,
                        _ => runs.push((record, 1)),
                    }
                }
                runs
            }
        }
    }
}

/// Where consecutive messages of a queue lie in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The wave's Raft index.
    pub entry: u64,
    pub frame: u16,
    pub selection: Selection,
    /// Wall time in ms after which its messages are dead; 0: never. Requeueing doesn't change it.
    pub expires_ms: u64,
    /// Bytes of its bodies. Cutting a slice shares them out evenly: the sum stays exact.
    pub size: u64,
}

impl Slice {
    pub fn count(&self) -> u64 {
        u64::from(self.selection.count())
    }

    fn part(&self, skip: u64, count: u64) -> Self {
        let share =
            |n: u64| (u128::from(self.size) * u128::from(n) / u128::from(self.count())) as u64;
        Self {
            entry: self.entry,
            frame: self.frame,
            selection: self.selection.part(skip as u32, count as u32),
            expires_ms: self.expires_ms,
            size: share(skip + count) - share(skip),
        }
    }
}

/// What a settle let go of: these many records of a frame are wanted once less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    pub entry: u64,
    pub frame: u16,
    pub count: u32,
}

/// One queue of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// The sequence its next message gets. Dense, from 0, never reused.
    pub next_sequence: u64,
    /// Messages below it may have been delivered once: they come back flagged.
    pub mark: u64,
    pub message_count: u64,
    /// Bytes of bodies.
    pub size: u64,
    slices: OrdMap<u64, Slice>,
    /// First sequence -> (last sequence, how often returned).
    returned: OrdMap<u64, (u64, u32)>,
}

impl QueueState {
    /// Appends a slice; answers its first sequence.
    pub fn push(&mut self, slice: Slice) -> u64 {
        let sequence = self.next_sequence;
        let count = slice.count();
        debug_assert!(count > 0);
        self.next_sequence += count;
        self.message_count += count;
        self.size += slice.size;
        self.slices.insert(sequence, slice);
        sequence
    }

    /// Forgets the messages `first..=last`; those already settled are skipped (a second settle is a no-op).
    pub fn settle(&mut self, first: u64, last: u64, released: &mut Vec<Released>) -> u64 {
        let mut settled = 0;
        let touched: Vec<(u64, Slice)> = self
            .slices_from(first)
            .take_while(|(s, _)| *s <= last)
            .map(|(s, x)| (s, x.clone()))
            .collect();
        for (sequence, slice) in touched {
            let end = sequence + slice.count();
            let (cut_first, cut_end) = (sequence.max(first), end.min(last + 1));
            self.slices.remove(&sequence);
            if sequence < cut_first {
                self.slices
                    .insert(sequence, slice.part(0, cut_first - sequence));
            }
            if cut_end < end {
                self.slices
                    .insert(cut_end, slice.part(cut_end - sequence, end - cut_end));
            }
            let gone = slice.part(cut_first - sequence, cut_end - cut_first);
            self.message_count -= gone.count();
            self.size -= gone.size;
            settled += gone.count();
            released.push(Released {
                entry: gone.entry,
                frame: gone.frame,
                count: gone.count() as u32,
            });
        }
        if !self.returned.is_empty() {
            self.forget_returned(first, last);
        }
        settled
    }

    /// Counts one more return of the messages `first..=last` that are still here.
    pub fn give_back(&mut self, first: u64, last: u64) {
        let here: Vec<(u64, u64)> = self
            .slices_from(first)
            .take_while(|(s, _)| *s <= last)
            .map(|(s, x)| (s.max(first), (s + x.count() - 1).min(last)))
            .collect();
        for (from, through) in here {
            let mut at = from;
            while at <= through {
                let (end, times) = self.returned_run(at, through);
                self.forget_returned(at, end);
                self.returned.insert(at, (end, times + 1));
                at = end + 1;
            }
        }
    }

    /// How often a message was returned.
    pub fn returned_times(&self, sequence: u64) -> u32 {
        self.returned_run(sequence, sequence).1
    }

    /// The run of equal return counts that starts at `at`, cut at `through`: (its last sequence, times).
    pub fn returned_run(&self, at: u64, through: u64) -> (u64, u32) {
        if let Some((_, (last, times))) = self.returned.get_prev(&at) {
            if *last >= at {
                return ((*last).min(through), *times);
            }
        }
        let next = self.returned.range(at..).next().map(|(first, _)| *first);
        (next.map_or(through, |first| (first - 1).min(through)), 0)
    }

    fn forget_returned(&mut self, first: u64, last: u64) {
        let start = self.returned.get_prev(&first).map_or(first, |(s, _)| *s);
        let touched: Vec<(u64, (u64, u32))> = self
            .returned
            .range(start..=last)
            .map(|(s, x)| (*s, *x))
            .collect();
        for (from, (through, times)) in touched {
            if through < first {
                continue;
            }
            self.returned.remove(&from);
            if from < first {
                self.returned.insert(from, (first - 1, times));
            }
            if through > last {
                self.returned.insert(last + 1, (through, times));
            }
        }
    }

    /// The slices that hold `sequence` or what comes after it: (first sequence, slice).
    pub fn slices_from(&self, sequence: u64) -> impl Iterator<Item = (u64, &Slice)> {
        let start = match self.slices.get_prev(&sequence) {
            Some((first, slice)) if first + slice.count() > sequence => *first,
            _ => sequence,
        };
        self.slices
            .range(start..)
            .map(|(first, slice)| (*first, slice))
    }

    /// All slices with their first sequences, in order.
    pub fn slices(&self) -> impl Iterator<Item = (u64, &Slice)> {
        self.slices.iter().map(|(first, slice)| (*first, slice))
    }

    /// The slices whose entries lie in `first..=last`, in order. Sequences are given in apply order, so
    /// entries never descend along a queue.
    pub fn slices_of_entries(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, &Slice)> {
        let (mut low, mut high) = match self.slices.get_min() {
            Some((start, slice)) if slice.entry < first => (*start, self.next_sequence),
            _ => (0, 0),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            match self.slices.range(middle..).next() {
                Some((start, slice)) if slice.entry < first => low = start + 1,
                _ => high = middle,
            }
        }
        self.slices
            .range(low..)
            .map(|(start, slice)| (*start, slice))
            .take_while(move |(_, slice)| slice.entry <= last)
    }

    /// All returned runs: (first, last, times).
    pub fn returned(&self) -> impl Iterator<Item = (u64, u64, u32)> + '_ {
        self.returned
            .iter()
            .map(|(first, (last, times))| (*first, *last, *times))
    }

    /// From a checkpoint's parts, in order.
    pub fn restored(
        next_sequence: u64,
        mark: u64,
        slices: Vec<(u64, Slice)>,
        returned: Vec<(u64, u64, u32)>,
    ) -> Self {
        Self {
            next_sequence,
            mark,
            message_count: slices.iter().map(|(_, s)| s.count()).sum(),
            size: slices.iter().map(|(_, s)| s.size).sum(),
            slices: slices.into_iter().collect(),
            returned: returned
                .into_iter()
                .map(|(first, last, times)| (first, (last, times)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn range(entry: u64, first: u32, count: u32) -> Slice {
        let selection = Selection::Range { first, count };
        Slice {
            entry,
            frame: 0,
            selection,
            expires_ms: 0,
            size: u64::from(count) * 7,
        }
    }

    fn listed(entry: u64, records: &[u32]) -> Slice {
        let selection = Selection::List {
            records: records.into(),
            at: 0,
            count: records.len() as u32,
        };
        Slice {
            entry,
            frame: 1,
            selection,
            expires_ms: 0,
            size: 5,
        }
    }

    /// (sequence -> (entry, record, returned)) of a queue, the slow way.
    fn flat(queue: &QueueState) -> BTreeMap<u64, (u64, u32, u32)> {
        let mut out = BTreeMap::new();
        for (first, slice) in queue.slices() {
            let records = slice
                .selection
                .runs()
                .into_iter()
                .flat_map(|(a, n)| a..a + n);
            for (i, record) in records.enumerate() {
                let sequence = first + i as u64;
                out.insert(
                    sequence,
                    (slice.entry, record, queue.returned_times(sequence)),
                );
            }
        }
        out
    }

    #[test]
    fn random_settles_and_returns_agree_with_a_model() {
        let mut seed = 1u64;
        let mut draw = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..300 {
            let mut queue = QueueState::default();
            let mut model: BTreeMap<u64, (u64, u32, u32)> = BTreeMap::new();
            for entry in 0..30 {
                match draw(3) {
                    0 => {
                        let count = 1 + draw(9) as u32;
                        let first = queue.push(range(entry, 3, count));
                        for i in 0..count {
                            model.insert(first + u64::from(i), (entry, 3 + i, 0));
                        }
                        let first = queue.push(listed(entry, &[2, 3, 9]));
                        for (i, record) in [2, 3, 9].into_iter().enumerate() {
                            model.insert(first + i as u64, (entry, record, 0));
                        }
                    }
                    1 => {
                        let first = draw(queue.next_sequence + 1);
                        let last = first + draw(8);
                        let mut released = Vec::new();
                        let settled = queue.settle(first, last, &mut released);
                        let before = model.len();
                        model.retain(|s, _| *s < first || *s > last);
                        assert_eq!(settled as usize, before - model.len());
                        let count: u64 = released.iter().map(|r| u64::from(r.count)).sum();
                        assert_eq!(count, settled);
                    }
                    _ => {
                        let first = draw(queue.next_sequence + 1);
                        let last = first + draw(8);
                        queue.give_back(first, last);
                        for (_, x) in model.range_mut(first..=last) {
                            x.2 += 1;
                        }
                    }
                }
                assert_eq!(flat(&queue), model);
                assert_eq!(queue.message_count as usize, model.len());
                let (from, through) = (draw(30), draw(30));
                let found: Vec<u64> = queue
                    .slices_of_entries(from, through)
                    .map(|x| x.0)
                    .collect();
                let inside = |slice: &Slice| (from..=through).contains(&slice.entry);
                let wanted = queue.slices().filter(|(_, slice)| inside(slice));
                assert_eq!(found, wanted.map(|x| x.0).collect::<Vec<_>>());
            }
            let slices = queue.slices().map(|(s, x)| (s, x.clone())).collect();
            let copy = QueueState::restored(
                queue.next_sequence,
                queue.mark,
                slices,
                queue.returned().collect(),
            );
            assert_eq!(copy, queue);
            let last = queue.next_sequence;
            queue.settle(0, last, &mut Vec::new());
            assert_eq!((queue.message_count, queue.size), (0, 0));
            assert_eq!(queue.returned().count(), 0);
        }
    }
}
