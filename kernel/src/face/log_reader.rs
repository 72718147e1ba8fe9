//! `LogReader` for Python: a data directory as `dragoman log` reads it. Changes nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::damage::StoreResult;
use crate::disk::{Disk, DiskResult};
use crate::face::journal::{disk_error, store_error};
use crate::face::sim_disk::PySimDisk;
use crate::file_header::Identity;
use crate::group_record::HardState;
use crate::journal_files::{journal_name, journal_numbers};
use crate::journal_format::{RecordRow, WRITE_HEADER_SIZE};
use crate::journal_recovery::{scan_file, FoundWrite};
use crate::manifest::Manifest;
use crate::real_disk::RealDisk;
use crate::segment::Segment;
use crate::store_open::restore;
use crate::store_verify::{read_identity, verify, Verified};
use crate::wave::Wave;

/// (index, term, kind, position of its data, size).
type PyEntry = (u64, u64, u8, u64, u32);
/// (group, (term, vote, commit) if it is there, entries).
type PyRecord = (u32, Option<(u64, u64, u64)>, Vec<PyEntry>);
/// (position, number, synced through, size, records).
type PyWrite = (u64, u64, u64, u64, Vec<PyRecord>);
/// (group, applied index, its term, queues, messages, rows, senders).
type PyGroup = (u32, u64, u64, usize, u64, usize, usize);
/// (number, (first journal file, its first write, written through), groups, segments as (number, size,
/// runs), blocks files as (number, size, blocks)).
type PyManifest = (
    u64,
    (u64, u64, u64),
    Vec<PyGroup>,
    Vec<(u64, u64, u32)>,
    Vec<(u64, u64, u64)>,
);
/// (group, queue, size, pieces, records, first entry, last entry, guests).
type PyRun = (u32, u64, u64, u32, u64, u64, u64, Vec<u64>);
/// (time in ms, frames, routes, messages routed, settled ranges, returned ranges, marks, commands,
/// queues created, queues dropped).
type PyWave = (
    u64,
    usize,
    usize,
    u64,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
);

#[pyclass(frozen, name = "LogReader", module = "kernel.journal")]
pub struct PyLogReader {
    disk: Arc<dyn Disk>,
    identity: Identity,
    /// The file that `verify` reads, and bytes of files it is done with.
    progress: Mutex<(String, u64)>,
}

impl PyLogReader {
    fn on(disk: Arc<dyn Disk>) -> PyResult<Self> {
        disk.lock().map_err(|error| disk_error(&error))?;
        let identity = read_identity(&*disk).inspect_err(|_| disk.unlock());
        Ok(Self {
            identity: identity.map_err(store_error)?,
            disk,
            progress: Mutex::default(),
        })
    }

    fn progress(&self) -> MutexGuard<'_, (String, u64)> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self, name: &str) -> DiskResult<u64> {
        self.disk.open(name)?.size()
    }

    fn read_manifest(&self) -> StoreResult<Option<PyManifest>> {
        let Some(manifest) = Manifest::read_newest(&*self.disk, &self.identity)? else {
            return Ok(None);
        };
        let groups = restore(&*self.disk, &self.identity, &manifest)?;
        let groups = groups.into_iter().map(|(group, recovered)| {
            let state = recovered.state;
            let messages = state.queues.values().map(|queue| queue.message_count).sum();
            let (queues, rows, senders) =
                (state.queues.len(), state.rows.len(), state.senders.len());
            (
                group,
                state.applied_index,
                state.applied_term,
                queues,
                messages,
                rows,
                senders,
            )
        });
        let journal = manifest.journal;
        Ok(Some((
            manifest.number,
            (
                journal.first_file,
                journal.first_write,
                journal.written_through,
            ),
            groups.collect(),
            manifest
                .segments
                .iter()
                .map(|mark| (mark.number, mark.size, mark.run_count))
                .collect(),
            manifest
                .blocks
                .iter()
                .map(|mark| (mark.number, mark.size, mark.block_count))
                .collect(),
        )))
    }
}

fn write(found: FoundWrite, rows: &[RecordRow]) -> PyWrite {
    let header = found.header;
    let mut at = found.position + WRITE_HEADER_SIZE as u64 + u64::from(header.table_size);
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let hard_state = |state: HardState| (state.term, state.vote, state.commit);
        let mut entries = Vec::with_capacity(row.entries.len());
        for entry in &row.entries {
            entries.push((entry.index, entry.term, entry.kind, at, entry.size));
            at += u64::from(entry.size);
        }
        records.push((row.group, row.hard_state.map(hard_state), entries));
    }
    (
        found.position,
        header.number,
        header.synced_through,
        header.size,
        records,
    )
}

#[pymethods]
impl PyLogReader {
    /// Takes the directory's lock. Raises `BlockingIOError` if a broker has it, `Damage` or `OSError`.
    #[staticmethod]
    fn open(directory: &str) -> PyResult<Self> {
        let disk = RealDisk::open(Path::new(directory)).map_err(|error| disk_error(&error))?;
        Self::on(Arc::new(disk))
    }

    /// The same on a simulated disk.
    #[staticmethod]
    fn open_on(disk: &PySimDisk) -> PyResult<Self> {
        Self::on(disk.shared())
    }

    /// Gives the directory back.
    fn close(&self) {
        self.disk.unlock();
    }

    #[getter]
    fn peer(&self) -> u64 {
        self.identity.peer
    }

    #[getter]
    fn store<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.identity.store)
    }

    /// (name, bytes) of all files, sorted.
    fn files(&self) -> PyResult<Vec<(String, u64)>> {
        let names = self.disk.list().map_err(|error| disk_error(&error))?;
        let sized = names.into_iter().map(|name| {
            let size = self.size(&name)?;
            Ok((name, size))
        });
        sized
            .collect::<DiskResult<_>>()
            .map_err(|error| disk_error(&error))
    }

    /// The newest checkpoint's manifest and what its blocks come to; None: there is none.
    fn manifest(&self, py: Python<'_>) -> PyResult<Option<PyManifest>> {
        py.detach(|| self.read_manifest()).map_err(store_error)
    }

    /// Numbers of the journal's files, ascending.
    fn journal_files(&self) -> PyResult<Vec<u64>> {
        journal_numbers(&*self.disk).map_err(store_error)
    }

    /// The good writes of a journal file, where they end, and what is wrong there ("": nothing).
    fn journal_writes(&self, py: Python<'_>, number: u64) -> PyResult<(Vec<PyWrite>, u64, String)> {
        let scanned = py.detach(|| {
            let file = self.disk.open(&journal_name(number))?;
            let seed = self.identity.checksum_seed(number);
            let mut writes = Vec::new();
            let scan = scan_file(&*file, seed, 0, &mut |found, rows| {
                writes.push(write(found, rows));
            })?;
            Ok((writes, scan.end, scan.bad.unwrap_or_default()))
        });
        scanned.map_err(|error| disk_error(&error))
    }

    /// The runs of a segment.
    fn segment_runs(&self, py: Python<'_>, number: u64) -> PyResult<Vec<PyRun>> {
        let segment = py.detach(|| Segment::open(&*self.disk, &self.identity, number));
        let runs = segment.map_err(store_error)?.runs.into_iter().map(|run| {
            let (first, last) = (run.first.entry, run.last.entry);
            let (group, queue, guests) = (run.group, run.queue, run.guests);
            (
                group,
                queue,
                run.size,
                run.piece_count,
                run.record_count,
                first,
                last,
                guests,
            )
        });
        Ok(runs.collect())
    }

    /// Bytes of a file, fewer where it ends.
    fn read<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        position: u64,
        size: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let read = self
            .disk
            .open(name)
            .and_then(|file| file.read_range(position, size));
        Ok(PyBytes::new(py, &read.map_err(|error| disk_error(&error))?))
    }

    /// What a wave holds. Raises `ValueError` if these bytes are none.
    #[staticmethod]
    fn describe_wave(data: &[u8]) -> PyResult<PyWave> {
        let wave = Wave::decode(&Bytes::copy_from_slice(data)).map_err(PyValueError::new_err)?;
        let routed = wave
            .routes
            .iter()
            .map(|route| u64::from(route.selection.count()))
            .sum();
        Ok((
            wave.time_ms,
            wave.frames.len(),
            wave.routes.len(),
            routed,
            wave.settled.len(),
            wave.returned.len(),
            wave.marks.len(),
            wave.commands.len(),
            wave.created_queues.len(),
            wave.dropped_queues.len(),
        ))
    }

    /// Reads and checks everything that is live. Raises `Damage` or `OSError`. See the stub for the counts.
    fn verify(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, u64)>> {
        let verified = py.detach(|| {
            verify(&*self.disk, &mut |name| {
                let mut progress = self.progress();
                let before = match progress.0.as_str() {
                    "" => 0, // the first
                    name => self.size(name).unwrap_or(0),
                };
                *progress = (name.to_owned(), progress.1 + before);
            })
        });
        let verified = verified.map_err(store_error)?;
        Ok(counts(&verified))
    }

    /// The file that `verify` reads now, and the bytes of those it is done with; for another thread.
    #[getter]
    fn verified(&self) -> (String, u64) {
        self.progress().clone()
    }
}

fn counts(verified: &Verified) -> Vec<(&'static str, u64)> {
    vec![
        ("journal files", verified.journal_files),
        ("writes", verified.writes),
        ("entries", verified.entries),
        ("journal bytes", verified.journal_size),
        ("segments", verified.segments),
        ("pieces", verified.pieces),
        ("records", verified.records),
        ("segment bytes", verified.segment_size),
        ("checkpoint", verified.checkpoint),
        ("blocks", verified.blocks),
        ("shards", verified.groups),
        ("queues", verified.queues),
        ("closed cleanly", u64::from(verified.closed_cleanly)),
        ("torn tail", u64::from(verified.cut.is_some())),
    ]
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyLogReader>()
}
