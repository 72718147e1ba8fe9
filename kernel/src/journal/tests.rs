//! Laws: what was synced is read back after any crash, in order and whole; what was not is read
//! back as a prefix; bits flipped below the last write are refused, never a shorter log.

use bytes::Bytes;

use super::*;
use crate::damage::StoreError;
use crate::disk::DiskFault;
use crate::group_record::HardState;
use crate::journal_files::{recycle, NextFill, SpareFilling};
use crate::sim_disk::{SimDisk, SplitMix};
use std::collections::BTreeMap;

const IDENTITY: Identity = Identity {
    store: *b"a store of tests",
    peer: 4711,
};
const OPTIONS: JournalOptions = JournalOptions {
    file_size: 32 << 10,
    write_size_max: 8 << 10,
    spare_count: 1,
};

/// The slow twin: every group's hard state and log, after some records.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
struct Model {
    groups: BTreeMap<u32, (HardState, BTreeMap<u64, LogEntry>)>,
}

impl Model {
    fn take(&mut self, record: &GroupRecord) {
        let (hard_state, log) = self.groups.entry(record.group).or_default();
        *hard_state = record.hard_state.unwrap_or(*hard_state);
        for entry in &record.entries {
            drop(log.split_off(&entry.index));
            log.insert(entry.index, entry.clone());
        }
    }

    fn read(journal: &Journal) -> Self {
        let mut model = Self::default();
        for (group, log) in journal.index().groups() {
            let entry = |index| journal.locate(group, index).unwrap().read().unwrap();
            let entries = if log.is_empty() {
                BTreeMap::new()
            } else {
                (log.first_index()..=log.last_index())
                    .map(|index| (index, entry(index)))
                    .collect()
            };
            model.groups.insert(group, (log.hard_state, entries));
        }
        model
    }
}

/// A journal, what was asked of it, and chance.
struct World {
    disk: SimDisk,
    random: SplitMix,
    journal: Journal,
    /// All records submitted, and after how many each submission ends.
    records: Vec<GroupRecord>,
    ends: Vec<usize>,
    logs: BTreeMap<u32, (u64, u64)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(1 << 30);
        let journal = Journal::create(&disk, IDENTITY, OPTIONS).unwrap();
        Self {
            disk,
            random: SplitMix(seed),
            journal,
            records: Vec::new(),
            ends: vec![0],
            logs: BTreeMap::new(),
        }
    }

    fn record(&mut self) -> GroupRecord {
        let random = &mut self.random;
        let group = random.below(3) as u32;
        let (last, term) = self.logs.entry(group).or_default();
        if random.chance(8) {
            *term += 1;
            *last = last.saturating_sub(random.below(3));
        }
        let big = random.chance(20);
        let entries = (0..random.below(4))
            .map(|_| {
                *last += 1;
                let size = random.below(if big { 20_000 } else { 600 }) as usize;
                LogEntry {
                    index: *last,
                    term: *term,
                    kind: random.below(2) as u8,
                    data: Bytes::from(vec![random.next_u64() as u8; size]),
                }
            })
            .collect();
        let hard_state = HardState {
            term: *term,
            vote: random.below(3),
            commit: last.saturating_sub(1),
        };
        GroupRecord {
            group,
            hard_state: random.chance(2).then_some(hard_state),
            entries,
        }
    }

    fn submit(&mut self) {
        let records: Vec<_> = (0..=self.random.below(2)).map(|_| self.record()).collect();
        self.records.extend(records.iter().cloned());
        self.ends.push(self.records.len());
        let submission = self.journal.submit(records);
        assert_eq!(submission as usize + 1, self.ends.len());
    }

    /// One write, if there is one to do.
    fn write(&mut self) {
        if let Some(mut planned) = self.journal.start_write() {
            let result = planned.carry_out(&self.disk);
            self.journal.finish_write(planned, result);
        }
    }

    fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.submit();
            if self.random.chance(2) {
                self.write();
            }
        }
    }

    fn finish(&mut self) {
        while self.journal.has_work() {
            self.write();
        }
    }

    fn reopen(&self) -> StoreResult<(Journal, Replay)> {
        Journal::open(&self.disk, IDENTITY, OPTIONS, Expected::default())
    }

    /// The number of records, at least those synced, that explain what was read back.
    fn explained(&self, journal: &Journal, synced: u64) -> Option<usize> {
        let read = Model::read(journal);
        let mut model = Model::default();
        let known = self.ends[synced as usize];
        self.records[..known]
            .iter()
            .for_each(|record| model.take(record));
        // Read back, a group that has no record yet but stands in a file's head is as good as new.
        let same = |model: &Model| {
            model
                .groups
                .iter()
                .all(|(k, v)| read.groups.get(k) == Some(v))
        };
        for count in known..=self.records.len() {
            if same(&model) && read.groups.len() == model.groups.len() {
                return Some(count);
            }
            if let Some(record) = self.records.get(count) {
                model.take(record);
            }
        }
        None
    }
}

#[test]
fn what_was_synced_reads_back_after_a_crash_at_any_call() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        let calls = world.random.below(150);
        world.disk.cut_power_after(calls);
        world.run(40);
        let synced = world.journal.synced();
        let killed = world.random.chance(4);
        if killed {
            world.disk.kill();
        } else {
            world.disk.crash(seed);
        }
        let (journal, replay) = world
            .reopen()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(!replay.closed_cleanly);
        let read = world.explained(&journal, synced);
        assert!(
            read.is_some(),
            "seed {seed}: {synced} of {} synced",
            world.journal.submitted()
        );
    }
}

#[test]
fn a_journal_goes_on_after_crash_upon_crash() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        for round in 0..8 {
            let calls = world.random.below(60);
            world.disk.cut_power_after(calls);
            world.run(12);
            let synced = world.journal.synced();
            world.disk.crash(seed * 100 + round);
            let (journal, _) = world
                .reopen()
                .unwrap_or_else(|error| panic!("seed {seed} {round}: {error}"));
            let read = world.explained(&journal, synced);
            let read = read.unwrap_or_else(|| panic!("seed {seed} round {round}"));
            // What came back is the new beginning.
            world.records.truncate(read);
            world.ends = vec![read];
            world.logs = Model::read(&journal)
                .groups
                .iter()
                .map(|(group, (hard_state, log))| {
                    let last = log.last_key_value().map_or(0, |(index, _)| *index);
                    let term = log.values().map(|entry| entry.term).max().unwrap_or(0);
                    (*group, (last, term.max(hard_state.term)))
                })
                .collect();
            world.journal = journal;
        }
    }
}

#[test]
fn a_failed_sync_is_final_and_a_restart_reads_what_is_there() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.run(20);
        world.finish();
        let synced = world.journal.synced();
        let file = journal_name(world.journal.current);
        world.submit();
        world.disk.fail_sync_once(&file);
        world.write();
        let poisoned = matches!(
            world.journal.state(),
            JournalState::Poisoned(DiskError {
                fault: DiskFault::Errno(5),
                ..
            })
        );
        if !poisoned {
            continue; // it rolled: another file was synced
        }
        world.run(3);
        world.write();
        assert_eq!(world.journal.synced(), synced);
        // The process restarts, goes on, and then the power goes: the pages that the failed sync
        // left clean must not come to be missing below a later write.
        world.disk.kill();
        let (journal, _) = world.reopen().unwrap();
        world.journal = journal;
        world.ends = vec![0; 1];
        world.submit();
        world.finish();
        assert_eq!(world.journal.synced(), 1);
        world.disk.crash(seed);
        world
            .reopen()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_full_disk_holds_writes_back_and_heals() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.disk.set_capacity(40 << 10);
        while *world.journal.state() == JournalState::Open {
            world.submit();
            world.write();
        }
        assert_eq!(*world.journal.state(), JournalState::NoSpace);
        let synced = world.journal.synced();
        world.run(5);
        assert_eq!(world.journal.synced(), synced);
        world.disk.set_capacity(1 << 30);
        world.finish();
        assert_eq!(*world.journal.state(), JournalState::Open);
        assert_eq!(world.journal.synced(), world.journal.submitted());
        world.disk.crash(seed);
        let (journal, _) = world.reopen().unwrap();
        assert_eq!(
            world.explained(&journal, world.journal.synced()),
            Some(world.records.len())
        );
    }
}

/// Positions of live bytes: headers of files, and every write up to its padding.
fn live_ranges(disk: &SimDisk) -> Vec<(String, u64, u64, bool)> {
    let mut ranges = Vec::new();
    recover(
        disk,
        &IDENTITY,
        Expected::default(),
        &mut |file, found, _| {
            ranges.push((journal_name(file), found.position, found.header.size, false));
        },
    )
    .unwrap();
    ranges.last_mut().unwrap().3 = true;
    let mut names: Vec<_> = ranges.iter().map(|range| range.0.clone()).collect();
    names.dedup();
    ranges.extend(names.into_iter().map(|name| (name, 0, 64, false)));
    ranges
}

/// Flips one bit at each of many live positions; returns whether it was refused, and where.
fn flips(closed: bool, seed: u64, check: impl Fn(&str, u64, bool, StoreResult<Replay>)) {
    let mut world = World::new(seed);
    world.run(30);
    world.finish();
    if closed {
        world.journal.close(&world.disk).unwrap();
    }
    for (name, start, size, last) in live_ranges(&world.disk) {
        let step = 1 + size / 40;
        for position in (start..start + size)
            .step_by(step as usize)
            .chain([start + size - 1])
        {
            let bit = world.random.below(8) as u8;
            world.disk.flip_bit(&name, position, bit).unwrap();
            let result = recover(
                &world.disk,
                &IDENTITY,
                Expected::default(),
                &mut |_, _, _| {},
            );
            let replay = result.map(|recovered| Replay {
                write_count: recovered.write_count,
                closed_cleanly: recovered.closed_cleanly,
                cut: recovered.cut,
                obsolete: recovered.obsolete,
            });
            check(&name, start, last, replay);
            world.disk.flip_bit(&name, position, bit).unwrap();
        }
    }
    world.reopen().unwrap();
}

#[test]
fn a_bit_flipped_below_the_last_write_is_refused_with_its_place() {
    for seed in 0..6 {
        flips(false, seed, |name, start, last, result| match result {
            Err(StoreError::Damage(damage)) => {
                assert!(!last);
                assert_eq!(
                    (damage.file.as_str(), damage.position / 512),
                    (name, start / 512)
                );
                assert!(!damage.what.is_empty() && !damage.remedy.is_empty());
            }
            other => {
                // Nothing tells a last write gone bad from one that was torn.
                assert!(last, "{name} at {start}: {other:?}");
                assert!(other.unwrap().cut.is_none_or(|cut| cut.position == start));
            }
        });
    }
}

#[test]
fn after_a_clean_close_a_bit_flipped_anywhere_is_refused() {
    for seed in 0..6 {
        flips(true, seed, |name, start, _, result| {
            let Err(StoreError::Damage(damage)) = result else {
                panic!("{name} at {start}: {result:?}");
            };
            assert_eq!(
                (damage.file.as_str(), damage.position / 512),
                (name, start / 512)
            );
        });
    }
}

#[test]
fn a_missing_or_shortened_file_is_refused() {
    let mut world = World::new(3);
    world.run(60);
    world.finish();
    world.journal.close(&world.disk).unwrap();
    assert!(world.journal.current >= 4);
    let names: Vec<_> = (1..=world.journal.current).map(journal_name).collect();
    for name in &names {
        world.disk.rename(name, "away").unwrap();
        let error = world.reopen().err().unwrap().to_string();
        world.disk.rename("away", name).unwrap();
        assert!(
            error.contains("missing") || error.contains("reached"),
            "{error}"
        );
        let file = world.disk.open(name).unwrap();
        let content = file.read_range(0, 1 << 20).unwrap();
        file.set_size(HEADER_SIZE + 700).unwrap();
        assert!(matches!(
            world.reopen().err().unwrap(),
            StoreError::Damage(_)
        ));
        file.write_at(0, &content).unwrap();
    }
    let (_, replay) = world.reopen().unwrap();
    assert!(replay.closed_cleanly);
    assert!(
        !world.reopen().unwrap().1.closed_cleanly,
        "the mark goes with the first opening"
    );
}

#[test]
fn a_mark_that_cannot_be_read_is_refused_and_one_good_copy_is_enough() {
    let mut world = World::new(3);
    world.run(10);
    world.finish();
    world.journal.close(&world.disk).unwrap();
    world.disk.flip_bit("closed-0", 4097, 1).unwrap();
    let expected = Expected::default();
    assert!(
        recover(&world.disk, &IDENTITY, expected, &mut |_, _, _| {})
            .unwrap()
            .closed_cleanly
    );
    world.disk.flip_bit("closed-1", 20, 1).unwrap();
    let error = world.reopen().err().unwrap().to_string();
    assert!(error.starts_with("closed-1 is damaged at byte"), "{error}");
}

#[test]
fn retired_files_come_back_as_journal_files_and_their_old_writes_do_not() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        for round in 0..6 {
            world.run(20);
            world.finish();
            let full = world.journal.full_files();
            let Some(through) = full.last().copied() else {
                continue;
            };
            let expected = world.journal.expected_after(through);
            let retired = world.journal.retire(through);
            let spare_files = world.journal.spare_files();
            recycle(&world.disk, spare_files, &retired, OPTIONS.file_size, 3).unwrap();
            world.run(1);
            world.finish();
            let held = Model::read(&world.journal);
            world.disk.crash(seed * 10 + round);
            let opened = Journal::open(&world.disk, IDENTITY, OPTIONS, expected);
            let (journal, _) = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(Model::read(&journal), held, "seed {seed}");
            world.journal = journal;
            world.ends = vec![0];
        }
    }
}

#[test]
fn a_journal_shorter_than_its_checkpoint_says_is_refused() {
    let mut world = World::new(1);
    world.run(60);
    world.finish();
    let through = world.journal.full_files()[0];
    let mut expected = world.journal.expected_after(through);
    let retired = world.journal.retire(through);
    let spare_files = world.journal.spare_files();
    recycle(&world.disk, spare_files, &retired, OPTIONS.file_size, 1).unwrap();
    let open = |expected| Journal::open(&world.disk, IDENTITY, OPTIONS, expected).map(|_| ());
    open(expected).unwrap();
    expected.written_through += 1;
    assert!(open(expected)
        .unwrap_err()
        .to_string()
        .contains("the journal reached write"));
    expected.written_through -= 1;
    expected.first_write -= 1;
    assert!(open(expected)
        .unwrap_err()
        .to_string()
        .contains("follows at byte"));
}

#[test]
fn spares_are_filled_step_by_step_and_used() {
    let mut world = World::new(5);
    let mut filling = SpareFilling::new(Arc::default(), OPTIONS.file_size, 2);
    while filling.step(&world.disk, 0).unwrap() != NextFill::Enough {}
    assert_eq!(world.disk.list().unwrap().len(), 3);
    world.disk.crash(1);
    let (journal, _) = world.reopen().unwrap();
    world.journal = journal;
    world.run(30);
    world.finish();
    let (journal, _) = world.reopen().unwrap();
    assert!(world.explained(&journal, world.journal.synced()).is_some());
}

#[test]
fn no_spare_is_filled_while_a_full_file_is_to_become_one_unless_there_is_none_meanwhile() {
    let world = World::new(5);
    let fill = |coming: usize| {
        let mut filling = SpareFilling::new(Arc::default(), OPTIONS.file_size, 2);
        while filling.step(&world.disk, coming).unwrap() != NextFill::Enough {}
        let names = world.disk.list().unwrap();
        names
            .iter()
            .filter(|name| name.starts_with("spare-"))
            .count()
    };
    assert_eq!([fill(2), fill(1), fill(0)], [1, 1, 2]);
}

#[test]
fn a_spare_is_filled_at_leisure_only_while_there_is_another() {
    let world = World::new(5);
    let mut filling = SpareFilling::new(Arc::default(), OPTIONS.file_size, 2);
    let mut steps = Vec::new();
    while steps.last() != Some(&NextFill::Enough) {
        steps.push(filling.step(&world.disk, 0).unwrap());
    }
    // The first file: begun, filled, named; then the second.
    let (now, later) = (NextFill::Now, NextFill::Later);
    assert_eq!(steps, [now, now, now, now, later, now, NextFill::Enough]);
}

#[test]
fn a_stranger_s_file_is_refused() {
    let world = World::new(1);
    let stranger = Identity {
        peer: 1,
        ..IDENTITY
    };
    let opened = Journal::open(&world.disk, stranger, OPTIONS, Expected::default());
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("names another store or peer"), "{error}");
}

#[test]
fn a_write_larger_than_a_file_gets_a_larger_file() {
    let mut world = World::new(1);
    let data = Bytes::from(vec![7; 200 << 10]);
    let entry = LogEntry {
        index: 1,
        term: 1,
        kind: 0,
        data,
    };
    let record = GroupRecord {
        group: 9,
        hard_state: None,
        entries: vec![entry.clone()],
    };
    world.journal.submit(vec![record]);
    world.finish();
    assert_eq!(world.journal.synced(), 1);
    world.disk.crash(1);
    let (journal, _) = world.reopen().unwrap();
    assert_eq!(journal.locate(9, 1).unwrap().read().unwrap(), entry);
}
