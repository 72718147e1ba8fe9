//! Room on the disk: some is kept back, so that what frees room never lacks it.
//!
//! The reserve is a file that takes its room and holds nothing. When the disk is full it is given up,
//! sealing and checkpoints go on with it, and publishers wait until it could be made again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::{Disk, DiskFault, DiskResult};

const RESERVE: &str = "reserve";

pub struct Space {
    reserve_size: u64,
    free_space_min: u64,
    held: AtomicBool,
    low: AtomicBool,
    /// Bytes free when last looked, and when something last found no room (0: since then it grew).
    free: AtomicU64,
    found_none_at: AtomicU64,
}

impl Space {
    pub fn new(reserve_size: u64, free_space_min: u64) -> Self {
        Self {
            reserve_size,
            free_space_min,
            held: AtomicBool::new(false),
            low: AtomicBool::new(false),
            free: AtomicU64::new(0),
            found_none_at: AtomicU64::new(0),
        }
    }

    /// Whether there is more room than when something last found none.
    pub fn has_grown(&self) -> bool {
        let found_none_at = self.found_none_at.load(Ordering::Relaxed);
        found_none_at == 0
            || self.free.load(Ordering::Relaxed) > found_none_at + self.reserve_size / 4
    }

    /// Publishers must wait.
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Looks how much is free, and makes the reserve if there is room for it.
    pub fn check(&self, disk: &dyn Disk) -> DiskResult<()> {
        let mut free = disk.free_space()?;
        if !self.held.load(Ordering::Relaxed) {
            let held = self.make(disk, free)?;
            self.held.store(held, Ordering::Relaxed);
            free = disk.free_space()?;
        }
        let low = !self.held.load(Ordering::Relaxed) || free < self.free_space_min;
        self.low.store(low, Ordering::Relaxed);
        self.free.store(free, Ordering::Relaxed);
        if self.has_grown() {
            self.found_none_at.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// True: the reserve is there.
    fn make(&self, disk: &dyn Disk, free: u64) -> DiskResult<bool> {
        let file = match disk.open(RESERVE) {
            Err(error) if error.fault == DiskFault::NotFound => {
                if free < self.reserve_size + self.free_space_min {
                    return Ok(false);
                }
                disk.create(RESERVE)?
            }
            opened => opened?,
        };
        let made = file
            .preallocate(self.reserve_size)
            .and_then(|()| file.sync());
        match made {
            Ok(()) => disk.sync_dir().map(|()| true),
            Err(error) if error.is_no_space() => {
                disk.remove(RESERVE)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The disk is full: the reserve is given up for what frees room.
    pub fn release(&self, disk: &dyn Disk) -> DiskResult<()> {
        // With the reserve there is more room than now; without one somebody else has to make it.
        let free = disk.free_space()?;
        self.found_none_at.store(free.max(1), Ordering::Relaxed);
        self.low.store(true, Ordering::Relaxed);
        self.held.store(false, Ordering::Relaxed);
        match disk.remove(RESERVE) {
            Ok(()) => disk.sync_dir(),
            Err(error) if error.fault == DiskFault::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
