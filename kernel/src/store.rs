//! A node's store: journal, segments and checkpoints in one directory, and what keeps them small.
//!
//! The engine submits to the journal, reads what is not in memory, and now and then hands over frozen
//! copies of its shards: a *cycle* then seals what full journal files still hold, drops and rewrites
//! segments, writes a checkpoint and retires the files. All of that goes in steps (`step`): a thread
//! takes them in the product, the simulator in a simulation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::carry::Carried;
use crate::cycle::{Cycle, CycleEnd, FinishedCycle};
use crate::damage::{Damage, StoreError, StoreResult};
use crate::disk::{Disk, DiskError, DiskFault, DiskResult};
use crate::export_pins::ExportPins;
use crate::file_header::{Identity, REMEDY_COPY};
use crate::frozen::FrozenGroup;
use crate::journal::{JournalOptions, JournalState, Replay};
use crate::journal_driver::JournalHandle;
use crate::journal_files::{journal_name, NextFill, SpareFiles, SpareFilling};
use crate::manifest::Manifest;
use crate::record_batch::{decode, Retained};
use crate::sealing::SealingOptions;
use crate::segment::{Segment, SegmentReader, SegmentSet};
use crate::segment_numbers::SegmentNumbers;
use crate::shard_state::Changes;
use crate::space::Space;
use crate::store_worker::Worker;
use crate::wave::Wave;

#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    pub journal: JournalOptions,
    pub sealing: SealingOptions,
    /// Bytes of journal that are not retired, from which on publishers wait. Recovery reads as much.
    pub unretired_size_max: u64,
    /// Kept back on the disk, so that sealing and checkpoints find room when it is full.
    pub reserve_size: u64,
    /// Publishers wait while less is free.
    pub free_space_min: u64,
    /// Live bytes of segments that one cycle rewrites.
    pub rewrite_size_max: u64,
}

impl StoreOptions {
    /// The usual proportions for that size of journal files.
    pub fn of_file_size(file_size: u64) -> Self {
        Self {
            journal: JournalOptions {
                file_size,
                ..JournalOptions::default()
            },
            sealing: SealingOptions::default(),
            unretired_size_max: 8 * file_size,
            // What one full file can leave to be sealed, and a checkpoint.
            reserve_size: file_size + file_size / 4,
            free_space_min: file_size / 2,
            rewrite_size_max: file_size,
        }
    }
}

/// Steps until what found no room tries again; an idle store takes ten a second.
const RETRY_STEPS: u64 = 20;
/// Writes that may have let a shard apply what kept a full file from being sealed.
const FUTILE_WRITES: u64 = 64;

/// Why publishers must wait. Consumers go on, but for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing is confirmed any more, for good.
    Poisoned(DiskError),
    /// Heals when there is room.
    NoSpace,
    /// Sealing is behind.
    JournalFull,
}

/// What the directory held.
#[derive(Debug)]
pub struct Opened {
    pub created: bool,
    pub replay: Replay,
    /// Number of the newest checkpoint; 0: none yet.
    pub checkpoint: u64,
    /// Segments whose footers had to be made anew.
    pub rebuilt: Vec<u64>,
}

/// Wanted records by (segment, run).
pub(crate) type Live = BTreeMap<(u64, u32), u64>;

pub(crate) struct Inside {
    pub manifest: Manifest,
    pub segments: Arc<SegmentSet>,
    /// The sum of the store's `live`.
    live_total: u64,
    /// Of groups whose last cycle did not get through.
    pub changes: BTreeMap<u32, Changes>,
    /// From a cycle's begin to its end; while a step is under way, the thread that takes it has `cycle`.
    cycling: bool,
    /// A snapshot is being put in place: no cycle begins.
    importing: bool,
    /// The store is to forget a group whose shard is still there: no cycle begins.
    forgetting: bool,
    cycle: Option<Box<Cycle>>,
    finished: Option<FinishedCycle>,
    filling: Option<SpareFilling>,
    /// The journal file that was written when spares were last looked after.
    filled_for: u64,
    /// The journal's next write when the last step of filling was taken.
    filled_at: u64,
    failure: Option<StoreError>,
    /// No cycle is asked for before this write: the last one found nothing to do.
    futile_until: u64,
    steps: u64,
    /// The step from which on a cycle that found no room may try again though there is no more.
    retry_at: u64,
}

pub struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: Identity,
    pub(crate) options: StoreOptions,
    pub(crate) journal: Arc<JournalHandle>,
    pub(crate) reader: Mutex<SegmentReader>,
    inside: Mutex<Inside>,
    /// Held by who takes a step of a cycle or puts a snapshot in place.
    stepping: Mutex<()>,
    pub(crate) numbers: SegmentNumbers,
    pub(crate) pins: ExportPins,
    /// Records of each run, by (segment, run), that were still wanted when its queues were last looked at.
    /// There are as many as queues, so only cycles' steps touch them, and rounds never wait for that.
    live: Mutex<Live>,
    pub(crate) space: Space,
    pub(crate) spare_files: Arc<SpareFiles>,
    /// Sealed records let go of since the last cycle began.
    released: AtomicU64,
    pub(crate) carried: Carried,
    pub(crate) worker: Worker,
}

impl Store {
    pub(crate) fn assemble(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: StoreOptions,
        journal: JournalHandle,
        manifest: Manifest,
        segments: SegmentSet,
    ) -> Self {
        let segments = Arc::new(segments);
        let numbers = SegmentNumbers::new(manifest.next_segment);
        let live = all_live(&segments);
        let pins = ExportPins::default();
        // It is not known what was let go of before.
        pins.give_back(segments.groups().collect());
        let reader = SegmentReader::new(disk.clone(), identity, segments.clone());
        let inside = Inside {
            live_total: live.values().sum(),
            manifest,
            segments: segments.clone(),
            changes: BTreeMap::new(),
            cycling: false,
            importing: false,
            forgetting: false,
            cycle: None,
            finished: None,
            filling: None,
            filled_for: 0,
            filled_at: 0,
            failure: None,
            futile_until: 0,
            steps: 0,
            retry_at: 0,
        };
        Self {
            space: Space::new(options.reserve_size, options.free_space_min),
            spare_files: journal.with(|journal| journal.spare_files().clone()),
            disk,
            identity,
            options,
            journal: Arc::new(journal),
            reader: Mutex::new(reader),
            stepping: Mutex::new(()),
            numbers,
            pins,
            inside: Mutex::new(inside),
            live: Mutex::new(live),
            released: AtomicU64::new(0),
            carried: Carried::default(),
            worker: Worker::default(),
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn journal(&self) -> &Arc<JournalHandle> {
        &self.journal
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reader(&self) -> MutexGuard<'_, SegmentReader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why publishers must wait, if they must.
    pub fn pressure(&self) -> Option<Pressure> {
        let (state, unretired) = self
            .journal
            .with(|journal| (journal.state().clone(), journal.unretired_size()));
        match state {
            JournalState::Poisoned(error) => Some(Pressure::Poisoned(error)),
            JournalState::NoSpace => Some(Pressure::NoSpace),
            JournalState::Open if self.space.is_low() => Some(Pressure::NoSpace),
            JournalState::Open => {
                (unretired >= self.options.unretired_size_max).then_some(Pressure::JournalFull)
            }
        }
    }

    /// Why the store failed, if it did: then the journal is poisoned too.
    pub fn failure(&self) -> Option<StoreError> {
        self.inside().failure.clone()
    }

    // ---- reading

    /// An entry's frames, by number, as far as they are still there: whole ones from the journal, what
    /// was wanted when it was sealed from segments. An entry that is nowhere is damage: who asks has
    /// a slice that says it is there.
    pub fn read_frames(&self, group: u32, index: u64) -> StoreResult<Vec<Option<Retained>>> {
        if let Some(entry) = self.journal.read_entry(group, index)? {
            let location = self.journal.location(group, index);
            let (file, position) = location.map_or((0, 0), |place| {
                (u64::from(place.file), u64::from(place.position))
            });
            let damaged = |what: String| {
                Damage::new(
                    &journal_name(file),
                    position,
                    format!("entry {index}: {what}"),
                    REMEDY_COPY,
                )
            };
            let wave = Wave::decode(&entry.data).map_err(damaged)?;
            let whole = |frame: &crate::wave::Frame| {
                let run = decode(&entry.data, frame.start as usize, frame.size as usize);
                let run = run.map_err(damaged)?;
                let numbers = (0..run.entries.len() as u32).collect();
                Ok(Some(Retained { run, numbers }))
            };
            return wave.frames.iter().map(whole).collect();
        }
        let frames = self.reader().read_entry(group, index)?;
        if frames.is_empty() {
            let what = format!("entry {index} of group {group} is wanted and nowhere to be found");
            return Err(Damage::new("segment", 0, what, REMEDY_COPY).into());
        }
        Ok(frames)
    }

    /// Entries of a group up to here are no longer in the journal: what settles let go of in them is to
    /// be told by `note_released`.
    pub fn sealed_through(&self, group: u32) -> u64 {
        let first = self.journal.with(|journal| {
            let log = journal.index().group(group)?;
            (!log.is_empty()).then(|| log.first_index())
        });
        first.map_or_else(
            || {
                let inside = self.inside();
                let mark = inside
                    .manifest
                    .groups
                    .iter()
                    .find(|mark| mark.group == group);
                mark.map_or(0, |mark| mark.applied_index)
            },
            |first| first - 1,
        )
    }

    /// Spare journal files that are kept: few when room is scarce.
    pub(crate) fn spares_max(&self) -> usize {
        let kept = self.options.journal.spare_count;
        if self.space.is_low() {
            kept.min(1)
        } else {
            kept + 2
        }
    }

    /// Settles let go of that many records in sealed entries.
    pub fn note_released(&self, count: u64) {
        self.released.fetch_add(count, Ordering::Relaxed);
    }

    // ---- cycles

    /// Whether frozen copies of all logged shards are wanted for `begin_cycle`.
    pub fn cycle_wanted(&self) -> bool {
        let (full, next_write, poisoned, unretired) = self.journal.with(|journal| {
            let poisoned = matches!(journal.state(), JournalState::Poisoned(_));
            let next_write = journal.next_write();
            let unretired = journal.unretired_size();
            (journal.has_full_files(), next_write, poisoned, unretired)
        });
        let inside = self.inside();
        let has_room = self.space.has_grown() || inside.steps >= inside.retry_at;
        if poisoned || inside.is_busy() || !has_room {
            return false;
        }
        let live = inside.live_total;
        let released = self.released.load(Ordering::Relaxed);
        let settled = live > 0 && released >= (live / 4).max(live.min(4096));
        // Publishers that wait for this make no more writes to wait for.
        let urgent = unretired >= self.options.unretired_size_max;
        (settled || full) && (urgent || next_write >= inside.futile_until)
    }

    /// Starts a cycle from all logged shards as they are now, in constant time for each; `force`: a
    /// checkpoint even if nothing calls for one. False: one is under way, or a shard has not come to
    /// where the snapshot stands that was taken in for it.
    pub fn begin_cycle(&self, frozen: Vec<FrozenGroup>, force: bool) -> bool {
        let mut inside = self.inside();
        let mut groups = BTreeMap::new();
        for mut frozen in frozen {
            inside.give_back(frozen.group(), std::mem::take(&mut frozen.shard.changes));
            groups.insert(frozen.group(), frozen);
        }
        if inside.is_busy() || inside.is_ahead_of(&groups) {
            return false;
        }
        let released = self.released.swap(0, Ordering::Relaxed);
        inside.cycling = true;
        inside.cycle = Some(Box::new(Cycle::begin(
            self,
            &mut inside,
            groups,
            released,
            force,
        )));
        self.worker.wake();
        true
    }

    pub fn is_cycling(&self) -> bool {
        self.inside().cycling
    }

    /// What the last cycle came to, once: shards may compact their logs.
    pub fn take_finished_cycle(&self) -> Option<FinishedCycle> {
        self.inside().finished.take()
    }

    /// Does a piece of what is due in the background; false: nothing is. An error is final.
    pub fn step(&self) -> StoreResult<bool> {
        if self.inside().failure.is_some() {
            return Ok(false);
        }
        let result = match self.step_inside() {
            Err(StoreError::Disk(error)) if error.is_no_space() => {
                let mut inside = self.inside();
                inside.retry_at = inside.steps + RETRY_STEPS;
                drop(inside);
                let released = self.space.release(&*self.disk);
                released.map(|()| false).map_err(StoreError::from)
            }
            result => result,
        };
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    pub(crate) fn stepping(&self) -> MutexGuard<'_, ()> {
        self.stepping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what `install` makes durable in place, while no cycle is under way: one that is begins anew
    /// later. An error other than a lack of room is final.
    pub(crate) fn install<T>(&self, install: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
        let _stepping = self.stepping();
        let mut inside = self.inside();
        if let Some(failure) = &inside.failure {
            return Err(failure.clone());
        }
        let cycle = inside.cycle.take();
        inside.cycling = false;
        inside.importing = true;
        drop(inside);
        if let Some(cycle) = cycle {
            cycle.abandon(self);
        }
        let result = install();
        self.inside().importing = false;
        match &result {
            Err(error) if !error.is_no_space() => self.fail(error),
            _ => {}
        }
        result
    }

    /// A group is to be forgotten: until `end_forgetting` no cycle begins, which would take its shard's old state for
    /// news. False: another one is.
    pub fn begin_forgetting(&self) -> bool {
        !std::mem::replace(&mut self.inside().forgetting, true)
    }

    pub fn end_forgetting(&self) {
        self.inside().forgetting = false;
    }

    /// Nothing is confirmed any more: what the store holds can't be relied on.
    fn fail(&self, error: &StoreError) {
        self.inside().failure = Some(error.clone());
        let error = match error {
            StoreError::Disk(error) => error.clone(),
            StoreError::Damage(damage) => DiskError::new(DiskFault::Errno(5), "read", &damage.file),
        };
        self.journal.with(|journal| journal.poison(error));
        self.journal.signal();
    }

    fn step_inside(&self) -> StoreResult<bool> {
        let _stepping = self.stepping();
        if self.journal.state() == JournalState::NoSpace {
            self.space.release(&*self.disk)?;
        }
        self.space.check(&*self.disk)?;
        let mut inside = self.inside();
        inside.steps += 1;
        let cycle = inside.cycle.take();
        drop(inside);
        if let Some(mut cycle) = cycle {
            match cycle.step(self) {
                Ok(None) => self.inside().cycle = Some(cycle),
                Ok(Some(CycleEnd::Finished(finished))) => {
                    let mut inside = self.inside();
                    inside.finished = Some(finished);
                    inside.cycling = false;
                    drop(inside);
                    self.journal.signal();
                }
                Ok(Some(CycleEnd::Futile)) => {
                    // Some shard has not applied a full file to its end: not to be asked every round.
                    let next_write = self.journal.with(|journal| journal.next_write());
                    let mut inside = self.inside();
                    inside.futile_until = next_write + FUTILE_WRITES;
                    cycle.give_back(self, &mut inside);
                    inside.cycling = false;
                }
                Err(StoreError::Disk(error)) if error.is_no_space() => {
                    cycle.abandon(self);
                    self.inside().cycling = false;
                    return Err(error.into());
                }
                // It is not known what got through: nothing is touched any more.
                Err(error) => return Err(error),
            }
            return Ok(true);
        }
        self.fill_spares()
    }

    /// Fills spare journal files, a step at a time, after the journal rolled. True: the next one is due at once, as it
    /// also is while nothing is written that would wait behind it.
    fn fill_spares(&self) -> StoreResult<bool> {
        let (current, coming, next_write) = self.journal.with(|journal| {
            let coming = journal.full_files().len();
            (journal.current_file(), coming, journal.next_write())
        });
        let mut inside = self.inside();
        if inside.filled_for == current || self.space.is_low() {
            return Ok(false);
        }
        let options = self.options.journal;
        let mut filling = inside.filling.take().unwrap_or_else(|| {
            let spare_files = self.spare_files.clone();
            SpareFilling::new(spare_files, options.file_size, options.spare_count)
        });
        drop(inside);
        let next = filling.step(&*self.disk, coming)?;
        let mut inside = self.inside();
        if next == NextFill::Enough {
            inside.filled_for = current;
        } else {
            inside.filling = Some(filling);
        }
        let idle = std::mem::replace(&mut inside.filled_at, next_write) == next_write;
        Ok(next == NextFill::Now || (next == NextFill::Later && idle))
    }

    /// Leaves the mark of a clean close, if all is synced, and gives the directory back.
    pub fn close(&self) -> DiskResult<bool> {
        let clean = self.journal.close()?;
        self.disk.unlock();
        Ok(clean)
    }

    /// Ends the threads, and gives the directory back without a mark, as if the process had died.
    pub fn abandon(&self) {
        const ECANCELED: i32 = 125;
        let fault = DiskFault::Errno(ECANCELED);
        let error = DiskError::new(fault, "go on writing", "the journal");
        self.journal.with(|journal| journal.poison(error));
        self.stop_worker();
        self.journal.stop_driver();
        self.disk.unlock();
    }

    /// Bytes by kind of file: (journal, segments, checkpoint blocks).
    pub fn sizes(&self) -> (u64, u64, u64) {
        let journal = self.journal.with(|journal| journal.unretired_size());
        let inside = self.inside();
        let segments = inside.segments.iter().map(|segment| segment.size).sum();
        let blocks = inside.manifest.blocks.iter().map(|mark| mark.size).sum();
        (journal, segments, blocks)
    }
}

/// Until its queues are looked at, every record of a run may be wanted.
fn all_live(segments: &SegmentSet) -> Live {
    let each = segments.iter().flat_map(|segment| {
        let group = |run: u32| segment.runs[run as usize].group;
        let replaced = move |run| segments.was_replaced(segment.number, group(run));
        live_of(segment).filter(move |((_, run), _)| !replaced(*run))
    });
    each.collect()
}

pub(crate) fn live_of(segment: &Segment) -> impl Iterator<Item = ((u64, u32), u64)> + '_ {
    let runs = segment.runs.iter().zip(0..);
    runs.map(|(run, number)| ((segment.number, number), run.record_count))
}

impl Inside {
    fn is_busy(&self) -> bool {
        let changing = self.importing || self.forgetting;
        self.cycling || changing || self.finished.is_some() || self.failure.is_some()
    }

    /// A checkpoint of these would go back behind a snapshot that was taken in.
    fn is_ahead_of(&self, groups: &BTreeMap<u32, FrozenGroup>) -> bool {
        let marks = self.manifest.groups.iter();
        let mut known = marks.filter_map(|mark| Some((mark, groups.get(&mark.group)?)));
        known.any(|(mark, frozen)| frozen.state().applied_index < mark.applied_index)
    }

    pub(crate) fn note_live(&mut self, total: u64) {
        self.live_total = total;
    }

    /// Keeps changes for the next cycle.
    pub(crate) fn give_back(&mut self, group: u32, mut changes: Changes) {
        let kept = self.changes.entry(group).or_default();
        kept.queues.append(&mut changes.queues);
        kept.shrunk.append(&mut changes.shrunk);
        kept.rows.append(&mut changes.rows);
    }

    /// Puts a cycle's outcome in place.
    pub(crate) fn install(&mut self, manifest: Manifest, segments: Arc<SegmentSet>) {
        self.manifest = manifest;
        self.segments = segments;
    }
}
