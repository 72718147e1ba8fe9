//! Who carries out the journal's writes: a thread in the product, the simulator in a simulation.
//!
//! While one sync runs the next write gathers, so that a write takes all that was submitted in the
//! meantime and no timer is needed. Completion is a number that only grows and an eventfd for who
//! waits in epoll. Before the thread parks it spins a little, as long as that has paid lately: the
//! two hand-offs between threads cost about as much as a sync (`hot-path.md` section 4).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{eventfd, EventfdFlags};

use crate::damage::{StoreError, StoreResult};
use crate::disk::{Disk, DiskError, DiskFault, DiskResult};
use crate::group_record::{GroupRecord, LogEntry};
use crate::histogram::Histogram;
use crate::journal::{Journal, JournalState, PlannedWrite};
use crate::journal_index::Location;

/// A submission that follows a completion at once comes within this, if it comes (the engine's
/// round for one message takes 20 to 30 us).
const SPIN_TIME: Duration = Duration::from_micros(40);
/// After this many spins in vain only every `SPIN_PROBE_EVERY`th parking is preceded by one.
const SPIN_MISSES_MAX: u32 = 8;
const SPIN_PROBE_EVERY: u32 = 16;
/// How often a write that found no room is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

struct Inside {
    journal: Journal,
    parked: bool,
    stopping: bool,
    /// Drawn completions: written, not yet synced.
    begun: Option<PlannedWrite>,
    /// Microseconds of each write and its sync that the driver carried out.
    sync_times: Histogram,
}

/// The journal as everybody shares it.
pub struct JournalHandle {
    disk: Arc<dyn Disk>,
    inside: Mutex<Inside>,
    wake: Condvar,
    submitted: AtomicU64,
    synced: AtomicU64,
    /// Counts up with each completion and each failure.
    event: OwnedFd,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl JournalHandle {
    pub fn new(disk: Arc<dyn Disk>, journal: Journal) -> DiskResult<Self> {
        let event =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|errno| {
                let fault = DiskFault::Errno(errno.raw_os_error());
                DiskError::new(fault, "make an eventfd for", "the journal")
            })?;
        Ok(Self {
            disk,
            submitted: AtomicU64::new(journal.submitted()),
            synced: AtomicU64::new(journal.synced()),
            inside: Mutex::new(Inside {
                journal,
                parked: false,
                stopping: false,
                begun: None,
                sync_times: Histogram::new(),
            }),
            wake: Condvar::new(),
            event,
            driver: Mutex::new(None),
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the journal or changes it; short, since a round may be waiting to submit.
    pub fn with<T>(&self, look: impl FnOnce(&mut Journal) -> T) -> T {
        look(&mut self.inside().journal)
    }

    /// Gives what one round wants kept; it is durable once `synced()` has reached the number
    /// returned.
    pub fn submit(&self, records: Vec<GroupRecord>) -> u64 {
        let mut inside = self.inside();
        let submission = inside.journal.submit(records);
        self.hand_over(inside);
        submission
    }

    /// Tells the driver that there is something to write.
    fn hand_over(&self, mut inside: MutexGuard<'_, Inside>) {
        self.submitted
            .store(inside.journal.submitted(), Ordering::Release);
        let parked = std::mem::take(&mut inside.parked);
        drop(inside);
        if parked {
            self.wake.notify_one();
        }
    }

    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Submissions the driver knows of.
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Acquire)
    }

    /// Microseconds of each write and its sync so far.
    pub fn sync_times(&self) -> Histogram {
        self.inside().sync_times.clone()
    }

    pub fn state(&self) -> JournalState {
        self.inside().journal.state().clone()
    }

    /// Readable after a completion or a failure, until `clear_event`.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub fn clear_event(&self) {
        // Not readable is what is wanted: EAGAIN is no trouble.
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }

    /// Makes the eventfd readable.
    pub fn signal(&self) {
        // The counter can't be full: it would take 2^64 completions nobody looked at.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    pub fn location(&self, group: u32, index: u64) -> Option<Location> {
        self.inside()
            .journal
            .locate(group, index)
            .map(|located| located.location)
    }

    /// The entry, or None if the journal does not hold it, or no more.
    pub fn read_entry(&self, group: u32, index: u64) -> StoreResult<Option<LogEntry>> {
        loop {
            let Some(located) = self.inside().journal.locate(group, index) else {
                return Ok(None);
            };
            match located.read() {
                Ok(entry) => return Ok(Some(entry)),
                // Its file may have been retired and written anew under the read.
                Err(StoreError::Damage(damage)) => {
                    if self.location(group, index) == Some(located.location) {
                        return Err(damage.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Entries from `first` on, in a row, until `size_max` bytes or the end; at least one if it is
    /// there.
    pub fn read_entries(
        &self,
        group: u32,
        first: u64,
        size_max: usize,
    ) -> StoreResult<Vec<LogEntry>> {
        let mut entries = Vec::new();
        let mut size = 0;
        while let Some(entry) = self.read_entry(group, first + entries.len() as u64)? {
            size += entry.data.len();
            if !entries.is_empty() && size > size_max {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn finish(&self, inside: &mut Inside, planned: PlannedWrite, result: DiskResult<()>) {
        let done = inside.journal.finish_write(planned, result);
        let synced = inside.journal.synced();
        self.synced.store(synced, Ordering::Release);
        self.signal();
        // Megabytes are given back by who waits for nothing.
        drop(done);
    }
}

/// Drawn completions.
impl JournalHandle {
    /// Writes what is waiting but does not sync it; false if there is nothing to do.
    pub fn begin_write(&self) -> bool {
        let mut inside = self.inside();
        if inside.begun.is_some() {
            return true;
        }
        let Some(mut planned) = inside.journal.start_write() else {
            return false;
        };
        match planned.write(&*self.disk) {
            Ok(()) => inside.begun = Some(planned),
            Err(error) => self.finish(&mut inside, planned, Err(error)),
        }
        true
    }

    /// Syncs the write that was begun.
    pub fn end_write(&self) {
        let mut inside = self.inside();
        if let Some(planned) = inside.begun.take() {
            let result = planned.sync();
            self.finish(&mut inside, planned, result);
        }
    }
}

impl JournalHandle {
    /// Writes and syncs all that is waiting, as long as it can; for who has no thread.
    pub fn carry_out(&self) {
        while self.state() == JournalState::Open && self.begin_write() {
            self.end_write();
        }
    }
}

/// The product's thread.
impl JournalHandle {
    pub fn start_driver(self: &Arc<Self>) -> std::io::Result<()> {
        let handle = self.clone();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let running = thread.spawn(move || {
            let guard = PoisonOnPanic(&handle);
            handle.drive();
            std::mem::forget(guard);
        })?;
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    /// Writes what is waiting and ends the thread. What finds no room stays unwritten.
    pub fn stop_driver(&self) {
        self.inside().stopping = true;
        self.wake.notify_one();
        let driver = self
            .driver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(driver) = driver {
            // A panic was said by the hook and poisoned the journal.
            let _ = driver.join();
        }
    }

    /// Leaves the mark of a clean close, if everything is synced. Call after `stop_driver`.
    pub fn close(&self) -> DiskResult<bool> {
        let inside = self.inside();
        let journal = &inside.journal;
        if journal.has_work() || journal.in_flight() || *journal.state() != JournalState::Open {
            return Ok(false);
        }
        journal.close(&*self.disk)?;
        Ok(true)
    }

    fn drive(&self) {
        let mut misses = 0;
        while let Some(mut planned) = self.next_write(&mut misses) {
            let begun = Instant::now();
            let result = planned.carry_out(&*self.disk);
            let took_us = begun.elapsed().as_micros() as u64;
            let mut inside = self.inside();
            inside.sync_times.record(took_us, 1);
            let done = inside.journal.finish_write(planned, result);
            let synced = inside.journal.synced();
            let no_space = *inside.journal.state() == JournalState::NoSpace;
            self.synced.store(synced, Ordering::Release);
            self.signal();
            if no_space {
                if inside.stopping {
                    return;
                }
                inside.parked = false;
                drop(self.wake.wait_timeout(inside, RETRY_INTERVAL));
            } else {
                drop(inside);
            }
            drop(done);
        }
    }

    /// Waits until there is something to write; None: the thread is to end.
    fn next_write(&self, misses: &mut u32) -> Option<PlannedWrite> {
        let mut inside = self.inside();
        if !inside.journal.has_work() {
            drop(inside);
            self.spin(misses);
            inside = self.inside();
        }
        loop {
            if let Some(planned) = inside.journal.start_write() {
                return Some(planned);
            }
            if inside.stopping || matches!(inside.journal.state(), JournalState::Poisoned(_)) {
                return None;
            }
            inside.parked = true;
            inside = self
                .wake
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn spin(&self, misses: &mut u32) {
        if *misses >= SPIN_MISSES_MAX && *misses % SPIN_PROBE_EVERY != 0 {
            *misses = misses.wrapping_add(1).max(SPIN_MISSES_MAX);
            return;
        }
        let seen = self.submitted();
        let start = Instant::now();
        while start.elapsed() < SPIN_TIME {
            for _ in 0..32 {
                if self.submitted() != seen {
                    *misses = 0;
                    return;
                }
                std::hint::spin_loop();
            }
        }
        *misses = misses.wrapping_add(1).max(1);
    }
}

/// When a thread that the journal depends on falls, the journal is poisoned: nobody may wait for
/// ever. To be forgotten when the thread ends well.
pub(crate) struct PoisonOnPanic<'a>(pub &'a JournalHandle);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        const EIO: i32 = 5;
        let fault = DiskFault::Errno(EIO);
        let error = DiskError::new(fault, "go on writing", "the journal: a thread panicked");
        self.0.inside().journal.poison(error);
        self.0.signal();
    }
}

#[cfg(test)]
mod tests;
