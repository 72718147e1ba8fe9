//! The manifest: what a store consists of since its newest checkpoint.
//!
//! ```text
//! file header, 4096
//! 8 first journal file | 8 its first write | 8 journal written through | 8 next segment | 8 next blocks
//! 4 group count | 4 segment count | 4 blocks file count | 4 import count
//! per group:       4 group | 4 configuration size | 8 applied index | 8 applied term | configuration
//! per segment:     8 number | 8 size | 4 run count | 4 zero
//! per blocks file: 8 number | 8 size | 8 block count       oldest first
//! per import:      4 group | 4 own segment count | 8 index | 8 term | 8 below | own segments, 8 each
//! 4 CRC32C of all after the header, from the file's seed
//! ```
//!
//! It gets its name when it is whole and synced. So a manifest that can't be read is damage, never a
//! reason to take an older one in silence: what that one names may be gone. The one before is kept for
//! a person to look at.

use crate::damage::{Damage, StoreResult};
use crate::disk::{read_file, replace_file, Disk, DiskFault, DiskResult};
use crate::file_header::{
    self, numbered_files, numbered_name, u32_at, u64_at, FileKind, Identity, HEADER_SIZE,
    REMEDY_COPY, REMEDY_STRANGER,
};
use crate::journal_recovery::Expected;
use crate::raft_log::Position;

pub const MANIFEST: &str = "manifest";

pub fn manifest_name(number: u64) -> String {
    numbered_name(MANIFEST, number)
}

/// Where a group stands in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMark {
    pub group: u32,
    pub applied_index: u64,
    pub applied_term: u64,
    /// Its configuration there, as Raft encodes it.
    pub conf: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentMark {
    pub number: u64,
    pub size: u64,
    pub run_count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlocksMark {
    pub number: u64,
    pub size: u64,
    pub block_count: u64,
}

/// A group's state that came from a peer, by the last snapshot that was taken in; at index 0, that the group
/// was dropped.
///
/// What segments below `below` that are not its own hold of the group is of no use any more: the
/// snapshot brought all that was wanted. What it means for the journal: see `store_import.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportMark {
    pub group: u32,
    pub position: Position,
    pub below: u64,
    /// Ascending.
    pub segments: Vec<u64>,
}

impl ImportMark {
    /// Nothing came: the group was dropped.
    pub fn is_drop(&self) -> bool {
        self.position == Position::default()
    }

    /// Whether what that segment holds of the group was replaced.
    pub fn replaced(&self, segment: u64) -> bool {
        segment < self.below && self.segments.binary_search(&segment).is_err()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub number: u64,
    pub journal: Expected,
    pub next_segment: u64,
    pub next_blocks: u64,
    pub groups: Vec<GroupMark>,
    pub segments: Vec<SegmentMark>,
    /// The oldest first: what stands in a later one replaces what stands in it.
    pub blocks: Vec<BlocksMark>,
    /// At most one for each group.
    pub imports: Vec<ImportMark>,
}

fn put(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn put_u32(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

impl Manifest {
    fn encode(&self, identity: &Identity) -> Vec<u8> {
        let mut out = file_header::encode(FileKind::Manifest, self.number, identity);
        let Expected {
            first_file,
            first_write,
            written_through,
        } = self.journal;
        put(&mut out, &[first_file, first_write, written_through]);
        put(&mut out, &[self.next_segment, self.next_blocks]);
        let imports = self.imports.len();
        let counts = [
            self.groups.len(),
            self.segments.len(),
            self.blocks.len(),
            imports,
        ];
        put_u32(&mut out, &counts.map(|count| count as u32));
        for mark in &self.groups {
            put_u32(&mut out, &[mark.group, mark.conf.len() as u32]);
            put(&mut out, &[mark.applied_index, mark.applied_term]);
            out.extend_from_slice(&mark.conf);
        }
        for mark in &self.segments {
            put(&mut out, &[mark.number, mark.size]);
            put_u32(&mut out, &[mark.run_count, 0]);
        }
        for mark in &self.blocks {
            put(&mut out, &[mark.number, mark.size, mark.block_count]);
        }
        for mark in &self.imports {
            put_u32(&mut out, &[mark.group, mark.segments.len() as u32]);
            let Position { index, term } = mark.position;
            put(&mut out, &[index, term, mark.below]);
            put(&mut out, &mark.segments);
        }
        let seed = identity.checksum_seed(self.number);
        let checksum = crc32c::crc32c_append(seed, &out[HEADER_SIZE as usize..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The body, checked to be whole; None: it is not what was written.
    fn decode(number: u64, body: &[u8], seed: u32) -> Option<Self> {
        let (content, checksum) = body.split_at_checked(body.len().checked_sub(4)?)?;
        if u32_at(checksum, 0) != crc32c::crc32c_append(seed, content) {
            return None;
        }
        let (head, mut rest) = content.split_at_checked(56)?;
        let mut take = |size: usize| {
            let (taken, left) = rest.split_at_checked(size)?;
            rest = left;
            Some(taken)
        };
        let mut manifest = Self {
            number,
            journal: Expected {
                first_file: u64_at(head, 0),
                first_write: u64_at(head, 8),
                written_through: u64_at(head, 16),
            },
            next_segment: u64_at(head, 24),
            next_blocks: u64_at(head, 32),
            ..Self::default()
        };
        for _ in 0..u32_at(head, 40) {
            let mark = take(24)?;
            let conf = take(u32_at(mark, 4) as usize)?;
            manifest.groups.push(GroupMark {
                group: u32_at(mark, 0),
                applied_index: u64_at(mark, 8),
                applied_term: u64_at(mark, 16),
                conf: conf.to_vec(),
            });
        }
        for _ in 0..u32_at(head, 44) {
            let mark = take(24)?;
            manifest.segments.push(SegmentMark {
                number: u64_at(mark, 0),
                size: u64_at(mark, 8),
                run_count: u32_at(mark, 16),
            });
        }
        for _ in 0..u32_at(head, 48) {
            let mark = take(24)?;
            manifest.blocks.push(BlocksMark {
                number: u64_at(mark, 0),
                size: u64_at(mark, 8),
                block_count: u64_at(mark, 16),
            });
        }
        for _ in 0..u32_at(head, 52) {
            let mark = take(32)?;
            let segments = take(8 * u32_at(mark, 4) as usize)?;
            manifest.imports.push(ImportMark {
                group: u32_at(mark, 0),
                position: Position {
                    index: u64_at(mark, 8),
                    term: u64_at(mark, 16),
                },
                below: u64_at(mark, 24),
                segments: segments.chunks(8).map(|number| u64_at(number, 0)).collect(),
            });
        }
        rest.is_empty().then_some(manifest)
    }

    /// Makes it the newest, durably, and takes away those before the one before.
    pub fn write(&self, disk: &dyn Disk, identity: &Identity) -> DiskResult<()> {
        replace_file(disk, &manifest_name(self.number), &self.encode(identity))?;
        let Some(oldest_kept) = self.number.checked_sub(1) else {
            return Ok(());
        };
        for name in disk.list()? {
            let older = |digits| u64::from_str_radix(digits, 16).is_ok_and(|n| n < oldest_kept);
            if name.strip_prefix("manifest-").is_some_and(older) {
                disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The newest one; None: there never was a checkpoint.
    pub fn read_newest(disk: &dyn Disk, identity: &Identity) -> StoreResult<Option<Self>> {
        match numbered_files(disk, MANIFEST)?.last() {
            Some(number) => Self::read(disk, identity, *number).map(Some),
            None => Ok(None),
        }
    }

    pub fn read(disk: &dyn Disk, identity: &Identity, number: u64) -> StoreResult<Self> {
        let name = manifest_name(number);
        let Some(content) = read_file(disk, &name)? else {
            return Err(crate::disk::DiskError::new(DiskFault::NotFound, "read", &name).into());
        };
        let (found, owner) = file_header::decode(&name, FileKind::Manifest, &content)?;
        if owner != *identity || found != number {
            let what = "the header names another store or number";
            return Err(Damage::new(&name, 16, what, REMEDY_STRANGER).into());
        }
        let body = content.get(HEADER_SIZE as usize..).unwrap_or_default();
        Self::decode(number, body, identity.checksum_seed(number)).ok_or_else(|| {
            let what = "the manifest's checksum is wrong";
            Damage::new(&name, HEADER_SIZE, what, REMEDY_COPY).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::SimDisk;

    const IDENTITY: Identity = Identity {
        store: [1; 16],
        peer: 3,
    };

    fn manifest(number: u64) -> Manifest {
        Manifest {
            number,
            journal: Expected {
                first_file: 4,
                first_write: 99,
                written_through: 120,
            },
            next_segment: 8,
            next_blocks: 9,
            groups: vec![GroupMark {
                group: 1,
                applied_index: 77,
                applied_term: 2,
                conf: vec![1, 2, 3],
            }],
            segments: vec![SegmentMark {
                number: 7,
                size: 5000,
                run_count: 2,
            }],
            blocks: vec![BlocksMark {
                number: 8,
                size: 6000,
                block_count: 5,
            }],
            imports: vec![ImportMark {
                group: 1,
                position: Position { index: 70, term: 2 },
                below: 7,
                segments: vec![3, 4],
            }],
        }
    }

    #[test]
    fn the_newest_is_read_and_the_one_before_is_kept() {
        let disk = SimDisk::new(1 << 20);
        assert_eq!(Manifest::read_newest(&disk, &IDENTITY).unwrap(), None);
        for number in 1..=4 {
            manifest(number).write(&disk, &IDENTITY).unwrap();
            let newest = Manifest::read_newest(&disk, &IDENTITY).unwrap();
            assert_eq!(newest, Some(manifest(number)));
        }
        assert_eq!(disk.list().unwrap(), [manifest_name(3), manifest_name(4)]);
    }

    #[test]
    fn after_a_crash_at_any_call_the_old_one_or_the_new_one_is_the_newest() {
        for seed in 0..200 {
            let disk = SimDisk::new(1 << 20);
            manifest(1).write(&disk, &IDENTITY).unwrap();
            disk.cut_power_after(seed % 9);
            let written = manifest(2).write(&disk, &IDENTITY);
            disk.crash(seed);
            let newest = Manifest::read_newest(&disk, &IDENTITY).unwrap().unwrap();
            assert!(newest == manifest(2) || (written.is_err() && newest == manifest(1)));
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_and_never_an_older_one_taken() {
        let disk = SimDisk::new(1 << 20);
        manifest(1).write(&disk, &IDENTITY).unwrap();
        manifest(2).write(&disk, &IDENTITY).unwrap();
        let size = manifest(2).encode(&IDENTITY).len() as u64;
        for position in (0..64).chain(HEADER_SIZE..size) {
            disk.flip_bit(&manifest_name(2), position, 3).unwrap();
            let error = Manifest::read_newest(&disk, &IDENTITY)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("manifest-0000000000000002 is damaged at byte"),
                "{error}"
            );
            disk.flip_bit(&manifest_name(2), position, 3).unwrap();
        }
    }
}
