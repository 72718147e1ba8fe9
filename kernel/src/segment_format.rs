//! A segment as bytes: runs of pieces, and a footer that says where they are.
//!
//! ```text
//! file header, 4096
//! runs, in a row:
//!   run header   4 magic "SRUN" | 4 CRC32C | 4 group | 4 guest count | 8 queue | 8 size of the pieces
//!                4 piece count | 4 zero | guests, 8 each
//!   pieces       4 magic "PIEC" | 4 CRC32C | 8 entry | 2 frame | 2 zero | 4 record count | 4 size | frame
//! footer         per run: 4 group | 4 guest count | 8 queue | 8 position | 8 size | 8 record count
//!                4 piece count | 4 block count | 8 first entry | 8 last entry | 2 + 2 first, last frame
//!                4 zero | guests, 8 each | blocks, each 8 entry | 2 frame | 2 zero | 4 offset
//! trailer        4 magic "SEND" | 4 CRC32C of footer and what follows | 8 footer position | 4 run count
//!                4 zero
//! ```
//!
//! A *piece* is what of a frame was sealed in one queue's run: its records keep their numbers. A run's
//! *guests* are the other queues whose records lie in it. A *block* starts at least every 64 KiB: a
//! reader finds its piece by one read. Run headers and pieces repeat what the footer says, so that it
//! can be rebuilt. All checksums start from the file's seed and the position.

use crate::file_header::{u32_at, u64_at};

pub const RUN_HEADER_SIZE: usize = 40;
pub const PIECE_HEADER_SIZE: usize = 28;
pub const TRAILER_SIZE: usize = 24;
const FOOTER_RUN_SIZE: usize = 72;
const BLOCK_SIZE: usize = 16;
const RUN_MAGIC: [u8; 4] = *b"SRUN";
const PIECE_MAGIC: [u8; 4] = *b"PIEC";
const TRAILER_MAGIC: [u8; 4] = *b"SEND";
/// Bytes of pieces after which a new block starts.
pub const BLOCK_SPAN: u32 = 64 << 10;

/// A frame of a group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub entry: u64,
    pub frame: u16,
}

/// Where a block's first piece is, from the first piece of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub first: Address,
    pub offset: u32,
}

/// A run as the footer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub group: u32,
    pub queue: u64,
    /// Of its first piece, in the file.
    pub position: u64,
    /// Bytes of its pieces.
    pub size: u64,
    pub piece_count: u32,
    pub record_count: u64,
    pub first: Address,
    pub last: Address,
    /// Ascending.
    pub guests: Vec<u64>,
    pub blocks: Vec<Block>,
}

impl Run {
    pub fn covers(&self, address: Address) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Offset and size of the block that would hold a piece of that address.
    pub fn block_of(&self, address: Address) -> (u32, u32) {
        let after = self
            .blocks
            .partition_point(|block| block.first <= address)
            .max(1);
        let offset = self.blocks[after - 1].offset;
        let end = self
            .blocks
            .get(after)
            .map_or(self.size as u32, |block| block.offset);
        (offset, end - offset)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceHeader {
    pub address: Address,
    pub record_count: u32,
    pub size: u32,
}

fn checksum(seed: u32, position: u64, parts: [&[u8]; 2]) -> u32 {
    let start = crc32c::crc32c_append(seed, &position.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(start, parts[0]), parts[1])
}

/// Bytes of a run's header with its guests.
pub fn run_header_size(guest_count: usize) -> usize {
    RUN_HEADER_SIZE + 8 * guest_count
}

/// The header of a run that starts at `position`.
pub fn encode_run_header(run: &Run, seed: u32, position: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(run_header_size(run.guests.len()));
    out.extend_from_slice(&RUN_MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&run.group.to_le_bytes());
    out.extend_from_slice(&(run.guests.len() as u32).to_le_bytes());
    out.extend_from_slice(&run.queue.to_le_bytes());
    out.extend_from_slice(&run.size.to_le_bytes());
    out.extend_from_slice(&run.piece_count.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for guest in &run.guests {
        out.extend_from_slice(&guest.to_le_bytes());
    }
    let sum = checksum(seed, position, [&out[8..], &[]]);
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    out
}

/// What a run header says; pieces, records and blocks are yet to be found.
pub fn decode_run_header(bytes: &[u8], seed: u32, position: u64) -> Option<Run> {
    let head = bytes.get(..RUN_HEADER_SIZE)?;
    let guest_count = u32_at(head, 12) as usize;
    let whole = bytes.get(..run_header_size(guest_count))?;
    if head[..4] != RUN_MAGIC || u32_at(head, 4) != checksum(seed, position, [&whole[8..], &[]]) {
        return None;
    }
    let nowhere = Address { entry: 0, frame: 0 };
    Some(Run {
        group: u32_at(head, 8),
        queue: u64_at(head, 16),
        position: position + whole.len() as u64,
        size: u64_at(head, 24),
        piece_count: u32_at(head, 32),
        record_count: 0,
        first: nowhere,
        last: nowhere,
        guests: whole[RUN_HEADER_SIZE..]
            .chunks(8)
            .map(|guest| u64_at(guest, 0))
            .collect(),
        blocks: Vec::new(),
    })
}

/// How many guests the run header that starts these bytes claims; None: it is none.
pub fn guest_count(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..RUN_HEADER_SIZE)?;
    (head[..4] == RUN_MAGIC).then(|| u32_at(head, 12) as usize)
}

/// Appends what comes before a piece's frame, without the checksum, which needs its place: see [`seal_piece`].
/// `size`: bytes of the frame.
pub fn encode_piece_header(address: Address, record_count: u32, size: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&PIECE_MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&address.entry.to_le_bytes());
    out.extend_from_slice(&address.frame.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&record_count.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
}

/// Puts in the checksum of the piece that starts `bytes` and will lie at `position`; returns its size.
pub fn seal_piece(bytes: &mut [u8], seed: u32, position: u64) -> usize {
    let size = PIECE_HEADER_SIZE + u32_at(bytes, 24) as usize;
    let sum = checksum(seed, position, [&bytes[8..size], &[]]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    size
}

/// The piece at `position`, if `bytes` start with a good one, and its frame.
pub fn decode_piece(bytes: &[u8], seed: u32, position: u64) -> Option<(PieceHeader, &[u8])> {
    let head = bytes.get(..PIECE_HEADER_SIZE)?;
    let size = u32_at(head, 24);
    let whole = bytes.get(..PIECE_HEADER_SIZE + size as usize)?;
    if head[..4] != PIECE_MAGIC || u32_at(head, 4) != checksum(seed, position, [&whole[8..], &[]]) {
        return None;
    }
    let header = PieceHeader {
        address: Address {
            entry: u64_at(head, 8),
            frame: u16::from_le_bytes([head[16], head[17]]),
        },
        record_count: u32_at(head, 20),
        size,
    };
    Some((header, &whole[PIECE_HEADER_SIZE..]))
}

/// Bytes of the piece that starts these, as it claims; None: it is none.
pub fn piece_size(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..PIECE_HEADER_SIZE)?;
    (head[..4] == PIECE_MAGIC).then(|| PIECE_HEADER_SIZE + u32_at(head, 24) as usize)
}

/// Footer and trailer of a segment whose footer starts at `position`.
pub fn encode_footer(runs: &[Run], seed: u32, position: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for run in runs {
        out.extend_from_slice(&run.group.to_le_bytes());
        out.extend_from_slice(&(run.guests.len() as u32).to_le_bytes());
        for word in [run.queue, run.position, run.size, run.record_count] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&run.piece_count.to_le_bytes());
        out.extend_from_slice(&(run.blocks.len() as u32).to_le_bytes());
        out.extend_from_slice(&run.first.entry.to_le_bytes());
        out.extend_from_slice(&run.last.entry.to_le_bytes());
        out.extend_from_slice(&run.first.frame.to_le_bytes());
        out.extend_from_slice(&run.last.frame.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for guest in &run.guests {
            out.extend_from_slice(&guest.to_le_bytes());
        }
        for block in &run.blocks {
            out.extend_from_slice(&block.first.entry.to_le_bytes());
            out.extend_from_slice(&block.first.frame.to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&block.offset.to_le_bytes());
        }
    }
    let mut trailer = [0; TRAILER_SIZE];
    trailer[..4].copy_from_slice(&TRAILER_MAGIC);
    trailer[8..16].copy_from_slice(&position.to_le_bytes());
    trailer[16..20].copy_from_slice(&(runs.len() as u32).to_le_bytes());
    let sum = checksum(seed, position, [&out, &trailer[8..]]);
    trailer[4..8].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&trailer);
    out
}

/// Where the footer starts, as the trailer claims; None: it is none.
pub fn footer_position(trailer: &[u8]) -> Option<u64> {
    (trailer.len() == TRAILER_SIZE && trailer[..4] == TRAILER_MAGIC).then(|| u64_at(trailer, 8))
}

/// The runs, from the bytes between the footer's start and the file's end; None: they are not good.
pub fn decode_footer(bytes: &[u8], seed: u32, position: u64) -> Option<Vec<Run>> {
    let (mut rest, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER_SIZE)?)?;
    if footer_position(trailer)? != position
        || u32_at(trailer, 4) != checksum(seed, position, [rest, &trailer[8..]])
    {
        return None;
    }
    let mut runs = Vec::new();
    for _ in 0..u32_at(trailer, 16) {
        let (head, tail) = rest.split_at_checked(FOOTER_RUN_SIZE)?;
        let (guest_count, block_count) = (u32_at(head, 4) as usize, u32_at(head, 44) as usize);
        let (guests, tail) = tail.split_at_checked(8 * guest_count)?;
        let (blocks, tail) = tail.split_at_checked(BLOCK_SIZE * block_count)?;
        rest = tail;
        let frame = |at: usize, bytes: &[u8]| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        runs.push(Run {
            group: u32_at(head, 0),
            queue: u64_at(head, 8),
            position: u64_at(head, 16),
            size: u64_at(head, 24),
            record_count: u64_at(head, 32),
            piece_count: u32_at(head, 40),
            first: Address {
                entry: u64_at(head, 48),
                frame: frame(64, head),
            },
            last: Address {
                entry: u64_at(head, 56),
                frame: frame(66, head),
            },
            guests: guests.chunks(8).map(|guest| u64_at(guest, 0)).collect(),
            blocks: blocks
                .chunks(BLOCK_SIZE)
                .map(|block| Block {
                    first: Address {
                        entry: u64_at(block, 0),
                        frame: frame(8, block),
                    },
                    offset: u32_at(block, 12),
                })
                .collect(),
        });
    }
    rest.is_empty().then_some(runs)
}
