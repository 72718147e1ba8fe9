//! Writing a segment: runs as they are filled, then the footer.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::sync::Arc;

use crate::blocks::Blocks;
use crate::disk::{Disk, DiskFault, DiskFile, DiskResult};
use crate::file_header::{self, FileKind, Identity, HEADER_SIZE};
use crate::segment::{note_piece, segment_name, Segment};
use crate::segment_format::{
    encode_footer, encode_piece_header, encode_run_header, run_header_size, seal_piece, Address,
    Run, PIECE_HEADER_SIZE,
};

/// A run in memory, growing.
pub struct OpenRun {
    run: Run,
    /// Pieces, each whole in one of them: what grew as one would be copied each time, into memory that is new.
    chunks: Vec<Vec<u8>>,
    size: usize,
    guests: BTreeSet<u64>,
}

/// Of chunks after the first, unless a piece is larger.
const CHUNK_SIZE: usize = 1 << 20;

impl OpenRun {
    pub fn new(group: u32, queue: u64) -> Self {
        let nowhere = Address { entry: 0, frame: 0 };
        Self {
            run: Run {
                group,
                queue,
                position: 0,
                size: 0,
                piece_count: 0,
                record_count: 0,
                first: nowhere,
                last: nowhere,
                guests: Vec::new(),
                blocks: Vec::new(),
            },
            chunks: Vec::new(),
            size: 0,
            guests: BTreeSet::new(),
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether a piece of that address may come next.
    pub fn takes(&self, address: Address) -> bool {
        self.size == 0 || self.run.last < address
    }

    /// Adds a frame of `size` bytes, or what is wanted of one, as `write_frame` appends it; addresses ascend.
    pub fn push(
        &mut self,
        address: Address,
        record_count: u32,
        size: usize,
        write_frame: impl FnOnce(&mut Vec<u8>),
    ) {
        assert!(self.takes(address), "{address:?} comes too late");
        note_piece(&mut self.run, self.size as u32, address, record_count);
        let chunk = self.chunk(PIECE_HEADER_SIZE + size);
        encode_piece_header(address, record_count, size as u32, chunk);
        let before = chunk.len();
        write_frame(chunk);
        assert_eq!(chunk.len() - before, size, "a frame is as long as was said");
        self.size += PIECE_HEADER_SIZE + size;
        self.run.piece_count += 1;
    }

    /// One with room for so much: the first grows with what there is, as most runs are small.
    fn chunk(&mut self, needed: usize) -> &mut Vec<u8> {
        let full = |chunk: &Vec<u8>| chunk.len() + needed > CHUNK_SIZE;
        if self.chunks.last().is_none_or(full) {
            let capacity = if self.chunks.is_empty() {
                0
            } else {
                CHUNK_SIZE
            };
            self.chunks.push(Vec::with_capacity(capacity.max(needed)));
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    pub fn add_guests(&mut self, queues: &[u64]) {
        self.guests.extend(queues);
    }
}

/// A segment being written. Until a manifest names it, it is not part of the store.
pub struct SegmentWriter {
    number: u64,
    seed: u32,
    file: Arc<dyn DiskFile>,
    /// Where the next byte goes; what is less than a block before it is in `tail`.
    position: u64,
    synced: u64,
    tail: Vec<u8>,
    runs: Vec<Run>,
}

/// Bytes written between syncs: one sync of a whole segment would hold up the journal's.
const SYNC_SIZE: u64 = 4 << 20;
/// Of the buffer that all writers of a cycle share, and so of a write, behind which the journal's syncs wait.
pub const BUFFER_SIZE: usize = 128 << 10;

impl SegmentWriter {
    pub fn create(disk: &dyn Disk, identity: &Identity, number: u64) -> DiskResult<Self> {
        let name = segment_name(number);
        // What an interrupted cycle left under this number was never named by a manifest.
        match disk.remove(&name) {
            Err(error) if error.fault != DiskFault::NotFound => return Err(error),
            _ => {}
        }
        let tail = file_header::encode(FileKind::Segment, number, identity);
        assert_eq!(tail.len() as u64, HEADER_SIZE);
        Ok(Self {
            number,
            seed: identity.checksum_seed(number),
            file: disk.create(&name)?,
            position: HEADER_SIZE,
            synced: 0,
            tail,
            runs: Vec::new(),
        })
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.position
    }

    /// `buffer` is empty before and after.
    pub fn append(&mut self, open: OpenRun, buffer: &mut Blocks) -> DiskResult<()> {
        let OpenRun {
            mut run,
            mut chunks,
            size,
            guests,
        } = open;
        run.guests = guests.into_iter().collect();
        run.size = size as u64;
        run.position = self.position + run_header_size(run.guests.len()) as u64;
        let mut position = run.position;
        for chunk in &mut chunks {
            let mut at = 0;
            while at < chunk.len() {
                at += seal_piece(&mut chunk[at..], self.seed, position + at as u64);
            }
            position += at as u64;
        }
        let head = encode_run_header(&run, self.seed, self.position);
        self.write([&head].into_iter().chain(&chunks), buffer)?;
        self.runs.push(run);
        Ok(())
    }

    /// Writes what makes whole blocks of that and of what was left before.
    fn write<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a Vec<u8>>,
        buffer: &mut Blocks,
    ) -> DiskResult<()> {
        buffer.clear();
        buffer.fill(&self.tail);
        let mut at = self.position - self.tail.len() as u64;
        for part in parts {
            let mut left = &part[..];
            while !left.is_empty() {
                left = &left[buffer.fill(left)..];
                if buffer.is_full() {
                    at = self.write_blocks(at, buffer.whole())?;
                    buffer.clear();
                }
            }
            self.position += part.len() as u64;
        }
        if !buffer.whole().is_empty() {
            self.write_blocks(at, buffer.whole())?;
        }
        self.tail.clear();
        self.tail.extend_from_slice(buffer.rest());
        buffer.clear();
        Ok(())
    }

    /// Where the next ones go.
    fn write_blocks(&mut self, at: u64, blocks: &[u8]) -> DiskResult<u64> {
        self.file.write_blocks(at, blocks)?;
        let at = at + blocks.len() as u64;
        if at - self.synced >= SYNC_SIZE {
            self.file.sync()?;
            // Where it went through the page cache.
            self.file.release_cached(self.synced, at - self.synced);
            self.synced = at;
        }
        Ok(at)
    }

    /// Writes the footer and makes the file durable; its name is once the directory is synced.
    pub fn finish(self) -> DiskResult<Segment> {
        let footer = encode_footer(&self.runs, self.seed, self.position);
        let at = self.position - self.tail.len() as u64;
        let rest = [IoSlice::new(&self.tail), IoSlice::new(&footer)];
        self.file.writev_at(at, &rest)?;
        self.file.sync()?;
        Ok(Segment {
            number: self.number,
            size: self.position + footer.len() as u64,
            runs: self.runs,
            rebuilt: false,
        })
    }
}
