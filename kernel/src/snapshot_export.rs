//! A shard's snapshot on its way out: the state of a frozen copy, then what it wants of the log.
//!
//! Read in steps by any thread. Records are read by entry through the store, from the journal or from
//! segments, wherever they lie by then: a pin keeps cycles from dropping what the copy wants.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::BlockKey;
use crate::damage::{Damage, StoreError, StoreResult};
use crate::disk::{DiskError, DiskFault};
use crate::entry_wants::{record_count, wanted_records, EntryWants};
use crate::export_pins::ExportPin;
use crate::file_header::REMEDY_COPY;
use crate::frozen::{all_blocks, encode_block, Want};
use crate::journal_files::journal_name;
use crate::queue_state::QueueState;
use crate::raft_log::Position;
use crate::raft_ready::SnapshotMark;
use crate::record_batch::FrameParts;
use crate::segment::{is_gone, SegmentReader, SegmentSet};
use crate::segment_format::Address;
use crate::shard_state::ShardState;
use crate::snapshot_stream::{StreamHead, StreamWriter, CHUNK_SIZE};
use crate::store::Store;
use crate::wave::Wave;

/// Bytes that a queue costs beside its messages, about.
const QUEUE_COST: u64 = 64;

/// What of the shard is still to be written.
enum Phase {
    Begin,
    State(VecDeque<BlockKey>),
    Frames(EntryWants),
    End,
}

fn new_reader(store: &Store, segments: &Arc<SegmentSet>) -> SegmentReader {
    SegmentReader::new(store.disk.clone(), store.identity, segments.clone()).reading_once()
}

/// See the file's head.
pub struct Export {
    store: Arc<Store>,
    group: u32,
    mark: SnapshotMark,
    state: ShardState,
    pin: ExportPin,
    writer: StreamWriter,
    phase: Phase,
    segments: Arc<SegmentSet>,
    reader: SegmentReader,
}

impl Export {
    /// `state` is the shard's at `mark`. To be called while the shard can't be frozen for a cycle.
    pub fn begin(store: Arc<Store>, group: u32, state: ShardState, mark: SnapshotMark) -> Self {
        let head = StreamHead {
            group,
            position: mark.position(),
            peer: store.identity.peer,
            queue_count: state.queues.len() as u64,
            row_count: state.rows.len() as u64,
            conf: mark.conf().encode(),
        };
        let pin = store.pins.pin(group, state.clone());
        let segments = store.inside().segments.clone();
        let reader = new_reader(&store, &segments);
        Self {
            phase: Phase::Begin,
            writer: StreamWriter::begin(&head),
            store,
            group,
            mark,
            state,
            pin,
            segments,
            reader,
        }
    }

    pub fn group(&self) -> u32 {
        self.group
    }

    pub fn position(&self) -> Position {
        self.mark.position()
    }

    pub fn mark(&self) -> &SnapshotMark {
        &self.mark
    }

    /// Bytes that will come, about: a message in several queues is counted for each.
    pub fn size(&self) -> u64 {
        let queue_size = |queue: &QueueState| QUEUE_COST + queue.size;
        let rows = self.state.rows.iter();
        let rows_size: usize = rows.map(|(key, value)| key.len() + value.len()).sum();
        self.state.queues.values().map(queue_size).sum::<u64>() + rows_size as u64
    }

    /// The next bytes, at most `CHUNK_SIZE`; none: that was all. Takes as long as the disk does.
    pub fn read(&mut self) -> StoreResult<Vec<u8>> {
        self.read_up_to(CHUNK_SIZE)
    }

    pub fn read_up_to(&mut self, size: usize) -> StoreResult<Vec<u8>> {
        while self.writer.size() < size && self.advance()? {}
        Ok(self.writer.take(size))
    }

    /// Writes a little more; false: all is written.
    fn advance(&mut self) -> StoreResult<bool> {
        match &mut self.phase {
            Phase::Begin => self.phase = Phase::State(all_blocks(self.group, &self.state).into()),
            Phase::State(keys) => match keys.pop_front() {
                Some(key) => self.write_block(&key)?,
                None => self.phase = Phase::Frames(EntryWants::new(self.state.clone())),
            },
            Phase::Frames(wants) => {
                if let Some((entry, wants)) = wants.next() {
                    let written = self.write_entry(entry, &wants);
                    if self.pin.is_revoked() {
                        return Err(self.revoked());
                    }
                    written?;
                } else {
                    self.writer.end();
                    self.phase = Phase::End;
                }
            }
            Phase::End => return Ok(false),
        }
        Ok(true)
    }

    /// The group was replaced by a peer's snapshot: what this one wants may be gone.
    fn revoked(&self) -> StoreError {
        const ECANCELED: i32 = 125;
        let what = format!("the snapshot of group {}: it was replaced", self.group);
        DiskError::new(DiskFault::Errno(ECANCELED), "go on reading", &what).into()
    }

    fn write_block(&mut self, key: &BlockKey) -> StoreResult<()> {
        let mut content = Vec::new();
        encode_block(&self.state, key, &mut content);
        let written = self.writer.record(key.kind, &key.key, content.into());
        written.map_err(|what| self.too_large(&what))
    }

    fn too_large(&self, what: &str) -> StoreError {
        const EFBIG: i32 = 27;
        let what = format!("the snapshot of group {}: {what}", self.group);
        DiskError::new(DiskFault::Errno(EFBIG), "write", &what).into()
    }

    fn write_entry(&mut self, entry: u64, wants: &[Want]) -> StoreResult<()> {
        let pieces = self.read_pieces(entry)?;
        for wants in wants.chunk_by(|one, other| one.address == other.address) {
            let address = wants[0].address;
            let wanted = wanted_records(wants);
            let mut found = 0;
            for (_, piece) in pieces.iter().filter(|piece| piece.0 == address.frame) {
                found += self.write_piece(address, piece, &wanted)?;
            }
            if found != record_count(&wanted) {
                let count = record_count(&wanted);
                let what = format!("{found} of {count} wanted records are there");
                return Err(self.damage(address.entry, &what));
            }
        }
        Ok(())
    }

    /// Answers how many wanted records the piece holds.
    fn write_piece(
        &mut self,
        address: Address,
        piece: &Bytes,
        wanted: &[Range<u32>],
    ) -> StoreResult<u64> {
        let damage = |what: String| self.damage(address.entry, &what);
        let mut parts = FrameParts::of_summed(piece).map_err(damage)?;
        let part = parts.part(wanted).map_err(damage)?;
        let count = part.record_count as usize;
        if count == 0 {
            return Ok(0);
        }
        let content = if count == parts.numbers().len() {
            piece.clone()
        } else {
            let mut content = Vec::with_capacity(part.size);
            parts.append(&part, &mut content);
            content.into()
        };
        let written = self.writer.frame(address, count as u64, content);
        written.map_err(|what| self.too_large(&what))?;
        Ok(count as u64)
    }

    /// What there is of an entry's frames: (number, frame or a part of its records).
    fn read_pieces(&mut self, entry: u64) -> StoreResult<Vec<(u16, Bytes)>> {
        if let Some(held) = self.store.journal.read_entry(self.group, entry)? {
            let wave = Wave::decode(&held.data).map_err(|what| self.damage(entry, &what))?;
            let frame = |frame: &crate::wave::Frame| {
                let start = frame.start as usize;
                held.data.slice(start..start + frame.size as usize)
            };
            let frames = wave.frames.iter().map(frame);
            return Ok((0..).zip(frames).collect());
        }
        loop {
            // An entry leaves the journal after the segments that hold it are in the store's set.
            let current = self.store.inside().segments.clone();
            let is_current = Arc::ptr_eq(&current, &self.segments);
            if !is_current {
                self.reader = new_reader(&self.store, &current);
                self.segments = current;
            }
            match self.reader.read_pieces(self.group, entry) {
                Ok(pieces) => {
                    let each = pieces.into_iter();
                    return Ok(each.map(|piece| (piece.number, piece.frame)).collect());
                }
                // A cycle took the segment away meanwhile; what it held is in others.
                Err(error) if is_gone(&error) && !self.is_current() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.store.inside().segments, &self.segments)
    }

    fn damage(&self, entry: u64, what: &str) -> StoreError {
        let place = self.store.journal.location(self.group, entry);
        let (file, position) = place.map_or_else(
            || ("segment".to_owned(), 0),
            |place| {
                (
                    journal_name(u64::from(place.file)),
                    u64::from(place.position),
                )
            },
        );
        let what = format!("entry {entry} of group {}: {what}", self.group);
        Damage::new(&file, position, what, REMEDY_COPY).into()
    }
}
