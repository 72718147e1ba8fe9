//! The first block of every file of a data directory: what it is and whose.
//!
//! ```text
//!  0  8  magic "DRAGOMAN"        32 16  store id
//!  8  4  kind, four letters      48  8  peer id
//! 12  4  format version          56  4  zeros
//! 16  8  file number             60  4  CRC32C of bytes 0 to 59
//! 24  8  zeros                   64     zeros up to 4096
//! ```
//!
//! Little endian, as everything in our files outside the record batches.

use crate::damage::{Damage, StoreResult};
use crate::disk::{Disk, DiskFile};

pub const HEADER_SIZE: u64 = 4096;
pub const FORMAT_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"DRAGOMAN";
const USED: usize = 64;

pub const REMEDY_COPY: &str = "Put back a good copy of the file, or start the node with an empty data directory as a new peer";
pub const REMEDY_VERSION: &str = "Use the version of Dragoman that wrote this data directory";
pub const REMEDY_STRANGER: &str =
    "The file belongs to another data directory: put back the right one";

/// Whose files these are. Drawn at random when the data directory is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub store: [u8; 16],
    /// This node's Raft peer id, never reused by another directory.
    pub peer: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Identity,
    Journal,
    Segment,
    Blocks,
    Manifest,
    CloseMark,
}

impl FileKind {
    const fn letters(self) -> &'static [u8; 4] {
        match self {
            Self::Identity => b"IDEN",
            Self::Journal => b"JRNL",
            Self::Segment => b"SEGM",
            Self::Blocks => b"BLKS",
            Self::Manifest => b"MANI",
            Self::CloseMark => b"MARK",
        }
    }
}

impl Identity {
    /// What checksums inside file `number` start from, so that what a recycled file or another
    /// store left behind never passes. Clients don't know it: no message can fake our structures.
    pub fn checksum_seed(&self, number: u64) -> u32 {
        let seed = crc32c::crc32c(&self.store);
        let seed = crc32c::crc32c_append(seed, &self.peer.to_le_bytes());
        crc32c::crc32c_append(seed, &number.to_le_bytes())
    }
}

pub fn encode(kind: FileKind, number: u64, identity: &Identity) -> Vec<u8> {
    let mut block = vec![0; HEADER_SIZE as usize];
    block[0..8].copy_from_slice(MAGIC);
    block[8..12].copy_from_slice(kind.letters());
    block[12..16].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    block[16..24].copy_from_slice(&number.to_le_bytes());
    block[32..48].copy_from_slice(&identity.store);
    block[48..56].copy_from_slice(&identity.peer.to_le_bytes());
    let checksum = crc32c::crc32c(&block[..60]);
    block[60..64].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// Number and owner of a file of this kind, or what is wrong with it.
pub fn decode(name: &str, kind: FileKind, block: &[u8]) -> Result<(u64, Identity), Damage> {
    let damaged = |what: &str| Err(Damage::new(name, 0, what, REMEDY_COPY));
    if block.len() < USED {
        return damaged("the file ends inside its header");
    }
    if block[60..64] != crc32c::crc32c(&block[..60]).to_le_bytes() {
        return damaged("the header's checksum is wrong");
    }
    if block[0..8] != *MAGIC || block[8..12] != *kind.letters() {
        return damaged("the header is another kind of file's");
    }
    let version = u32_at(block, 12);
    if version != FORMAT_VERSION {
        let what = format!("format version {version} is not known, only {FORMAT_VERSION}");
        return Err(Damage::new(name, 12, what, REMEDY_VERSION));
    }
    let mut store = [0; 16];
    store.copy_from_slice(&block[32..48]);
    let peer = u64_at(block, 48);
    Ok((u64_at(block, 16), Identity { store, peer }))
}

/// Reads the header of a file that must be this store's and have this number.
pub fn check(
    file: &dyn DiskFile,
    name: &str,
    kind: FileKind,
    number: u64,
    identity: &Identity,
) -> StoreResult<()> {
    let block = file.read_range(0, USED)?;
    let (found, owner) = decode(name, kind, &block)?;
    if owner != *identity {
        let what = "the header names another store or peer";
        return Err(Damage::new(name, 32, what, REMEDY_STRANGER).into());
    }
    if found != number {
        let what = format!("the header says file number {found}");
        return Err(Damage::new(name, 16, what, REMEDY_COPY).into());
    }
    Ok(())
}

/// `journal-0000000000000007` for ("journal", 7): sorted names are sorted numbers.
pub fn numbered_name(stem: &str, number: u64) -> String {
    format!("{stem}-{number:016x}")
}

/// Numbers of the files of that stem, ascending. Other names are not ours to judge.
pub fn numbered_files(disk: &dyn Disk, stem: &str) -> StoreResult<Vec<u64>> {
    let numbers = disk.list()?.into_iter().filter_map(|name| {
        let digits = name.strip_prefix(stem)?.strip_prefix('-')?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (digits.len() == 16).then_some(number)
    });
    Ok(numbers.collect())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        store: *b"0123456789abcdef",
        peer: 77,
    };

    #[test]
    fn any_flipped_bit_of_a_header_is_noticed() {
        let block = encode(FileKind::Journal, 9, &IDENTITY);
        assert_eq!(decode("x", FileKind::Journal, &block), Ok((9, IDENTITY)));
        for bit in 0..USED * 8 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("x", FileKind::Journal, &flipped).is_err(), "{bit}");
        }
        assert!(decode("x", FileKind::Segment, &block).is_err());
        assert!(decode("x", FileKind::Journal, &block[..40]).is_err());
    }

    #[test]
    fn names_sort_as_numbers() {
        assert_eq!(numbered_name("journal", 255), "journal-00000000000000ff");
    }
}
