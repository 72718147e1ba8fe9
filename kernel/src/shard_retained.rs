//! Retained messages at their shard: taken in from their queue, looked up, made ready to be sent once more.

use crate::delivery_run::DeliveryRun;
use crate::message_run::{flags, Facts, MessageRun, NO_EXPIRATION};
use crate::retained::RetainedIndex;
use crate::run_builder::RunBuilder;
use crate::shard::Shard;
use crate::wave::Outcome;

/// Messages looked at in one go.
const COLLECT_COUNT_MAX: u64 = 4096;
const COLLECT_SIZE_MAX: u64 = 4 << 20;

/// Bounds of what a vhost retains.
#[derive(Clone, Copy, Debug)]
pub struct RetainedLimits {
    pub count: usize,
    /// Bytes of bodies.
    pub size: u64,
}

impl Shard {
    /// Takes in what is new in the queue: each is its topic's last message, an empty one deletes. What is replaced,
    /// deleted, or over the limits is settled. Answers how many were taken in and how many were over the limits;
    /// None: the next ones are not in memory, and wanted.
    pub fn collect_retained(
        &mut self,
        queue: u64,
        index: &mut RetainedIndex,
        limits: RetainedLimits,
    ) -> Option<(usize, usize)> {
        let before = self.counts(queue).0;
        let taken = self.take(queue, COLLECT_COUNT_MAX, COLLECT_SIZE_MAX);
        if taken.ranges.is_empty() && before > 0 {
            return None;
        }
        let mut sequences = taken.ranges.iter().flat_map(|(first, last)| *first..=*last);
        let (mut count, mut over) = (0, 0);
        let mut settled = Vec::new();
        for part in &taken.deliveries.parts {
            for entry in part.entries() {
                let sequence = sequences.next().expect("one for each message");
                let topic = part.messages.routing_key(entry.key);
                count += 1;
                if entry.body.size == 0 {
                    settled.extend(index.remove(topic));
                    settled.push(sequence);
                } else if !index.contains(topic)
                    && (index.len() >= limits.count || self.queue_size(queue) > limits.size)
                {
                    over += 1;
                    settled.push(sequence);
                } else {
                    settled.extend(index.put(topic, sequence, part.expires_ms));
                }
            }
        }
        for sequence in settled {
            self.settle(queue, sequence, sequence, Outcome::Accepted);
        }
        Some((count, over))
    }

    /// Settles what has expired.
    pub fn expire_retained(&mut self, queue: u64, index: &mut RetainedIndex, now_ms: u64) {
        if !self.is_serving() {
            return;
        }
        for sequence in index.expire(now_ms, COLLECT_COUNT_MAX as usize) {
            self.settle(queue, sequence, sequence, Outcome::Expired);
        }
    }

    /// The messages of the first of these sequences that are in memory, and how many sequences those are: to be sent to
    /// a new subscription, flagged as such, with what is left of their time. What is gone meanwhile is left out; the
    /// first that is not in memory is wanted, with what comes after it.
    pub fn fetch_retained(
        &mut self,
        queue: u64,
        sequences: &[u64],
        now_ms: u64,
    ) -> (MessageRun, usize) {
        let mut found = DeliveryRun::default();
        let mut count = 0;
        for sequence in sequences {
            match self.peek(queue, *sequence, *sequence) {
                Some((run, _)) => found.parts.extend(run.parts),
                None if self.holds(queue, *sequence) => break,
                None => {}
            }
            count += 1;
        }
        (replayed(&found, now_ms), count)
    }

    fn queue_size(&self, queue: u64) -> u64 {
        self.state()
            .queues
            .get(&queue)
            .map_or(0, |state| state.size)
    }

    fn holds(&self, queue: u64, sequence: u64) -> bool {
        let state = self.state().queues.get(&queue);
        state.is_some_and(|state| {
            let mut slices = state.slices_from(sequence);
            slices
                .next()
                .is_some_and(|(first, slice)| first <= sequence && sequence < first + slice.count())
        })
    }
}

fn replayed(found: &DeliveryRun, now_ms: u64) -> MessageRun {
    let origin = found
        .parts
        .first()
        .map_or(crate::message_run::Origin::Mqtt, |part| {
            part.messages.origin
        });
    let mut builder = RunBuilder::new(origin);
    for part in &found.parts {
        if part.expires_ms != 0 && part.expires_ms <= now_ms {
            continue;
        }
        for (entry, index) in part.entries().iter().zip(part.first as usize..) {
            let key = builder.key(
                part.messages.exchange(entry.key),
                part.messages.routing_key(entry.key),
            );
            let expiration_ms = match part.expires_ms {
                0 => NO_EXPIRATION,
                at => u32::try_from(at - now_ms).unwrap_or(NO_EXPIRATION - 1),
            };
            let facts = Facts {
                expiration_ms,
                priority: entry.priority,
                flags: entry.flags & !flags::RETAIN | flags::REPLAYED,
            };
            builder.push(
                key,
                part.messages.properties(index),
                part.messages.body(index),
                facts,
            );
        }
    }
    builder.finish()
}
