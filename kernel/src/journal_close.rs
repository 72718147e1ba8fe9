//! The mark of a clean close: where the journal ended, in two copies.
//!
//! While it stands, a journal that ends anywhere else is damaged, even if only its last write is
//! bad. It is taken away, durably, before the next write.

use crate::damage::{Damage, StoreResult};
use crate::disk::{read_file, replace_file, Disk, DiskFault, DiskResult};
use crate::file_header::{self, u64_at, FileKind, Identity, HEADER_SIZE};

const NAMES: [&str; 2] = ["closed-0", "closed-1"];
const REMEDY: &str =
    "Remove both closed-* files to open the journal as after a crash: a torn last write is then cut";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseMark {
    /// Number of the last write; 0: there never was one.
    pub last_write: u64,
    /// The journal file that held it.
    pub last_file: u64,
}

impl CloseMark {
    pub fn write(self, disk: &dyn Disk, identity: &Identity) -> DiskResult<()> {
        let mut content = file_header::encode(FileKind::CloseMark, 0, identity);
        content.extend_from_slice(&self.last_write.to_le_bytes());
        content.extend_from_slice(&self.last_file.to_le_bytes());
        let checksum = crc32c::crc32c(&content);
        content.extend_from_slice(&checksum.to_le_bytes());
        NAMES
            .iter()
            .try_for_each(|name| replace_file(disk, name, &content))
    }

    /// The mark if there is one. One good copy is enough, but a mark that can't be read is damage.
    pub fn read(disk: &dyn Disk, identity: &Identity) -> StoreResult<Option<Self>> {
        let mut bad = None;
        for name in NAMES {
            let Some(content) = read_file(disk, name)? else {
                continue;
            };
            match Self::decode(name, &content, identity) {
                Ok(mark) => return Ok(Some(mark)),
                Err(damage) => bad = Some(damage),
            }
        }
        bad.map_or(Ok(None), |damage| Err(damage.into()))
    }

    /// Both copies must be good, if they are there.
    pub fn verify(disk: &dyn Disk, identity: &Identity) -> StoreResult<()> {
        for name in NAMES {
            if let Some(content) = read_file(disk, name)? {
                Self::decode(name, &content, identity)?;
            }
        }
        Ok(())
    }

    fn decode(name: &str, content: &[u8], identity: &Identity) -> Result<Self, Damage> {
        let size = HEADER_SIZE as usize;
        let damaged = |position| {
            Damage::new(
                name,
                position,
                "the mark of the clean close is unreadable",
                REMEDY,
            )
        };
        if content.len() != size + 20 {
            return Err(damaged(0));
        }
        let checksum = crc32c::crc32c(&content[..size + 16]).to_le_bytes();
        if content[size + 16..] != checksum {
            return Err(damaged(HEADER_SIZE));
        }
        let (_, owner) = file_header::decode(name, FileKind::CloseMark, content)?;
        if owner != *identity {
            return Err(damaged(32));
        }
        Ok(Self {
            last_write: u64_at(content, size),
            last_file: u64_at(content, size + 8),
        })
    }

    pub fn remove(disk: &dyn Disk) -> DiskResult<()> {
        for name in NAMES {
            match disk.remove(name) {
                Err(error) if error.fault != DiskFault::NotFound => return Err(error),
                _ => {}
            }
        }
        disk.sync_dir()
    }
}
