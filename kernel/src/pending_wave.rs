//! What a round gathers for one shard until its waves are proposed.
//!
//! Publishes are cut into waves of at most [`WAVE_SIZE_MAX`] unless one holds a single batch. Small runs
//! with the same key and route become one frame: 200 connections with a message each are one record
//! batch, not 200.

use std::sync::Arc;

use crate::message_run::{flags, Entry, MessageRun, NO_EXPIRATION};
use crate::queue_state::Selection;
use crate::wave::{Frame, Route, Sender, SequenceRange, Wave};

/// Bytes of payload after which a round begins another wave (log-and-shards.md section 2).
pub const WAVE_SIZE_MAX: usize = 1 << 20;
/// A run of at most so many messages is worth copying into its neighbour's frame.
const MERGED_COUNT_MAX: usize = 16;
/// A frame's number is a u16, and a frame merged from more runs than this gains nothing.
const FRAMES_MAX: usize = 4096;

/// Which messages of a key a target gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    /// An MQTT session keeps QoS 1 and 2 in one queue ...
    Persistent,
    /// ... and QoS 0 in another.
    Transient,
    /// What is to be its topic's retained message.
    Retained,
}

impl Wanted {
    fn takes(self, entry: &Entry) -> bool {
        let persistent = entry.flags & flags::PERSISTENT != 0;
        match self {
            Self::All => true,
            Self::Persistent => persistent,
            Self::Transient => !persistent,
            Self::Retained => entry.flags & flags::RETAIN != 0,
        }
    }
}

/// A group of targets of which each message goes to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose turn it is that gets the message.
    pub member: u32,
    pub members: u32,
}

/// A queue as a publish reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub queue: u64,
    /// The queue's message TTL; `NO_EXPIRATION`: none.
    pub ttl_ms: u32,
    /// How many more it takes before it rejects; `u64::MAX`: it doesn't reject.
    pub room: u64,
    pub wanted: Wanted,
    pub share: Option<Share>,
}

impl Target {
    /// One that gets everything.
    pub fn of(queue: u64) -> Self {
        Self {
            queue,
            ttl_ms: NO_EXPIRATION,
            room: u64::MAX,
            wanted: Wanted::All,
            share: None,
        }
    }
}

/// Targets for each key of a run; shared by the route cache, so that pointer equality means equality.
pub type Targets = Arc<Vec<Target>>;

/// Records of a run that a queue gets, with one expiry.
struct Part {
    target: Target,
    expiration_ms: u32,
    records: Vec<u32>,
}

/// A frame that runs like its first may join.
struct Joinable {
    targets: Targets,
    /// Of every message, where targets ask.
    persistent: bool,
    /// How many routes lead to the frame.
    routes: usize,
}

#[derive(Default)]
pub struct PendingWave {
    pub wave: Wave,
    closed: Vec<Wave>,
    size: usize,
    /// Somebody waits for it: it is proposed at the end of this round.
    pub urgent: bool,
    /// Runs to be joined in the frame of the same position, with their common targets.
    merging: Vec<(Vec<Arc<MessageRun>>, Option<Joinable>)>,
    merged_count: usize,
}

impl PendingWave {
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.wave.is_empty()
    }

    /// Bytes of payload gathered.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Adds a run; `keys[i]` are the targets of its dictionary's key `i`, and `turns[i]` is its first message's turn
    /// (0 where there are none). Answers the records that some queue rejected, in order. `take_sequences` gives a
    /// queue's next sequence and takes so many of it.
    pub fn publish(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        turns: &[u64],
        mut take_sequences: impl FnMut(u64, u64) -> u64,
    ) -> Vec<u32> {
        if keys.iter().any(|targets| targets.is_empty()) {
            return self.publish_part(run, keys, turns, &mut take_sequences);
        }
        let payload = run.payload_size();
        let full = self.size + payload > WAVE_SIZE_MAX || self.wave.frames.len() >= FRAMES_MAX;
        if full && !self.wave.frames.is_empty() {
            self.close();
        }
        if self.merge(run, keys, &mut take_sequences) {
            self.size += payload;
            return Vec::new();
        }
        let (parts, rejected) = split(run, keys, turns);
        if parts.is_empty() {
            return rejected;
        }
        self.size += payload;
        let frame = self.wave.frames.len() as u16;
        self.wave.frames.push(Frame {
            start: 0,
            size: 0,
            messages: Some(run.clone()),
        });
        let plain = |p: &Part| {
            p.target.room == u64::MAX
                && p.expiration_ms == NO_EXPIRATION
                && p.records.len() == run.entries.len()
                && p.target.share.is_none()
        };
        let small = keys.len() == 1 && run.entries.len() <= MERGED_COUNT_MAX;
        let joinable = (small && parts.iter().all(plain)).then(|| Joinable {
            targets: keys[0].clone(),
            persistent: Wanted::Persistent.takes(&run.entries[0]),
            routes: parts.len(),
        });
        self.merging.push((vec![run.clone()], joinable));
        self.merged_count = run.entries.len();
        for part in parts {
            let first_sequence = take_sequences(part.target.queue, part.records.len() as u64);
            let size = part
                .records
                .iter()
                .map(|r| u64::from(run.entries[*r as usize].body.size))
                .sum();
            self.wave.routes.push(Route {
                queue: part.target.queue,
                frame,
                selection: selection(part.records),
                first_sequence,
                // Relative until the wave's time is known; 0 is never.
                expires_ms: match part.expiration_ms {
                    NO_EXPIRATION => 0,
                    relative => u64::from(relative) + 1,
                },
                size,
            });
        }
        rejected
    }

    /// Of a run that reaches several shards, what reaches this one: the rest is neither written nor sent here.
    fn publish_part(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        turns: &[u64],
        take_sequences: &mut dyn FnMut(u64, u64) -> u64,
    ) -> Vec<u32> {
        let reaching: Vec<u32> = (0..keys.len() as u32)
            .filter(|&key| !keys[key as usize].is_empty())
            .collect();
        if reaching.is_empty() {
            return Vec::new();
        }
        let part = Arc::new(run.select(&reaching));
        let of_part = |key: &u32| keys[*key as usize].clone();
        let targets: Vec<Targets> = reaching.iter().map(of_part).collect();
        let of_turn = |key: &u32| turns.get(*key as usize).copied().unwrap_or(0);
        let turns: Vec<u64> = reaching.iter().map(of_turn).collect();
        let mut rejected = self.publish(&part, &targets, &turns, take_sequences);
        if !rejected.is_empty() {
            let places = run.places(&reaching);
            for record in &mut rejected {
                *record = places[*record as usize];
            }
        }
        rejected
    }

    /// Joins a small run to the last frame if both have the same key and targets.
    fn merge(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        take_sequences: &mut impl FnMut(u64, u64) -> u64,
    ) -> bool {
        let Some((runs, Some(joinable))) = self.merging.last_mut() else {
            return false;
        };
        let count = run.entries.len();
        let targets = &joinable.targets;
        let uniform = targets.iter().all(|t| t.wanted == Wanted::All);
        let retaining = targets.iter().any(|t| t.wanted == Wanted::Retained);
        let same = keys.len() == 1
            && count <= MERGED_COUNT_MAX
            && Arc::ptr_eq(targets, &keys[0])
            && !retaining
            && same_key(&runs[0], run)
            && run.entries.iter().all(|e| {
                e.expiration_ms == NO_EXPIRATION
                    && (uniform || Wanted::Persistent.takes(e) == joinable.persistent)
            });
        if !same {
            return false;
        }
        runs.push(run.clone());
        let at = self.merged_count as u32;
        self.merged_count += count;
        let bodies: u64 = run.entries.iter().map(|e| u64::from(e.body.size)).sum();
        let first_route = self.wave.routes.len() - joinable.routes;
        for route in &mut self.wave.routes[first_route..] {
            take_sequences(route.queue, count as u64);
            route.selection = Selection::Range {
                first: 0,
                count: at + count as u32,
            };
            route.size += bodies;
        }
        true
    }

    /// The commands of a sender through `number` are in this wave.
    pub fn through(&mut self, sender: Sender, number: u64) {
        match self.wave.senders.iter_mut().find(|(s, _)| *s == sender) {
            Some((_, through)) => *through = number,
            None => self.wave.senders.push((sender, number)),
        }
    }

    pub fn settle(&mut self, range: SequenceRange) {
        join(&mut self.wave.settled, range);
    }

    pub fn give_back(&mut self, range: SequenceRange) {
        join(&mut self.wave.returned, range);
    }

    fn close(&mut self) {
        for (frame, (runs, _)) in self.wave.frames.iter_mut().zip(self.merging.drain(..)) {
            if runs.len() > 1 {
                frame.messages = Some(Arc::new(MessageRun::joined(&runs)));
            }
        }
        self.merged_count = 0;
        self.size = 0;
        self.closed.push(std::mem::take(&mut self.wave));
    }

    /// The waves gathered, each stamped with a time not less than `time_ms`.
    pub fn take(&mut self, time_ms: u64) -> Vec<Wave> {
        if !self.wave.is_empty() {
            self.close();
        }
        self.urgent = false;
        for wave in &mut self.closed {
            wave.time_ms = time_ms;
            for route in wave.routes.iter_mut().filter(|r| r.expires_ms > 0) {
                route.expires_ms = time_ms + (route.expires_ms - 1);
            }
        }
        std::mem::take(&mut self.closed)
    }
}

fn join(ranges: &mut Vec<SequenceRange>, range: SequenceRange) {
    if let Some(last) = ranges.last_mut() {
        let same = last.queue == range.queue && last.outcome == range.outcome;
        if same && last.last + 1 == range.first {
            last.last = range.last;
            return;
        }
    }
    ranges.push(range);
}

fn same_key(a: &MessageRun, b: &MessageRun) -> bool {
    let (x, y) = (&a.dictionary[0], &b.dictionary[0]);
    a.origin == b.origin
        && x.routing_key.of(&a.buffer) == y.routing_key.of(&b.buffer)
        && x.exchange.of(&a.buffer) == y.exchange.of(&b.buffer)
}

fn selection(records: Vec<u32>) -> Selection {
    let (first, count) = (records[0], records.len() as u32);
    if records[records.len() - 1] - first + 1 == count {
        return Selection::Range { first, count };
    }
    Selection::List {
        records: records.into(),
        at: 0,
        count,
    }
}

/// Which records each queue gets, in order, cut where the expiry changes; and what was rejected.
fn split(run: &MessageRun, keys: &[Targets], turns: &[u64]) -> (Vec<Part>, Vec<u32>) {
    let mut turns: Vec<u64> = turns.to_vec();
    turns.resize(keys.len(), 0);
    let mut queues: Vec<(u64, usize, u64)> = Vec::new(); // queue, its open part, its room
    let mut parts: Vec<Part> = Vec::new();
    // Each key's targets as positions in `queues`: looked up once for a key, not once for a message.
    let slots: Vec<Vec<(usize, Target)>> = keys
        .iter()
        .map(|targets| {
            let slot = |target: &Target| {
                let at = queues
                    .iter()
                    .position(|q| q.0 == target.queue)
                    .unwrap_or_else(|| {
                        queues.push((target.queue, usize::MAX, target.room));
                        queues.len() - 1
                    });
                (at, *target)
            };
            targets.iter().map(slot).collect()
        })
        .collect();
    let mut rejected = Vec::new();
    for (record, entry) in run.entries.iter().enumerate() {
        let turn = turns[entry.key as usize];
        turns[entry.key as usize] = turn.wrapping_add(1);
        for (slot, target) in &slots[entry.key as usize] {
            let others_turn =
                |share: Share| turn % u64::from(share.members) != u64::from(share.member);
            if !target.wanted.takes(entry) || target.share.is_some_and(others_turn) {
                continue;
            }
            let (_, open, room) = &mut queues[*slot];
            if *room == 0 {
                if rejected.last() != Some(&(record as u32)) {
                    rejected.push(record as u32);
                }
                continue;
            }
            if *room != u64::MAX {
                *room -= 1;
            }
            let expiration_ms = entry.expiration_ms.min(target.ttl_ms);
            if *open == usize::MAX || parts[*open].expiration_ms != expiration_ms {
                *open = parts.len();
                parts.push(Part {
                    target: *target,
                    expiration_ms,
                    records: Vec::new(),
                });
            }
            parts[*open].records.push(record as u32);
        }
    }
    (parts, rejected)
}
