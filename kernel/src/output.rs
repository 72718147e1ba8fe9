//! Bytes waiting to be written to one socket: in order, shared where they can be.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces up to this size are copied behind each other: below it an iovec costs more than the copy.
pub const COPY_SIZE_MAX: usize = 8 << 10;

/// Output of one connection.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Bytes>,
    /// What comes after `pieces`.
    tail: Vec<u8>,
    size: usize,
}

impl Output {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes not yet written.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    pub fn push(&mut self, data: &[u8]) {
        self.tail.extend_from_slice(data);
        self.size += data.len();
    }

    /// Takes a share of `data`, or a copy where that is cheaper.
    pub fn push_shared(&mut self, data: &Bytes) {
        if data.len() <= COPY_SIZE_MAX {
            return self.push(data);
        }
        self.end_tail();
        self.pieces.push_back(data.clone());
        self.size += data.len();
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail).into());
        }
    }

    /// Fills `slices` from the front; says how many.
    pub fn fill<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.end_tail();
        let count = slices.len().min(self.pieces.len());
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        count
    }

    /// Forgets the first `size` bytes: they are written.
    pub fn advance(&mut self, size: usize) {
        self.size -= size;
        let mut left = size;
        while left > 0 {
            let piece = self
                .pieces
                .front_mut()
                .expect("no more is written than was filled");
            if piece.len() > left {
                piece.advance(left);
                return;
            }
            left -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// Forgets everything: there is nobody to write it to.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_was_pushed_however_it_is_cut() {
        let big = Bytes::from(vec![7; COPY_SIZE_MAX + 1]);
        for step in [1, 3, 4096, 100_000] {
            let mut output = Output::new();
            output.push(b"before");
            output.push_shared(&big);
            output.push_shared(&Bytes::from_static(b"small"));
            output.push(b"after");
            let expected = [b"before", &big[..], b"small", b"after"].concat();
            let mut taken = Vec::new();
            while !output.is_empty() {
                let mut slices = [IoSlice::new(&[]); 2];
                let count = output.fill(&mut slices);
                let ready: Vec<u8> = slices[..count]
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect();
                let size = ready.len().min(step);
                taken.extend_from_slice(&ready[..size]);
                output.advance(size);
            }
            assert!(taken == expected, "in steps of {step}");
        }
    }

    #[test]
    fn a_big_piece_is_shared_and_not_copied() {
        let big = Bytes::from(vec![7; COPY_SIZE_MAX + 1]);
        let mut output = Output::new();
        output.push_shared(&big);
        let mut slices = [IoSlice::new(&[]); 1];
        output.fill(&mut slices);
        assert_eq!(slices[0].as_ptr(), big.as_ptr());
    }
}
