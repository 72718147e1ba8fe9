//! Sealing: who owns each record that is still wanted, and into which segment it goes.
//!
//! A record goes into the run of the lowest queue id that wants it; the others that want it are that
//! run's guests. What nobody wants is not written. Streams of 8 MiB or more get segments of their own,
//! the small ones share a set segment. Memory is bounded: when it is used up, runs are written in part.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::blocks::Blocks;
use crate::disk::{Disk, DiskResult};
use crate::file_header::Identity;
use crate::frozen::Want;
use crate::record_batch::FrameParts;
use crate::segment::Segment;
use crate::segment_format::Address;
use crate::segment_numbers::{LentNumbers, SegmentNumbers};
use crate::segment_writer::{OpenRun, SegmentWriter, BUFFER_SIZE};

#[derive(Clone, Copy, Debug)]
pub struct SealingOptions {
    /// A stream that has this much gets segments of its own.
    pub own_size_min: usize,
    /// Bytes of runs in memory.
    pub open_size_max: usize,
    /// A segment takes no further run beyond this.
    pub segment_size_max: u64,
}

impl Default for SealingOptions {
    fn default() -> Self {
        Self {
            own_size_min: 8 << 20,
            open_size_max: 32 << 20,
            segment_size_max: 256 << 20,
        }
    }
}

/// (group, queue).
type Owner = (u32, u64);

/// One cycle's new segments, being written.
pub struct Sealing {
    identity: Identity,
    options: SealingOptions,
    numbers: LentNumbers,
    open: BTreeMap<Owner, OpenRun>,
    /// Runs that take no more pieces: a lower address came.
    ended: Vec<(Owner, OpenRun)>,
    /// Bytes in both.
    open_size: usize,
    /// The segment small streams share.
    set: Option<SegmentWriter>,
    own: BTreeMap<Owner, SegmentWriter>,
    finished: Vec<Segment>,
    /// Bytes written so far.
    written: u64,
    /// The writers'; empty until one needs it.
    buffer: Option<Blocks>,
}

impl Sealing {
    pub fn new(identity: Identity, options: SealingOptions, numbers: SegmentNumbers) -> Self {
        Self {
            identity,
            options,
            numbers: numbers.lend(),
            open: BTreeMap::new(),
            ended: Vec::new(),
            open_size: 0,
            set: None,
            own: BTreeMap::new(),
            finished: Vec::new(),
            written: 0,
            buffer: None,
        }
    }

    /// Numbers of the segments begun so far, ascending.
    pub fn numbers(&self) -> &[u64] {
        self.numbers.taken()
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes what is wanted of a frame that is part of something whose checksum is right. `wants` are those of its
    /// address, by queue. An error says what is wrong with the frame.
    pub fn take(
        &mut self,
        group: u32,
        address: Address,
        frame: &[u8],
        wants: &[Want],
    ) -> Result<(), String> {
        let mut parts = FrameParts::of_summed(frame)?;
        let owners = share_out(parts.numbers(), wants);
        let total = parts.numbers().len() as u32;
        let all = 0..total;
        for (queue, records, guests) in owners {
            let owner = (group, queue);
            let late = |run: &OpenRun| !run.takes(address);
            if self.open.get(&owner).is_some_and(late) {
                self.ended.extend(self.open.remove_entry(&owner));
            }
            let run = self
                .open
                .entry(owner)
                .or_insert_with(|| OpenRun::new(group, queue));
            let before = run.size();
            if records == std::slice::from_ref(&all) {
                run.push(address, total, frame.len(), |out| {
                    out.extend_from_slice(frame);
                });
            } else {
                let part = parts.part(&records)?;
                run.push(address, part.record_count, part.size, |out| {
                    parts.append(&part, out);
                });
            }
            run.add_guests(&guests);
            self.open_size += run.size() - before;
        }
        Ok(())
    }

    /// Writes the runs that ended, and the largest ones if there is too much in memory.
    pub fn relieve(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        while let Some((owner, run)) = self.ended.pop() {
            self.flush(disk, owner, run)?;
        }
        while self.open_size > self.options.open_size_max {
            let size = |owner: &Owner| self.open[owner].size();
            let largest = self.open.keys().copied().max_by_key(size);
            let Some((owner, run)) = largest.and_then(|owner| self.open.remove_entry(&owner))
            else {
                return Ok(());
            };
            self.flush(disk, owner, run)?;
        }
        Ok(())
    }

    fn flush(&mut self, disk: &dyn Disk, owner: Owner, run: OpenRun) -> DiskResult<()> {
        self.open_size -= run.size();
        self.written += run.size() as u64;
        let is_own = self.own.contains_key(&owner) || run.size() >= self.options.own_size_min;
        let mut writer = if is_own {
            self.own.remove(&owner)
        } else {
            self.set.take()
        };
        let full = |writer: &mut SegmentWriter| writer.size() >= self.options.segment_size_max;
        if let Some(full) = writer.take_if(full) {
            self.finished.push(full.finish()?);
        }
        let mut writer = if let Some(writer) = writer {
            writer
        } else {
            SegmentWriter::create(disk, &self.identity, self.numbers.take())?
        };
        let new = || Blocks::new(BUFFER_SIZE);
        writer.append(run, self.buffer.get_or_insert_with(new))?;
        if is_own {
            self.own.insert(owner, writer);
        } else {
            self.set = Some(writer);
        }
        Ok(())
    }

    /// One step towards the end: a run is written, or a segment is finished and synced. True when
    /// nothing is left to do but to sync the directory.
    pub fn finish_step(&mut self, disk: &dyn Disk) -> DiskResult<bool> {
        self.relieve(disk)?;
        if let Some((owner, run)) = self.open.pop_first() {
            self.flush(disk, owner, run)?;
            return Ok(false);
        }
        let own = self.own.pop_first().map(|(_, writer)| writer);
        match own.or_else(|| self.set.take()) {
            Some(writer) => {
                self.finished.push(writer.finish()?);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// The segments, once `finish_step` was true.
    pub fn take_finished(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.finished)
    }
}

/// An owner, the records it gets (ascending ranges of numbers) and who else wants some of them.
type Share = (u64, Vec<Range<u32>>, Vec<u64>);

/// Gives each wanted record to the first queue in `wants` that wants it.
fn share_out(numbers: &[u32], wants: &[Want]) -> Vec<Share> {
    const NOBODY: usize = usize::MAX;
    let mut queues: Vec<u64> = wants.iter().map(|want| want.queue).collect();
    queues.dedup();
    let mut owner_of = vec![NOBODY; numbers.len()];
    let mut guests: Vec<Vec<u64>> = vec![Vec::new(); queues.len()];
    let dense = numbers
        .last()
        .is_some_and(|last| *last as usize + 1 == numbers.len());
    for want in wants {
        let Ok(me) = queues.binary_search(&want.queue) else {
            unreachable!("wants are sorted by queue")
        };
        for record in want
            .selection
            .runs()
            .into_iter()
            .flat_map(|(first, count)| first..first + count)
        {
            let place = if dense {
                ((record as usize) < numbers.len()).then_some(record as usize)
            } else {
                numbers.binary_search(&record).ok()
            };
            let Some(place) = place else {
                continue; // sealed elsewhere
            };
            let owner = owner_of[place];
            if owner == NOBODY {
                owner_of[place] = me;
            } else if owner != me && guests[owner].last() != Some(&want.queue) {
                guests[owner].push(want.queue);
            }
        }
    }
    let mut ranges: Vec<Vec<Range<u32>>> = vec![Vec::new(); queues.len()];
    for (owner, number) in owner_of.into_iter().zip(numbers) {
        if owner == NOBODY {
            continue;
        }
        match ranges[owner].last_mut() {
            Some(last) if last.end == *number => last.end += 1,
            _ => ranges[owner].push(*number..*number + 1),
        }
    }
    let shares = queues.into_iter().zip(ranges).zip(guests);
    shares
        .filter(|((_, records), _)| !records.is_empty())
        .map(|((queue, records), guests)| (queue, records, guests))
        .collect()
}

#[cfg(test)]
mod tests;
