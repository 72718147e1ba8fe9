//! The thread keeps the journal's promise: a number reached is durable, failures are told.

use bytes::Bytes;

use super::*;
use crate::file_header::Identity;
use crate::journal::JournalOptions;
use crate::journal_recovery::Expected;
use crate::sim_disk::SimDisk;

const IDENTITY: Identity = Identity {
    store: [7; 16],
    peer: 1,
};
const OPTIONS: JournalOptions = JournalOptions {
    file_size: 1 << 20,
    write_size_max: 64 << 10,
    spare_count: 1,
};

fn journal(disk: &SimDisk) -> Arc<JournalHandle> {
    let journal = Journal::create(disk, IDENTITY, OPTIONS).unwrap();
    Arc::new(JournalHandle::new(Arc::new(disk.clone()), journal).unwrap())
}

fn record(index: u64) -> GroupRecord {
    let entry = LogEntry {
        index,
        term: 1,
        kind: 0,
        data: Bytes::from(index.to_le_bytes().to_vec()),
    };
    GroupRecord {
        group: 1,
        hard_state: None,
        entries: vec![entry],
    }
}

/// Waits by the eventfd, as the engine does.
fn wait(handle: &JournalHandle, until: impl Fn() -> bool) {
    while !until() {
        let mut poll = [rustix::event::PollFd::new(
            &handle.event,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut poll, None).unwrap();
        handle.clear_event();
    }
}

#[test]
fn what_the_thread_calls_synced_survives_a_crash() {
    let disk = SimDisk::new(1 << 30);
    let handle = journal(&disk);
    handle.start_driver().unwrap();
    for index in 1..=500 {
        let submission = handle.submit(vec![record(index)]);
        if index % 7 == 0 {
            wait(&handle, || handle.synced() >= submission);
        }
    }
    wait(&handle, || handle.synced() == 500);
    disk.crash(3);
    let (journal, _) = Journal::open(&disk, IDENTITY, OPTIONS, Expected::default()).unwrap();
    assert_eq!(journal.index().group(1).unwrap().last_index(), 500);
    handle.stop_driver();
}

#[test]
fn stopping_writes_what_is_waiting_and_closing_leaves_the_mark() {
    let disk = SimDisk::new(1 << 30);
    let handle = journal(&disk);
    handle.submit((1..=100).map(record).collect());
    handle.start_driver().unwrap();
    handle.stop_driver();
    assert_eq!(handle.synced(), 1);
    assert!(handle.close().unwrap());
    let (journal, replay) = Journal::open(&disk, IDENTITY, OPTIONS, Expected::default()).unwrap();
    assert!(replay.closed_cleanly);
    let handle = JournalHandle::new(Arc::new(disk), journal).unwrap();
    let read = handle.read_entries(1, 40, 8 * 10).unwrap();
    let indexes: Vec<u64> = read.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (40..50).collect::<Vec<_>>());
    assert_eq!(handle.read_entry(1, 101).unwrap(), None);
}

#[test]
fn a_failed_sync_is_told_and_nothing_is_confirmed_after_it() {
    let disk = SimDisk::new(1 << 30);
    let handle = journal(&disk);
    handle.start_driver().unwrap();
    let first = handle.submit(vec![record(1)]);
    wait(&handle, || handle.synced() >= first);
    disk.fail_sync_once("journal-0000000000000001");
    handle.submit(vec![record(2)]);
    wait(&handle, || handle.state() != JournalState::Open);
    handle.submit(vec![record(3)]);
    handle.stop_driver();
    assert_eq!(handle.synced(), first);
    assert!(!handle.close().unwrap());
}

#[test]
fn a_full_disk_is_told_and_heals_by_itself() {
    let disk = SimDisk::new(1 << 30);
    let handle = journal(&disk);
    disk.set_capacity(0);
    let filler = |index| GroupRecord {
        group: 1,
        hard_state: None,
        entries: vec![LogEntry {
            index,
            term: 1,
            kind: 0,
            data: vec![1; 60_000].into(),
        }],
    };
    let last = handle.submit((1..=20).map(filler).collect());
    handle.start_driver().unwrap();
    wait(&handle, || handle.state() == JournalState::NoSpace);
    assert!(handle.synced() < last);
    disk.set_capacity(1 << 30);
    wait(&handle, || handle.synced() == last);
    assert_eq!(handle.state(), JournalState::Open);
    handle.stop_driver();
}

#[test]
fn a_drawn_completion_makes_durable_what_was_begun() {
    let disk = SimDisk::new(1 << 30);
    let handle = journal(&disk);
    assert!(!handle.begin_write());
    handle.submit(vec![record(1)]);
    assert!(handle.begin_write());
    handle.submit(vec![record(2)]);
    assert_eq!(handle.synced(), 0);
    handle.end_write();
    assert_eq!(handle.synced(), 1);
    handle.begin_write();
    handle.end_write();
    assert_eq!(handle.synced(), 2);
}
