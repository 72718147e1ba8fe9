//! The power goes at every call to the disk, and the store starts again.

use super::*;
use crate::frozen::FrozenGroup;
use crate::group_record::{GroupRecord, HardState, LogEntry};
use crate::raft_group::RaftGroup;
use crate::raft_log::entry_kind;
use crate::raft_options::GroupOptions;
use crate::raft_ready::{ReceivedSnapshot, Status};
use crate::shard::replay;
use crate::shard_state::{Changes, FrozenShard};

/// What the target held of the group before the snapshot came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A checkpoint and a log that ends before the snapshot.
    Behind,
    /// The same, then entries of a leader that lost, also beyond the snapshot.
    Diverged,
    /// A log that holds all the snapshot says, and more: Raft will not want it.
    Ahead,
}

const EACH: [Before; 4] = [
    Before::Nothing,
    Before::Behind,
    Before::Diverged,
    Before::Ahead,
];
/// Entries that a log holds after the snapshot.
const MORE: u64 = 3;

struct Case {
    stream: Vec<u8>,
    state: ShardState,
    old: ShardState,
    disk: SimDisk,
    /// Where the log ends, if the power goes before the snapshot is in place, and after.
    last: (u64, u64),
}

fn hard_state(term: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote: 12,
        commit,
    }
}

fn empty(index: u64, term: u64) -> LogEntry {
    LogEntry {
        index,
        term,
        kind: entry_kind::NORMAL,
        data: Bytes::new(),
    }
}

/// Durable, unless the power went.
fn write(store: &Store, term: u64, commit: u64, entries: Vec<LogEntry>) -> bool {
    let record = GroupRecord {
        group: GROUP,
        hard_state: Some(hard_state(term, commit)),
        entries,
    };
    let submission = store.journal().submit(vec![record]);
    store.journal().carry_out();
    store.journal().synced() >= submission
}

fn case(before: Before, seed: u64) -> Case {
    let mut world = World::new(3 * seed, 1 << 30);
    world.term = 3;
    live(&mut world, 25, false);
    let shared = world.shards[GROUP as usize].state.applied_index;
    world.term = 5;
    live(&mut world, 25, false);
    let stream = read_all(&mut export(&world));
    let state = world.shards[GROUP as usize].state.clone();
    let index = state.applied_index;
    let disk = SimDisk::new(1 << 30);
    let (store, _) = open(&disk);
    let entries = world.store.journal().read_entries(GROUP, 1, usize::MAX);
    let mut entries = entries.unwrap();
    if before == Before::Nothing {
        return Case {
            stream,
            state,
            old: ShardState::default(),
            disk: disk.copy(),
            last: (0, index),
        };
    }
    let mut old = ShardState::default();
    let checkpointed = &entries[..shared as usize / 2];
    for entry in checkpointed {
        replay(&mut old, &mut Changes::default(), &mut Vec::new(), entry).unwrap();
    }
    let ends = match before {
        Before::Ahead => index,
        _ => shared,
    };
    entries.truncate(ends as usize);
    let mut end = ends;
    if before == Before::Ahead {
        entries.extend((1..=MORE).map(|more| empty(index + more, 5)));
        end = index + MORE;
    }
    for part in entries.chunks(5) {
        let last = part.last().unwrap();
        assert!(write(&store, last.term, last.index, part.to_vec()));
    }
    if before == Before::Diverged {
        end = index + 2 * MORE;
        let lost = (ends + 1..=end).map(|index| empty(index, 4)).collect();
        assert!(write(&store, 4, ends, lost));
    }
    let frozen = FrozenGroup {
        conf: conf().encode().into(),
        shard: FrozenShard {
            group: GROUP,
            state: old.clone(),
            changes: Changes {
                queues: old.queues.keys().copied().collect(),
                ..Changes::default()
            },
        },
    };
    assert!(store.begin_cycle(vec![frozen], true));
    while store.is_cycling() {
        store.step().unwrap();
    }
    let after = if before == Before::Ahead { end } else { index };
    Case {
        stream,
        state,
        old,
        disk: disk.copy(),
        last: (end, after),
    }
}

/// What Raft makes of the group.
fn boot(store: &Store, recovered: &RecoveredGroup) -> Status {
    let Position { index, term } = Position {
        index: recovered.state.applied_index,
        term: recovered.state.applied_term,
    };
    let entries = store.journal().read_entries(GROUP, index + 1, usize::MAX);
    let mut options = GroupOptions {
        applied: Position { index, term },
        hard_state: recovered.hard_state,
        entries: entries.unwrap(),
        ..GroupOptions::new(TARGET.peer, GROUP, &[], 1)
    };
    if !recovered.conf.is_empty() {
        options.conf = Conf::decode(&recovered.conf).unwrap();
    }
    RaftGroup::new(options).unwrap().status()
}

/// Takes the snapshot in and goes on until the power goes: (is it in place, how far the log was synced).
fn live_through(case: &Case, disk: &SimDisk) -> (bool, u64) {
    let index = case.state.applied_index;
    let Ok((store, _, _)) = Store::open(Arc::new(disk.clone()), TARGET, options()) else {
        return (false, 0);
    };
    let store = Arc::new(store);
    if take_in(&store, &case.stream).is_err() {
        return (false, 0);
    }
    check_messages(&store, GROUP, &case.state);
    let mark = ReceivedSnapshot::mark(Position { index, term: 5 }, &conf());
    if case.last.1 > index {
        // Raft finds it in its log.
        return (true, case.last.1);
    }
    if !write(&store, 6, index, vec![mark]) {
        return (true, index);
    }
    for more in 1..=MORE {
        let entries = vec![empty(index + more, 6)];
        if !write(&store, 6, index, entries) {
            return (true, index + more - 1);
        }
    }
    (true, index + MORE)
}

fn check_new(case: &Case, store: &Store, recovered: &RecoveredGroup, synced: u64) -> u64 {
    assert_eq!(recovered.state.hash(), case.state.hash());
    assert_eq!(recovered.conf, conf().encode());
    check_messages(store, GROUP, &recovered.state);
    let status = boot(store, recovered);
    assert_eq!(status.applied, case.state.applied_index);
    assert!(status.term >= 5);
    let last = status.last_index;
    assert!(last >= synced, "{last} of {synced} synced");
    let longest = case.last.1.max(case.state.applied_index + MORE);
    assert!((case.last.1..=longest).contains(&last), "{last}");
    last
}

#[test]
fn whenever_the_power_goes_the_old_state_or_the_new_one_starts_and_goes_on() {
    let mut seen = [0; 3];
    for (before, seed) in EACH.into_iter().flat_map(|b| [(b, 1), (b, 2)]) {
        let case = case(before, seed);
        let index = case.state.applied_index;
        for calls in 0.. {
            let disk = case.disk.copy();
            disk.cut_power_after(calls);
            let (in_place, synced) = live_through(&case, &disk);
            let uncut = disk.clone().sync_dir().is_ok();
            disk.crash(calls);
            let message = format!("{before:?} {seed}, {calls} calls");
            let (store, groups) = open(&disk);
            let recovered = groups.get(&GROUP).cloned().unwrap_or_default();
            if !in_place && recovered.state.hash() == case.old.hash() {
                seen[0] += 1;
                check_messages(&store, GROUP, &recovered.state);
                assert_eq!(
                    boot(&store, &recovered).last_index,
                    case.last.0,
                    "{message}"
                );
                let again = take_in(&store, &case.stream);
                assert_eq!(again.unwrap().hash(), case.state.hash(), "{message}");
            } else {
                let last = check_new(&case, &store, &recovered, synced);
                seen[1 + usize::from(last > case.last.1)] += 1;
                // The log goes on, and what is synced of it stays.
                let term = if case.last.1 > index { 5 } else { 7 };
                assert!(write(&store, term, index, vec![empty(last + 1, term)]));
                drop(store);
                disk.crash(calls + 1);
                let (store, groups) = open(&disk);
                let again = check_new_after(&case, &store, &groups[&GROUP]);
                assert_eq!(again, last + 1, "{message}");
            }
            if uncut {
                break;
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

fn check_new_after(case: &Case, store: &Store, recovered: &RecoveredGroup) -> u64 {
    assert_eq!(recovered.state.hash(), case.state.hash());
    check_messages(store, GROUP, &recovered.state);
    boot(store, recovered).last_index
}

/// Nobody told Raft of the snapshot: its old log goes on, and what came before it is not wanted back.
#[test]
fn a_log_that_comes_to_the_snapshot_by_itself_is_kept() {
    let case = case(Before::Behind, 1);
    let index = case.state.applied_index;
    let (store, _) = open(&case.disk);
    take_in(&store, &case.stream).unwrap();
    let rest = (case.last.0 + 1..=index + MORE).map(|index| empty(index, 5));
    assert!(write(&store, 5, index, rest.collect()));
    drop(store);
    let (store, groups) = open(&case.disk.copy());
    assert_eq!(groups[&GROUP].state.hash(), case.state.hash());
    assert_eq!(boot(&store, &groups[&GROUP]).last_index, index + MORE);
    check_messages(&store, GROUP, &case.state);
}

/// A cycle that was under way begins anew, and none begins that would go back behind the snapshot.
#[test]
fn no_cycle_takes_the_snapshot_back() {
    for steps in 0..40 {
        let case = case(Before::Behind, 1);
        let (store, groups) = open(&case.disk);
        let frozen = |state: &ShardState| FrozenGroup {
            conf: conf().encode().into(),
            shard: FrozenShard {
                group: GROUP,
                state: state.clone(),
                changes: Changes::default(),
            },
        };
        let old = &groups[&GROUP].state;
        assert!(store.begin_cycle(vec![frozen(old)], true));
        for _ in 0..steps {
            store.step().unwrap();
        }
        store.take_finished_cycle();
        take_in(&store, &case.stream).unwrap();
        assert!(!store.begin_cycle(vec![frozen(old)], true));
        assert!(store.begin_cycle(vec![frozen(&case.state)], true));
        while store.is_cycling() {
            store.step().unwrap();
        }
        assert_eq!(store.take_finished_cycle().unwrap().checkpointed.len(), 1);
        check_messages(&store, GROUP, &case.state);
        drop(store);
        let (store, groups) = open(&case.disk.copy());
        assert_eq!(groups[&GROUP].state.hash(), case.state.hash());
        check_messages(&store, GROUP, &case.state);
    }
}

#[test]
fn what_the_snapshot_replaced_is_collected() {
    let mut world = World::new(5, 1 << 30);
    live(&mut world, 300, true);
    world.cycle();
    let mut newer = World::new(5, 1 << 30);
    live(&mut newer, 600, true);
    let stream = read_all(&mut export(&newer));
    let before: Vec<u64> = world
        .store
        .inside()
        .segments
        .iter()
        .map(|s| s.number)
        .collect();
    assert!(before.len() > 2);
    // Nothing of the other group is wanted: only what was replaced holds the old segments.
    for queue in 1..=QUEUES {
        let range = SequenceRange {
            queue,
            first: 0,
            last: u64::MAX - 1,
            outcome: 0,
        };
        let wave = Wave {
            settled: vec![range],
            ..Wave::default()
        };
        world.submit(0, wave);
    }
    world.write();
    let state = take_in(&world.store, &stream).unwrap();
    world.shards[GROUP as usize].state = state;
    world.cycle();
    let store = &world.store;
    for number in before {
        assert!(store.inside().segments.get(number).is_none(), "{number}");
    }
    check_messages(store, GROUP, &world.shards[GROUP as usize].state);
}

#[test]
fn what_an_import_left_goes_at_the_next_cycle_or_start() {
    let world = source(2, 400);
    let stream = read_all(&mut export(&world));
    let half = &stream[..stream.len() * 9 / 10];
    let disk = SimDisk::new(1 << 30);
    let (store, _) = open(&disk);
    let mut given_up = Import::begin(store.clone(), GROUP);
    given_up.receive(half).unwrap();
    let mut forgotten = Import::begin(store.clone(), GROUP);
    forgotten.receive(half).unwrap();
    let left = segments(&disk);
    assert!(left >= 2);
    given_up.abort();
    assert!(segments(&disk) < left);
    // It is being written: a cycle leaves it alone.
    assert!(store.begin_cycle(Vec::new(), true));
    while store.is_cycling() {
        store.step().unwrap();
    }
    store.take_finished_cycle();
    assert!(segments(&disk) > 0);
    drop(forgotten);
    assert!(store.begin_cycle(Vec::new(), true));
    while store.is_cycling() {
        store.step().unwrap();
    }
    assert_eq!(segments(&disk), 0);
    let mut cut = Import::begin(store.clone(), GROUP);
    cut.receive(half).unwrap();
    assert!(segments(&disk) > 0);
    let disk = disk.copy();
    open(&disk);
    assert_eq!(segments(&disk), 0);
}

/// A store whose group 1 is dropped, at any call that the power went before.
#[test]
fn a_dropped_group_is_gone_or_all_there_whenever_the_power_goes() {
    let case = case(Before::Diverged, 1);
    let mut seen = [0; 2];
    for calls in 0.. {
        let disk = case.disk.copy();
        let (store, _) = open(&disk);
        disk.cut_power_after(calls);
        let dropped = store.drop_group(GROUP).is_ok();
        let uncut = disk.clone().sync_dir().is_ok();
        drop(store);
        disk.crash(calls);
        let (store, groups) = open(&disk);
        let is_gone = !groups.contains_key(&GROUP);
        assert!(is_gone || !dropped);
        seen[usize::from(is_gone)] += 1;
        if is_gone {
            let mut recovered = store.recovered(GROUP).unwrap();
            let vote = recovered.hard_state.unwrap();
            assert_eq!((vote.term, vote.vote), (4, 12));
            assert_eq!(recovered.state.applied_index, 0);
            recovered.conf = Vec::new();
            let status = boot(&store, &recovered);
            assert_eq!((status.last_index, status.term), (0, 4));
        } else {
            assert_eq!(groups[&GROUP].state.hash(), case.old.hash());
            assert_eq!(boot(&store, &groups[&GROUP]).last_index, case.last.0);
        }
        // It may join again, by a snapshot.
        take_in(&store, &case.stream).unwrap();
        drop(store);
        disk.crash(calls);
        let (store, groups) = open(&disk);
        check_new(&case, &store, &groups[&GROUP], 0);
        if uncut {
            break;
        }
    }
    assert!(seen.iter().all(|count| *count > 2), "{seen:?}");
}

#[test]
fn what_a_dropped_group_had_is_collected_and_holds_no_journal_file() {
    let mut world = World::new(5, 1 << 30);
    live(&mut world, 300, true);
    world.cycle();
    let before: Vec<u64> = world
        .store
        .inside()
        .segments
        .iter()
        .map(|s| s.number)
        .collect();
    assert!(!before.is_empty());
    world.store.drop_group(GROUP).unwrap();
    // What was on its way comes all the same.
    world.publish(GROUP);
    world.write();
    world.shards.truncate(GROUP as usize);
    for _ in 0..400 {
        world.publish(0);
        world.settle(0);
        world.write();
        if world.store.cycle_wanted() {
            let frozen = world.freeze();
            world.store.begin_cycle(frozen, false);
        }
        while world.store.step().unwrap() {}
        world.store.take_finished_cycle();
    }
    assert!(world.store.sizes().0 < 4 * options().journal.file_size);
    let held = world.store.inside().segments.clone();
    assert!(held
        .iter()
        .all(|segment| segment.runs.iter().all(|run| run.group == 0)));
    world.check_messages();
}

/// A shard's group fell, and is restored while the store is open.
#[test]
fn a_group_that_starts_anew_in_an_open_store_starts_as_after_a_restart() {
    for before in EACH {
        let case = case(before, 2);
        let (store, _) = open(&case.disk);
        let old = store.recovered(GROUP).unwrap();
        assert_eq!(old.state.hash(), case.old.hash());
        assert_eq!(boot(&store, &old).last_index, case.last.0);
        take_in(&store, &case.stream).unwrap();
        let recovered = store.recovered(GROUP).unwrap();
        let last = check_new(&case, &store, &recovered, 0);
        let (index, ahead) = (case.state.applied_index, before == Before::Ahead);
        let term = if ahead { 5 } else { 7 };
        assert!(write(&store, term, index, vec![empty(last + 1, term)]));
        drop(store);
        let disk = case.disk.copy();
        let (store, groups) = open(&disk);
        assert_eq!(check_new_after(&case, &store, &groups[&GROUP]), last + 1);
    }
}
