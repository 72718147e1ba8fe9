//! Segments: files of sealed records, and where to look for one.
//!
//! A record is sealed once, in the run of the lowest queue id that wanted it then. A queue therefore
//! looks in its own runs first and then in those that name it as a guest, wherever they cover the
//! address. The footers are in memory: about 40 bytes for each 64 KiB; the pieces are read on demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::damage::{Damage, StoreError, StoreResult};
use crate::disk::{Disk, DiskFault, DiskFile};
use crate::file_header::{self, numbered_name, FileKind, Identity, HEADER_SIZE, REMEDY_COPY};
use crate::queue_state::Selection;
use crate::record_batch::{decode_retained, Retained};
use crate::segment_format::{
    decode_footer, decode_piece, decode_run_header, footer_position, guest_count, piece_size,
    run_header_size, Address, Block, PieceHeader, Run, BLOCK_SPAN, PIECE_HEADER_SIZE,
    RUN_HEADER_SIZE, TRAILER_SIZE,
};

pub const SEGMENT: &str = "segment";

pub fn segment_name(number: u64) -> String {
    numbered_name(SEGMENT, number)
}

/// A segment's footer in memory.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    /// Bytes of the file.
    pub size: u64,
    pub runs: Vec<Run>,
    /// The footer could not be read and was made anew from the runs.
    pub rebuilt: bool,
}

impl Segment {
    /// Reads a segment's footer, or what it says from the runs if it is damaged.
    pub fn open(disk: &dyn Disk, identity: &Identity, number: u64) -> StoreResult<Self> {
        let name = segment_name(number);
        let file = disk.open(&name)?;
        file_header::check(&*file, &name, FileKind::Segment, number, identity)?;
        let (size, seed) = (file.size()?, identity.checksum_seed(number));
        let (runs, rebuilt) = match read_footer(&*file, size, seed)? {
            Some(runs) => (runs, false),
            None => (scan_runs(&*file, &name, seed, &mut |_, _, _| {})?, true),
        };
        Ok(Self {
            number,
            size,
            runs,
            rebuilt,
        })
    }

    /// Records sealed here.
    pub fn record_count(&self) -> u64 {
        self.runs.iter().map(|run| run.record_count).sum()
    }
}

fn read_footer(file: &dyn DiskFile, size: u64, seed: u32) -> StoreResult<Option<Vec<Run>>> {
    let Some(trailer_at) = size.checked_sub(TRAILER_SIZE as u64) else {
        return Ok(None);
    };
    let trailer = file.read_range(trailer_at, TRAILER_SIZE)?;
    let Some(position) = footer_position(&trailer).filter(|position| *position <= trailer_at)
    else {
        return Ok(None);
    };
    let footer = file.read_range(position, (size - position) as usize)?;
    Ok(decode_footer(&footer, seed, position))
}

/// Goes through all runs and pieces, checking everything; `see` gets each piece with its frame.
/// Where the runs end the footer begins, whatever it says.
pub fn scan_runs(
    file: &dyn DiskFile,
    name: &str,
    seed: u32,
    see: &mut dyn FnMut(&Run, PieceHeader, &[u8]),
) -> StoreResult<Vec<Run>> {
    let mut runs = Vec::new();
    let mut position = HEADER_SIZE;
    loop {
        let head = file.read_range(position, RUN_HEADER_SIZE)?;
        let Some(guests) = guest_count(&head) else {
            return Ok(runs);
        };
        let size = file.size()?.saturating_sub(position);
        let head_size = run_header_size(guests).min(size as usize);
        let head = file.read_range(position, head_size)?;
        let Some(mut run) = decode_run_header(&head, seed, position) else {
            let what = "a run's header has a wrong checksum";
            return Err(Damage::new(name, position, what, REMEDY_COPY).into());
        };
        let mut pieces = PieceReader::new(file, name, seed, run.position, run.size);
        loop {
            let offset = pieces.offset as u32;
            let Some((piece, frame)) = pieces.next()? else {
                break;
            };
            note_piece(&mut run, offset, piece.address, piece.record_count);
            see(&run, piece, frame);
        }
        position = run.position + run.size;
        runs.push(run);
    }
}

/// Takes a piece into what the footer says of its run.
pub fn note_piece(run: &mut Run, offset: u32, address: Address, record_count: u32) {
    let last_block = run.blocks.last().map(|block| block.offset);
    if last_block.is_none() {
        run.first = address;
    }
    if last_block.is_none_or(|last| offset - last >= BLOCK_SPAN) {
        run.blocks.push(Block {
            first: address,
            offset,
        });
    }
    run.last = address;
    run.record_count += record_count as u64;
}

/// The pieces of a part of a run, in order, each checked.
pub struct PieceReader<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
    seed: u32,
    start: u64,
    size: u64,
    offset: u64,
    window: Vec<u8>,
    window_start: u64,
}

const WINDOW_SIZE: usize = 256 << 10;

impl<'a> PieceReader<'a> {
    pub fn new(file: &'a dyn DiskFile, name: &'a str, seed: u32, start: u64, size: u64) -> Self {
        Self {
            file,
            name,
            seed,
            start,
            size,
            offset: 0,
            window: Vec::new(),
            window_start: 0,
        }
    }

    /// Makes `size` bytes at the offset available, as far as the part goes.
    fn fill(&mut self, size: usize) -> StoreResult<&[u8]> {
        let have = (self.window_start + self.window.len() as u64).saturating_sub(self.offset);
        if self.offset < self.window_start || have < size as u64 {
            let left = (self.size - self.offset) as usize;
            let wanted = size.max(WINDOW_SIZE).min(left);
            self.window = self.file.read_range(self.start + self.offset, wanted)?;
            self.window_start = self.offset;
        }
        Ok(&self.window[(self.offset - self.window_start) as usize..])
    }

    /// The next piece with its frame; None at the end.
    #[allow(clippy::should_implement_trait)] // it lends, which no Iterator can
    pub fn next(&mut self) -> StoreResult<Option<(PieceHeader, &[u8])>> {
        if self.offset == self.size {
            return Ok(None);
        }
        let (seed, position) = (self.seed, self.start + self.offset);
        let damage = Damage::new(
            self.name,
            position,
            "a sealed piece is not as it was written",
            REMEDY_COPY,
        );
        let left = self.size - self.offset;
        let claimed = piece_size(self.fill(PIECE_HEADER_SIZE)?);
        let Some(size) = claimed.filter(|size| *size as u64 <= left) else {
            return Err(damage.into());
        };
        self.fill(size)?;
        let start = (self.offset - self.window_start) as usize;
        self.offset += size as u64;
        match decode_piece(&self.window[start..], seed, position) {
            Some(piece) => Ok(Some(piece)),
            None => Err(damage.into()),
        }
    }
}

/// A run that a queue has to look into.
#[derive(Clone, Copy, Debug)]
struct RunRef {
    first: Address,
    segment: u64,
    run: u32,
    own: bool,
}

/// All segments of a store. Immutable: a maintenance cycle puts a new one in place.
#[derive(Debug, Default)]
pub struct SegmentSet {
    segments: BTreeMap<u64, Arc<Segment>>,
    runs_of: BTreeMap<(u32, u64), Vec<RunRef>>,
}

impl SegmentSet {
    pub fn new(segments: impl IntoIterator<Item = Arc<Segment>>) -> Self {
        let mut set = Self::default();
        for segment in segments {
            for (place, run) in segment.runs.iter().enumerate() {
                let mut reference = RunRef {
                    first: run.first,
                    segment: segment.number,
                    run: place as u32,
                    own: true,
                };
                set.runs_of
                    .entry((run.group, run.queue))
                    .or_default()
                    .push(reference);
                reference.own = false;
                for guest in &run.guests {
                    set.runs_of
                        .entry((run.group, *guest))
                        .or_default()
                        .push(reference);
                }
            }
            set.segments.insert(segment.number, segment);
        }
        for runs in set.runs_of.values_mut() {
            runs.sort_by_key(|run| (!run.own, run.first, run.segment));
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub fn get(&self, number: u64) -> Option<&Arc<Segment>> {
        self.segments.get(&number)
    }

    /// Ascending by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.values()
    }

    /// Queues of a group that may have records here, ascending.
    pub fn queues_of(&self, group: u32) -> impl Iterator<Item = u64> + '_ {
        self.runs_of
            .range((group, 0)..=(group, u64::MAX))
            .map(|((_, queue), _)| *queue)
    }

    /// The runs a queue may have records in: its own first.
    pub fn runs_of(&self, group: u32, queue: u64) -> impl Iterator<Item = (u64, &Run)> {
        let runs = self
            .runs_of
            .get(&(group, queue))
            .map_or(&[][..], Vec::as_slice);
        runs.iter().filter_map(|reference| {
            let segment = self.segments.get(&reference.segment)?;
            Some((reference.segment, &segment.runs[reference.run as usize]))
        })
    }
}

/// Reads sealed frames one after the other; neighbours come from the block that was read last.
pub struct SegmentReader {
    disk: Arc<dyn Disk>,
    identity: Identity,
    segments: Arc<SegmentSet>,
    block: Option<(u64, u64, Vec<u8>)>,
}

impl SegmentReader {
    pub fn new(disk: Arc<dyn Disk>, identity: Identity, segments: Arc<SegmentSet>) -> Self {
        Self {
            disk,
            identity,
            segments,
            block: None,
        }
    }

    /// What was sealed of the frame at `address` that holds the records `queue` wants: usually one
    /// piece. Fewer records than wanted are an error: they were sealed, so they must be here.
    pub fn read(
        &mut self,
        group: u32,
        queue: u64,
        address: Address,
        wanted: &Selection,
    ) -> StoreResult<Vec<Retained>> {
        let mut missing: Vec<u32> = wanted
            .runs()
            .into_iter()
            .flat_map(|(first, count)| first..first + count)
            .collect();
        let mut found = Vec::new();
        let segments = self.segments.clone();
        let mut last_seen = None;
        for (number, run) in segments.runs_of(group, queue) {
            if missing.is_empty() {
                break;
            }
            if !run.covers(address) {
                continue;
            }
            last_seen = Some((number, run.position));
            if let Some(frame) = self.read_piece(number, run, address)? {
                let before = missing.len();
                missing.retain(|record| frame.numbers.binary_search(record).is_err());
                if missing.len() < before {
                    found.push(frame);
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let (file, position) = last_seen.map_or((SEGMENT.to_owned(), 0), |(number, position)| {
            (segment_name(number), position)
        });
        let what = format!(
            "record {} of frame {} in entry {} of group {group} is not to be found for queue {queue}",
            missing[0], address.frame, address.entry
        );
        Err(Damage::new(&file, position, what, REMEDY_COPY).into())
    }

    fn read_piece(
        &mut self,
        number: u64,
        run: &Run,
        address: Address,
    ) -> StoreResult<Option<Retained>> {
        let (offset, size) = run.block_of(address);
        let position = run.position + offset as u64;
        let name = segment_name(number);
        let held = matches!(&self.block, Some((n, p, _)) if (*n, *p) == (number, position));
        if !held {
            let block = self.disk.open(&name)?.read_range(position, size as usize)?;
            self.block = Some((number, position, block));
        }
        let Some((_, _, block)) = &self.block else {
            unreachable!("just read")
        };
        let seed = self.identity.checksum_seed(number);
        let mut at = 0;
        while at < block.len() {
            let here = position + at as u64;
            let damage = |what: &str| Damage::new(&name, here, what, REMEDY_COPY);
            let Some((piece, frame)) = decode_piece(&block[at..], seed, here) else {
                return Err(damage("a sealed piece is not as it was written").into());
            };
            if piece.address == address {
                // Copied, so that one frame in memory does not hold a whole block.
                let frame = Bytes::copy_from_slice(frame);
                let retained = decode_retained(&frame, 0, frame.len());
                return retained
                    .map(Some)
                    .map_err(|what| StoreError::Damage(damage(&what)));
            }
            if piece.address > address {
                break;
            }
            at += PIECE_HEADER_SIZE + piece.size as usize;
        }
        Ok(None)
    }
}

/// Whether an error only says that the segment went away since the set was taken.
pub fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk(error) if error.fault == DiskFault::NotFound)
}
