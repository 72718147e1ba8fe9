//! A wave: one Raft entry, everything one round has for one shard.
//!
//! Layout (little endian; drawn in `docs/log-format.md`): a fixed header with the leader's wall time
//! and the number of items of each section, then the sections in the order of the fields of [`Wave`].
//! A wave holds what the leader *decided*: applying it is arithmetic.

use std::sync::Arc;

use bytes::Bytes;

use crate::message_run::MessageRun;
use crate::queue_state::Selection;

pub const VERSION: u8 = 1;
const HEADER_SIZE: usize = 48;

/// Who numbers the commands it sends to a shard: a front (peer and incarnation) or another shard's outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    pub peer: u64,
    pub incarnation: u64,
}

/// How settled messages ended; the numbers are the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    Accepted = 0,
    Rejected = 1,
    /// Not a settle: one more return (`Wave::returned` holds those).
    Requeued = 2,
    Expired = 3,
    /// Dropped at the head of a full queue.
    Overflowed = 4,
    Purged = 5,
}

impl Outcome {
    pub fn of(number: u8) -> Option<Self> {
        const ALL: [Outcome; 6] = [
            Outcome::Accepted,
            Outcome::Rejected,
            Outcome::Requeued,
            Outcome::Expired,
            Outcome::Overflowed,
            Outcome::Purged,
        ];
        ALL.get(usize::from(number)).copied()
    }
}

/// A record batch with its origin and dictionary (`record_batch.rs`).
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it lies in the encoded wave; 0, 0 in a wave that was never encoded (a volatile shard's).
    pub start: u32,
    pub size: u32,
    /// Its messages, if they are in memory.
    pub messages: Option<Arc<MessageRun>>,
}

/// Which records of a frame a queue gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub queue: u64,
    pub frame: u16,
    pub selection: Selection,
    /// The sequence of its first message, as the leader reckoned it.
    pub first_sequence: u64,
    pub expires_ms: u64,
    pub size: u64,
}

/// Messages `first..=last` of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    pub queue: u64,
    pub first: u64,
    pub last: u64,
    /// A settle's outcome; 0 for a return.
    pub outcome: u8,
}

/// One Raft entry of a shard.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// The leader's wall time, never less than the wave before.
    pub time_ms: u64,
    /// Commands applied: (sender, through).
    pub senders: Vec<(Sender, u64)>,
    pub forgotten_senders: Vec<Sender>,
    pub created_queues: Vec<u64>,
    pub frames: Vec<Frame>,
    pub routes: Vec<Route>,
    pub settled: Vec<SequenceRange>,
    pub returned: Vec<SequenceRange>,
    /// (queue, delivered-through mark).
    pub marks: Vec<(u64, u64)>,
    /// Changes of topology, opaque here.
    pub commands: Vec<Bytes>,
    pub dropped_queues: Vec<u64>,
}

impl Wave {
    pub fn is_empty(&self) -> bool {
        self.senders.is_empty()
            && self.forgotten_senders.is_empty()
            && self.created_queues.is_empty()
            && self.frames.is_empty()
            && self.routes.is_empty()
            && self.settled.is_empty()
            && self.returned.is_empty()
            && self.marks.is_empty()
            && self.commands.is_empty()
            && self.dropped_queues.is_empty()
    }

    /// Appends the header and the sections; `write_frame` appends a frame's bytes.
    pub fn encode(
        &mut self,
        out: &mut Vec<u8>,
        mut write_frame: impl FnMut(&Arc<MessageRun>, &mut Vec<u8>),
    ) {
        assert!(out.is_empty(), "spans count from the wave's first byte");
        out.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        let counts = [
            self.senders.len(),
            self.forgotten_senders.len(),
            self.created_queues.len(),
            self.frames.len(),
            self.routes.len(),
            self.settled.len(),
            self.returned.len(),
            self.marks.len(),
        ];
        for count in counts {
            put_u32(out, count as u32);
        }
        debug_assert_eq!(out.len(), HEADER_SIZE);
        put_u32(out, self.commands.len() as u32);
        put_u32(out, self.dropped_queues.len() as u32);
        for (sender, through) in &self.senders {
            put_u64s(out, &[sender.peer, sender.incarnation, *through]);
        }
        for sender in &self.forgotten_senders {
            put_u64s(out, &[sender.peer, sender.incarnation]);
        }
        put_u64s(out, &self.created_queues);
        for frame in &mut self.frames {
            let at = out.len();
            put_u32(out, 0);
            if let Some(run) = &frame.messages {
                write_frame(run, out);
            }
            frame.start = at as u32 + 4;
            frame.size = (out.len() - at - 4) as u32;
            out[at..at + 4].copy_from_slice(&frame.size.to_le_bytes());
        }
        self.encode_ranges(out);
    }

    fn encode_ranges(&self, out: &mut Vec<u8>) {
        for route in &self.routes {
            put_u64s(
                out,
                &[
                    route.queue,
                    route.first_sequence,
                    route.expires_ms,
                    route.size,
                ],
            );
            out.extend_from_slice(&route.frame.to_le_bytes());
            match &route.selection {
                Selection::Range { first, count } => {
                    out.push(0);
                    put_u32(out, *first);
                    put_u32(out, *count);
                }
                Selection::List { records, at, count } => {
                    out.push(1);
                    put_u32(out, *count);
                    for record in &records[*at as usize..(at + count) as usize] {
                        put_u32(out, *record);
                    }
                }
            }
        }
        for range in self.settled.iter().chain(&self.returned) {
            put_u64s(out, &[range.queue, range.first, range.last]);
            out.push(range.outcome);
        }
        for (queue, mark) in &self.marks {
            put_u64s(out, &[*queue, *mark]);
        }
        for command in &self.commands {
            put_u32(out, command.len() as u32);
            out.extend_from_slice(command);
        }
        put_u64s(out, &self.dropped_queues);
    }

    /// Reads a wave back; its frames stay undecoded. An error says what is wrong and at which byte.
    pub fn decode(data: &Bytes) -> Result<Self, String> {
        let mut reader = Reader { data, at: 0 };
        let version = reader.take(8)?[0];
        if version != VERSION {
            return Err(format!(
                "wave of version {version}; this broker reads {VERSION}"
            ));
        }
        let mut wave = Self {
            time_ms: reader.u64()?,
            ..Self::default()
        };
        let mut counts = [0usize; 10];
        for count in &mut counts {
            *count = reader.u32()? as usize;
        }
        for _ in 0..reader.check(counts[0], 24)? {
            let sender = Sender {
                peer: reader.u64()?,
                incarnation: reader.u64()?,
            };
            wave.senders.push((sender, reader.u64()?));
        }
        for _ in 0..reader.check(counts[1], 16)? {
            let (peer, incarnation) = (reader.u64()?, reader.u64()?);
            wave.forgotten_senders.push(Sender { peer, incarnation });
        }
        for _ in 0..reader.check(counts[2], 8)? {
            wave.created_queues.push(reader.u64()?);
        }
        for _ in 0..reader.check(counts[3], 4)? {
            let size = reader.u32()?;
            wave.frames.push(Frame {
                start: reader.at as u32,
                size,
                messages: None,
            });
            reader.take(size as usize)?;
        }
        for _ in 0..reader.check(counts[4], 39)? {
            wave.routes.push(reader.route(counts[3])?);
        }
        for _ in 0..reader.check(counts[5], 25)? {
            wave.settled.push(reader.range()?);
        }
        for _ in 0..reader.check(counts[6], 25)? {
            wave.returned.push(reader.range()?);
        }
        for _ in 0..reader.check(counts[7], 16)? {
            wave.marks.push((reader.u64()?, reader.u64()?));
        }
        for _ in 0..reader.check(counts[8], 4)? {
            let size = reader.u32()? as usize;
            let at = reader.at;
            reader.take(size)?;
            wave.commands.push(data.slice(at..at + size));
        }
        for _ in 0..reader.check(counts[9], 8)? {
            wave.dropped_queues.push(reader.u64()?);
        }
        if reader.at != data.len() {
            return Err(format!(
                "{} bytes after the wave's end at {}",
                data.len() - reader.at,
                reader.at
            ));
        }
        Ok(wave)
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64s(out: &mut Vec<u8>, values: &[u64]) {
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], String> {
        let end = self
            .at
            .checked_add(size)
            .filter(|end| *end <= self.data.len());
        let end =
            end.ok_or_else(|| format!("wave cut short: {size} bytes wanted at {}", self.at))?;
        let taken = &self.data[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u64(&mut self) -> Result<u64, String> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn u32(&mut self) -> Result<u32, String> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    /// `count` items of at least `size` bytes must fit in what is left, before memory is taken for them.
    fn check(&self, count: usize, size: usize) -> Result<usize, String> {
        if count > (self.data.len() - self.at) / size {
            return Err(format!(
                "{count} items can't fit in the wave at {}",
                self.at
            ));
        }
        Ok(count)
    }

    fn range(&mut self) -> Result<SequenceRange, String> {
        let (queue, first, last) = (self.u64()?, self.u64()?, self.u64()?);
        if first > last || last == u64::MAX {
            return Err(format!("range {first} to {last} at {}", self.at));
        }
        Ok(SequenceRange {
            queue,
            first,
            last,
            outcome: self.take(1)?[0],
        })
    }

    fn route(&mut self, frame_count: usize) -> Result<Route, String> {
        let (queue, first_sequence) = (self.u64()?, self.u64()?);
        let (expires_ms, size) = (self.u64()?, self.u64()?);
        let frame = u16::from_le_bytes([self.take(1)?[0], self.take(1)?[0]]);
        let listed = self.take(1)?[0];
        let selection = if listed == 0 {
            let first = self.u32()?;
            Selection::Range {
                first,
                count: self.u32()?,
            }
        } else {
            let count = self.u32()?;
            let mut records = Vec::with_capacity(self.check(count as usize, 4)?);
            for _ in 0..count {
                records.push(self.u32()?);
            }
            Selection::List {
                records: records.into(),
                at: 0,
                count,
            }
        };
        if usize::from(frame) >= frame_count || selection.count() == 0 {
            return Err(format!(
                "route to frame {frame} of {frame_count} at {}",
                self.at
            ));
        }
        Ok(Route {
            queue,
            frame,
            selection,
            first_sequence,
            expires_ms,
            size,
        })
    }
}
