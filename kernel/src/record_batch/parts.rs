//! A frame of which several take a part each: its records are looked for once, however many there are.

use std::ops::Range;

use super::{open_summed, read_records, seal, Opened, HEADER_SIZE};

/// A frame and where its records lie.
pub struct FrameParts<'a> {
    frame: &'a [u8],
    opened: Opened<'a>,
    /// Ascending.
    numbers: Vec<u32>,
    /// Where each record begins, and the frame's end; empty until somebody takes a part.
    starts: Vec<usize>,
}

/// Some of a frame's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Bytes of the frame that has only these.
    pub size: usize,
    pub record_count: u32,
    /// Where they lie, neighbours in one.
    spans: Vec<Range<usize>>,
}

impl<'a> FrameParts<'a> {
    /// Of a frame that is part of something whose checksum is right. An error says what is wrong with it.
    pub fn of_summed(frame: &'a [u8]) -> Result<Self, String> {
        Self::new(frame, open_summed(frame)?)
    }

    pub(super) fn new(frame: &'a [u8], opened: Opened<'a>) -> Result<Self, String> {
        let mut parts = Self {
            frame,
            numbers: Vec::new(),
            starts: Vec::new(),
            opened,
        };
        if parts.opened.record_count == parts.opened.last_number as usize + 1 {
            parts.numbers = (0..=parts.opened.last_number).collect();
        } else {
            parts.find_records()?;
        }
        Ok(parts)
    }

    fn find_records(&mut self) -> Result<(), String> {
        self.numbers.clear();
        self.starts.reserve(self.opened.record_count + 1);
        read_records(&self.opened, |start, record| {
            self.starts.push(start);
            self.numbers.push(record.number);
        })?;
        self.starts.push(self.frame.len());
        Ok(())
    }

    /// The records' numbers, ascending.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The records numbered in `ranges` (each first, past last; ascending), as far as they are there.
    pub fn part(&mut self, ranges: &[Range<u32>]) -> Result<Part, String> {
        if self.starts.is_empty() {
            self.find_records()?;
        }
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        let mut size = self.opened.batch_at + HEADER_SIZE;
        let mut record_count = 0;
        for range in ranges {
            let place = |number: u32| self.numbers.partition_point(|have| *have < number);
            let (from, to) = (place(range.start), place(range.end));
            if from == to {
                continue;
            }
            let span = self.starts[from]..self.starts[to];
            size += span.len();
            record_count += (to - from) as u32;
            match spans.last_mut() {
                Some(last) if last.end == span.start => last.end = span.end,
                _ => spans.push(span),
            }
        }
        Ok(Part {
            size,
            record_count,
            spans,
        })
    }

    /// Appends the frame with only the records of a part, which has some; numbers, times and dictionary stay.
    pub fn append(&self, part: &Part, out: &mut Vec<u8>) {
        let opened = &self.opened;
        let batch_at = out.len() + opened.batch_at;
        out.extend_from_slice(&self.frame[..opened.batch_at + HEADER_SIZE]);
        for span in &part.spans {
            out.extend_from_slice(&self.frame[span.clone()]);
        }
        let batch = &mut out[batch_at..];
        seal(batch, opened.time_ms, opened.last_number, part.record_count);
    }
}
