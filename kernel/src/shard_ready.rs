//! What a shard has ready: handed out, checked out, looked at.

use std::sync::Arc;

use crate::delivery_run::{DeliveryRun, Part};
use crate::frame_cache::FrameCache;
use crate::message_run::MessageRun;
use crate::queue_leader::{QueueLeader, MARK_STEP};
use crate::queue_state::{QueueState, Slice};
use crate::record_batch::Retained;
use crate::shard::Shard;

/// Body bytes read ahead of a consumer, and what a slice counts for beside them.
const READ_AHEAD_SIZE: u64 = 2 << 20;
const READ_COST: u64 = 4096;
/// Bytes that are dead-lettered in one go: they are written again, in one wave.
const PEEK_SIZE_MAX: u64 = 1 << 20;
/// Room kept in a full cache for what is read back.
const READ_ROOM: usize = 8 << 20;

/// What came of a call to [`Shard::take`].
#[derive(Debug, Default)]
pub struct Taken {
    pub deliveries: DeliveryRun,
    /// First to last sequence of each part of the queue that was taken, in order.
    pub ranges: Vec<(u64, u64)>,
    pub size: u64,
}

impl Shard {
    fn both(&self, queue: u64) -> Option<(&QueueState, &QueueLeader)> {
        Some((self.state.queues.get(&queue)?, self.queues.get(&queue)?))
    }

    /// (ready, held by consumers or on their way out, under way in).
    pub fn counts(&self, queue: u64) -> (u64, u64, u64) {
        self.both(queue).map_or((0, 0, 0), |(state, leader)| {
            (
                leader.ready_count(state),
                leader.held,
                leader.proposed_count,
            )
        })
    }

    /// Whether any message here can expire; if not, nobody need look for what has.
    pub fn may_expire(&self) -> bool {
        self.may_expire
    }

    /// Body bytes of what is ready. Walks the queue's slices: for queues with a bound on bytes.
    pub fn ready_size(&self, queue: u64) -> u64 {
        let Some((state, leader)) = self.both(queue) else {
            return 0;
        };
        let ranges = leader.ready_ranges();
        let pieces = ranges
            .iter()
            .flat_map(|(first, last)| pieces(state, *first, *last));
        pieces
            .map(|(from, to, start, slice)| part_size(slice, from - start, to + 1 - from))
            .sum()
    }

    /// Checks out up to `count` of the lowest ready messages without delivering them: (first, last) ranges.
    pub fn check_out(&mut self, queue: u64, count: u64) -> Vec<(u64, u64)> {
        self.check_out_while(queue, count, |_| true)
    }

    /// Checks out what has expired by `now_ms` at the head of the queue.
    pub fn check_out_expired(&mut self, queue: u64, now_ms: u64, count: u64) -> Vec<(u64, u64)> {
        self.check_out_while(queue, count, |expires_ms| {
            expires_ms != 0 && expires_ms <= now_ms
        })
    }

    fn check_out_while(
        &mut self,
        queue: u64,
        count: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let Some(leader) = self.queues.get_mut(&queue) else {
            return out;
        };
        let Some(state) = self.state.queues.get(&queue) else {
            return out;
        };
        let mut left = count;
        'ranges: for (first, last) in leader.ready_ranges() {
            for (from, to, _, slice) in pieces(state, first, last) {
                if left == 0 || !wanted(slice.expires_ms) {
                    break 'ranges;
                }
                let to = to.min(from + left - 1);
                left -= to + 1 - from;
                join(&mut out, from, to);
            }
        }
        for (first, last) in &out {
            leader.check_out(*first, *last, last + 1 - first);
        }
        out
    }

    /// Checks out what is ready of `first..=last`, wherever that lies in the queue: (first, last) ranges.
    pub fn hold(&mut self, queue: u64, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let Some(leader) = self.queues.get_mut(&queue) else {
            return out;
        };
        let Some(state) = self.state.queues.get(&queue) else {
            return out;
        };
        for (start, end) in leader.ready_within(first, last) {
            for (from, to, _, _) in pieces(state, start, end) {
                join(&mut out, from, to);
            }
        }
        for (from, to) in &out {
            leader.hold(*from, *to);
        }
        out
    }

    /// The sequence of the message at the queue's head; None: nothing is ready.
    pub fn first_ready(&self, queue: u64) -> Option<u64> {
        let (state, leader) = self.both(queue)?;
        let ranges = leader.ready_ranges();
        let mut heads = ranges
            .iter()
            .flat_map(|(first, last)| pieces(state, *first, *last));
        heads.next().map(|(from, _, _, _)| from)
    }

    /// Nothing that is ready, or still to come, has a lower sequence: the head's, if anything is ready.
    pub fn ready_from(&self, queue: u64) -> u64 {
        let cursor = |(_, leader): (_, &QueueLeader)| leader.first_ready().0;
        self.first_ready(queue)
            .or_else(|| self.both(queue).map(cursor))
            .unwrap_or(0)
    }

    /// When the message at the queue's head expires, wall time in ms; 0: never, or nothing is ready.
    pub fn head_expires_ms(&self, queue: u64) -> u64 {
        let Some((state, leader)) = self.both(queue) else {
            return 0;
        };
        let ranges = leader.ready_ranges();
        let mut heads = ranges
            .iter()
            .flat_map(|(first, last)| pieces(state, *first, *last));
        heads.next().map_or(0, |(_, _, _, slice)| slice.expires_ms)
    }

    /// Checks out up to `count` of the lowest ready messages, of up to about `size` bytes, to deliver them.
    ///
    /// Stops early at a message that is not in memory (its entry is then wanted: `take_wanted_reads`), and
    /// at the delivered-through mark (a higher one is then proposed).
    pub fn take(&mut self, queue: u64, count: u64, size: u64) -> Taken {
        let mut taken = Taken::default();
        let Some(leader) = self.queues.get_mut(&queue) else {
            return taken;
        };
        let Some(state) = self.state.queues.get(&queue) else {
            return taken;
        };
        let logged = self.group.is_some();
        let mut left = count;
        'ranges: for (first, last) in leader.ready_ranges() {
            for (from, to, start, slice) in pieces(state, first, last) {
                let to = if logged {
                    to.min(state.mark.saturating_sub(1))
                } else {
                    to
                };
                if left == 0 || taken.size >= size || (logged && from >= state.mark) {
                    break 'ranges;
                }
                let Some(messages) = self.cache.get(slice.entry, slice.frame) else {
                    let ahead = read_ahead(state, from, &self.cache);
                    self.wanted_reads
                        .extend(ahead.filter(|entry| !self.reading.contains(entry)));
                    self.waiting_for_reads.insert(queue);
                    break 'ranges;
                };
                let to = to.min(from.saturating_add(left - 1));
                let selection = slice
                    .selection
                    .part((from - start) as u32, (to + 1 - from) as u32);
                let mut at = from;
                for (first, count) in selection.runs() {
                    let fitting = fit(messages, first, count, size, &mut taken.size);
                    let records = Records {
                        messages,
                        first,
                        count: fitting,
                        expires_ms: slice.expires_ms,
                    };
                    push_parts(&mut taken.deliveries, records, at, state, leader);
                    at += u64::from(fitting);
                    if fitting < count {
                        break;
                    }
                }
                left -= at - from;
                if at > from {
                    join(&mut taken.ranges, from, at - 1);
                }
                if at <= to {
                    break 'ranges;
                }
            }
        }
        for (first, last) in &taken.ranges {
            leader.check_out(*first, *last, last + 1 - first);
        }
        if logged {
            self.reserve_mark(queue);
        }
        taken
    }

    /// Proposes a higher delivered-through mark when the cursor comes near it; urgent when it has been reached.
    pub fn reserve_mark(&mut self, queue: u64) {
        let Some(leader) = self.queues.get_mut(&queue) else {
            return;
        };
        if self.group.is_none() || leader.cursor + MARK_STEP / 2 < leader.proposed_mark {
            return;
        }
        leader.proposed_mark = leader.cursor + MARK_STEP;
        self.pending.wave.marks.push((queue, leader.proposed_mark));
        let mark = self.state.queues.get(&queue).map_or(0, |state| state.mark);
        if leader.cursor >= mark {
            self.pending.urgent = true;
        }
    }

    /// Messages that are checked out, to be dead-lettered: as many of the first as are in memory, up to about
    /// `PEEK_SIZE_MAX` bytes, and the sequence they go through. None: the first is not (it is then wanted). What is
    /// being settled is passed over, as two may reject a message that came to both.
    pub fn peek(&mut self, queue: u64, first: u64, last: u64) -> Option<(DeliveryRun, u64)> {
        let leader = self.queues.get(&queue)?;
        let state = self.state.queues.get(&queue)?;
        let mut run = DeliveryRun::default();
        let mut size = 0;
        let out = leader.out_within(first, last).into_iter();
        for (from, to, start, slice) in out.flat_map(|(first, last)| pieces(state, first, last)) {
            let Some(messages) = self.cache.get(slice.entry, slice.frame) else {
                if !run.parts.is_empty() {
                    return Some((run, from - 1));
                }
                let ahead = read_ahead(state, from, &self.cache);
                self.wanted_reads
                    .extend(ahead.filter(|entry| !self.reading.contains(entry)));
                self.waiting_for_reads.insert(queue);
                return None;
            };
            let selection = slice
                .selection
                .part((from - start) as u32, (to + 1 - from) as u32);
            let mut at = from;
            for (first, count) in selection.runs() {
                let fitting = fit(messages, first, count, PEEK_SIZE_MAX, &mut size);
                let records = Records {
                    messages,
                    first,
                    count: fitting,
                    expires_ms: slice.expires_ms,
                };
                push_parts(&mut run, records, at, state, leader);
                at += u64::from(fitting);
                if fitting < count {
                    return Some((run, at - 1));
                }
            }
        }
        Some((run, last))
    }

    /// `take_wanted_reads` would give some.
    pub fn wants_reads(&self) -> bool {
        !self.wanted_reads.is_empty()
    }

    /// Entries that are wanted in memory, in order; each is asked for once until it is received.
    pub fn take_wanted_reads(&mut self) -> Vec<u64> {
        let wanted: Vec<u64> = std::mem::take(&mut self.wanted_reads).into_iter().collect();
        self.reading.extend(&wanted);
        wanted
    }

    /// What came of wanted reads: each entry's frames with the numbers of the records they still have.
    ///
    /// Room is made once, before all of them: the oldest go first, and these are the oldest.
    pub fn receive_reads(&mut self, reads: impl IntoIterator<Item = (u64, Vec<Option<Retained>>)>) {
        let room = READ_ROOM.min(self.cache_budget / 2);
        self.cache.evict(self.cache_budget - room);
        for (entry, frames) in reads {
            let frames = frames
                .into_iter()
                .map(|frame| frame.map(|f| Arc::new(numbered(f))))
                .collect();
            self.reading.remove(&entry);
            // How many queues want it is not known: it goes by eviction, not by settles.
            self.cache.insert(entry, frames, u64::MAX);
        }
        self.effects
            .changed_queues
            .extend(std::mem::take(&mut self.waiting_for_reads));
        self.has_effects = true;
    }
}

/// A frame that lost records, with what is left where its record number says.
fn numbered(frame: Retained) -> MessageRun {
    let Retained { mut run, numbers } = frame;
    let end = numbers.last().map_or(0, |last| *last as usize + 1);
    if end == run.entries.len() {
        return run;
    }
    let nothing = run.entries[0]; // stands where nothing asks any more
    let mut entries = vec![nothing; end];
    for (number, entry) in numbers.iter().zip(&run.entries) {
        entries[*number as usize] = *entry;
    }
    run.entries = entries;
    run
}

/// Entries that a reader of the queue at `from` will want next, those in memory left out.
fn read_ahead<'a>(
    state: &'a QueueState,
    from: u64,
    cache: &'a FrameCache,
) -> impl Iterator<Item = u64> + 'a {
    let mut size = 0;
    state
        .slices_from(from)
        .take_while(move |(_, slice)| {
            let first = size == 0;
            size += slice.size + READ_COST;
            first || size <= READ_AHEAD_SIZE
        })
        .map(|(_, slice)| slice.entry)
        .filter(|entry| !cache.contains(*entry))
}

type Piece<'a> = (u64, u64, u64, &'a Slice);

/// What a queue holds of `first..=last`, slice by slice: (from, to, the slice's first sequence, slice).
pub(crate) fn pieces(state: &QueueState, first: u64, last: u64) -> impl Iterator<Item = Piece<'_>> {
    state
        .slices_from(first)
        .take_while(move |(start, _)| *start <= last)
        .map(move |(start, slice)| {
            (
                start.max(first),
                (start + slice.count() - 1).min(last),
                start,
                slice,
            )
        })
}

fn part_size(slice: &Slice, skip: u64, count: u64) -> u64 {
    let share =
        |n: u64| (u128::from(slice.size) * u128::from(n) / u128::from(slice.count())) as u64;
    share(skip + count) - share(skip)
}

/// How many of `count` records from `first` on fit in `size` with what is `taken`; at least one, if any may.
fn fit(messages: &MessageRun, first: u32, count: u32, size: u64, taken: &mut u64) -> u32 {
    let mut fitting = 0;
    for entry in &messages.entries[first as usize..(first + count) as usize] {
        if *taken >= size {
            break;
        }
        *taken += u64::from(entry.body.size) + u64::from(entry.properties.size) + DELIVERY_COST;
        fitting += 1;
    }
    fitting
}

/// What a delivery's frames cost beside its payload, about.
const DELIVERY_COST: u64 = 64;

fn join(ranges: &mut Vec<(u64, u64)>, first: u64, last: u64) {
    match ranges.last_mut() {
        Some((_, end)) if *end + 1 == first => *end = last,
        _ => ranges.push((first, last)),
    }
}

/// Neighbouring records of one slice.
struct Records<'a> {
    messages: &'a Arc<MessageRun>,
    first: u32,
    count: u32,
    expires_ms: u64,
}

/// Adds records whose sequences begin at `at`, cut where the redelivered flag changes.
fn push_parts(
    run: &mut DeliveryRun,
    records: Records,
    at: u64,
    state: &QueueState,
    leader: &QueueLeader,
) {
    let Records {
        messages,
        mut first,
        count,
        expires_ms,
    } = records;
    let (mut left, mut at) = (u64::from(count), at);
    while left > 0 {
        let (end, times) = state.returned_run(at, at + left - 1);
        let mut redelivered = times > 0;
        let mut run_count = end + 1 - at;
        // What this leader handed out before has come back, or it would not be ready.
        let flagged_below = leader.flagged_below.max(leader.cursor);
        if !redelivered && at < flagged_below {
            redelivered = true;
            run_count = run_count.min(flagged_below - at);
        }
        let count = run_count as u32;
        match run.parts.last_mut() {
            Some(part)
                if Arc::ptr_eq(&part.messages, messages)
                    && part.redelivered == redelivered
                    && part.expires_ms == expires_ms
                    && part.first + part.count == first =>
            {
                part.count += count;
            }
            _ => run.parts.push(Part {
                messages: messages.clone(),
                first,
                count,
                redelivered,
                expires_ms,
            }),
        }
        first += count;
        at += run_count;
        left -= run_count;
    }
}
