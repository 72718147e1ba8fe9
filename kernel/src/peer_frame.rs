//! Frames between nodes: those that carry Raft's messages as they go out, and all as they come.
//!
//! ```text
//! 4 length | 4 CRC32C of the length | 4 CRC32C of the rest | 1 kind | 2 head length | head: CBOR, [group] | body
//! ```
//!
//! Little endian; the length is that of the rest. `broker/cluster/frame.py` makes all other kinds.

use bytes::Bytes;

use crate::file_header::u32_at;
use crate::raft_ready::{PeerMessage, PIECE_SIZE_MIN};

/// The kinds of `broker/cluster/frame_kinds.py` that a group's messages go as.
const RAFT: u8 = 17;
const APPEND: u8 = 32;
/// CBOR's array of one, and how the numbers of its major type 0 begin.
const ARRAY_OF_ONE: u8 = 0x81;
const TINY_MAX: u32 = 23;
const IN_ONE: u8 = 0x18;
const IN_TWO: u8 = 0x19;
const IN_FOUR: u8 = 0x1A;

/// Frames for one link of one peer, in a row.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameRun {
    pub to: u64,
    pub bulk: bool,
    /// Of all pieces.
    pub size: usize,
    /// Large ones as they lie in the log.
    pub pieces: Vec<Bytes>,
    /// What is to be a piece with what follows.
    open: Vec<u8>,
}

impl FrameRun {
    fn new(to: u64, bulk: bool) -> Self {
        Self {
            to,
            bulk,
            size: 0,
            pieces: Vec::new(),
            open: Vec::new(),
        }
    }

    fn push(&mut self, group: u32, message: PeerMessage) {
        let mut prefix = vec![if self.bulk { APPEND } else { RAFT }, 0, 0];
        write_head(group, &mut prefix);
        prefix[1] = prefix.len() as u8 - 3;
        let mut checksum = crc32c::crc32c(&prefix);
        let mut size = prefix.len();
        for piece in &message.pieces {
            checksum = crc32c::crc32c_append(checksum, piece);
            size += piece.len();
        }
        let length = (size as u32).to_le_bytes();
        self.open.extend_from_slice(&length);
        let of_length = crc32c::crc32c(&length);
        self.open.extend_from_slice(&of_length.to_le_bytes());
        self.open.extend_from_slice(&checksum.to_le_bytes());
        self.open.extend_from_slice(&prefix);
        self.size += 12 + size;
        for piece in message.pieces {
            if piece.len() < PIECE_SIZE_MIN {
                self.open.extend_from_slice(&piece);
            } else {
                let before = std::mem::take(&mut self.open);
                self.pieces.extend([before.into(), piece]);
            }
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push(std::mem::take(&mut self.open).into());
        }
    }
}

/// A group's messages as runs of frames: one for each peer and link, in the order of the first of each.
pub fn frame_runs(group: u32, messages: Vec<PeerMessage>) -> Vec<FrameRun> {
    let mut runs: Vec<FrameRun> = Vec::new();
    for message in messages {
        let of_it = |run: &&mut FrameRun| (run.to, run.bulk) == (message.to, message.bulk);
        if let Some(run) = runs.iter_mut().find(of_it) {
            run.push(group, message);
        } else {
            let mut run = FrameRun::new(message.to, message.bulk);
            run.push(group, message);
            runs.push(run);
        }
    }
    runs.iter_mut().for_each(FrameRun::close);
    runs
}

fn write_head(group: u32, out: &mut Vec<u8>) {
    out.push(ARRAY_OF_ONE);
    match group {
        0..=TINY_MAX => out.push(group as u8),
        _ if group <= u8::MAX.into() => out.extend([IN_ONE, group as u8]),
        _ if group <= u16::MAX.into() => {
            out.push(IN_TWO);
            out.extend((group as u16).to_be_bytes());
        }
        _ => {
            out.push(IN_FOUR);
            out.extend(group.to_be_bytes());
        }
    }
}

/// What is wrong with bytes that should be frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    TooLarge { size: usize, size_max: usize },
    LengthChecksum,
    TooFew { size: usize },
    Checksum,
    HeadBeyond { head_size: usize },
}

/// A frame as it came, its body in the pieces that it came in.
#[derive(Debug, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub head: Bytes,
    pub body: Vec<Bytes>,
}

/// Bytes in, frames out, resumable at any byte. Nothing is believed before its checksum holds, and no memory is taken
/// for what has not come.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    input: Bytes,
    /// What there is of an unfinished frame's length and checksums,
    outer: Vec<u8>,
    /// and of the rest: large pieces as they came, and small ones together.
    pieces: Vec<Bytes>,
    small: Vec<u8>,
    missing: usize,
}

const OUTER_SIZE: usize = 12;
const LENGTH_SIZE: usize = 8;
const PREFIX_SIZE: usize = 3;

impl FrameDecoder {
    /// Call it when all frames of the bytes before have been taken.
    pub fn receive_data(&mut self, data: Bytes) {
        assert!(self.input.is_empty(), "frames are left");
        self.input = data;
    }

    /// Whether a frame has begun and not ended, once all frames have been taken.
    pub fn is_unfinished(&self) -> bool {
        !self.outer.is_empty()
    }

    /// The next, of `size_max` bytes after its checksums at most; None: bytes are missing. After a fault there is
    /// nothing more to be had.
    pub fn take_frame(&mut self, size_max: usize) -> Result<Option<RawFrame>, FrameFault> {
        if self.outer.len() < OUTER_SIZE && !self.take_outer(size_max)? {
            return Ok(None);
        }
        let part = self.input.split_to(self.missing.min(self.input.len()));
        self.missing -= part.len();
        if self.missing > 0 {
            self.keep(part);
            return Ok(None);
        }
        let checksum = u32_at(&self.outer, LENGTH_SIZE);
        self.outer.clear();
        let mut parts = std::mem::take(&mut self.pieces);
        let small = std::mem::take(&mut self.small);
        parts.extend(
            [small.into(), part]
                .into_iter()
                .filter(|part: &Bytes| !part.is_empty()),
        );
        decode(parts, checksum).map(Some)
    }

    /// Whether there is all of it.
    fn take_outer(&mut self, size_max: usize) -> Result<bool, FrameFault> {
        let missing = OUTER_SIZE - self.outer.len();
        let taken = self.input.split_to(missing.min(self.input.len()));
        self.outer.extend_from_slice(&taken);
        if self.outer.len() >= LENGTH_SIZE {
            check_length(&self.outer, size_max)?;
        }
        self.missing = self
            .outer
            .get(..4)
            .map_or(0, |_| u32_at(&self.outer, 0) as usize);
        Ok(self.outer.len() == OUTER_SIZE)
    }

    /// A piece of one byte would cost a hundred.
    fn keep(&mut self, part: Bytes) {
        if part.len() < PIECE_SIZE_MIN {
            self.small.extend_from_slice(&part);
            if self.small.len() < PIECE_SIZE_MIN {
                return;
            }
        }
        let small = std::mem::take(&mut self.small);
        if !small.is_empty() {
            self.pieces.push(small.into());
        }
        if part.len() >= PIECE_SIZE_MIN {
            self.pieces.push(part);
        }
    }
}

fn check_length(outer: &[u8], size_max: usize) -> Result<(), FrameFault> {
    let size = u32_at(outer, 0) as usize;
    if size > size_max {
        return Err(FrameFault::TooLarge { size, size_max });
    }
    if u32_at(outer, 4) != crc32c::crc32c(&outer[..4]) {
        return Err(FrameFault::LengthChecksum);
    }
    if size < PREFIX_SIZE {
        return Err(FrameFault::TooFew { size });
    }
    Ok(())
}

fn decode(parts: Vec<Bytes>, checksum: u32) -> Result<RawFrame, FrameFault> {
    let sum = parts
        .iter()
        .fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    if sum != checksum {
        return Err(FrameFault::Checksum);
    }
    let mut parts = parts;
    let prefix = take_front(&mut parts, PREFIX_SIZE);
    let head_size = u16::from_le_bytes([prefix[1], prefix[2]]) as usize;
    let head = take_front(&mut parts, head_size);
    if head.len() < head_size {
        return Err(FrameFault::HeadBeyond { head_size });
    }
    Ok(RawFrame {
        kind: prefix[0],
        head,
        body: parts,
    })
}

/// The first `size` bytes of the parts, or all that there are.
fn take_front(parts: &mut Vec<Bytes>, size: usize) -> Bytes {
    let mut front = Bytes::new();
    while front.len() < size && !parts.is_empty() {
        let count = (size - front.len()).min(parts[0].len());
        let taken = parts[0].split_to(count);
        front = if front.is_empty() {
            taken
        } else {
            [front, taken].concat().into()
        };
        if parts[0].is_empty() {
            parts.remove(0);
        }
    }
    front
}

/// Numbers of a head that is an array of a few that are not negative, as most are; None: it is another one.
pub fn numbers(head: &[u8]) -> Option<Vec<u64>> {
    const COUNT_MAX: u8 = 8;
    let (first, mut rest) = head.split_first()?;
    let count = first
        .checked_sub(0x80)
        .filter(|count| *count <= COUNT_MAX)?;
    let mut numbers = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (first, after) = rest.split_first()?;
        let size = match *first {
            tiny @ 0..=0x17 => {
                numbers.push(tiny.into());
                rest = after;
                continue;
            }
            0x18..=0x1B => 1 << (first - 0x18),
            _ => return None,
        };
        let (bytes, after) = after.split_at_checked(size)?;
        numbers.push(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        );
        rest = after;
    }
    rest.is_empty().then_some(numbers)
}

#[cfg(test)]
mod tests;
