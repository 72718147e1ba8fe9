//! The rounds ask while the store's thread is inside a step.

use std::sync::{Mutex, OnceLock, Weak};

use super::*;
use crate::disk::DiskFile;

/// A disk that asks its store, in the middle of what a step does there, whether a cycle may begin.
struct Asking {
    disk: SimDisk,
    store: OnceLock<Weak<Store>>,
    answers: Mutex<Vec<bool>>,
}

impl Asking {
    fn ask(&self) {
        if let Some(store) = self.store.get().and_then(Weak::upgrade) {
            let begun = store.begin_cycle(Vec::new(), true) || store.cycle_wanted();
            self.answers.lock().unwrap().push(begun);
        }
    }
}

impl Disk for Asking {
    fn list(&self) -> DiskResult<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.ask();
        self.disk.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.ask();
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        self.ask();
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> DiskResult<()> {
        self.ask();
        self.disk.sync_dir()
    }

    fn free_space(&self) -> DiskResult<u64> {
        self.disk.free_space()
    }

    fn lock(&self) -> DiskResult<()> {
        self.disk.lock()
    }

    fn unlock(&self) {
        self.disk.unlock();
    }
}

#[test]
fn no_cycle_begins_while_a_step_of_another_is_under_way() {
    let disk = Arc::new(Asking {
        disk: SimDisk::new(1 << 30),
        store: OnceLock::new(),
        answers: Mutex::default(),
    });
    let (store, _, _) = Store::open(disk.clone(), IDENTITY, options()).unwrap();
    let store = Arc::new(store);
    assert!(store.begin_cycle(Vec::new(), true));
    let _ = disk.store.set(Arc::downgrade(&store));
    while store.is_cycling() {
        store.step().unwrap();
    }
    let answers = std::mem::take(&mut *disk.answers.lock().unwrap());
    assert!(!answers.is_empty(), "no step touched the disk");
    assert!(answers.iter().all(|begun| !begun), "{answers:?}");
    assert!(store.take_finished_cycle().is_some());
}
