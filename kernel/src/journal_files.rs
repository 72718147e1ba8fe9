//! The journal's files: numbered ones that hold writes, spare ones that wait to.
//!
//! Writing into blocks that exist already saves a third of a sync (`storage.md` section 3), so a
//! file is filled with zeros ahead of need or was a journal file before. Names tell what may be
//! done: `journal-N` holds writes, `spare-N` and `filling` hold nothing. A spare becomes journal N
//! by getting its header first and its name after, each synced: no journal file ever lacks one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::damage::StoreResult;
use crate::disk::{Disk, DiskFault, DiskFile, DiskResult};
use crate::file_header::{self, numbered_files, numbered_name, FileKind, Identity, HEADER_SIZE};

pub const JOURNAL: &str = "journal";
const SPARE: &str = "spare";
const FILLING: &str = "filling";
/// What one step of filling writes while there is no spare at all.
const FILL_STEP: u64 = 4 << 20;
/// And while there is one: clients' syncs wait behind each step.
const UNHURRIED_STEP: u64 = 1 << 20;
/// A file made because no spare was there is this small, so that the wait for it is short
/// (8 MiB of zeros took 10 ms): by the time it is full, a spare is.
const HASTY_SIZE: u64 = 8 << 20;

pub fn journal_name(number: u64) -> String {
    numbered_name(JOURNAL, number)
}

/// An open journal file.
#[derive(Clone)]
pub struct JournalFile {
    pub file: Arc<dyn DiskFile>,
    pub number: u64,
    /// Where the next write goes.
    pub end: u64,
    /// Bytes it may hold before the journal rolls.
    pub capacity: u64,
}

/// The spare files of a journal. Its own thread takes them and the store's adds some: each has its turn, as between a
/// look at the names and what is done by them nobody may take a file or give one the same name.
#[derive(Default)]
pub struct SpareFiles {
    turn: Mutex<()>,
}

impl SpareFiles {
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes journal file `number`, with room for a write of `needed` bytes, durable with its name.
pub fn claim(
    disk: &dyn Disk,
    spare_files: &SpareFiles,
    identity: &Identity,
    number: u64,
    needed: u64,
    file_size: u64,
) -> DiskResult<JournalFile> {
    let _turn = spare_files.turn();
    let needed = HEADER_SIZE + needed;
    let (name, file, capacity) = match find_spare(disk, needed)? {
        Some(spare) => spare,
        None => make_hasty(disk, needed.max(HASTY_SIZE.min(file_size)))?,
    };
    let header = file_header::encode(FileKind::Journal, number, identity);
    file.write_at(0, &header)?;
    file.sync()?;
    disk.rename(&name, &journal_name(number))?;
    disk.sync_dir()?;
    Ok(JournalFile {
        file,
        number,
        end: HEADER_SIZE,
        capacity,
    })
}

type NamedFile = (String, Arc<dyn DiskFile>, u64);

/// The largest spare, if `needed` bytes fit in it.
fn find_spare(disk: &dyn Disk, needed: u64) -> DiskResult<Option<NamedFile>> {
    let mut best: Option<NamedFile> = None;
    for number in spares(disk)? {
        let name = numbered_name(SPARE, number);
        let file = disk.open(&name)?;
        let size = file.size()?;
        if size >= needed && best.as_ref().is_none_or(|(_, _, found)| size > *found) {
            best = Some((name, file, size));
        }
    }
    Ok(best)
}

fn make_hasty(disk: &dyn Disk, size: u64) -> DiskResult<NamedFile> {
    let name = free_spare_name(disk)?;
    let file = disk.create(&name)?;
    let filled = file.zero(0, size).and_then(|()| file.sync());
    if let Err(error) = filled {
        // Half a file is of no use and its room is.
        disk.remove(&name)?;
        return Err(error);
    }
    Ok((name, file, size))
}

fn spares(disk: &dyn Disk) -> DiskResult<Vec<u64>> {
    let names = disk.list()?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix("spare-"));
    Ok(numbers
        .filter_map(|digits| u64::from_str_radix(digits, 16).ok())
        .collect())
}

fn free_spare_name(disk: &dyn Disk) -> DiskResult<String> {
    let taken = spares(disk)?;
    let free = (0..=taken.len() as u64)
        .find(|number| !taken.contains(number))
        .unwrap_or(0);
    Ok(numbered_name(SPARE, free))
}

/// Takes retired journal files out of the log: as spares while fewer than `spares_max` are there,
/// else their room is given back.
pub fn recycle(
    disk: &dyn Disk,
    spare_files: &SpareFiles,
    numbers: &[u64],
    file_size: u64,
    spares_max: usize,
) -> DiskResult<()> {
    for number in numbers {
        let name = journal_name(*number);
        let _turn = spare_files.turn();
        if spares(disk)?.len() < spares_max {
            let spare = free_spare_name(disk)?;
            disk.rename(&name, &spare)?;
            // Only under a spare's durable name may it be changed.
            disk.sync_dir()?;
            let file = disk.open(&spare)?;
            if file.size()? > file_size {
                file.set_size(file_size)?;
            }
        } else {
            disk.remove(&name)?;
        }
    }
    disk.sync_dir()
}

/// When the next step of filling is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextFill {
    Now,
    /// There is a spare: after a pause.
    Later,
    /// There are enough: when the journal has rolled.
    Enough,
}

/// Fills a spare ahead of need, a step at a time.
pub struct SpareFilling {
    spare_files: Arc<SpareFiles>,
    file_size: u64,
    spares_wanted: usize,
    file: Option<(Arc<dyn DiskFile>, u64)>,
}

impl SpareFilling {
    pub fn new(spare_files: Arc<SpareFiles>, file_size: u64, spares_wanted: usize) -> Self {
        Self {
            spare_files,
            file_size,
            spares_wanted,
            file: None,
        }
    }

    /// One step. `coming`: full files that will be spares.
    pub fn step(&mut self, disk: &dyn Disk, coming: usize) -> DiskResult<NextFill> {
        let spare_count = self.spare_count(disk)?;
        let Some((file, filled)) = &mut self.file else {
            return self.start(disk, spare_count, coming);
        };
        let (step, next) = match spare_count {
            0 => (FILL_STEP, NextFill::Now),
            _ => (UNHURRIED_STEP, NextFill::Later),
        };
        if *filled < self.file_size {
            let part = step.min(self.file_size - *filled);
            file.zero(*filled, part)?;
            *filled += part;
            // Little by little: a sync of it all would hold up the journal's.
            file.sync()?;
            return Ok(next);
        }
        let _turn = self.spare_files.turn();
        disk.rename(FILLING, &free_spare_name(disk)?)?;
        disk.sync_dir()?;
        self.file = None;
        Ok(NextFill::Now)
    }

    /// Of full size.
    fn spare_count(&self, disk: &dyn Disk) -> DiskResult<usize> {
        let _turn = self.spare_files.turn();
        let mut count = 0;
        for number in spares(disk)? {
            let size = disk.open(&numbered_name(SPARE, number))?.size()?;
            count += usize::from(size >= self.file_size);
        }
        Ok(count)
    }

    fn start(
        &mut self,
        disk: &dyn Disk,
        spare_count: usize,
        coming: usize,
    ) -> DiskResult<NextFill> {
        // While the journal is written as fast as can be, its files go round: new ones cost as much as it does.
        if spare_count + coming >= self.spares_wanted && spare_count >= self.spares_wanted.min(1) {
            return Ok(NextFill::Enough);
        }
        let file = match disk.open(FILLING) {
            Err(error) if error.fault == DiskFault::NotFound => disk.create(FILLING)?,
            opened => opened?,
        };
        // What an earlier run filled may be a part only; its end need not be durable.
        let filled = file.size()?.saturating_sub(FILL_STEP).min(self.file_size);
        self.file = Some((file, filled));
        Ok(NextFill::Now)
    }
}

/// Numbers of the journal's files, ascending.
pub fn journal_numbers(disk: &dyn Disk) -> StoreResult<Vec<u64>> {
    numbered_files(disk, JOURNAL)
}

#[cfg(test)]
mod tests;
