//! A journal write as bytes: header, table, data.
//!
//! ```text
//! header   0  4  magic "WRIT"                table, per record:
//!          4  4  CRC32C of position, 8..64     u32 group | u32 flags: 1 hard state
//!          8  8  write number                  u32 entry count | u32 zero
//!         16  8  synced through                [u64 term | u64 vote | u64 commit]
//!         24  4  table size                    per entry: u64 index | u64 term
//!         28  4  CRC32C of the table             u32 size | u32 CRC32C of the data
//!         32  8  size of all, unpadded           u32 kind
//!         40  4  record count                data: all entries' in the table's order
//!         44  4  entry count                 zeros up to the next 512
//!         48 16  zeros
//! ```
//!
//! Header and table are checksummed from the file's seed, the header with its position too: what a
//! recycled file left behind, or a write that went astray, never passes. Each entry's data has its
//! own checksum, so that one entry can be read back and checked alone, and nothing is summed twice.

use std::io::IoSlice;

use bytes::Bytes;

use crate::blocks::{Blocks, BLOCK_SIZE};
use crate::disk::{DiskFile, DiskResult};
use crate::file_header::{u32_at, u64_at};
use crate::group_record::{GroupRecord, HardState};

/// Writes start at multiples of this: a torn write never shares a sector with a synced one.
pub const WRITE_ALIGN: u64 = 512;
/// Writes up to this are made durable in one go: larger ones are read soon, to be sealed, and rather stay in the
/// system's memory until then (1 KiB messages as fast as can be: 170 to 210 k a second without a bound, 207 to 228 k
/// with this one).
const SMALL_SIZE_MAX: usize = 32 << 10;
pub const WRITE_HEADER_SIZE: usize = 64;
pub const WRITE_MAGIC: [u8; 4] = *b"WRIT";
const RECORD_SIZE: usize = 16;
const HARD_STATE_SIZE: usize = 24;
const ENTRY_SIZE: usize = 28;
const FLAG_HARD_STATE: u32 = 1;
/// Data below this is copied next to its neighbours: a part of a vectored write costs as much.
const COPY_SIZE_MAX: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteHeader {
    pub number: u64,
    /// Every write up to this number was synced before this one started.
    pub synced_through: u64,
    pub table_size: u32,
    pub table_checksum: u32,
    /// Header, table and data.
    pub size: u64,
    pub record_count: u32,
    pub entry_count: u32,
}

impl WriteHeader {
    /// Bytes to the next write's place.
    pub fn padded_size(&self) -> u64 {
        self.size.next_multiple_of(WRITE_ALIGN)
    }
}

/// What a table says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRow {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub size: u32,
    pub checksum: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    pub group: u32,
    pub hard_state: Option<HardState>,
    pub entries: Vec<EntryRow>,
}

fn record_table_size(record: &GroupRecord) -> usize {
    let hard_state = record.hard_state.map_or(0, |_| HARD_STATE_SIZE);
    RECORD_SIZE + hard_state + ENTRY_SIZE * record.entries.len()
}

/// Unpadded bytes that a record adds to a write.
pub fn record_size(record: &GroupRecord) -> u64 {
    (record_table_size(record) + record.data_size()) as u64
}

enum Part {
    /// A range of `EncodedWrite::copied`.
    Copied(usize, usize),
    Data(Bytes),
}

/// One write, ready for the disk.
pub struct EncodedWrite {
    pub rows: Vec<RecordRow>,
    pub size: u64,
    table_size: usize,
    copied: Vec<u8>,
    parts: Vec<Part>,
}

impl EncodedWrite {
    /// Where the first entry's data is, from the write's start.
    pub fn data_start(&self) -> u64 {
        (WRITE_HEADER_SIZE + self.table_size) as u64
    }

    pub fn write(&self, file: &dyn DiskFile, position: u64) -> DiskResult<()> {
        let slices: Vec<IoSlice<'_>> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Copied(start, end) => IoSlice::new(&self.copied[*start..*end]),
                Part::Data(data) => IoSlice::new(data),
            })
            .collect();
        file.writev_at(position, &slices)
    }

    /// The same and its sync in one go, if it is small and the disk has a quicker way for that; false: it has not.
    pub fn write_synced(&self, file: &dyn DiskFile, position: u64) -> DiskResult<bool> {
        let size = self.size.next_multiple_of(WRITE_ALIGN) as usize;
        if size > SMALL_SIZE_MAX {
            return Ok(false);
        }
        let mut sectors = Blocks::new(size.next_multiple_of(BLOCK_SIZE));
        for part in &self.parts {
            sectors.fill(match part {
                Part::Copied(start, end) => &self.copied[*start..*end],
                Part::Data(data) => data,
            });
        }
        file.write_synced(position, &sectors.all()[..size])
    }

    /// Adds bytes that are copied, joining the part before if that is copied too.
    fn copy(&mut self, data: &[u8]) {
        let start = self.copied.len();
        self.copied.extend_from_slice(data);
        match self.parts.last_mut() {
            Some(Part::Copied(_, end)) if *end == start => *end = self.copied.len(),
            _ => self.parts.push(Part::Copied(start, self.copied.len())),
        }
    }
}

fn rows(records: &[GroupRecord]) -> Vec<RecordRow> {
    let row = |record: &GroupRecord| RecordRow {
        group: record.group,
        hard_state: record.hard_state,
        entries: record
            .entries
            .iter()
            .map(|entry| EntryRow {
                index: entry.index,
                term: entry.term,
                kind: entry.kind,
                size: entry.data.len() as u32,
                checksum: crc32c::crc32c(&entry.data),
            })
            .collect(),
    };
    records.iter().map(row).collect()
}

fn encode_table(rows: &[RecordRow], out: &mut Vec<u8>) {
    for row in rows {
        let flags = row.hard_state.map_or(0, |_| FLAG_HARD_STATE);
        for word in [row.group, flags, row.entries.len() as u32, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        if let Some(hard_state) = row.hard_state {
            for word in [hard_state.term, hard_state.vote, hard_state.commit] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        for entry in &row.entries {
            out.extend_from_slice(&entry.index.to_le_bytes());
            out.extend_from_slice(&entry.term.to_le_bytes());
            for word in [entry.size, entry.checksum, entry.kind as u32] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }
}

fn encode_header(header: &WriteHeader, seed: u32, position: u64, out: &mut [u8]) {
    out[0..4].copy_from_slice(&WRITE_MAGIC);
    out[8..16].copy_from_slice(&header.number.to_le_bytes());
    out[16..24].copy_from_slice(&header.synced_through.to_le_bytes());
    out[24..28].copy_from_slice(&header.table_size.to_le_bytes());
    out[28..32].copy_from_slice(&header.table_checksum.to_le_bytes());
    out[32..40].copy_from_slice(&header.size.to_le_bytes());
    out[40..44].copy_from_slice(&header.record_count.to_le_bytes());
    out[44..48].copy_from_slice(&header.entry_count.to_le_bytes());
    let checksum = header_checksum(seed, position, out);
    out[4..8].copy_from_slice(&checksum.to_le_bytes());
}

fn header_checksum(seed: u32, position: u64, header: &[u8]) -> u32 {
    let start = crc32c::crc32c_append(seed, &position.to_le_bytes());
    crc32c::crc32c_append(start, &header[8..WRITE_HEADER_SIZE])
}

/// One write of these records for that place in the file whose checksums start from `seed`.
pub fn encode(
    records: &[GroupRecord],
    number: u64,
    synced_through: u64,
    seed: u32,
    position: u64,
) -> EncodedWrite {
    let rows = rows(records);
    let table_size: usize = records.iter().map(record_table_size).sum();
    let mut copied = Vec::with_capacity(WRITE_HEADER_SIZE + table_size + WRITE_ALIGN as usize);
    copied.resize(WRITE_HEADER_SIZE, 0);
    encode_table(&rows, &mut copied);
    let data_size: usize = records.iter().map(GroupRecord::data_size).sum();
    let header = WriteHeader {
        number,
        synced_through,
        table_size: table_size as u32,
        table_checksum: crc32c::crc32c_append(seed, &copied[WRITE_HEADER_SIZE..]),
        size: (WRITE_HEADER_SIZE + table_size + data_size) as u64,
        record_count: rows.len() as u32,
        entry_count: rows.iter().map(|row| row.entries.len() as u32).sum(),
    };
    encode_header(&header, seed, position, &mut copied);
    let parts = vec![Part::Copied(0, copied.len())];
    let mut encoded = EncodedWrite {
        rows,
        size: header.size,
        table_size,
        copied,
        parts,
    };
    for entry in records.iter().flat_map(|record| &record.entries) {
        if entry.data.len() < COPY_SIZE_MAX {
            encoded.copy(&entry.data);
        } else {
            encoded.parts.push(Part::Data(entry.data.clone()));
        }
    }
    let padding = (header.padded_size() - header.size) as usize;
    encoded.copy(&[0; WRITE_ALIGN as usize][..padding]);
    encoded
}

/// The header at `position`, if these 64 bytes are one that was written there.
pub fn decode_header(bytes: &[u8], seed: u32, position: u64) -> Option<WriteHeader> {
    if bytes.len() < WRITE_HEADER_SIZE
        || bytes[..4] != WRITE_MAGIC
        || u32_at(bytes, 4) != header_checksum(seed, position, bytes)
    {
        return None;
    }
    Some(WriteHeader {
        number: u64_at(bytes, 8),
        synced_through: u64_at(bytes, 16),
        table_size: u32_at(bytes, 24),
        table_checksum: u32_at(bytes, 28),
        size: u64_at(bytes, 32),
        record_count: u32_at(bytes, 40),
        entry_count: u32_at(bytes, 44),
    })
}

/// The rows of a table, or None if these are not the bytes the header speaks of.
pub fn decode_table(header: &WriteHeader, table: &[u8], seed: u32) -> Option<Vec<RecordRow>> {
    if crc32c::crc32c_append(seed, table) != header.table_checksum {
        return None;
    }
    let mut rest = table;
    let mut take = |size: usize| {
        let (taken, left) = rest.split_at_checked(size)?;
        rest = left;
        Some(taken)
    };
    let mut rows = Vec::new();
    for _ in 0..header.record_count {
        let head = take(RECORD_SIZE)?;
        let hard_state = if u32_at(head, 4) & FLAG_HARD_STATE == 0 {
            None
        } else {
            let words = take(HARD_STATE_SIZE)?;
            Some(HardState {
                term: u64_at(words, 0),
                vote: u64_at(words, 8),
                commit: u64_at(words, 16),
            })
        };
        let mut entries = Vec::new();
        for _ in 0..u32_at(head, 8) {
            let entry = take(ENTRY_SIZE)?;
            entries.push(EntryRow {
                index: u64_at(entry, 0),
                term: u64_at(entry, 8),
                size: u32_at(entry, 16),
                checksum: u32_at(entry, 20),
                kind: entry[24],
            });
        }
        rows.push(RecordRow {
            group: u32_at(head, 0),
            hard_state,
            entries,
        });
    }
    rest.is_empty().then_some(rows)
}
