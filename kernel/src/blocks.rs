//! Whole blocks of bytes, lying where a disk takes them from as they are.

use std::ops::Range;

use bytes::Bytes;

/// What positions, sizes and places in memory are multiples of: no disk wants more.
pub const BLOCK_SIZE: usize = 4096;

/// A buffer for `DiskFile::write_blocks`, filled from the front, or for `DiskFile::read_blocks`.
pub struct Blocks {
    memory: Vec<u8>,
    /// Where its first block lies in `memory`.
    start: usize,
    capacity: usize,
    size: usize,
}

impl Blocks {
    /// `capacity`: bytes, a multiple of `BLOCK_SIZE`.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0 && capacity % BLOCK_SIZE == 0, "{capacity}");
        let memory = vec![0; capacity + BLOCK_SIZE];
        let start = memory.as_ptr().align_offset(BLOCK_SIZE);
        Self {
            memory,
            start,
            capacity,
            size: 0,
        }
    }

    /// Takes the first of `bytes`, as many as fit; how many that were.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.capacity - self.size);
        let end = self.start + self.size;
        self.memory[end..end + count].copy_from_slice(&bytes[..count]);
        self.size += count;
        count
    }

    pub fn is_full(&self) -> bool {
        self.size == self.capacity
    }

    /// What is a whole number of blocks of it.
    pub fn whole(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.size / BLOCK_SIZE * BLOCK_SIZE]
    }

    /// What comes after that.
    pub fn rest(&self) -> &[u8] {
        let whole = self.whole().len();
        &self.memory[self.start + whole..self.start + self.size]
    }

    /// All that it has room for.
    pub fn all(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.capacity]
    }

    /// The same, to be filled from a disk.
    pub fn all_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.capacity]
    }

    /// A range of that.
    pub fn into_bytes(self, range: Range<usize>) -> Bytes {
        let memory = Bytes::from(self.memory);
        memory.slice(self.start + range.start..self.start + range.end)
    }

    pub fn clear(&mut self) {
        self.size = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_and_lie_at_a_block() {
        let content: Vec<u8> = (0..=255).cycle().take(5 * BLOCK_SIZE + 7).collect();
        let mut blocks = Blocks::new(2 * BLOCK_SIZE);
        let mut out = Vec::new();
        let mut left = &content[..];
        loop {
            left = &left[blocks.fill(left)..];
            assert_eq!(blocks.whole().as_ptr().align_offset(BLOCK_SIZE), 0);
            out.extend_from_slice(blocks.whole());
            if !blocks.is_full() {
                break;
            }
            blocks.clear();
        }
        out.extend_from_slice(blocks.rest());
        assert_eq!(blocks.rest().len(), 7);
        assert!(out == content && left.is_empty());
    }
}
