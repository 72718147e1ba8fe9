//! What a channel was delivered and has not settled: delivery tags on one side, sequences on the other.
//!
//! Runs of (first tag, count, consumer, queue, first sequence) in tag order; a settle of a range of tags
//! gives the ranges of sequences it means.

use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    tag: u64,
    count: u64,
    consumer: u32,
    queue: u64,
    sequence: u64,
}

/// Deliveries settled together: of one consumer and queue, with consecutive sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The front's number for the consumer.
    pub consumer: u32,
    pub queue: u64,
    pub first: u64,
    pub last: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Unsettled {
    runs: VecDeque<Run>,
    count: u64,
    last_tag: u64,
}

impl Unsettled {
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Gives the next tags to a delivery of `count` messages from `sequence` on; `kept`: to be settled.
    /// Answers the first tag.
    pub fn push(
        &mut self,
        consumer: u32,
        queue: u64,
        sequence: u64,
        count: u64,
        kept: bool,
    ) -> u64 {
        let tag = self.last_tag + 1;
        self.last_tag += count;
        if !kept {
            return tag;
        }
        self.count += count;
        if let Some(run) = self.runs.back_mut() {
            let follows = run.tag + run.count == tag && run.sequence + run.count == sequence;
            if follows && run.consumer == consumer && run.queue == queue {
                run.count += count;
                return tag;
            }
        }
        self.runs.push_back(Run {
            tag,
            count,
            consumer,
            queue,
            sequence,
        });
        tag
    }

    /// Settles the tags `first..=last`. None if one of them is not unsettled: nothing is changed then.
    /// `first` 0: all so far through `last`, which must itself be unsettled or, as 0, means all.
    pub fn settle(&mut self, first: u64, last: u64) -> Option<Vec<Settled>> {
        let multiple = first == 0;
        if multiple && last == 0 {
            return Some(self.take_all());
        }
        let first = if multiple {
            self.runs.front().map_or(last, |run| run.tag)
        } else {
            first
        };
        let start = self
            .runs
            .partition_point(|run| run.tag + run.count <= first);
        let held = if multiple {
            self.holds(last)
        } else {
            self.holds_all(start, first, last)
        };
        if !held {
            return None;
        }
        let mut settled: Vec<Settled> = Vec::new();
        let mut at = start;
        while at < self.runs.len() && self.runs[at].tag <= last {
            let run = self.runs[at];
            let from = run.tag.max(first);
            let end = (run.tag + run.count).min(last + 1);
            let mut put_back = Vec::with_capacity(2);
            if run.tag < from {
                put_back.push(Run {
                    count: from - run.tag,
                    ..run
                });
            }
            if end < run.tag + run.count {
                let gone = end - run.tag;
                let sequence = run.sequence + gone;
                put_back.push(Run {
                    tag: end,
                    count: run.count - gone,
                    sequence,
                    ..run
                });
            }
            let sequence = run.sequence + (from - run.tag);
            self.count -= end - from;
            Self::note(&mut settled, &run, sequence, end - from);
            at = self.replace(at, &put_back);
        }
        Some(settled)
    }

    fn replace(&mut self, at: usize, put_back: &[Run]) -> usize {
        match put_back {
            [] if at == 0 => {
                self.runs.pop_front();
            }
            [] => {
                self.runs.remove(at);
            }
            [run] => self.runs[at] = *run,
            [before, after, ..] => {
                self.runs[at] = *before;
                self.runs.insert(at + 1, *after);
            }
        }
        at + put_back.len()
    }

    /// Everything that is unsettled, which then is not.
    pub fn take_all(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        for run in std::mem::take(&mut self.runs) {
            Self::note(&mut settled, &run, run.sequence, run.count);
        }
        self.count = 0;
        settled
    }

    fn note(settled: &mut Vec<Settled>, run: &Run, sequence: u64, count: u64) {
        let last = sequence + count - 1;
        if let Some(before) = settled.last_mut() {
            let same = before.consumer == run.consumer && before.queue == run.queue;
            if same && before.last + 1 == sequence {
                before.last = last;
                return;
            }
        }
        settled.push(Settled {
            consumer: run.consumer,
            queue: run.queue,
            first: sequence,
            last,
        });
    }

    fn holds(&self, tag: u64) -> bool {
        let at = self.runs.partition_point(|run| run.tag + run.count <= tag);
        self.runs.get(at).is_some_and(|run| run.tag <= tag)
    }

    fn holds_all(&self, start: usize, first: u64, last: u64) -> bool {
        let mut next = first;
        for run in self.runs.iter().skip(start) {
            if next > last {
                break;
            }
            if run.tag > next {
                return false;
            }
            next = run.tag + run.count;
        }
        next > last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn settles_agree_with_a_map_from_tag_to_sequence() {
        let mut seed = 7u64;
        let mut draw = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..500 {
            let mut unsettled = Unsettled::default();
            let mut model: BTreeMap<u64, (u32, u64, u64)> = BTreeMap::new();
            let (mut tag, mut sequence) = (0, 0);
            for _ in 0..40 {
                if draw(2) == 0 {
                    let (count, consumer, kept) = (1 + draw(5), draw(2) as u32, draw(8) > 0);
                    sequence += draw(2);
                    assert_eq!(unsettled.push(consumer, 9, sequence, count, kept), tag + 1);
                    for i in 1..=count {
                        if kept {
                            model.insert(tag + i, (consumer, 9, sequence + i - 1));
                        }
                    }
                    tag += count;
                    sequence += count;
                    continue;
                }
                let last = draw(tag + 2);
                let first = if draw(2) == 0 {
                    0
                } else {
                    last.saturating_sub(draw(4)).max(1)
                };
                let wanted: Vec<u64> = match (first, last) {
                    (0, 0) => model.keys().copied().collect(),
                    (0, _) => model.range(..=last).map(|(t, _)| *t).collect(),
                    _ => (first..=last).collect(),
                };
                let known = if first == 0 {
                    last == 0 || model.contains_key(&last)
                } else {
                    wanted.iter().all(|t| model.contains_key(t))
                };
                let settled = unsettled.settle(first, last);
                assert_eq!(settled.is_some(), known, "{first}..={last}");
                let Some(settled) = settled else { continue };
                let flat: Vec<(u32, u64, u64)> = settled
                    .iter()
                    .flat_map(|s| (s.first..=s.last).map(|q| (s.consumer, s.queue, q)))
                    .collect();
                let expected: Vec<_> = wanted.iter().map(|t| model.remove(t).unwrap()).collect();
                assert_eq!(flat, expected);
                assert_eq!(unsettled.count() as usize, model.len());
            }
        }
    }
}
