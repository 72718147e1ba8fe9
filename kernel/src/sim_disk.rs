//! A disk in memory that loses exactly what a real one may lose, drawn from a seed.
//!
//! A file is what is durable plus a page cache over it, in sectors of 512 bytes. `sync` makes a
//! file's dirty sectors and its size durable, `sync_dir` the names. A power cut keeps a random
//! subset of the dirty sectors, may tear one of them, and keeps some of the pending renames. A sync
//! that fails reports it once and leaves the sectors clean: they still read back, and no later sync
//! saves them (`raft-and-simulation.md`, F7 to F12).

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskError, DiskFault, DiskFile, DiskResult};

pub const SECTOR_SIZE: usize = 512;
const EIO: i32 = 5;
const ESTALE: i32 = 116;

type Sector = [u8; SECTOR_SIZE];

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Clone, Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `limit - 1`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit.max(1)
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Clone, Default)]
struct Inode {
    /// Sectors not there are zeros, here and in `cached`.
    durable: BTreeMap<u64, Sector>,
    durable_size: u64,
    /// What was written since the last power cut and is not in `durable`.
    cached: BTreeMap<u64, Sector>,
    size: u64,
    /// Cached sectors that the next sync makes durable.
    dirty: BTreeSet<u64>,
    /// Bytes that take room beyond `size`.
    preallocated: u64,
}

impl Inode {
    fn sector(&self, number: u64) -> Sector {
        let held = self.cached.get(&number).or(self.durable.get(&number));
        held.copied().unwrap_or([0; SECTOR_SIZE])
    }

    fn room(&self) -> u64 {
        self.size.max(self.preallocated)
    }

    fn write(&mut self, mut position: u64, mut data: &[u8]) {
        self.size = self.size.max(position + data.len() as u64);
        while !data.is_empty() {
            let number = position / SECTOR_SIZE as u64;
            let start = (position % SECTOR_SIZE as u64) as usize;
            let part = data.len().min(SECTOR_SIZE - start);
            let mut sector = self.sector(number);
            sector[start..start + part].copy_from_slice(&data[..part]);
            self.cached.insert(number, sector);
            self.dirty.insert(number);
            position += part as u64;
            data = &data[part..];
        }
    }

    fn read(&self, position: u64, buffer: &mut [u8]) -> usize {
        let end = self.size.min(position + buffer.len() as u64);
        let mut at = position;
        while at < end {
            let start = (at % SECTOR_SIZE as u64) as usize;
            let part = (SECTOR_SIZE - start).min((end - at) as usize);
            let sector = self.sector(at / SECTOR_SIZE as u64);
            let into = (at - position) as usize;
            buffer[into..into + part].copy_from_slice(&sector[start..start + part]);
            at += part as u64;
        }
        end.saturating_sub(position) as usize
    }

    /// Zeros over sectors that hold nothing cost nothing: a journal file is mostly these.
    fn zero(&mut self, position: u64, size: u64) {
        let end = position + size;
        let touched = position / SECTOR_SIZE as u64..end.div_ceil(SECTOR_SIZE as u64);
        let durable = self.durable.range(touched.clone()).map(|held| *held.0);
        let held: BTreeSet<u64> = self
            .cached
            .range(touched)
            .map(|held| *held.0)
            .chain(durable)
            .collect();
        for number in held {
            let from = position.max(number * SECTOR_SIZE as u64);
            let to = end.min((number + 1) * SECTOR_SIZE as u64);
            self.write(from, &[0; SECTOR_SIZE][..(to - from) as usize]);
        }
        self.size = self.size.max(end);
    }

    fn set_size(&mut self, size: u64) {
        if size < self.size {
            let cut = self.size;
            self.size = size;
            // What is cut off reads as zeros if the file grows again.
            let first = size / SECTOR_SIZE as u64;
            let mut kept = self.sector(first);
            kept[(size % SECTOR_SIZE as u64) as usize..].fill(0);
            for number in first..cut.div_ceil(SECTOR_SIZE as u64) {
                let sector = if number == first {
                    kept
                } else {
                    [0; SECTOR_SIZE]
                };
                self.cached.insert(number, sector);
                self.dirty.insert(number);
            }
        }
        self.size = size;
    }

    fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            if let Some(sector) = self.cached.remove(&number) {
                self.durable.insert(number, sector);
            }
        }
        self.durable_size = self.size;
    }

    /// Power is gone: some of what was not durable made it, in no order.
    fn crash(&mut self, random: &mut SplitMix) {
        let kept_one_in = 1 + random.below(4);
        let mut end = self.durable_size;
        let numbers: Vec<u64> = self.cached.keys().copied().collect();
        let torn = random.below(2 * numbers.len() as u64 + 1);
        for (place, number) in numbers.into_iter().enumerate() {
            let new = self.cached[&number];
            if place as u64 == torn {
                // The head reached the platter, the rest is what was there.
                let mut mixed = self
                    .durable
                    .get(&number)
                    .copied()
                    .unwrap_or([0; SECTOR_SIZE]);
                let head = random.below(SECTOR_SIZE as u64) as usize;
                mixed[..head].copy_from_slice(&new[..head]);
                self.durable.insert(number, mixed);
            } else if random.chance(kept_one_in) {
                self.durable.insert(number, new);
            } else {
                continue;
            }
            end = end.max(((number + 1) * SECTOR_SIZE as u64).min(self.size));
        }
        if self.size < self.durable_size && random.chance(2) {
            end = self.size;
        }
        // What lies beyond the end is not there if the file grows again.
        drop(self.durable.split_off(&end.div_ceil(SECTOR_SIZE as u64)));
        if let Some(last) = self.durable.get_mut(&(end / SECTOR_SIZE as u64)) {
            last[(end % SECTOR_SIZE as u64) as usize..].fill(0);
        }
        self.cached.clear();
        self.dirty.clear();
        self.durable_size = end;
        self.size = end;
    }
}

#[derive(Clone)]
enum NameChange {
    Link {
        name: String,
        inode: u64,
    },
    Rename {
        from: String,
        to: String,
        inode: u64,
    },
    Unlink {
        name: String,
    },
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
        }
    }
}

#[derive(Clone, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    durable_names: BTreeMap<String, u64>,
    names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    capacity: u64,
    locked: bool,
    /// Goes up at a power cut: handles from before are stale.
    generation: u64,
    /// Changing calls so far, and the one before which the power goes.
    calls: u64,
    power_cut_at: u64,
    sync_faults: BTreeSet<String>,
    read_faults: BTreeSet<String>,
    write_faults: BTreeSet<String>,
}

impl State {
    fn free(&self) -> u64 {
        let used: u64 = self.inodes.values().map(Inode::room).sum();
        self.capacity.saturating_sub(used)
    }

    fn name_of(&self, inode: u64) -> String {
        let held = self.names.iter().find(|(_, held)| **held == inode);
        held.map_or_else(|| "a removed file".to_owned(), |(name, _)| name.clone())
    }

    /// Counts a call that changes something; after the power cut every one fails.
    fn change(&mut self, operation: &'static str, name: &str) -> DiskResult<()> {
        if self.calls >= self.power_cut_at {
            return Err(DiskError::new(DiskFault::Errno(EIO), operation, name));
        }
        self.calls += 1;
        Ok(())
    }

    /// An unlinked file nobody can name takes no room; open handles don't keep it.
    fn forget_unnamed(&mut self) {
        let named: BTreeSet<u64> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied()
            .collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }
}

/// Shared by its clones and by the files opened from it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// `capacity`: bytes that fit.
    pub fn new(capacity: u64) -> Self {
        let state = State {
            capacity,
            power_cut_at: u64::MAX,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk that holds the same now, locked by nobody.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut state = self.state().clone();
        state.restart();
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Power loss and return. Same seed, same remains.
    pub fn crash(&self, seed: u64) {
        let mut random = SplitMix(seed);
        let mut state = self.state();
        let mut names = state.durable_names.clone();
        // Journaling file systems keep a prefix, others any of the changes.
        let ordered = random.chance(2);
        let kept = random.below(state.name_changes.len() as u64 + 1) as usize;
        for (place, change) in std::mem::take(&mut state.name_changes).iter().enumerate() {
            if if ordered {
                place < kept
            } else {
                random.chance(2)
            } {
                change.apply(&mut names);
            }
        }
        for inode in state.inodes.values_mut() {
            inode.crash(&mut random);
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        state.restart();
        state.forget_unnamed();
    }

    /// The process dies and the machine goes on: nothing written is lost, the lock is free.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// After `calls` more calls that change something, every such call fails until a crash or kill.
    pub fn cut_power_after(&self, calls: u64) {
        let mut state = self.state();
        state.power_cut_at = state.calls.saturating_add(calls);
    }

    /// Calls so far that changed something.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// The next sync of `name` fails with EIO, and what it should have saved is then clean.
    pub fn fail_sync_once(&self, name: &str) {
        self.state().sync_faults.insert(name.to_owned());
    }

    /// The next read of `name` fails with EIO.
    pub fn fail_read_once(&self, name: &str) {
        self.state().read_faults.insert(name.to_owned());
    }

    /// The next write to `name` fails with EIO after half of it.
    pub fn fail_write_once(&self, name: &str) {
        self.state().write_faults.insert(name.to_owned());
    }

    pub fn set_capacity(&self, capacity: u64) {
        self.state().capacity = capacity;
    }

    /// Inverts one bit of what is on the platter and in the cache.
    pub fn flip_bit(&self, name: &str, position: u64, bit: u8) -> DiskResult<()> {
        self.alter(name, position, |byte| byte ^ (1 << (bit % 8)))
    }

    /// Puts other bytes on the platter and in the cache: a misdirected write, a stale page.
    pub fn tamper(&self, name: &str, position: u64, data: &[u8]) -> DiskResult<()> {
        for (place, new) in data.iter().enumerate() {
            self.alter(name, position + place as u64, |_| *new)?;
        }
        Ok(())
    }

    fn alter(&self, name: &str, position: u64, new: impl Fn(u8) -> u8) -> DiskResult<()> {
        let mut state = self.state();
        let number = state.find(name, "alter")?;
        let inode = state.inode(number);
        let sector = position / SECTOR_SIZE as u64;
        let byte = (position % SECTOR_SIZE as u64) as usize;
        if let Some(cached) = inode.cached.get_mut(&sector) {
            cached[byte] = new(cached[byte]);
        }
        let durable = inode.durable.entry(sector).or_insert([0; SECTOR_SIZE]);
        durable[byte] = new(durable[byte]);
        Ok(())
    }

    fn file(&self, inode: u64, generation: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            inode,
            generation,
        })
    }
}

impl State {
    fn restart(&mut self) {
        self.generation += 1;
        self.locked = false;
        self.power_cut_at = u64::MAX;
        self.sync_faults.clear();
        self.read_faults.clear();
        self.write_faults.clear();
    }

    fn find(&self, name: &str, operation: &'static str) -> DiskResult<u64> {
        let inode = self.names.get(name).copied();
        inode.ok_or_else(|| DiskError::new(DiskFault::NotFound, operation, name))
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.entry(number).or_default()
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }
}

impl Disk for SimDisk {
    fn list(&self) -> DiskResult<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let state = self.state();
        let inode = state.find(name, "open")?;
        Ok(self.file(inode, state.generation))
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        assert!(!name.contains('/') && !name.is_empty(), "{name:?}");
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(DiskError::new(DiskFault::Exists, "create", name));
        }
        state.change("create", name)?;
        state.next_inode += 1;
        let inode = state.next_inode;
        state.inodes.insert(inode, Inode::default());
        let name = name.to_owned();
        state.change_name(NameChange::Link { name, inode });
        Ok(self.file(inode, state.generation))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let mut state = self.state();
        let inode = state.find(from, "rename")?;
        state.change("rename", from)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        state.change_name(NameChange::Rename { from, to, inode });
        Ok(())
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        let mut state = self.state();
        state.find(name, "remove")?;
        state.change("remove", name)?;
        let name = name.to_owned();
        state.change_name(NameChange::Unlink { name });
        Ok(())
    }

    fn sync_dir(&self) -> DiskResult<()> {
        let mut state = self.state();
        state.change("sync directory", ".")?;
        state.durable_names = state.names.clone();
        state.name_changes.clear();
        state.forget_unnamed();
        Ok(())
    }

    fn free_space(&self) -> DiskResult<u64> {
        Ok(self.state().free())
    }

    fn lock(&self) -> DiskResult<()> {
        let mut state = self.state();
        if state.locked {
            return Err(DiskError::new(DiskFault::Locked, "lock", "."));
        }
        state.locked = true;
        Ok(())
    }

    fn unlock(&self) {
        self.state().locked = false;
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    generation: u64,
}

impl SimFile {
    /// The state and the file's name, if the machine is still the one that opened it.
    fn state(&self, operation: &'static str) -> DiskResult<(MutexGuard<'_, State>, String)> {
        let state = self.disk.state();
        let name = state.name_of(self.inode);
        if state.generation != self.generation {
            return Err(DiskError::new(DiskFault::Errno(ESTALE), operation, &name));
        }
        Ok((state, name))
    }

    /// Writes as much of `data` as there is room for.
    fn write(&self, position: u64, data: &[u8]) -> DiskResult<()> {
        let (mut state, name) = self.state("write")?;
        state.change("write", &name)?;
        let room = state.inode(self.inode).room() + state.free();
        let fits = data.len().min(room.saturating_sub(position) as usize);
        if state.write_faults.remove(&name) {
            state.inode(self.inode).write(position, &data[..fits / 2]);
            return Err(DiskError::new(DiskFault::Errno(EIO), "write", &name));
        }
        state.inode(self.inode).write(position, &data[..fits]);
        if fits < data.len() {
            return Err(DiskError::new(DiskFault::NoSpace, "write", &name));
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> DiskResult<u64> {
        let (mut state, _) = self.state("stat")?;
        Ok(state.inode(self.inode).size)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        let (mut state, name) = self.state("read")?;
        if state.read_faults.remove(&name) {
            return Err(DiskError::new(DiskFault::Errno(EIO), "read", &name));
        }
        Ok(state.inode(self.inode).read(position, buffer))
    }

    fn writev_at(&self, position: u64, parts: &[IoSlice<'_>]) -> DiskResult<()> {
        let data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if data.is_empty() {
            return Ok(());
        }
        self.write(position, &data)
    }

    fn zero(&self, position: u64, size: u64) -> DiskResult<()> {
        let (mut state, name) = self.state("write")?;
        state.change("write", &name)?;
        let room = state.inode(self.inode).room() + state.free();
        let fits = size.min(room.saturating_sub(position));
        state.inode(self.inode).zero(position, fits);
        if fits < size {
            return Err(DiskError::new(DiskFault::NoSpace, "write", &name));
        }
        Ok(())
    }

    fn preallocate(&self, size: u64) -> DiskResult<()> {
        let (mut state, name) = self.state("preallocate")?;
        state.change("preallocate", &name)?;
        let more = size.saturating_sub(state.inode(self.inode).room());
        if more > state.free() {
            return Err(DiskError::new(DiskFault::NoSpace, "preallocate", &name));
        }
        let inode = state.inode(self.inode);
        inode.preallocated = inode.preallocated.max(size);
        inode.size = inode.size.max(size);
        Ok(())
    }

    fn set_size(&self, size: u64) -> DiskResult<()> {
        let (mut state, name) = self.state("cut")?;
        state.change("cut", &name)?;
        let inode = state.inode(self.inode);
        inode.preallocated = inode.preallocated.min(size);
        inode.set_size(size);
        Ok(())
    }

    fn sync(&self) -> DiskResult<()> {
        let (mut state, name) = self.state("sync")?;
        state.change("sync", &name)?;
        if state.sync_faults.remove(&name) {
            state.inode(self.inode).dirty.clear();
            return Err(DiskError::new(DiskFault::Errno(EIO), "sync", &name));
        }
        state.inode(self.inode).sync();
        Ok(())
    }
}
