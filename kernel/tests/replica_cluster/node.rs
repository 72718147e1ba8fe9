//! A node: its disk, its store and its replica, while it is up.

use std::collections::VecDeque;
use std::sync::Arc;

use _kernel::file_header::Identity;
use _kernel::group_record::GroupRecord;
use _kernel::journal_index::GroupLog;
use _kernel::shard::Shard;
use _kernel::shard_open::{open_shard, ShardOptions};
use _kernel::sim_disk::SimDisk;
use _kernel::store::{Store, StoreOptions};

use super::{Law, GROUP};

/// Small, so that the journal rolls and is sealed, and messages don't all stay in memory.
const FILE_SIZE: u64 = 128 << 10;
const CACHE_SIZE: usize = 192 << 10;

pub struct Node {
    peer: u64,
    disk: SimDisk,
    pub store: Option<Arc<Store>>,
    pub shard: Option<Shard>,
    pub incarnation: u64,
    pub restart_at: u64,
    /// When the write under way is synced, if one is.
    synced_at: Option<u64>,
    /// The group's log as it was known to be durable when the node went down, and what its checkpoint held.
    log: (GroupLog, u64),
    /// Checked out here: (queue, sequence).
    pub held: VecDeque<(u64, u64)>,
    /// It was told to create the queues.
    pub founding: bool,
    /// Its state was looked at, at this index.
    pub checked: u64,
}

impl Node {
    pub fn new(peer: u64) -> Self {
        Self {
            peer,
            disk: SimDisk::new(1 << 30),
            store: None,
            shard: None,
            incarnation: 0,
            restart_at: 0,
            synced_at: None,
            log: (GroupLog::default(), 0),
            held: VecDeque::new(),
            founding: false,
            checked: 0,
        }
    }

    pub fn is_up(&self) -> bool {
        self.shard.is_some()
    }

    pub fn is_serving(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::is_serving)
    }

    pub fn shard(&mut self) -> &mut Shard {
        self.shard.as_mut().expect("it is up")
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is up")
    }

    pub fn start(&mut self, voters: &[u64]) -> Law {
        let words = |error| format!("{} does not start: {error}", self.peer);
        let identity = Identity {
            store: [1; 16],
            peer: self.peer,
        };
        let mut options = StoreOptions::of_file_size(FILE_SIZE);
        options.sealing.own_size_min = 8 << 10;
        let opened = Store::open(Arc::new(self.disk.clone()), identity, options);
        let (store, _, mut groups) = opened.map_err(words)?;
        self.incarnation += 1;
        let options = ShardOptions {
            id: GROUP,
            incarnation: self.incarnation,
            seed: 5,
            cache_size_max: CACHE_SIZE,
            voters: Some(voters.to_vec()),
        };
        let recovered = groups.remove(&GROUP).unwrap_or_default();
        self.shard = Some(open_shard(&store, recovered, options).map_err(words)?);
        self.store = Some(Arc::new(store));
        Ok(())
    }

    pub fn crash(&mut self, seed: u64) {
        let store = self.store.take().expect("it is up");
        self.log = Self::durable(&store);
        store.abandon();
        self.shard = None;
        self.synced_at = None;
        self.held.clear();
        self.checked = 0;
        self.disk.crash(seed);
    }

    fn durable(store: &Store) -> (GroupLog, u64) {
        let log = store
            .journal()
            .with(|journal| journal.index().group(GROUP).cloned());
        (log.unwrap_or_default(), store.sealed_through(GROUP))
    }

    /// Whether its disk has that entry, as far as it was told.
    pub fn holds(&self, index: u64, term: u64) -> bool {
        let held = |log: &GroupLog, sealed: u64| {
            index <= sealed || (log.location(index).is_some() && log.term_and_kind(index).0 == term)
        };
        match &self.store {
            None => held(&self.log.0, self.log.1),
            Some(store) => {
                let sealed = store.sealed_through(GROUP);
                let look = |log: &GroupLog| held(log, sealed);
                let journal = store.journal();
                journal.with(|journal| journal.index().group(GROUP).is_some_and(look))
                    || index <= sealed
            }
        }
    }

    pub fn applied(&self) -> (u64, u64) {
        let shard = self.shard.as_ref();
        shard.map_or((0, 0), |shard| {
            (shard.state().applied_index, shard.state().applied_term)
        })
    }

    pub fn write(&mut self, record: Option<GroupRecord>) {
        if let Some(record) = record {
            let write = self.store().journal().submit(vec![record]);
            self.shard().written(write);
        }
        let released = self.shard().take_released();
        self.store().note_released(released);
    }

    /// Begins or ends a write of the journal; what is synced now, if that is news.
    pub fn write_step(&mut self, now: u64, random: u64, lies: bool) -> Option<u64> {
        let journal = self.store().journal().clone();
        match self.synced_at {
            None if random % 3 == 0 => {
                if journal.begin_write() {
                    self.synced_at = Some(now + 1 + random / 3 % 12);
                    return lies.then(|| journal.submitted());
                }
                None
            }
            Some(at) if at <= now => {
                journal.end_write();
                self.synced_at = None;
                (!lies).then(|| journal.synced())
            }
            _ => None,
        }
    }

    pub fn begin_cycle(&mut self) {
        let frozen = self.shard().freeze();
        self.store().begin_cycle(vec![frozen], true);
    }

    /// Takes a step of what is due in the background; true: a cycle finished.
    pub fn cycle_step(&mut self) -> Result<bool, String> {
        let words = |error| format!("{} at a cycle: {error}", self.peer);
        self.store().step().map_err(words)?;
        if self.store().take_finished_cycle().is_none() {
            return Ok(false);
        }
        let sealed = self.store().sealed_through(GROUP);
        self.shard().receive_checkpoint(sealed);
        Ok(true)
    }

    pub fn read(&mut self, wanted: &[u64]) -> Law {
        let store = self.store.as_ref().expect("it is up");
        let mut reads = Vec::new();
        for entry in wanted {
            let frames = store.read_frames(GROUP, *entry);
            reads.push((*entry, frames.map_err(|error| format!("{error}"))?));
        }
        if !reads.is_empty() {
            self.shard().receive_reads(reads);
        }
        Ok(())
    }
}
