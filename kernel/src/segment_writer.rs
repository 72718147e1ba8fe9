//! Writing a segment: runs as they are filled, then the footer.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::disk::{Disk, DiskFault, DiskFile, DiskResult};
use crate::file_header::{self, FileKind, Identity, HEADER_SIZE};
use crate::segment::{note_piece, segment_name, Segment};
use crate::segment_format::{
    encode_footer, encode_piece, encode_run_header, run_header_size, seal_piece, Address, Run,
};

/// A run in memory, growing.
pub struct OpenRun {
    run: Run,
    pieces: Vec<u8>,
    guests: BTreeSet<u64>,
}

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
            pieces: Vec::new(),
            guests: BTreeSet::new(),
        }
    }

    pub fn size(&self) -> usize {
        self.pieces.len()
    }

    /// Whether a piece of that address may come next.
    pub fn takes(&self, address: Address) -> bool {
        self.pieces.is_empty() || self.run.last < address
    }

    /// Adds a frame, or what is wanted of it; addresses ascend.
    pub fn push(&mut self, address: Address, record_count: u32, frame: &[u8]) {
        assert!(self.takes(address), "{address:?} comes too late");
        note_piece(
            &mut self.run,
            self.pieces.len() as u32,
            address,
            record_count,
        );
        encode_piece(address, record_count, frame, &mut self.pieces);
        self.run.piece_count += 1;
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
    position: u64,
    synced: u64,
    runs: Vec<Run>,
}

/// Bytes written between syncs: one sync of a whole segment would hold up the journal's.
const SYNC_SIZE: u64 = 4 << 20;

impl SegmentWriter {
    pub fn create(disk: &dyn Disk, identity: &Identity, number: u64) -> DiskResult<Self> {
        let name = segment_name(number);
        // What an interrupted cycle left under this number was never named by a manifest.
        match disk.remove(&name) {
            Err(error) if error.fault != DiskFault::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&name)?;
        file.write_at(0, &file_header::encode(FileKind::Segment, number, identity))?;
        Ok(Self {
            number,
            seed: identity.checksum_seed(number),
            file,
            position: HEADER_SIZE,
            synced: 0,
            runs: Vec::new(),
        })
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.position
    }

    pub fn append(&mut self, open: OpenRun) -> DiskResult<()> {
        let OpenRun {
            mut run,
            mut pieces,
            guests,
        } = open;
        run.guests = guests.into_iter().collect();
        run.size = pieces.len() as u64;
        run.position = self.position + run_header_size(run.guests.len()) as u64;
        let mut at = 0;
        while at < pieces.len() {
            at += seal_piece(&mut pieces[at..], self.seed, run.position + at as u64);
        }
        let head = encode_run_header(&run, self.seed, self.position);
        self.file.write_at(self.position, &head)?;
        let mut at = run.position;
        for part in pieces.chunks(SYNC_SIZE as usize) {
            self.file.write_at(at, part)?;
            at += part.len() as u64;
            if at - self.synced >= SYNC_SIZE {
                self.file.sync()?;
                // From the beginning: the page in which the last part ended is whole only now.
                self.file.release_cached(0, at);
                self.synced = at;
            }
        }
        self.position = run.position + run.size;
        self.runs.push(run);
        Ok(())
    }

    /// Writes the footer and makes the file durable; its name is once the directory is synced.
    pub fn finish(self) -> DiskResult<Segment> {
        let footer = encode_footer(&self.runs, self.seed, self.position);
        self.file.write_at(self.position, &footer)?;
        self.file.sync()?;
        Ok(Segment {
            number: self.number,
            size: self.position + footer.len() as u64,
            runs: self.runs,
            rebuilt: false,
        })
    }
}
