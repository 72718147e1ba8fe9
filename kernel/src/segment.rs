//! Segments: files of sealed records, and where to look for one.
//!
//! A record is sealed once, in the run of the lowest queue id that wanted it then; slices keep their
//! address. So an entry is read back from all the runs of its group that cover it, and what was sealed
//! of a frame in several is put together again. The footers are in memory: about 40 bytes for each
//! 64 KiB; the pieces are read on demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::damage::{Damage, StoreError, StoreResult};
use crate::disk::{Disk, DiskFault, DiskFile};
use crate::file_header::{self, numbered_name, FileKind, Identity, HEADER_SIZE, REMEDY_COPY};
use crate::manifest::ImportMark;
use crate::message_run::MessageRun;
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

/// A run of the set: segment number and the run's place in it.
type RunPlace = (u64, u32);

/// A group's runs by where they begin, and how far the runs up to each reach.
#[derive(Debug, Default)]
struct GroupRuns {
    runs: Vec<(u64, u64, RunPlace)>,
    reaches: Vec<u64>,
}

impl GroupRuns {
    fn new(mut runs: Vec<(u64, u64, RunPlace)>) -> Self {
        runs.sort_unstable();
        let mut reach = 0;
        let reaches = runs.iter().map(|(_, last, _)| {
            reach = reach.max(*last);
            reach
        });
        Self {
            reaches: reaches.collect(),
            runs,
        }
    }

    /// The runs that may hold pieces of an entry.
    fn covering(&self, entry: u64) -> impl Iterator<Item = RunPlace> + '_ {
        let after = self.runs.partition_point(|(first, _, _)| *first <= entry);
        let candidates = self.runs[..after].iter().zip(&self.reaches).rev();
        candidates
            .take_while(move |(_, reach)| **reach >= entry)
            .filter(move |((_, last, _), _)| *last >= entry)
            .map(|((_, _, place), _)| *place)
    }
}

/// All segments of a store. Immutable: a maintenance cycle puts a new one in place.
#[derive(Debug, Default)]
pub struct SegmentSet {
    segments: BTreeMap<u64, Arc<Segment>>,
    groups: BTreeMap<u32, GroupRuns>,
    /// The runs each queue may have records in: its own and those it is a guest of.
    queues: BTreeMap<(u32, u64), Vec<RunPlace>>,
    imports: Vec<ImportMark>,
}

impl SegmentSet {
    /// Without what imports replaced.
    pub fn new(segments: impl IntoIterator<Item = Arc<Segment>>, imports: &[ImportMark]) -> Self {
        let mut set = Self {
            imports: imports.to_vec(),
            ..Self::default()
        };
        let mut groups: BTreeMap<u32, Vec<(u64, u64, RunPlace)>> = BTreeMap::new();
        for segment in segments {
            for (run, number) in segment.runs.iter().zip(0..) {
                if set.was_replaced(segment.number, run.group) {
                    continue;
                }
                let place = (segment.number, number);
                let range = (run.first.entry, run.last.entry, place);
                groups.entry(run.group).or_default().push(range);
                for queue in run.guests.iter().chain([&run.queue]) {
                    let runs = set.queues.entry((run.group, *queue)).or_default();
                    runs.push(place);
                }
            }
            set.segments.insert(segment.number, segment);
        }
        let built = groups
            .into_iter()
            .map(|(group, runs)| (group, GroupRuns::new(runs)));
        set.groups = built.collect();
        set
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub fn get(&self, number: u64) -> Option<&Arc<Segment>> {
        self.segments.get(&number)
    }

    /// The groups that have runs.
    pub fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.keys().copied()
    }

    /// Ascending by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.values()
    }

    /// Whether a snapshot brought anew what that segment holds of the group.
    pub fn was_replaced(&self, segment: u64, group: u32) -> bool {
        let mark = self.imports.iter().find(|mark| mark.group == group);
        mark.is_some_and(|mark| mark.replaced(segment))
    }

    fn run(&self, (segment, run): RunPlace) -> &Run {
        &self.segments[&segment].runs[run as usize]
    }

    /// The runs a queue may have records in, each with its segment's number.
    pub fn runs_of(&self, group: u32, queue: u64) -> impl Iterator<Item = (u64, &Run)> {
        let runs = self
            .queues
            .get(&(group, queue))
            .map_or(&[][..], Vec::as_slice);
        runs.iter().map(|place| (place.0, self.run(*place)))
    }

    /// The runs that may hold pieces of an entry, each with its segment's number.
    fn covering(&self, group: u32, entry: u64) -> impl Iterator<Item = (u64, &Run)> {
        let runs = self.groups.get(&group).into_iter();
        runs.flat_map(move |runs| runs.covering(entry))
            .map(|place| (place.0, self.run(place)))
    }
}

/// What of a frame was sealed in one run.
pub struct SealedPiece {
    /// The frame's number in its entry.
    pub number: u16,
    pub frame: Bytes,
    segment: u64,
    position: u64,
}

/// Reads sealed frames; neighbours come from the blocks that were read before.
pub struct SegmentReader {
    disk: Arc<dyn Disk>,
    identity: Identity,
    segments: Arc<SegmentSet>,
    /// By segment and position; the entries of a queue follow each other in few of them.
    blocks: BTreeMap<(u64, u64), Bytes>,
    blocks_size: usize,
    /// The segment read last.
    file: Option<(u64, Arc<dyn DiskFile>)>,
    /// Past the system's memory for files.
    once: bool,
}

/// Blocks kept by one reader.
const BLOCKS_SIZE_MAX: usize = 4 << 20;

impl SegmentReader {
    pub fn new(disk: Arc<dyn Disk>, identity: Identity, segments: Arc<SegmentSet>) -> Self {
        Self {
            disk,
            identity,
            segments,
            blocks: BTreeMap::new(),
            blocks_size: 0,
            file: None,
            once: false,
        }
    }

    /// For who reads everything once, and nobody after it.
    #[must_use]
    pub fn reading_once(self) -> Self {
        Self { once: true, ..self }
    }

    /// An entry's frames as far as they were sealed, by frame number; None where nothing was.
    pub fn read_entry(&mut self, group: u32, entry: u64) -> StoreResult<Vec<Option<Retained>>> {
        let mut pieces: BTreeMap<u16, Vec<Retained>> = BTreeMap::new();
        for piece in self.read_pieces(group, entry)? {
            let retained = decode_retained(&piece.frame, 0, piece.frame.len());
            let damage = |what: String| {
                let name = segment_name(piece.segment);
                StoreError::Damage(Damage::new(&name, piece.position, what, REMEDY_COPY))
            };
            let found = pieces.entry(piece.number).or_default();
            found.push(retained.map_err(damage)?);
        }
        let count = pieces.keys().last().map_or(0, |last| *last as usize + 1);
        let mut frames: Vec<Option<Retained>> = (0..count).map(|_| None).collect();
        for (frame, found) in pieces {
            frames[frame as usize] = merge(found);
        }
        Ok(frames)
    }

    /// What was sealed of an entry, in no order; a frame's records may lie in several pieces.
    pub fn read_pieces(&mut self, group: u32, entry: u64) -> StoreResult<Vec<SealedPiece>> {
        let mut pieces = Vec::new();
        let segments = self.segments.clone();
        for (number, run) in segments.covering(group, entry) {
            self.read_run(number, run, entry, &mut pieces)?;
        }
        Ok(pieces)
    }

    /// Adds the pieces of an entry that lie in a run.
    fn read_run(
        &mut self,
        number: u64,
        run: &Run,
        entry: u64,
        pieces: &mut Vec<SealedPiece>,
    ) -> StoreResult<()> {
        let name = segment_name(number);
        let seed = self.identity.checksum_seed(number);
        let mut address = Address { entry, frame: 0 };
        loop {
            let (offset, size) = run.block_of(address);
            let start = run.position + offset as u64;
            let block = self.block(number, &name, start, size as usize)?;
            let mut at = 0;
            while at < block.len() {
                let here = start + at as u64;
                let Some((piece, frame)) = decode_piece(&block[at..], seed, here) else {
                    let what = "a sealed piece is not as it was written";
                    return Err(Damage::new(&name, here, what, REMEDY_COPY).into());
                };
                if piece.address.entry > entry {
                    return Ok(());
                }
                if piece.address.entry == entry {
                    // Copied, so that one frame in memory does not hold a whole block.
                    pieces.push(SealedPiece {
                        number: piece.address.frame,
                        frame: Bytes::copy_from_slice(frame),
                        segment: number,
                        position: here,
                    });
                }
                at += PIECE_HEADER_SIZE + piece.size as usize;
            }
            // An entry may go on in the next block.
            let next = run.blocks.iter().find(|block| block.offset > offset);
            match next {
                Some(block) if block.first.entry == entry => address = block.first,
                _ => return Ok(()),
            }
        }
    }

    fn block(&mut self, number: u64, name: &str, start: u64, size: usize) -> StoreResult<Bytes> {
        if let Some(block) = self.blocks.get(&(number, start)) {
            return Ok(block.clone());
        }
        let file = match &self.file {
            Some((open, file)) if *open == number => file,
            _ => &self.file.insert((number, self.disk.open(name)?)).1,
        };
        let block = if self.once {
            file.read_range_once(start, size)?
        } else {
            file.read_range(start, size)?.into()
        };
        if self.blocks_size + block.len() > BLOCKS_SIZE_MAX {
            self.blocks.clear();
            self.blocks_size = 0;
        }
        self.blocks_size += block.len();
        self.blocks.insert((number, start), block.clone());
        Ok(block)
    }
}

/// One frame of the pieces that were sealed of it in different runs.
fn merge(mut pieces: Vec<Retained>) -> Option<Retained> {
    if pieces.len() <= 1 {
        return pieces.pop();
    }
    let mut buffer = Vec::with_capacity(pieces.iter().map(|piece| piece.run.buffer.len()).sum());
    let mut records = Vec::new();
    for piece in &pieces {
        let shift = buffer.len() as u32;
        buffer.extend_from_slice(&piece.run.buffer);
        let moved = piece.run.entries.iter().map(|entry| {
            let mut entry = *entry;
            entry.body.start += shift;
            entry.properties.start += shift;
            entry
        });
        records.extend(piece.numbers.iter().copied().zip(moved));
    }
    records.sort_unstable_by_key(|(number, _)| *number);
    // Every piece carries the frame's whole dictionary; the first one's stands first in the buffer.
    let first = pieces.swap_remove(0);
    let (numbers, entries) = records.into_iter().unzip();
    let run = MessageRun {
        buffer: buffer.into(),
        entries,
        ..first.run
    };
    Some(Retained { run, numbers })
}

/// Whether an error only says that the segment went away since the set was taken.
pub fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk(error) if error.fault == DiskFault::NotFound)
}
