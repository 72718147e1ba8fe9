//! `Journal` for Python: opens a data directory's journal and hands out its shards.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;

use crate::damage::StoreError;
use crate::disk::{Disk, DiskError};
use crate::face::sim_disk::PySimDisk;
use crate::file_header::Identity;
use crate::identity_file;
use crate::journal::{Journal, JournalOptions, JournalState};
use crate::journal_driver::JournalHandle;
use crate::journal_files::journal_numbers;
use crate::journal_recovery::Expected;
use crate::real_disk::RealDisk;
use crate::record_batch::{self, Retained};
use crate::shard::{replay, Restored, Shard};
use crate::shard_state::{Changes, ShardState};
use crate::wave::{Sender, Wave};

create_exception!(kernel, Damage, PyException);

/// Entries read at a time when a shard is restored.
const RESTORE_READ_SIZE: usize = 8 << 20;

pub fn disk_error(error: &DiskError) -> PyErr {
    PyOSError::new_err((error.errno(), error.to_string()))
}

pub fn store_error(error: StoreError) -> PyErr {
    match error {
        StoreError::Disk(error) => disk_error(&error),
        StoreError::Damage(damage) => Damage::new_err(damage.to_string()),
    }
}

#[pyclass(frozen, name = "Journal", module = "kernel.journal")]
pub struct PyJournal {
    handle: Arc<JournalHandle>,
    identity: Identity,
    cut: bool,
    closed_cleanly: bool,
}

impl PyJournal {
    pub fn handle(&self) -> &Arc<JournalHandle> {
        &self.handle
    }

    pub fn opened(
        disk: Arc<dyn Disk>,
        fresh: Identity,
        options: JournalOptions,
    ) -> Result<Self, StoreError> {
        let identity = identity_file::claim(&*disk, fresh)?;
        let (journal, cut, closed_cleanly) = if journal_numbers(&*disk)?.is_empty() {
            (Journal::create(&*disk, identity, options)?, false, true)
        } else {
            let (journal, replay) = Journal::open(&*disk, identity, options, Expected::default())?;
            (journal, replay.cut.is_some(), replay.closed_cleanly)
        };
        let handle = Arc::new(JournalHandle::new(disk, journal)?);
        Ok(Self {
            handle,
            identity,
            cut,
            closed_cleanly,
        })
    }

    /// A shard whose only voter is this node, with what the journal holds of it.
    pub fn restore_shard(
        &self,
        id: u32,
        incarnation: u64,
        seed: u64,
        cache_budget: usize,
    ) -> PyResult<Shard> {
        let known = self.handle.with(|journal| {
            let log = journal.index().group(id);
            log.map(|log| (log.hard_state, log.first_index(), log.is_empty()))
        });
        let hard_state = known.map(|(hard_state, _, _)| hard_state);
        let mut next = match known {
            Some((_, first, false)) => Some(first),
            _ => None,
        };
        let mut read = Vec::new().into_iter();
        let handle = &self.handle;
        let entries = std::iter::from_fn(|| loop {
            if let Some(entry) = read.next() {
                return Some(Ok(entry));
            }
            let first = next?;
            match handle.read_entries(id, first, RESTORE_READ_SIZE) {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => {
                    next = entries.last().map(|entry| entry.index + 1);
                    read = entries.into_iter();
                }
                Err(error) => {
                    next = None;
                    return Some(Err(store_error(error).to_string()));
                }
            }
        });
        let start = Restored {
            hard_state,
            ..Restored::default()
        };
        let sender = Sender {
            peer: self.identity.peer,
            incarnation,
        };
        Shard::restore(id, sender, start, entries, seed, cache_budget).map_err(Damage::new_err)
    }

    /// A fresh state with a shard's entries through `through` applied to it.
    fn replay(&self, id: u32, through: u64) -> PyResult<ShardState> {
        let mut state = ShardState::default();
        while state.applied_index < through {
            let first = state.applied_index + 1;
            let read = self.handle.read_entries(id, first, RESTORE_READ_SIZE);
            let entries = read.map_err(store_error)?;
            if entries.is_empty() {
                return Err(Damage::new_err(format!(
                    "entry {first} of shard {id} is missing"
                )));
            }
            for entry in entries.iter().take_while(|entry| entry.index <= through) {
                replay(&mut state, &mut Changes::default(), &mut Vec::new(), entry)
                    .map_err(Damage::new_err)?;
            }
        }
        Ok(state)
    }
}

/// An entry's frames, as far as they are still wanted.
pub fn read_frames(
    journal: &JournalHandle,
    group: u32,
    index: u64,
) -> Result<Vec<Option<Retained>>, StoreError> {
    let Some(entry) = journal.read_entry(group, index)? else {
        return Ok(Vec::new());
    };
    let damaged = |what: String| {
        let name = format!("entry {index} of shard {group}");
        crate::damage::Damage::new(&name, 0, what, crate::file_header::REMEDY_COPY)
    };
    let wave = Wave::decode(&entry.data).map_err(damaged)?;
    let frames = wave.frames.iter().map(|frame| {
        let read = record_batch::decode(&entry.data, frame.start as usize, frame.size as usize);
        let run = read.map_err(damaged)?;
        let numbers = (0..run.entries.len() as u32).collect();
        Ok(Some(Retained { run, numbers }))
    });
    frames.collect()
}

#[pymethods]
impl PyJournal {
    /// Opens the data directory, or makes it this `peer`'s own if it is empty.
    ///
    /// Raises `kernel.journal.Damage` (file, position, what, remedy) and `OSError`; then nothing was changed.
    #[staticmethod]
    fn open(directory: &str, peer: u64, store: [u8; 16], file_size: u64) -> PyResult<Self> {
        let disk = RealDisk::open(Path::new(directory)).map_err(|error| disk_error(&error))?;
        let options = JournalOptions {
            file_size,
            ..JournalOptions::default()
        };
        Self::opened(Arc::new(disk), Identity { store, peer }, options).map_err(store_error)
    }

    /// The same on a simulated disk.
    #[staticmethod]
    fn open_on(disk: &PySimDisk, peer: u64, store: [u8; 16], file_size: u64) -> PyResult<Self> {
        let options = JournalOptions {
            file_size,
            ..JournalOptions::default()
        };
        Self::opened(disk.shared(), Identity { store, peer }, options).map_err(store_error)
    }

    #[getter]
    fn peer(&self) -> u64 {
        self.identity.peer
    }

    /// A torn last write was cut off when the journal was opened.
    #[getter]
    fn cut(&self) -> bool {
        self.cut
    }

    #[getter]
    fn closed_cleanly(&self) -> bool {
        self.closed_cleanly
    }

    /// Readable after a completion or a failure, until `clear_event`.
    fn fileno(&self) -> i32 {
        self.handle.event().as_raw_fd()
    }

    fn clear_event(&self) {
        self.handle.clear_event();
    }

    #[getter]
    fn synced(&self) -> u64 {
        self.handle.synced()
    }

    #[getter]
    fn submitted(&self) -> u64 {
        self.handle.submitted()
    }

    /// ("open", ""), ("no space", ""), or ("poisoned", why).
    #[getter]
    fn state(&self) -> (&'static str, String) {
        match self.handle.state() {
            JournalState::Open => ("open", String::new()),
            JournalState::NoSpace => ("no space", String::new()),
            JournalState::Poisoned(error) => ("poisoned", error.to_string()),
        }
    }

    /// Writes and syncs one write's worth here and now; for whoever has no driver. False: nothing was waiting.
    fn carry_out(&self) -> bool {
        let begun = self.handle.begin_write();
        if begun {
            self.handle.end_write();
        }
        begun
    }

    /// Writes one write's worth but does not sync it, for drawn completions. False: nothing was waiting.
    fn begin_write(&self) -> bool {
        self.handle.begin_write()
    }

    /// Syncs the write that was begun, if one was.
    fn end_write(&self) {
        self.handle.end_write();
    }

    /// The hash that a shard comes to by what the journal holds of it through an entry; in no hot path.
    fn replayed_hash(&self, id: u32, through: u64) -> PyResult<u64> {
        self.replay(id, through).map(|state| state.hash())
    }

    /// Starts the thread that writes and syncs.
    fn start_driver(&self) -> PyResult<()> {
        Ok(self.handle.start_driver()?)
    }

    /// Writes and syncs all that was submitted, marks the journal as closed cleanly and stops the thread.
    fn close(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.handle.close())
            .map_err(|error| disk_error(&error))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyJournal>()?;
    m.add("Damage", m.py().get_type::<Damage>())?;
    Ok(())
}
