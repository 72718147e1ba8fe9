//! Law: while files are taken, given back and filled on two threads, each journal file is the one that was taken.

use std::sync::mpsc;

use super::*;
use crate::group_record::{GroupRecord, HardState};
use crate::sim_disk::SimDisk;
use crate::store::{Store, StoreOptions};

const IDENTITY: Identity = Identity {
    store: *b"a store of tests",
    peer: 4711,
};
const FILE_SIZE: u64 = 16 << 10;
const FILE_COUNT: u64 = 3000;

/// Gives files back and fills new ones, until no more come.
fn give_back(disk: &dyn Disk, spare_files: &Arc<SpareFiles>, full: mpsc::Receiver<u64>) {
    loop {
        let mut filling = SpareFilling::new(spare_files.clone(), FILE_SIZE, 1);
        while filling.step(disk, 0).unwrap() != NextFill::Enough {}
        match full.try_recv() {
            Ok(number) => recycle(disk, spare_files, &[number], FILE_SIZE, 2).unwrap(),
            Err(mpsc::TryRecvError::Empty) => {}
            Err(mpsc::TryRecvError::Disconnected) => return,
        }
    }
}

#[test]
fn a_file_that_is_taken_is_nobody_else_s_whatever_the_other_thread_does() {
    let disk = SimDisk::new(1 << 30);
    let spare_files: Arc<SpareFiles> = Arc::default();
    let (full, given) = mpsc::channel();
    std::thread::scope(|scope| {
        let (disk, spare_files) = (&disk, &spare_files);
        scope.spawn(move || give_back(disk, spare_files, given));
        let full = full; // hung up at the end, however it comes
        for number in 1..=FILE_COUNT {
            // Some are larger, and shorter again as spares.
            let needed = [1 << 10, 3 * FILE_SIZE][usize::from(number % 5 == 0)];
            let taken = claim(disk, spare_files, &IDENTITY, number, needed, FILE_SIZE).unwrap();
            let last = taken.capacity - 8;
            taken.file.write_at(last, &number.to_le_bytes()).unwrap();
            let name = journal_name(number);
            let named = disk.open(&name).unwrap();
            file_header::check(&*named, &name, FileKind::Journal, number, &IDENTITY).unwrap();
            assert_eq!(named.read_range(last, 8).unwrap(), number.to_le_bytes());
            full.send(number).unwrap();
        }
    });
}

fn write_something(store: &Store) {
    let record = GroupRecord {
        group: 0,
        hard_state: Some(HardState::default()),
        entries: Vec::new(),
    };
    store.journal().submit(vec![record]);
    store.journal().carry_out();
}

#[test]
fn spares_are_filled_without_a_pause_while_nothing_is_written() {
    let disk = SimDisk::new(1 << 30);
    let mut options = StoreOptions::of_file_size(4 << 20);
    options.journal.spare_count = 3;
    let (store, _, _) = Store::open(Arc::new(disk.clone()), IDENTITY, options).unwrap();
    let mut pauses = 0;
    while spares(&disk).unwrap().len() < 2 {
        write_something(&store);
        pauses += usize::from(!store.step().unwrap());
    }
    assert!(pauses >= 3, "{pauses} for a second spare of four steps");
    while store.step().unwrap() {}
    assert_eq!(spares(&disk).unwrap().len(), 3);
}
