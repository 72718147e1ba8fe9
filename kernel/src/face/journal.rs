//! `Journal` for Python: opens a data directory's journal and hands out its shards.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;

use crate::damage::{Damage as Damaged, StoreError};
use crate::disk::{Disk, DiskError};
use crate::face::histogram::Histogram;
use crate::face::shard::PyShard;
use crate::face::sim_disk::PySimDisk;
use crate::file_header::{Identity, REMEDY_COPY};
use crate::journal::JournalState;
use crate::journal_driver::JournalHandle;
use crate::real_disk::RealDisk;
use crate::shard::{replay, Shard};
use crate::shard_open::{open_shard, ShardOptions};
use crate::shard_state::{Changes, ShardState};
use crate::store::{Opened, Pressure, Store, StoreOptions};
use crate::store_open::RecoveredGroup;

create_exception!(kernel, Damage, PyException);

/// Entries read at a time when a shard is restored.
const RESTORE_READ_SIZE: usize = 8 << 20;

pub fn disk_error(error: &DiskError) -> PyErr {
    PyOSError::new_err((error.errno(), error.to_string()))
}

pub fn store_error(error: StoreError) -> PyErr {
    match error {
        StoreError::Disk(error) => disk_error(&error),
        StoreError::Damage(damage) => damage_error(damage),
    }
}

/// With the attributes `file`, `position`, `what`, `remedy` and `loss`.
pub fn damage_error(damage: Damaged) -> PyErr {
    Python::attach(|py| {
        let error = Damage::new_err(damage.to_string());
        let value = error.value(py);
        let set = value
            .setattr("loss", damage.is_loss())
            .and_then(|()| value.setattr("file", damage.file))
            .and_then(|()| value.setattr("position", damage.position))
            .and_then(|()| value.setattr("what", damage.what))
            .and_then(|()| value.setattr("remedy", damage.remedy));
        set.err().unwrap_or(error)
    })
}

/// A log that can be read and makes no sense.
fn senseless(what: impl Into<String>) -> PyErr {
    damage_error(Damaged::new("journal", 0, what, REMEDY_COPY))
}

#[pyclass(frozen, name = "Journal", module = "kernel.journal")]
pub struct PyJournal {
    store: Arc<Store>,
    opened: Opened,
    /// As the newest checkpoint has them, until their shards are restored.
    groups: Mutex<BTreeMap<u32, RecoveredGroup>>,
}

impl PyJournal {
    /// See `Store::carry`.
    fn carry(&self, shards: &[PyRef<'_, PyShard>]) -> bool {
        let locked: BTreeMap<u32, _> = shards
            .iter()
            .map(|shard| shard.lock())
            .map(|shard| (shard.id, shard))
            .collect();
        let applied: Vec<_> = locked
            .iter()
            .map(|(group, shard)| (*group, shard.state().applied_index))
            .collect();
        self.store
            .carry(&applied, |group| locked[&group].unapplied())
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn handle(&self) -> &Arc<JournalHandle> {
        self.store.journal()
    }

    fn opened(disk: Arc<dyn Disk>, fresh: Identity, file_size: u64) -> PyResult<Self> {
        let options = StoreOptions::of_file_size(file_size);
        let opened = Store::open(disk, fresh, options).map_err(store_error)?;
        let (store, opened, groups) = opened;
        Ok(Self {
            store: Arc::new(store),
            opened,
            groups: Mutex::new(groups),
        })
    }

    /// A shard with what the journal holds of it.
    pub fn open_shard(&self, options: ShardOptions) -> PyResult<Shard> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let recovered = match groups.remove(&options.id) {
            Some(recovered) => recovered,
            // It starts anew, or is new.
            None => self.store.recovered(options.id).map_err(store_error)?,
        };
        open_shard(&self.store, recovered, options).map_err(store_error)
    }

    /// What the newest checkpoint, if the journal does not reach back to the first entry, and the
    /// journal after it come to.
    fn replay(&self, id: u32, through: u64) -> PyResult<ShardState> {
        let reaches_back = self.handle().location(id, 1).is_some();
        let mut state = if reaches_back {
            ShardState::default()
        } else {
            self.store.checkpointed(id).map_err(store_error)?.state
        };
        while state.applied_index < through {
            let first = state.applied_index + 1;
            let read = self.handle().read_entries(id, first, RESTORE_READ_SIZE);
            let entries = read.map_err(store_error)?;
            if entries.is_empty() {
                return Err(senseless(format!("entry {first} of shard {id} is missing")));
            }
            for entry in entries.iter().take_while(|entry| entry.index <= through) {
                replay(&mut state, &mut Changes::default(), &mut Vec::new(), entry)
                    .map_err(senseless)?;
            }
        }
        Ok(state)
    }
}

/// What a finished cycle came to: journal files retired, bytes sealed, segments dropped, bytes of checkpoint.
type PyFinished = (u64, u64, u64, u64);

#[pymethods]
impl PyJournal {
    /// Opens the data directory, or makes it this `peer`'s own if it is empty. Takes its lock.
    ///
    /// Raises `kernel.journal.Damage` (file, position, what, remedy) and `OSError`; then nothing was changed.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        directory: &str,
        peer: u64,
        store: [u8; 16],
        file_size: u64,
    ) -> PyResult<Self> {
        py.detach(|| {
            let disk = RealDisk::open(Path::new(directory)).map_err(|error| disk_error(&error))?;
            Self::opened(Arc::new(disk), Identity { store, peer }, file_size)
        })
    }

    /// The same on a simulated disk.
    #[staticmethod]
    fn open_on(disk: &PySimDisk, peer: u64, store: [u8; 16], file_size: u64) -> PyResult<Self> {
        Self::opened(disk.shared(), Identity { store, peer }, file_size)
    }

    #[getter]
    fn peer(&self) -> u64 {
        self.store.identity().peer
    }

    /// The directory was empty and has been made this peer's.
    #[getter]
    fn created(&self) -> bool {
        self.opened.created
    }

    /// A torn last write was cut off when the journal was opened.
    #[getter]
    fn cut(&self) -> bool {
        self.opened.replay.cut.is_some()
    }

    #[getter]
    fn closed_cleanly(&self) -> bool {
        self.opened.created || self.opened.replay.closed_cleanly
    }

    /// Readable after a completion or a failure, until `clear_event`.
    fn fileno(&self) -> i32 {
        self.handle().event().as_raw_fd()
    }

    fn clear_event(&self) {
        self.handle().clear_event();
    }

    #[getter]
    fn synced(&self) -> u64 {
        self.handle().synced()
    }

    #[getter]
    fn submitted(&self) -> u64 {
        self.handle().submitted()
    }

    /// ("open", ""), ("no space", ""), or ("poisoned", why).
    #[getter]
    fn state(&self) -> (&'static str, String) {
        match self.handle().state() {
            JournalState::Open => ("open", String::new()),
            JournalState::NoSpace => ("no space", String::new()),
            JournalState::Poisoned(error) => ("poisoned", error.to_string()),
        }
    }

    /// Raises what the store or its journal failed by, if one did: `Damage` or `OSError`.
    fn check(&self) -> PyResult<()> {
        if let Some(failure) = self.store.failure() {
            return Err(store_error(failure));
        }
        match self.handle().state() {
            JournalState::Poisoned(error) => Err(disk_error(&error)),
            JournalState::Open | JournalState::NoSpace => Ok(()),
        }
    }

    /// Writes and syncs one write's worth here and now; for whoever has no driver. False: nothing was waiting.
    fn carry_out(&self) -> bool {
        let begun = self.handle().begin_write();
        self.handle().end_write();
        begun
    }

    /// Writes what is waiting and leaves its sync to `end_write`; for a simulation. False: nothing was.
    fn begin_write(&self) -> bool {
        self.handle().begin_write()
    }

    fn end_write(&self) {
        self.handle().end_write();
    }

    /// The hash that a shard comes to by what the store holds of it through an entry; in no hot path.
    fn replayed_hash(&self, id: u32, through: u64) -> PyResult<u64> {
        self.replay(id, through).map(|state| state.hash())
    }

    /// Starts the threads: one writes and syncs, one takes the steps of what is due in the background.
    fn start_driver(&self) -> PyResult<()> {
        self.handle().start_driver()?;
        Ok(self.store.start_worker()?)
    }

    /// Writes and syncs all that was submitted, stops the threads, marks the journal as closed cleanly
    /// and gives the directory back. False: not all could be written.
    fn close(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| {
            self.store.stop_worker();
            self.handle().stop_driver();
            self.handle().carry_out();
            self.store.close()
        })
        .map_err(|error| disk_error(&error))
    }

    /// Gives the directory back as a process does that dies: nothing is written or marked.
    fn abandon(&self, py: Python<'_>) {
        py.detach(|| self.store.abandon());
    }

    /// Why publishers must wait: "poisoned", "no space" or "journal full"; None: they need not.
    #[getter]
    fn pressure(&self) -> Option<&'static str> {
        self.store.pressure().map(|pressure| match pressure {
            Pressure::Poisoned(_) => "poisoned",
            Pressure::NoSpace => "no space",
            Pressure::JournalFull => "journal full",
        })
    }

    /// Bytes of the journal that is not retired, of segments, and of checkpoints.
    #[getter]
    fn sizes(&self) -> (u64, u64, u64) {
        self.store.sizes()
    }

    /// Of each write and its sync, in microseconds; a copy.
    #[getter]
    fn sync_times(&self) -> Histogram {
        Histogram::of(self.store.journal().sync_times())
    }

    /// Groups of which checkpoint or journal hold something and whose shards were not restored yet.
    fn groups(&self) -> Vec<u32> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.keys().copied().collect()
    }

    // ---- cycles

    /// Whether `begin_cycle` should be called.
    #[getter]
    fn cycle_wanted(&self) -> bool {
        self.store.cycle_wanted()
    }

    /// Starts a maintenance cycle from all logged shards as they are now; `force`: a checkpoint even if
    /// nothing calls for one. False: one is under way, or a shard owes commands.
    #[pyo3(signature = (shards, force=false))]
    fn begin_cycle(&self, shards: Vec<PyRef<'_, PyShard>>, force: bool) -> bool {
        // What a command made of the rows must be in the state that is past it.
        if shards.iter().any(|shard| shard.lock().owes_commands()) {
            return false;
        }
        if self.carry(&shards) {
            return false;
        }
        let frozen = shards.iter().map(|shard| shard.lock().freeze()).collect();
        self.store.begin_cycle(frozen, force)
    }

    /// Takes in the cycle that finished, if one did, and tells the shards what they may forget.
    fn receive_cycle(&self, shards: Vec<PyRef<'_, PyShard>>) -> Option<PyFinished> {
        let finished = self.store.take_finished_cycle()?;
        for shard in shards {
            let mut shard = shard.lock();
            let mark = finished
                .checkpointed
                .iter()
                .find(|(group, _)| *group == shard.id);
            if let Some((group, _)) = mark {
                shard.receive_checkpoint(self.store.sealed_through(*group));
            }
        }
        Some((
            finished.retired_files,
            finished.sealed_size,
            finished.dropped_segments,
            finished.checkpoint_size,
        ))
    }

    /// Takes one step of what is due in the background; for who has no driver. False: nothing is.
    ///
    /// Raises `Damage` or `OSError`; then nothing is confirmed any more.
    fn step(&self) -> PyResult<bool> {
        self.store.step().map_err(store_error)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyJournal>()?;
    m.add("Damage", m.py().get_type::<Damage>())?;
    Ok(())
}
