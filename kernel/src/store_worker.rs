//! The store's thread in the product: it takes the steps of what is due in the background.
//!
//! A simulation takes the same steps itself, when it likes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::journal_driver::PoisonOnPanic;
use crate::store::Store;

/// How often an idle store looks whether the journal rolled and how full the disk is.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Inside {
    stopping: bool,
    thread: Option<JoinHandle<()>>,
}

/// What the thread shares with who starts and stops it.
#[derive(Default)]
pub struct Worker {
    inside: Mutex<Inside>,
    wake: Condvar,
}

impl Worker {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the thread out of its pause.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Store {
    pub fn start_worker(self: &Arc<Self>) -> std::io::Result<()> {
        let store = self.clone();
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || {
            let guard = PoisonOnPanic(store.journal());
            store.keep_stepping();
            std::mem::forget(guard);
        })?;
        self.worker.inside().thread = Some(thread);
        Ok(())
    }

    /// Ends the thread; a cycle that is under way is left as it is and does not count.
    pub fn stop_worker(&self) {
        let mut inside = self.worker.inside();
        inside.stopping = true;
        let thread = inside.thread.take();
        drop(inside);
        self.worker.wake();
        if let Some(thread) = thread {
            // A panic was said by the hook.
            let _ = thread.join();
        }
    }

    fn keep_stepping(&self) {
        while !self.worker.inside().stopping {
            // A failure poisoned the journal and is told there.
            if self.step().unwrap_or(false) {
                continue;
            }
            let inside = self.worker.inside();
            if !inside.stopping {
                drop(self.worker.wake.wait_timeout(inside, LOOK_INTERVAL));
            }
        }
    }
}
