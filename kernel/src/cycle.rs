//! One maintenance cycle: seal, drop and rewrite, write a checkpoint, retire.
//!
//! Works from frozen copies of all logged shards. Nothing of it counts until its manifest is durable;
//! after that the old files are superfluous and go. What was settled meanwhile is only dead weight in
//! the new segments: the next cycle sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::checkpoint::{blocks_name, BlockKey, BlocksWriter};
use crate::damage::{Damage, StoreResult};
use crate::disk::{Disk, DiskFault, DiskResult};
use crate::file_header::{numbered_files, REMEDY_COPY};
use crate::frozen::{
    all_blocks, changed_blocks, encode_block, live_count, wants, FrozenGroup, Want,
};
use crate::journal_files::{journal_name, recycle};
use crate::manifest::{GroupMark, Manifest, SegmentMark};
use crate::sealing::Sealing;
use crate::segment::{segment_name, PieceReader, Segment, SegmentReader, SegmentSet, SEGMENT};
use crate::segment_format::Address;
use crate::shard_state::{Changes, ShardState};
use crate::store::{live_of, Inside, Live, Store};
use crate::wave::Wave;

/// Bytes of journal whose wants are looked up at once.
const CHUNK_SIZE: u64 = 8 << 20;
/// Blocks encoded in one step.
const BLOCKS_PER_STEP: usize = 512;
/// Journal files sealed in one cycle when room is scarce, and when not.
const FILES_PER_CYCLE: [usize; 2] = [1, 4];
/// As many segments smaller than a stream's own are put together: each costs a file.
const SMALL_COUNT: usize = 8;
/// Added blocks may outweigh the first file by this part of a journal file before all are written anew.
const DELTA_SLACK_DIVISOR: u64 = 64;

/// What a cycle came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishedCycle {
    /// (group, applied index of the checkpoint): Raft may forget entries through here.
    pub checkpointed: Vec<(u32, u64)>,
    pub retired_files: u64,
    pub sealed_size: u64,
    pub dropped_segments: u64,
    pub checkpoint_size: u64,
}

enum Source {
    /// Entries of a group that full journal files hold.
    Entries { group: u32, next: u64, last: u64 },
    /// A run of a segment that is rewritten.
    Run { segment: Arc<Segment>, run: usize },
}

/// How a cycle ended.
pub(crate) enum CycleEnd {
    Finished(FinishedCycle),
    /// There was nothing to do.
    Futile,
}

enum Phase {
    Plan,
    Seal,
    FinishSegments,
    Blocks {
        writer: BlocksWriter,
        keys: VecDeque<BlockKey>,
        full: bool,
    },
}

pub struct Cycle {
    frozen: BTreeMap<u32, FrozenGroup>,
    changes: BTreeMap<u32, Changes>,
    /// States that exports read from: what they want is kept too.
    pinned: BTreeMap<u32, Vec<ShardState>>,
    /// Groups of which less may be wanted though no queue changed.
    unpinned: BTreeSet<u32>,
    retire_through: Option<u64>,
    sources: VecDeque<Source>,
    sealing: Sealing,
    /// Segments that the new manifest no longer names.
    dropped: BTreeSet<u64>,
    manifest: Manifest,
    /// Those there were when it began.
    segments: Arc<SegmentSet>,
    phase: Option<Phase>,
    /// Sealed records let go of that it answers for.
    released: u64,
    /// Somebody wants a checkpoint whatever there is to do.
    forced: bool,
}

impl Cycle {
    /// Only takes what it starts from: the thread of the rounds calls this, whatever there is to look at.
    pub(crate) fn begin(
        store: &Store,
        inside: &mut Inside,
        frozen: BTreeMap<u32, FrozenGroup>,
        released: u64,
        forced: bool,
    ) -> Self {
        for mark in &inside.manifest.groups {
            assert!(
                frozen.contains_key(&mark.group),
                "group {} is left out",
                mark.group
            );
        }
        let mut manifest = inside.manifest.clone();
        manifest.number += 1;
        manifest.groups = frozen.values().map(mark).collect();
        Self {
            sealing: Sealing::new(store.identity, store.options.sealing, store.numbers.clone()),
            pinned: store.pins.states(),
            unpinned: store.pins.take_unpinned(),
            dropped: BTreeSet::new(),
            segments: inside.segments.clone(),
            phase: Some(Phase::Plan),
            frozen,
            changes: std::mem::take(&mut inside.changes),
            retire_through: None,
            sources: VecDeque::new(),
            manifest,
            released,
            forced,
        }
    }

    /// Decides what is sealed, dropped and rewritten.
    fn plan(&mut self, store: &Store) {
        let mut live = store.live();
        self.recount(&mut live);
        store.inside().note_live(live.values().sum());
        // Rewriting needs room before it makes some.
        let scarcity = if store.space.is_low() { 4 } else { 1 };
        let rewrite_size_max = store.options.rewrite_size_max / scarcity;
        let small_size = store.options.sealing.own_size_min as u64;
        let (dropped, rewritten) = choose(&live, &self.segments, rewrite_size_max, small_size);
        drop(live);
        let limit = FILES_PER_CYCLE[usize::from(!store.space.is_low())];
        store.journal.with(|journal| {
            let dropped = |group: u32| {
                let mut marks = self.manifest.imports.iter();
                marks.any(|mark| mark.group == group && mark.is_drop())
            };
            self.retire_through = sealable(journal, &self.frozen, &dropped, limit);
            self.manifest.journal.written_through = journal.next_write() - 1;
            if let Some(through) = self.retire_through {
                self.sources = entries(journal, &self.frozen, through);
                self.manifest.journal = journal.expected_after(through);
            }
        });
        for segment in &rewritten {
            let held = |run: &usize| {
                let group = segment.runs[*run].group;
                !self.segments.was_replaced(segment.number, group)
            };
            let runs = (0..segment.runs.len()).filter(held);
            self.sources.extend(runs.map(|run| Source::Run {
                segment: segment.clone(),
                run,
            }));
        }
        let rewritten = rewritten.iter().map(|segment| segment.number);
        self.dropped = dropped.into_iter().chain(rewritten).collect();
    }

    /// The states that want what is kept of a group.
    fn states(&self, group: u32) -> impl Iterator<Item = &ShardState> {
        let pinned = self.pinned.get(&group).into_iter().flatten();
        pinned.chain([self.frozen[&group].state()])
    }

    /// Counts anew how much is wanted of the runs whose queues let go of messages.
    fn recount(&self, live: &mut Live) {
        for segment in self.segments.iter() {
            for (run, number) in segment.runs.iter().zip(0..) {
                let Some(changes) = self.changes.get(&run.group) else {
                    continue;
                };
                let replaced = self.segments.was_replaced(segment.number, run.group);
                let all = self.unpinned.contains(&run.group);
                let shrunk = |queue: &u64| all || changes.shrunk.contains(queue);
                if replaced || !(shrunk(&run.queue) || run.guests.iter().any(shrunk)) {
                    continue;
                }
                let queues: Vec<u64> = run.guests.iter().copied().chain([run.queue]).collect();
                let count = live_count(self.states(run.group), &queues, run.first, run.last);
                live.insert((segment.number, number), count.min(run.record_count));
            }
        }
    }

    /// Nobody asked for it, no journal file can go and no segment is dropped.
    fn is_futile(&self) -> bool {
        let retires_nothing = self.retire_through.is_none() && self.dropped.is_empty();
        !self.forced && self.released == 0 && retires_nothing
    }

    /// One step; how it ended, once it has.
    pub(crate) fn step(&mut self, store: &Store) -> StoreResult<Option<CycleEnd>> {
        let next = match self.phase.take() {
            Some(Phase::Plan) => {
                self.plan(store);
                if self.is_futile() {
                    return Ok(Some(CycleEnd::Futile));
                }
                Phase::Seal
            }
            Some(Phase::Seal) => self.seal_step(store)?,
            Some(Phase::FinishSegments) => {
                if self.sealing.finish_step(&*store.disk)? {
                    self.begin_blocks(store)?
                } else {
                    Phase::FinishSegments
                }
            }
            Some(Phase::Blocks {
                mut writer,
                mut keys,
                full,
            }) => {
                if keys.is_empty() {
                    let finished = self.commit(store, writer, full)?;
                    return Ok(Some(CycleEnd::Finished(finished)));
                }
                let mut content = Vec::new();
                for key in keys.drain(..keys.len().min(BLOCKS_PER_STEP)) {
                    content.clear();
                    let there = encode_block(self.frozen[&key.group].state(), &key, &mut content);
                    writer.add(&key, there.then_some(&content))?;
                }
                Phase::Blocks { writer, keys, full }
            }
            None => unreachable!("a cycle that failed is not stepped"),
        };
        self.phase = Some(next);
        Ok(None)
    }

    fn seal_step(&mut self, store: &Store) -> StoreResult<Phase> {
        match self.sources.pop_front() {
            None => return Ok(Phase::FinishSegments),
            Some(Source::Entries { group, next, last }) => {
                let through = chunk_end(store, group, next, last);
                self.seal_entries(store, group, next, through)?;
                if through < last {
                    let next = through + 1;
                    self.sources
                        .push_front(Source::Entries { group, next, last });
                }
            }
            Some(Source::Run { segment, run }) => self.seal_run(store, &segment, run)?,
        }
        self.sealing.relieve(&*store.disk)?;
        Ok(Phase::Seal)
    }

    fn seal_entries(
        &mut self,
        store: &Store,
        group: u32,
        first: u64,
        last: u64,
    ) -> StoreResult<()> {
        let wants = wants(self.states(group), first, last);
        for wants in wants.chunk_by(|one, other| one.address.entry == other.address.entry) {
            let index = wants[0].address.entry;
            let place = store.journal.location(group, index);
            let (file, position) = place.map_or((0, 0), |place| {
                (u64::from(place.file), u64::from(place.position))
            });
            let damaged = |what: String| {
                let what = format!("entry {index} of group {group}: {what}");
                Damage::new(&journal_name(file), position, what, REMEDY_COPY)
            };
            let entry = store.journal.read_entry(group, index)?;
            let entry = entry.ok_or_else(|| damaged("it is wanted and not there".to_owned()))?;
            let wave = Wave::decode(&entry.data).map_err(damaged)?;
            for wants in wants.chunk_by(|one, other| one.address == other.address) {
                let address = wants[0].address;
                let frame = wave.frames.get(address.frame as usize);
                let frame = frame.ok_or_else(|| damaged("a frame is missing".to_owned()))?;
                let start = frame.start as usize;
                let frame = &entry.data[start..start + frame.size as usize];
                let taken = self.sealing.take(group, address, frame, wants);
                taken.map_err(damaged)?;
            }
        }
        Ok(())
    }

    fn seal_run(&mut self, store: &Store, segment: &Segment, run: usize) -> StoreResult<()> {
        let run = &segment.runs[run];
        let wants = wants(self.states(run.group), run.first.entry, run.last.entry);
        let name = segment_name(segment.number);
        let file = store.disk.open(&name)?;
        let seed = store.identity.checksum_seed(segment.number);
        let mut pieces = PieceReader::new(&*file, &name, seed, run.position, run.size);
        while let Some((piece, frame)) = pieces.next()? {
            let wanted = wanted_of(&wants, piece.address);
            if wanted.is_empty() {
                continue;
            }
            let taken = self.sealing.take(run.group, piece.address, frame, wanted);
            taken.map_err(|what| Damage::new(&name, run.position, what, REMEDY_COPY))?;
        }
        Ok(())
    }

    fn begin_blocks(&mut self, store: &Store) -> StoreResult<Phase> {
        let number = self.manifest.next_blocks;
        self.manifest.next_blocks += 1;
        let files = &self.manifest.blocks;
        let added: u64 = files.iter().skip(1).map(|mark| mark.size).sum();
        let slack = store.options.journal.file_size / DELTA_SLACK_DIVISOR;
        let full = files.first().is_none_or(|first| added > first.size + slack);
        let keys = self.frozen.iter().flat_map(|(group, frozen)| {
            if full {
                all_blocks(*group, frozen.state())
            } else {
                self.changes
                    .get(group)
                    .map_or_else(Vec::new, |changes| changed_blocks(*group, changes))
            }
        });
        Ok(Phase::Blocks {
            keys: keys.collect(),
            writer: BlocksWriter::create(&*store.disk, &store.identity, number)?,
            full,
        })
    }

    /// Everything is written: names it in a manifest, puts it in place and takes the old away.
    fn commit(
        &mut self,
        store: &Store,
        writer: BlocksWriter,
        full: bool,
    ) -> StoreResult<FinishedCycle> {
        let disk = &*store.disk;
        let blocks = writer.finish()?;
        disk.sync_dir()?;
        let old_blocks = if full {
            std::mem::take(&mut self.manifest.blocks)
        } else {
            Vec::new()
        };
        self.manifest.blocks.push(blocks);
        self.manifest.next_segment = store.numbers.next();
        let kept = self
            .segments
            .iter()
            .filter(|s| !self.dropped.contains(&s.number));
        let mut segments: Vec<Arc<Segment>> = kept.cloned().collect();
        let made = segments.len();
        segments.extend(self.sealing.take_finished().into_iter().map(Arc::new));
        self.manifest.segments = segments
            .iter()
            .map(|segment| segment_mark(segment))
            .collect();
        for mark in &mut self.manifest.imports {
            mark.segments
                .retain(|number| !self.dropped.contains(number));
        }
        self.manifest.write(disk, &store.identity)?;
        let mut live = store.live();
        live.retain(|(segment, _), _| !self.dropped.contains(segment));
        live.extend(segments[made..].iter().flat_map(|segment| live_of(segment)));
        let total = live.values().sum();
        let strays = strays(store, &segments)?;
        drop(live);
        let set = Arc::new(SegmentSet::new(segments, &self.manifest.imports));
        let mut inside = store.inside();
        inside.install(self.manifest.clone(), set.clone());
        inside.note_live(total);
        drop(inside);
        *store.reader() = SegmentReader::new(store.disk.clone(), store.identity, set);
        let retired = self.retire_through.map_or_else(Vec::new, |through| {
            store.journal.with(|journal| journal.retire(through))
        });
        let file_size = store.options.journal.file_size;
        let spares_max = store.spares_max();
        recycle(disk, &store.spare_files, &retired, file_size, spares_max)?;
        let segments = self.dropped.iter().chain(&strays);
        let segments = segments.map(|number| segment_name(*number));
        let blocks_files = old_blocks.iter().map(|mark| blocks_name(mark.number));
        for name in segments.chain(blocks_files) {
            remove(disk, &name)?;
        }
        disk.sync_dir()?;
        Ok(FinishedCycle {
            checkpointed: self
                .manifest
                .groups
                .iter()
                .map(|g| (g.group, g.applied_index))
                .collect(),
            retired_files: retired.len() as u64,
            sealed_size: self.sealing.written(),
            dropped_segments: self.dropped.len() as u64,
            checkpoint_size: blocks.size,
        })
    }

    /// It found no room: its files go, its changes are for the next one.
    pub(crate) fn abandon(self, store: &Store) {
        let mut inside = store.inside();
        let segments = self.sealing.numbers().iter().copied().map(segment_name);
        // What can't be removed is made anew by the next cycle, which takes the same numbers.
        for name in segments.chain([blocks_name(inside.manifest.next_blocks)]) {
            let _ = remove(&*store.disk, &name);
        }
        store.note_released(self.released);
        self.give_back(store, &mut inside);
    }

    pub(crate) fn give_back(self, store: &Store, inside: &mut Inside) {
        store.pins.give_back(self.unpinned);
        for (group, changes) in self.changes {
            inside.give_back(group, changes);
        }
    }
}

/// Segments that nobody names and nobody writes: what an import left that was given up.
fn strays(store: &Store, segments: &[Arc<Segment>]) -> StoreResult<Vec<u64>> {
    let named: BTreeSet<u64> = segments.iter().map(|segment| segment.number).collect();
    let mut numbers = numbered_files(&*store.disk, SEGMENT)?;
    numbers.retain(|number| !named.contains(number) && !store.numbers.is_lent(*number));
    Ok(numbers)
}

pub(crate) fn remove(disk: &dyn Disk, name: &str) -> DiskResult<()> {
    match disk.remove(name) {
        Err(error) if error.fault != DiskFault::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn mark(frozen: &FrozenGroup) -> GroupMark {
    GroupMark {
        group: frozen.group(),
        applied_index: frozen.state().applied_index,
        applied_term: frozen.state().applied_term,
        conf: frozen.conf.to_vec(),
    }
}

pub(crate) fn segment_mark(segment: &Segment) -> SegmentMark {
    SegmentMark {
        number: segment.number,
        size: segment.size,
        run_count: segment.runs.len() as u32,
    }
}

/// The wants of one address among wants sorted by address.
fn wanted_of(wants: &[Want], address: Address) -> &[Want] {
    let start = wants.partition_point(|want| want.address < address);
    let end = wants.partition_point(|want| want.address <= address);
    &wants[start..end]
}

/// The segments that nobody wants, and those that are worth rewriting.
fn choose(
    live: &Live,
    segments: &SegmentSet,
    rewrite_size_max: u64,
    small_size: u64,
) -> (Vec<u64>, Vec<Arc<Segment>>) {
    let mut dropped = Vec::new();
    let mut candidates = Vec::new();
    let mut small = Vec::new();
    for segment in segments.iter() {
        let places = (segment.number, 0)..(segment.number + 1, 0);
        let live: u64 = live.range(places).map(|(_, count)| count).sum();
        let all = segment.record_count().max(1);
        let live_size = (u128::from(segment.size) * u128::from(live) / u128::from(all)) as u64;
        if live == 0 {
            dropped.push(segment.number);
        } else if live * 2 < all {
            candidates.push((live_size, segment));
        } else if segment.size < small_size {
            small.push((live_size, segment));
        }
    }
    if small.len() >= SMALL_COUNT {
        candidates.extend(small);
    }
    let mut left = rewrite_size_max;
    let fits = |(live_size, _): &(u64, &Arc<Segment>)| {
        let fits = *live_size <= left;
        left = left.saturating_sub(*live_size);
        fits
    };
    let chosen = candidates.into_iter().take_while(fits);
    (
        dropped,
        chosen.map(|(_, segment)| segment.clone()).collect(),
    )
}

/// The last of the full journal files that all shards have applied to the end, at most `limit` of them.
fn sealable(
    journal: &crate::journal::Journal,
    frozen: &BTreeMap<u32, FrozenGroup>,
    dropped: &dyn Fn(u32) -> bool,
    limit: usize,
) -> Option<u64> {
    let applied = |number: &u64| {
        journal.index().groups().all(|(group, log)| {
            let last = log
                .range_in_file(*number as u32)
                .map_or(0, |(_, last)| last);
            match frozen.get(&group) {
                Some(frozen) => last <= frozen.state().applied_index,
                None => last == 0 || dropped(group),
            }
        })
    };
    journal
        .full_files()
        .into_iter()
        .take(limit)
        .take_while(applied)
        .last()
}

/// What is to be sealed so that the files up to `through` can go.
fn entries(
    journal: &crate::journal::Journal,
    frozen: &BTreeMap<u32, FrozenGroup>,
    through: u64,
) -> VecDeque<Source> {
    let held = |(group, log): (u32, &crate::journal_index::GroupLog)| {
        frozen.get(&group)?;
        let last = log.last_in_files_through(through as u32)?;
        Some(Source::Entries {
            group,
            next: log.first_index(),
            last,
        })
    };
    journal.index().groups().filter_map(held).collect()
}

/// The last entry of a chunk of about `CHUNK_SIZE` bytes.
fn chunk_end(store: &Store, group: u32, first: u64, last: u64) -> u64 {
    store.journal.with(|journal| {
        let log = journal.index().group(group);
        let size = |index| {
            log.and_then(|log| log.location(index))
                .map_or(0, |place| place.size)
        };
        let mut total = 0;
        (first..last)
            .find(|index| {
                total += u64::from(size(*index));
                total >= CHUNK_SIZE
            })
            .unwrap_or(last)
    })
}

#[cfg(test)]
pub(crate) mod tests;
