//! Laws of the whole store: whatever crashes when, the state comes back as it was at some entry not
//! before the last one synced, and every message that is still wanted is read back, from wherever it
//! now lies.

use bytes::Bytes;

use super::*;
use crate::damage::StoreError;
use crate::file_header::Identity;
use crate::group_record::{GroupRecord, HardState, LogEntry};
use crate::message_run::{Facts, Origin, NO_EXPIRATION};
use crate::queue_state::Selection;
use crate::run_builder::RunBuilder;
use crate::shard_state::{FrozenShard, ShardState};
use crate::sim_disk::{SimDisk, SplitMix};
use crate::store::{Opened, Pressure, StoreOptions};
use crate::wave::{Frame, Route, SequenceRange, Wave};

mod asking;
mod faults;

pub(crate) const IDENTITY: Identity = Identity {
    store: [8; 16],
    peer: 12,
};
const GROUPS: u32 = 2;
pub(crate) const QUEUES: u64 = 4;

pub(crate) fn options() -> StoreOptions {
    let mut options = StoreOptions::of_file_size(32 << 10);
    options.sealing.own_size_min = 8 << 10;
    options.sealing.open_size_max = 24 << 10;
    options
}

pub(crate) fn body(group: u32, entry: u64, frame: u16, record: u32) -> Vec<u8> {
    format!("{group}/{entry}/{frame}/{record} ")
        .repeat(1 + record as usize % 4)
        .into_bytes()
}

/// A shard without Raft: what is synced is committed.
#[derive(Clone, Default)]
pub(crate) struct Shard {
    pub state: ShardState,
    pub changes: Changes,
    /// Submitted and not applied yet: (submission, index, wave).
    under_way: VecDeque<(u64, u64, Wave)>,
    pub last_index: u64,
    pub next_sequence: BTreeMap<u64, u64>,
}

pub(crate) struct World {
    pub disk: SimDisk,
    pub random: SplitMix,
    pub store: Arc<Store>,
    pub shards: Vec<Shard>,
    pub term: u64,
    /// Hash of each group's state by applied index, if that is wanted.
    hashes: BTreeMap<(u32, u64), u64>,
    hashing: bool,
}

impl World {
    pub(crate) fn new(seed: u64, capacity: u64) -> Self {
        let disk = SimDisk::new(capacity);
        let (store, opened) = open(&disk).unwrap();
        assert!(opened.created);
        let mut world = Self {
            disk,
            random: SplitMix(seed),
            store: Arc::new(store),
            term: 1,
            shards: vec![Shard::default(); GROUPS as usize],
            hashes: BTreeMap::new(),
            hashing: false,
        };
        for group in 0..GROUPS {
            let created_queues = (1..=QUEUES).collect();
            world.submit(
                group,
                Wave {
                    created_queues,
                    ..Wave::default()
                },
            );
        }
        world.write();
        world
    }

    pub(crate) fn submit(&mut self, group: u32, mut wave: Wave) {
        let shard = &mut self.shards[group as usize];
        shard.last_index += 1;
        let index = shard.last_index;
        wave.time_ms = index;
        let mut out = Vec::new();
        wave.encode(&mut out, |run, out| {
            crate::record_batch::encode(run, 5, out);
        });
        let data = Bytes::from(out);
        let entry = LogEntry {
            index,
            term: self.term,
            kind: 0,
            data,
        };
        let hard_state = Some(HardState {
            term: self.term,
            vote: 1,
            commit: index - 1,
        });
        let record = GroupRecord {
            group,
            hard_state,
            entries: vec![entry],
        };
        let submission = self.store.journal().submit(vec![record]);
        shard.under_way.push_back((submission, index, wave));
    }

    /// A publish of some frames, routed to some queues.
    pub(crate) fn publish(&mut self, group: u32) {
        let random = &mut self.random;
        let index = self.shards[group as usize].last_index + 1;
        let mut wave = Wave::default();
        for frame in 0..=random.below(2) as u16 {
            let count = 1 + random.below(40) as u32;
            let mut builder = RunBuilder::new(Origin::Amqp091);
            let key = builder.key(b"x", b"k");
            for record in 0..count {
                let facts = Facts {
                    expiration_ms: NO_EXPIRATION,
                    priority: 0,
                    flags: 0,
                };
                builder.push(key, b"\x00\x00", &body(group, index, frame, record), facts);
            }
            let messages = Some(Arc::new(builder.finish()));
            wave.frames.push(Frame {
                start: 0,
                size: 0,
                messages,
            });
            for queue in 1..=QUEUES {
                if !random.chance(2) {
                    continue;
                }
                let first = random.below(count as u64) as u32;
                let selection = Selection::Range {
                    first,
                    count: count - first,
                };
                let next = self.shards[group as usize]
                    .next_sequence
                    .entry(queue)
                    .or_default();
                wave.routes.push(Route {
                    queue,
                    frame,
                    first_sequence: *next,
                    expires_ms: 0,
                    size: 1,
                    selection,
                });
                *next += (count - first) as u64;
            }
        }
        self.submit(group, wave);
    }

    /// Settles some of what a queue holds: mostly its head. Queue 4 keeps what it gets.
    pub(crate) fn settle(&mut self, group: u32) {
        let queue = 1 + self.random.below(QUEUES - 1);
        let state = &self.shards[group as usize].state;
        let Some((first, _)) = state
            .queues
            .get(&queue)
            .and_then(|queue| queue.slices().next())
        else {
            return;
        };
        let first = first
            + if self.random.chance(4) {
                self.random.below(50)
            } else {
                0
            };
        let last = first + self.random.below(100);
        let range = SequenceRange {
            queue,
            first,
            last,
            outcome: 0,
        };
        self.submit(
            group,
            Wave {
                settled: vec![range],
                ..Wave::default()
            },
        );
    }

    pub(crate) fn write(&mut self) {
        self.store.journal().begin_write();
        self.store.journal().end_write();
        self.apply();
    }

    fn apply(&mut self) {
        let synced = self.store.journal().synced();
        for (group, shard) in self.shards.iter_mut().enumerate() {
            let sealed = self.store.sealed_through(group as u32);
            while shard
                .under_way
                .front()
                .is_some_and(|(submission, _, _)| *submission <= synced)
            {
                let (_, index, wave) = shard.under_way.pop_front().unwrap();
                let applied = shard
                    .state
                    .apply(index, self.term, &wave, &mut shard.changes);
                let released = applied
                    .released
                    .iter()
                    .filter(|released| released.entry <= sealed);
                self.store
                    .note_released(released.map(|released| released.count as u64).sum());
                if self.hashing {
                    self.hashes
                        .insert((group as u32, index), shard.state.hash());
                }
            }
        }
    }

    pub(crate) fn freeze(&mut self) -> Vec<FrozenGroup> {
        let freeze = |(group, shard): (usize, &mut Shard)| FrozenGroup {
            conf: Bytes::from_static(b"conf"),
            shard: FrozenShard {
                group: group as u32,
                state: shard.state.clone(),
                changes: std::mem::take(&mut shard.changes),
            },
        };
        self.shards.iter_mut().enumerate().map(freeze).collect()
    }

    pub(crate) fn turn(&mut self) -> StoreResult<()> {
        let group = self.random.below(GROUPS as u64) as u32;
        match self.random.below(6) {
            0 | 1 if self.store.pressure().is_none() => self.publish(group),
            0..=2 => self.settle(group),
            3 => self.write(),
            _ => {
                if self.store.cycle_wanted() {
                    let frozen = self.freeze();
                    self.store.begin_cycle(frozen, false);
                }
                self.store.step()?;
                self.store.take_finished_cycle();
            }
        }
        Ok(())
    }

    pub(crate) fn cycle(&mut self) {
        while self.store.is_cycling() {
            self.store.step().unwrap();
        }
        self.store.take_finished_cycle();
        let frozen = self.freeze();
        assert!(self.store.begin_cycle(frozen, true));
        while self.store.is_cycling() {
            self.store.step().unwrap();
        }
        self.store.take_finished_cycle().unwrap();
    }

    /// What the store takes to be wanted of each run is what is.
    fn check_live(&self) {
        let segments = self.store.inside().segments.clone();
        let live = self.store.live();
        for segment in segments.iter() {
            for (run, number) in segment.runs.iter().zip(0..) {
                let queues: Vec<u64> = run.guests.iter().copied().chain([run.queue]).collect();
                let state = &self.shards[run.group as usize].state;
                let count = live_count([state], &queues, run.first, run.last);
                let known = live[&(segment.number, number)];
                assert_eq!(known, count.min(run.record_count), "{segment:?}");
            }
        }
    }

    pub(crate) fn check_messages(&self) {
        for (group, shard) in self.shards.iter().enumerate() {
            check_messages(&self.store, group as u32, &shard.state);
        }
    }

    /// The power went: opens again, checks that the state is one that was, and not too old.
    fn reopen(&mut self, seed: u64) {
        let least: Vec<u64> = self
            .shards
            .iter()
            .map(|shard| shard.state.applied_index)
            .collect();
        let (store, _) = open(&self.disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        self.store = Arc::new(store);
        let mut groups = restored(&self.disk);
        for group in 0..GROUPS {
            let mut shard = Shard {
                state: groups.remove(&group).unwrap_or_default(),
                ..Shard::default()
            };
            let after = shard.state.applied_index;
            let entries = self
                .store
                .journal()
                .read_entries(group, after + 1, usize::MAX)
                .unwrap();
            for entry in entries {
                let wave = Wave::decode(&entry.data).unwrap();
                shard
                    .state
                    .apply(entry.index, entry.term, &wave, &mut shard.changes);
            }
            let applied = shard.state.applied_index;
            let message = format!("seed {seed}, group {group} at {applied}");
            assert!(applied >= least[group as usize], "{message}");
            if let Some(hash) = self.hashes.get(&(group, applied)) {
                assert_eq!(shard.state.hash(), *hash, "{message}");
            }
            self.hashes.insert((group, applied), shard.state.hash());
            shard.last_index = applied;
            let next =
                |(id, queue): (&u64, &crate::queue_state::QueueState)| (*id, queue.next_sequence);
            shard.next_sequence = shard.state.queues.iter().map(next).collect();
            self.shards[group as usize] = shard;
        }
        self.check_messages();
    }
}

/// Every message of every queue is read back as it was published.
pub(crate) fn check_messages(store: &Store, group: u32, state: &ShardState) {
    for queue in state.queues.values() {
        for (_, slice) in queue.slices() {
            let frames = store.read_frames(group, slice.entry).unwrap();
            let frame = frames[slice.frame as usize].as_ref().unwrap();
            assert!(
                frame.numbers.windows(2).all(|pair| pair[0] < pair[1]),
                "found twice"
            );
            for (first, count) in slice.selection.runs() {
                for record in first..first + count {
                    let place = frame.numbers.binary_search(&record).unwrap();
                    let wanted = body(group, slice.entry, slice.frame, record);
                    assert_eq!(frame.run.body(place), wanted);
                }
            }
        }
    }
}

fn open(disk: &SimDisk) -> StoreResult<(Store, Opened)> {
    let opened = Store::open(Arc::new(disk.clone()), IDENTITY, options());
    opened.map(|(store, opened, _)| (store, opened))
}

/// The groups' states as of the newest checkpoint.
fn restored(disk: &SimDisk) -> BTreeMap<u32, ShardState> {
    let Some(manifest) = Manifest::read_newest(disk, &IDENTITY).unwrap() else {
        return BTreeMap::new();
    };
    let groups = crate::store_open::restore(disk, &IDENTITY, &manifest).unwrap();
    groups
        .into_iter()
        .map(|(group, recovered)| (group, recovered.state))
        .collect()
}

#[test]
fn the_state_and_every_wanted_message_come_back_after_any_crash() {
    let mut checkpoints = 0;
    for seed in 0..40 {
        let mut world = World::new(seed, 1 << 30);
        world.hashing = true;
        for round in 0..4 {
            let calls = world.random.below(500);
            world.disk.cut_power_after(calls);
            for _ in 0..400 {
                if world.turn().is_err() {
                    break;
                }
            }
            world.disk.crash(seed * 10 + round);
            world.reopen(seed);
        }
        checkpoints += world.store.inside().manifest.number;
    }
    assert!(checkpoints > 200, "{checkpoints}");
}

#[test]
fn cycles_retire_the_journal_and_drop_and_rewrite_segments() {
    let mut world = World::new(7, 1 << 30);
    let mut total = FinishedCycle::default();
    for _ in 0..1500 {
        let group = world.random.below(GROUPS as u64) as u32;
        world.publish(group);
        world.settle(group);
        world.settle(group);
        world.write();
        if world.store.cycle_wanted() {
            let frozen = world.freeze();
            world.store.begin_cycle(frozen, false);
        }
        while world.store.step().unwrap() {}
        if let Some(finished) = world.store.take_finished_cycle() {
            total.retired_files += finished.retired_files;
            total.sealed_size += finished.sealed_size;
            total.dropped_segments += finished.dropped_segments;
            world.check_live();
        }
        assert!(world.store.sizes().0 < 4 * options().journal.file_size);
    }
    assert!(
        total.retired_files > 30 && total.dropped_segments > 2,
        "{total:?}"
    );
    world.check_messages();
    let count = world.store.inside().segments.iter().count() as u64;
    assert!(
        world.store.sizes().1 / count > 6 << 10,
        "{count} small segments"
    );
    // What was let go of before is found again after a restart.
    world.cycle();
    world.disk.crash(7);
    world.reopen(7);
    world.cycle();
    world.check_live();
}

#[test]
fn a_full_journal_is_looked_at_again_though_nothing_more_is_written() {
    let mut world = World::new(3, 1 << 30);
    world.apply();
    while world.store.pressure() != Some(Pressure::JournalFull) {
        world.publish(0);
        world.store.journal().begin_write();
        world.store.journal().end_write();
        if world.store.cycle_wanted() {
            // In vain: no shard has applied what the full files hold.
            let frozen = world.freeze();
            world.store.begin_cycle(frozen, false);
        }
        while world.store.step().unwrap() {}
        world.store.take_finished_cycle();
    }
    world.apply();
    for _ in 0..100 {
        if world.store.cycle_wanted() {
            let frozen = world.freeze();
            world.store.begin_cycle(frozen, false);
        }
        while world.store.step().unwrap() {}
        world.store.take_finished_cycle();
    }
    assert_eq!(world.store.pressure(), None);
}

#[test]
fn what_a_group_never_applies_keeps_no_files_and_is_there_after_a_start() {
    let mut world = World::new(3, 1 << 30);
    let mut data = Vec::new();
    Wave::default().encode(&mut data, |_, _| ());
    let entry = LogEntry {
        index: world.shards[0].last_index + 1,
        term: world.term,
        kind: 0,
        data: Bytes::from(data),
    };
    let stuck = GroupRecord {
        group: 0,
        hard_state: None,
        entries: vec![entry.clone()],
    };
    world.store.journal().submit(vec![stuck.clone()]);
    let mut retired = 0;
    for _ in 0..1500 {
        world.publish(1);
        world.settle(1);
        world.write();
        if world.store.cycle_wanted() {
            let shards = (0..).zip(&world.shards);
            let applied: Vec<_> = shards
                .map(|(group, s)| (group, s.state.applied_index))
                .collect();
            let carried = world
                .store
                .carry(&applied, |group| (group == 0).then(|| stuck.clone()));
            if !carried {
                let frozen = world.freeze();
                world.store.begin_cycle(frozen, false);
            }
        }
        while world.store.step().unwrap() {}
        retired += world
            .store
            .take_finished_cycle()
            .map_or(0, |cycle| cycle.retired_files);
        assert_eq!(world.store.pressure(), None);
    }
    assert!(retired > 30, "{retired}");
    world.disk.crash(1);
    let (store, _) = open(&world.disk).unwrap();
    let found = store.journal().read_entry(0, entry.index).unwrap();
    assert_eq!(found.map(|found| found.data), Some(entry.data));
}

#[test]
fn when_all_is_settled_no_segment_is_left() {
    let mut world = World::new(3, 1 << 30);
    for _ in 0..200 {
        world.publish(0);
        world.write();
    }
    world.cycle();
    assert!(!world.store.inside().segments.is_empty());
    for queue in 1..=QUEUES {
        let range = SequenceRange {
            queue,
            first: 0,
            last: u64::MAX - 1,
            outcome: 0,
        };
        world.submit(
            0,
            Wave {
                settled: vec![range],
                ..Wave::default()
            },
        );
    }
    world.write();
    assert!(world.store.cycle_wanted());
    world.cycle();
    assert!(world.store.inside().segments.is_empty());
    let names = world.disk.list().unwrap();
    assert!(
        !names.iter().any(|name| name.starts_with("segment-")),
        "{names:?}"
    );
}

#[test]
fn a_checkpoint_writes_what_changed_and_now_and_then_all() {
    let mut world = World::new(1, 1 << 30);
    let created_queues: Vec<u64> = (100..3000).collect();
    world.submit(
        0,
        Wave {
            created_queues,
            ..Wave::default()
        },
    );
    world.write();
    let size = |world: &World| {
        let blocks = world.store.inside().manifest.blocks.clone();
        (blocks.len(), blocks.last().unwrap().size)
    };
    world.cycle();
    let (_, full) = size(&world);
    world.publish(0);
    world.write();
    world.cycle();
    let (count, added) = size(&world);
    assert_eq!(count, 2);
    assert!(added < full / 10, "{added} of {full}");
    let mut counts = Vec::new();
    for _ in 0..600 {
        world.publish(0);
        world.write();
        world.cycle();
        counts.push(size(&world).0);
    }
    assert!(
        counts.windows(2).any(|pair| pair[1] == 1),
        "all is written anew"
    );
    world.disk.crash(1);
    world.reopen(1);
}
