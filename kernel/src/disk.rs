//! The one door to the disk: a directory of flat names, and what may be done with its files.
//!
//! Law, for whoever uses it: bytes are durable once `sync` of their file returned, names once
//! `sync_dir` returned, and nothing else is. A failed `sync` means that what was written since the
//! last good one may be gone though it still reads back: it must never be retried.
//! [`RealDisk`](crate::real_disk::RealDisk) and [`SimDisk`](crate::sim_disk::SimDisk) pass one suite.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use crate::blocks::{Blocks, BLOCK_SIZE};

/// What went wrong with a file, as far as the store has to tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// ENOSPC or EDQUOT: heals when there is room.
    NoSpace,
    NotFound,
    Exists,
    /// Another process holds the directory.
    Locked,
    /// Any other errno.
    Errno(i32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    pub fault: DiskFault,
    /// The call that failed: "write", "sync", ...
    pub operation: &'static str,
    pub file: String,
}

impl DiskError {
    pub fn new(fault: DiskFault, operation: &'static str, file: &str) -> Self {
        Self {
            fault,
            operation,
            file: file.to_owned(),
        }
    }

    pub fn is_no_space(&self) -> bool {
        self.fault == DiskFault::NoSpace
    }

    /// The errno a Python `OSError` is given.
    pub fn errno(&self) -> i32 {
        match self.fault {
            DiskFault::NoSpace => 28,
            DiskFault::NotFound => 2,
            DiskFault::Exists => 17,
            DiskFault::Locked => 11,
            DiskFault::Errno(errno) => errno,
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation, file, ..
        } = self;
        match self.fault {
            DiskFault::NoSpace => write!(formatter, "no space left to {operation} {file}"),
            DiskFault::NotFound => write!(formatter, "cannot {operation} {file}: no such file"),
            DiskFault::Exists => write!(formatter, "cannot {operation} {file}: it exists"),
            DiskFault::Locked => {
                write!(
                    formatter,
                    "cannot {operation} {file}: another process uses it"
                )
            }
            DiskFault::Errno(errno) => {
                let reason = std::io::Error::from_raw_os_error(errno);
                write!(formatter, "cannot {operation} {file}: {reason}")
            }
        }
    }
}

pub type DiskResult<T> = Result<T, DiskError>;

/// One directory. Names hold no separator.
pub trait Disk: Send + Sync {
    /// All names, sorted.
    fn list(&self) -> DiskResult<Vec<String>>;
    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;
    /// Makes an empty file; `Exists` if there is one.
    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;
    /// Replaces `to` if there is one. Open files stay what they are.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;
    fn remove(&self, name: &str) -> DiskResult<()>;
    fn sync_dir(&self) -> DiskResult<()>;
    /// Bytes that may still be written.
    fn free_space(&self) -> DiskResult<u64>;
    /// Takes the directory for this object alone; `Locked` if somebody else has it.
    fn lock(&self) -> DiskResult<()>;
    fn unlock(&self);
}

/// An open file. All positions and sizes are bytes.
pub trait DiskFile: Send + Sync {
    fn size(&self) -> DiskResult<u64>;
    /// Fills `buffer` as far as the file goes; returns how much of it.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> DiskResult<usize>;
    /// `size` bytes from `position`, fewer where the file ends.
    fn read_range(&self, position: u64, size: usize) -> DiskResult<Vec<u8>> {
        let mut buffer = vec![0; size];
        let read = self.read_at(position, &mut buffer)?;
        buffer.truncate(read);
        Ok(buffer)
    }
    /// Writes all parts in a row; after an error any part of them may be in the file.
    fn writev_at(&self, position: u64, parts: &[IoSlice<'_>]) -> DiskResult<()>;
    /// Writes whole blocks at a block's position, where it can be done past the memory in which the system keeps files:
    /// `blocks` lies at one as well (`Blocks`).
    fn write_blocks(&self, position: u64, blocks: &[u8]) -> DiskResult<()> {
        self.writev_at(position, &[IoSlice::new(blocks)])
    }
    /// Writes whole sectors at a sector's position and makes them durable in one go, where that is quicker than `writev_at`
    /// and `sync`; false: it is not, and any part of them may be in the file. `sectors` lies at a block's place.
    fn write_synced(&self, _position: u64, _sectors: &[u8]) -> DiskResult<bool> {
        Ok(false)
    }
    /// Fills `blocks`, which lie at a block's place and are whole blocks at a block's position, as far as the file goes,
    /// where it can be done past that memory; returns how much of it.
    fn read_blocks(&self, position: u64, blocks: &mut [u8]) -> DiskResult<usize> {
        self.read_at(position, blocks)
    }
    /// Writes zeros, growing the file if need be.
    fn zero(&self, position: u64, size: u64) -> DiskResult<()>;
    /// Takes room for the first `size` bytes without writing them; the file reads as zeros there.
    fn preallocate(&self, size: u64) -> DiskResult<()>;
    /// Cuts the file, or grows it with zeros.
    fn set_size(&self, size: u64) -> DiskResult<()>;
    /// fdatasync: what was written and the size are durable afterwards.
    fn sync(&self) -> DiskResult<()>;
    /// What is synced of that range need not be kept in memory: it is not read soon.
    fn release_cached(&self, _position: u64, _size: u64) {}
}

impl dyn DiskFile + '_ {
    pub fn write_at(&self, position: u64, data: &[u8]) -> DiskResult<()> {
        self.writev_at(position, &[IoSlice::new(data)])
    }

    /// `read_range` of what is read once, and is not to stay in the system's memory for it.
    pub fn read_range_once(&self, position: u64, size: usize) -> DiskResult<Bytes> {
        let before = position as usize % BLOCK_SIZE;
        let mut blocks = Blocks::new((before + size).next_multiple_of(BLOCK_SIZE));
        let read = self.read_blocks(position - before as u64, blocks.all_mut())?;
        let end = (before + size).min(read);
        Ok(blocks.into_bytes(before.min(end)..end))
    }
}

/// Puts a small file in place whole: after a crash the name leads to the old content or the new,
/// never to a part of either. `NoSpace` means the old one stands; any other error, that it may be
/// either.
pub fn replace_file(disk: &dyn Disk, name: &str, content: &[u8]) -> DiskResult<()> {
    let temporary = format!("{name}.new");
    match disk.remove(&temporary) {
        Ok(()) => {}
        Err(error) if error.fault == DiskFault::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.create(&temporary)?;
    file.write_at(0, content)?;
    file.sync()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir().map_err(|error| DiskError {
        fault: DiskFault::Errno(error.errno()),
        ..error
    })
}

/// The whole of a small file, or None if there is no such name.
pub fn read_file(disk: &dyn Disk, name: &str) -> DiskResult<Option<Vec<u8>>> {
    match disk.open(name) {
        Ok(file) => {
            let size = file.size()? as usize;
            file.read_range(0, size).map(Some)
        }
        Err(error) if error.fault == DiskFault::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
