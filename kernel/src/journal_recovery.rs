//! Reading a journal back: every write is checked, and only a torn tail is cut.
//!
//! At most one write was ever unsynced, and each header says through which number all were synced.
//! So a bad write with any later one after it was synced once: that is damage and refused. A bad
//! write with nothing after it is a torn tail and cut, unless a mark says that the journal was
//! closed cleanly, or a checkpoint that it reached further.

use crate::damage::{Damage, StoreResult};
use crate::disk::{Disk, DiskFile, DiskResult};
use crate::file_header::{self, FileKind, Identity, HEADER_SIZE, REMEDY_COPY};
use crate::journal_close::CloseMark;
use crate::journal_files::{journal_name, journal_numbers, JournalFile};
use crate::journal_format::{
    decode_header, decode_table, RecordRow, WriteHeader, WRITE_ALIGN, WRITE_HEADER_SIZE,
    WRITE_MAGIC,
};
use crate::journal_index::JournalIndex;

/// Bytes read at a time.
const WINDOW_SIZE: usize = 4 << 20;

/// What is known of the journal from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Files below are retired: the newest checkpoint holds what they held.
    pub first_file: u64,
    /// Number of that file's first write.
    pub first_write: u64,
    /// The journal was seen synced through this write when the newest checkpoint was made.
    pub written_through: u64,
}

impl Default for Expected {
    /// Of a store without a checkpoint.
    fn default() -> Self {
        Self {
            first_file: 1,
            first_write: 1,
            written_through: 0,
        }
    }
}

/// A write as it lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundWrite {
    pub position: u64,
    pub header: WriteHeader,
}

/// The torn tail that recovery cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub file: String,
    pub position: u64,
    pub what: String,
}

pub struct Recovered {
    pub index: JournalIndex,
    /// Ascending; the last one takes the next write.
    pub files: Vec<JournalFile>,
    pub last_write: Option<FoundWrite>,
    /// Number of the write to come.
    pub next_write: u64,
    pub write_count: u64,
    pub cut: Option<Cut>,
    pub closed_cleanly: bool,
    /// Files that hold nothing the newest checkpoint does not hold.
    pub obsolete: Vec<u64>,
}

/// A file seen through a buffer that moves forward.
struct Window<'a> {
    file: &'a dyn DiskFile,
    buffer: Vec<u8>,
    start: u64,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// `size` bytes at `position`, fewer where the file ends.
    fn bytes(&mut self, position: u64, size: usize) -> DiskResult<&[u8]> {
        let end = position + size as u64;
        if position < self.start || end > self.start + self.buffer.len() as u64 {
            self.buffer.resize(size.max(WINDOW_SIZE), 0);
            let read = self.file.read_at(position, &mut self.buffer)?;
            self.buffer.truncate(read);
            self.start = position;
        }
        let from = (position - self.start) as usize;
        let to = self.buffer.len().min(from + size);
        Ok(&self.buffer[from..to])
    }
}

/// Where the writes of a file end, and why there.
pub struct Scan {
    pub last: Option<FoundWrite>,
    pub end: u64,
    /// What is wrong with the bytes at `end`; None: no write seems to have been there.
    pub bad: Option<String>,
}

/// Goes through the writes of one file as long as they are good and numbered in a row; the first may
/// have any number if `next_write` is 0.
pub fn scan_file(
    file: &dyn DiskFile,
    seed: u32,
    mut next_write: u64,
    see: &mut dyn FnMut(FoundWrite, &[RecordRow]),
) -> DiskResult<Scan> {
    let mut window = Window::new(file);
    let mut scan = Scan {
        last: None,
        end: HEADER_SIZE,
        bad: None,
    };
    loop {
        let position = scan.end;
        let head = window.bytes(position, WRITE_HEADER_SIZE)?;
        let Some(header) = decode_header(head, seed, position) else {
            let seems_written = head.starts_with(&WRITE_MAGIC);
            scan.bad = seems_written.then(|| "the write's header has a wrong checksum".to_owned());
            return Ok(scan);
        };
        if header.number != next_write && next_write != 0 {
            let number = header.number;
            scan.bad = Some(format!("write {number} stands where {next_write} should"));
            return Ok(scan);
        }
        let found = FoundWrite { position, header };
        match check_write(&mut window, found, seed)? {
            Ok(rows) => see(found, &rows),
            Err(what) => {
                scan.bad = Some(what);
                return Ok(scan);
            }
        }
        next_write = header.number + 1;
        scan.last = Some(found);
        scan.end = position + header.padded_size();
    }
}

/// Rows of a write whose header is good, or what is wrong with the rest of it.
fn check_write(
    window: &mut Window<'_>,
    found: FoundWrite,
    seed: u32,
) -> DiskResult<Result<Vec<RecordRow>, String>> {
    let FoundWrite { position, header } = found;
    let number = header.number;
    let table_start = position + WRITE_HEADER_SIZE as u64;
    let table = window.bytes(table_start, header.table_size as usize)?;
    let Some(rows) = decode_table(&header, table, seed) else {
        return Ok(Err(format!(
            "the table of write {number} has a wrong checksum"
        )));
    };
    let mut at = table_start + header.table_size as u64;
    for row in &rows {
        for entry in &row.entries {
            let data = window.bytes(at, entry.size as usize)?;
            if data.len() != entry.size as usize || crc32c::crc32c(data) != entry.checksum {
                let (index, group) = (entry.index, row.group);
                return Ok(Err(format!(
                    "entry {index} of group {group} in write {number} has a wrong checksum"
                )));
            }
            at += entry.size as u64;
        }
    }
    Ok(Ok(rows))
}

/// The first good write header at or after `from` with at least that number.
fn find_later(
    file: &dyn DiskFile,
    seed: u32,
    from: u64,
    number_min: u64,
) -> DiskResult<Option<FoundWrite>> {
    let mut window = Window::new(file);
    let mut position = from;
    loop {
        let head = window.bytes(position, WRITE_HEADER_SIZE)?;
        if head.len() < WRITE_HEADER_SIZE {
            return Ok(None);
        }
        if let Some(header) = decode_header(head, seed, position) {
            if header.number >= number_min {
                return Ok(Some(FoundWrite { position, header }));
            }
        }
        position += WRITE_ALIGN;
    }
}

/// Where the good writes ended, and what is wrong there (nothing: "").
struct Stop {
    file: String,
    position: u64,
    what: String,
}

impl Stop {
    fn reason(&self) -> &str {
        if self.what.is_empty() {
            "no write is to be found"
        } else {
            &self.what
        }
    }
}

/// Reads the whole journal; changes nothing.
pub fn recover(
    disk: &dyn Disk,
    identity: &Identity,
    expected: Expected,
    see: &mut dyn FnMut(u64, FoundWrite, &[RecordRow]),
) -> StoreResult<Recovered> {
    let (obsolete, numbers): (Vec<u64>, Vec<u64>) = journal_numbers(disk)?
        .into_iter()
        .partition(|number| *number < expected.first_file);
    check_numbers(&numbers, expected.first_file)?;
    let mut recovered = Recovered {
        index: JournalIndex::default(),
        files: Vec::new(),
        last_write: None,
        next_write: expected.first_write,
        write_count: 0,
        cut: None,
        closed_cleanly: false,
        obsolete,
    };
    let mut stops = Vec::new();
    for number in numbers {
        stops.push(read_file(disk, identity, number, &mut recovered, see)?);
    }
    let held = recovered
        .files
        .iter()
        .rposition(|file| file.end > HEADER_SIZE)
        .unwrap_or(0);
    stops.drain(..held);
    check_tail(identity, &recovered, held, &stops)?;
    let mark = CloseMark::read(disk, identity)?;
    recovered.closed_cleanly = mark.is_some();
    check_end(&recovered, expected, mark, &stops)?;
    recovered.cut = stops
        .into_iter()
        .find(|stop| !stop.what.is_empty())
        .map(|stop| Cut {
            file: stop.file,
            position: stop.position,
            what: stop.what,
        });
    Ok(recovered)
}

/// Journal files are numbered in a row from the first that is needed.
fn check_numbers(numbers: &[u64], first: u64) -> StoreResult<()> {
    let missing = match numbers {
        [] => Some(first),
        _ => (first..)
            .zip(numbers)
            .find(|(wanted, found)| wanted != *found)
            .map(|pair| pair.0),
    };
    missing.map_or(Ok(()), |number| {
        Err(Damage::new(&journal_name(number), 0, "the file is missing", REMEDY_COPY).into())
    })
}

fn read_file(
    disk: &dyn Disk,
    identity: &Identity,
    number: u64,
    recovered: &mut Recovered,
    see: &mut dyn FnMut(u64, FoundWrite, &[RecordRow]),
) -> StoreResult<Stop> {
    let name = journal_name(number);
    let file = disk.open(&name)?;
    file_header::check(&*file, &name, FileKind::Journal, number, identity)?;
    let seed = identity.checksum_seed(number);
    let (index, count) = (&mut recovered.index, &mut recovered.write_count);
    let scan = scan_file(&*file, seed, recovered.next_write, &mut |found, rows| {
        let data = found.position + WRITE_HEADER_SIZE as u64 + found.header.table_size as u64;
        index.append(rows, number as u32, data);
        *count += 1;
        see(number, found, rows);
    })?;
    if let Some(last) = scan.last {
        recovered.last_write = Some(last);
        recovered.next_write = last.header.number + 1;
    }
    recovered.files.push(JournalFile {
        capacity: file.size()?,
        end: scan.end,
        number,
        file,
    });
    Ok(Stop {
        file: name,
        position: scan.end,
        what: scan.bad.unwrap_or_default(),
    })
}

/// Refuses if any write later than the one after the last good one is to be found: that one was
/// synced then. `stops` are those of the files from the `held`th on, the last with good writes.
fn check_tail(
    identity: &Identity,
    recovered: &Recovered,
    held: usize,
    stops: &[Stop],
) -> StoreResult<()> {
    for (place, stop) in stops.iter().enumerate() {
        let JournalFile {
            file, number, end, ..
        } = &recovered.files[held + place];
        let seed = identity.checksum_seed(*number);
        if let Some(later) = find_later(&**file, seed, *end, recovered.next_write + 1)? {
            // If the later one begins its file, the missing one ended the file before.
            let begins = later.position == HEADER_SIZE && place > 0;
            let at = if begins { &stops[place - 1] } else { stop };
            let what = format!(
                "{}; write {} follows at byte {} of {}, so this one was synced",
                at.reason(),
                later.header.number,
                later.position,
                stop.file
            );
            return Err(Damage::new(&at.file, at.position, what, REMEDY_COPY).into());
        }
    }
    Ok(())
}

/// Refuses a journal that ends before the place it is known to have reached.
fn check_end(
    recovered: &Recovered,
    expected: Expected,
    mark: Option<CloseMark>,
    stops: &[Stop],
) -> StoreResult<()> {
    let known = mark
        .map_or(0, |mark| mark.last_write)
        .max(expected.written_through);
    if recovered.next_write > known {
        return Ok(());
    }
    let named = mark.map(|mark| journal_name(mark.last_file));
    let bad = |stop: &&Stop| !stop.what.is_empty() || Some(&stop.file) == named.as_ref();
    let stop = stops.iter().find(bad).unwrap_or(&stops[0]);
    let what = format!("{}; the journal reached write {known}", stop.reason());
    Err(Damage::new(&stop.file, stop.position, what, REMEDY_COPY).into())
}

/// Makes sure that what was just read is on the platter: a process that was killed, or whose sync
/// failed, leaves pages that read back and may never be written. Only the last write can be so.
pub fn rewrite_tail(file: &dyn DiskFile, last: FoundWrite) -> DiskResult<()> {
    let size = last.header.padded_size() as usize;
    let bytes = file.read_range(last.position, size)?;
    file.write_at(last.position, &bytes)?;
    file.sync()
}
