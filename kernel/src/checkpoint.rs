//! Checkpoints: every shard's state past some entry, as blocks of what changed.
//!
//! ```text
//! file header, 4096
//! per block: 4 magic "BLCK" | 4 CRC32C | 4 group | 1 kind | 1 gone | 2 key size | 4 size | key | content
//! ```
//!
//! Each checkpoint adds a file with the blocks that changed since the last one; later files replace
//! what earlier ones say. When the added ones outweigh the first, one file of all blocks takes their
//! place: so writing costs what changed, give or take a factor of two, and reading is bounded too.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::damage::{Damage, StoreResult};
use crate::disk::{Disk, DiskFault, DiskFile, DiskResult};
use crate::file_header::{
    self, numbered_name, u32_at, FileKind, Identity, HEADER_SIZE, REMEDY_COPY,
};
use crate::manifest::BlocksMark;

pub const BLOCKS: &str = "blocks";
/// The kind of a block without content that takes back all that earlier files, and this one before it,
/// say of its group. The other kinds are the shards' (`frozen.rs`).
pub const BLOCK_RESET: u8 = 255;
const BLOCK_MAGIC: [u8; 4] = *b"BLCK";
const BLOCK_HEADER_SIZE: usize = 20;
/// Bytes gathered before they are written, and written before they are synced: one sync of all of it
/// would hold up the journal's.
const WRITE_SIZE: usize = 1 << 20;
const SYNC_SIZE: u64 = 4 << 20;

pub fn blocks_name(number: u64) -> String {
    numbered_name(BLOCKS, number)
}

/// What a block is about; the order in which they are read back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockKey {
    pub group: u32,
    pub kind: u8,
    pub key: Vec<u8>,
}

/// A blocks file being written.
pub struct BlocksWriter {
    number: u64,
    seed: u32,
    file: Arc<dyn DiskFile>,
    position: u64,
    synced: u64,
    buffer: Vec<u8>,
    count: u64,
}

impl BlocksWriter {
    pub fn create(disk: &dyn Disk, identity: &Identity, number: u64) -> DiskResult<Self> {
        let name = blocks_name(number);
        // What an interrupted checkpoint left under this number was never named by a manifest.
        match disk.remove(&name) {
            Err(error) if error.fault != DiskFault::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            number,
            seed: identity.checksum_seed(number),
            file: disk.create(&name)?,
            position: 0,
            synced: 0,
            buffer: file_header::encode(FileKind::Blocks, number, identity),
            count: 0,
        })
    }

    /// Adds a block; without content it says that there is none any more.
    pub fn add(&mut self, key: &BlockKey, content: Option<&[u8]>) -> DiskResult<()> {
        let start = self.buffer.len();
        let out = &mut self.buffer;
        let Ok(key_size) = u16::try_from(key.key.len()) else {
            panic!("a key of {} bytes", key.key.len());
        };
        out.extend_from_slice(&BLOCK_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&key.group.to_le_bytes());
        out.extend_from_slice(&[key.kind, u8::from(content.is_none())]);
        out.extend_from_slice(&key_size.to_le_bytes());
        let content = content.unwrap_or_default();
        out.extend_from_slice(&(content.len() as u32).to_le_bytes());
        out.extend_from_slice(&key.key);
        out.extend_from_slice(content);
        let sum = checksum(self.seed, self.position + start as u64, &out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
        self.count += 1;
        if self.buffer.len() >= WRITE_SIZE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> DiskResult<()> {
        self.file.write_at(self.position, &self.buffer)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        if self.position - self.synced >= SYNC_SIZE {
            self.file.sync()?;
            self.synced = self.position;
        }
        Ok(())
    }

    pub fn size(&self) -> u64 {
        self.position + self.buffer.len() as u64
    }

    /// Makes the file durable; its name is once the directory is synced.
    pub fn finish(mut self) -> DiskResult<BlocksMark> {
        self.flush()?;
        self.file.sync()?;
        Ok(BlocksMark {
            number: self.number,
            size: self.position,
            block_count: self.count,
        })
    }
}

fn checksum(seed: u32, position: u64, content: &[u8]) -> u32 {
    let start = crc32c::crc32c_append(seed, &position.to_le_bytes());
    crc32c::crc32c_append(start, content)
}

/// All blocks that are there, from the files of a manifest.
pub fn read_blocks(
    disk: &dyn Disk,
    identity: &Identity,
    files: &[BlocksMark],
) -> StoreResult<BTreeMap<BlockKey, Vec<u8>>> {
    let mut blocks = BTreeMap::new();
    for mark in files {
        read_blocks_file(disk, identity, mark, &mut |key, content| {
            match content {
                Some(content) => blocks.insert(key, content.to_vec()),
                None if key.kind == BLOCK_RESET => {
                    blocks.retain(|held: &BlockKey, _| held.group != key.group);
                    None
                }
                None => blocks.remove(&key),
            };
        })?;
    }
    Ok(blocks)
}

/// Goes through one file's blocks, each checked: (key, content, or None if it says gone).
pub fn read_blocks_file(
    disk: &dyn Disk,
    identity: &Identity,
    mark: &BlocksMark,
    see: &mut dyn FnMut(BlockKey, Option<&[u8]>),
) -> StoreResult<()> {
    let name = blocks_name(mark.number);
    let damage = |position: u64, what: &str| Damage::new(&name, position, what, REMEDY_COPY);
    let file = match disk.open(&name) {
        Err(error) if error.fault == DiskFault::NotFound => {
            return Err(damage(0, "the file is missing").into());
        }
        opened => opened?,
    };
    file_header::check(&*file, &name, FileKind::Blocks, mark.number, identity)?;
    let content = file.read_range(HEADER_SIZE, mark.size.saturating_sub(HEADER_SIZE) as usize)?;
    if content.len() as u64 + HEADER_SIZE != mark.size || file.size()? != mark.size {
        let what = "the file is not as long as the manifest says";
        return Err(damage(content.len() as u64 + HEADER_SIZE, what).into());
    }
    let seed = identity.checksum_seed(mark.number);
    let (mut at, mut count) = (0, 0);
    while at < content.len() {
        let position = HEADER_SIZE + at as u64;
        let Some((key, found, size)) = decode_block(&content[at..], seed, position) else {
            return Err(damage(position, "a block has a wrong checksum").into());
        };
        see(key, found);
        at += size;
        count += 1;
    }
    if count != mark.block_count {
        let what = format!(
            "{count} blocks where the manifest says {}",
            mark.block_count
        );
        return Err(damage(HEADER_SIZE, &what).into());
    }
    Ok(())
}

/// The block these bytes start with: key, content unless it is gone, and size in the file.
fn decode_block(
    bytes: &[u8],
    seed: u32,
    position: u64,
) -> Option<(BlockKey, Option<&[u8]>, usize)> {
    let head = bytes.get(..BLOCK_HEADER_SIZE)?;
    let key_size = u16::from_le_bytes([head[14], head[15]]) as usize;
    let content_start = BLOCK_HEADER_SIZE + key_size;
    let whole = bytes.get(..content_start + u32_at(head, 16) as usize)?;
    if head[..4] != BLOCK_MAGIC || u32_at(head, 4) != checksum(seed, position, &whole[8..]) {
        return None;
    }
    let key = BlockKey {
        group: u32_at(head, 8),
        kind: head[12],
        key: whole[BLOCK_HEADER_SIZE..content_start].to_vec(),
    };
    let content = (head[13] == 0).then(|| &whole[content_start..]);
    Some((key, content, whole.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::{SimDisk, SplitMix};

    const IDENTITY: Identity = Identity {
        store: [1; 16],
        peer: 3,
    };

    fn key(number: u64) -> BlockKey {
        BlockKey {
            group: (number % 2) as u32,
            kind: 1,
            key: number.to_be_bytes().to_vec(),
        }
    }

    type Model = BTreeMap<BlockKey, Vec<u8>>;

    fn write(disk: &SimDisk, number: u64, random: &mut SplitMix, model: &mut Model) -> BlocksMark {
        let mut writer = BlocksWriter::create(disk, &IDENTITY, number).unwrap();
        for _ in 0..random.below(30) {
            let key = key(random.below(20));
            if random.chance(4) {
                writer.add(&key, None).unwrap();
                model.remove(&key);
            } else {
                let content = vec![random.next_u64() as u8; random.below(300) as usize];
                writer.add(&key, Some(&content)).unwrap();
                model.insert(key, content);
            }
        }
        writer.finish().unwrap()
    }

    #[test]
    fn later_files_replace_what_earlier_ones_say() {
        for seed in 0..30 {
            let disk = SimDisk::new(1 << 30);
            let (mut random, mut model) = (SplitMix(seed), Model::new());
            let files: Vec<_> = (1..6)
                .map(|number| write(&disk, number, &mut random, &mut model))
                .collect();
            disk.sync_dir().unwrap();
            disk.crash(seed);
            assert_eq!(read_blocks(&disk, &IDENTITY, &files).unwrap(), model);
        }
    }

    #[test]
    fn a_reset_takes_back_what_was_said_of_its_group_and_of_no_other() {
        let disk = SimDisk::new(1 << 30);
        let (mut random, mut model) = (SplitMix(5), Model::new());
        let first = write(&disk, 1, &mut random, &mut model);
        let mut writer = BlocksWriter::create(&disk, &IDENTITY, 2).unwrap();
        let reset = BlockKey {
            group: 1,
            kind: BLOCK_RESET,
            key: Vec::new(),
        };
        writer.add(&reset, None).unwrap();
        writer.add(&key(3), Some(b"anew")).unwrap();
        let files = [first, writer.finish().unwrap()];
        assert!(model.keys().filter(|key| key.group == 1).count() > 1);
        model.retain(|key, _| key.group != 1);
        model.insert(key(3), b"anew".to_vec());
        assert_eq!(read_blocks(&disk, &IDENTITY, &files).unwrap(), model);
    }

    #[test]
    fn a_flipped_bit_a_lost_end_or_a_missing_file_is_refused() {
        let disk = SimDisk::new(1 << 30);
        let mark = write(&disk, 1, &mut SplitMix(4), &mut Model::new());
        let name = blocks_name(1);
        let refused = |mark: &BlocksMark| {
            let error = read_blocks(&disk, &IDENTITY, &[*mark])
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&name), "{error}");
        };
        for position in (0..64).chain((HEADER_SIZE..mark.size).step_by(7)) {
            disk.flip_bit(&name, position, 2).unwrap();
            refused(&mark);
            disk.flip_bit(&name, position, 2).unwrap();
        }
        read_blocks(&disk, &IDENTITY, &[mark]).unwrap();
        refused(&BlocksMark {
            block_count: mark.block_count + 1,
            ..mark
        });
        disk.open(&name).unwrap().set_size(mark.size - 1).unwrap();
        refused(&mark);
        disk.remove(&name).unwrap();
        refused(&mark);
    }
}
