//! `Export` and `Import` for Python: a shard's snapshot on its way from one node's store to another's.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::face::journal::{store_error, PyJournal};
use crate::face::shard::{PyShard, RaftDead};
use crate::raft_group::GroupError;
use crate::raft_log::Position;
use crate::raft_ready::SnapshotMark;
use crate::snapshot_export::Export;
use crate::snapshot_import::{Import, ImportError};
use crate::snapshot_stream::StreamError;

create_exception!(kernel, SnapshotRefused, PyException);

fn import_error(error: ImportError) -> PyErr {
    let StreamError { position, what } = match error {
        ImportError::Store(error) => return store_error(error),
        ImportError::Refused(error) => error,
    };
    Python::attach(|py| {
        let words = StreamError {
            position,
            what: what.clone(),
        };
        let error = SnapshotRefused::new_err(words.to_string());
        let value = error.value(py);
        let set = value
            .setattr("position", position)
            .and_then(|()| value.setattr("what", what));
        set.err().unwrap_or(error)
    })
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyclass(frozen, name = "Export", module = "kernel.journal")]
pub struct PyExport {
    group: u32,
    mark: SnapshotMark,
    /// None: closed.
    export: Mutex<Option<Export>>,
}

#[pymethods]
impl PyExport {
    /// The next bytes of the stream; none: that was all. Takes as long as the disk does, without the GIL.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let read = py.detach(|| lock(&self.export).as_mut().map(Export::read));
        let chunk = read.ok_or_else(|| PyValueError::new_err("the export is closed"))?;
        Ok(PyBytes::new(py, &chunk.map_err(store_error)?))
    }

    #[getter]
    fn size(&self, py: Python<'_>) -> u64 {
        py.detach(|| lock(&self.export).as_ref().map_or(0, Export::size))
    }

    #[getter]
    fn index(&self) -> u64 {
        self.mark.position().index
    }

    #[getter]
    fn term(&self) -> u64 {
        self.mark.position().term
    }

    /// Keeps nothing for it any more.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(lock(&self.export).take()));
    }
}

#[pyclass(frozen, name = "Import", module = "kernel.journal")]
pub struct PyImport {
    import: Mutex<Import>,
}

#[pymethods]
impl PyImport {
    /// The next bytes of the stream, however it is cut. Takes as long as the disk does, without the GIL.
    fn receive(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        py.detach(|| lock(&self.import).receive(data))
            .map_err(import_error)
    }

    /// Makes it the store's newest state of the group. Takes as long as the disk does, without the GIL.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| lock(&self.import).finish())
            .map_err(import_error)
    }

    /// Gives it up, if it is not finished.
    fn abort(&self, py: Python<'_>) {
        py.detach(|| lock(&self.import).abort());
    }

    #[getter]
    fn group(&self, py: Python<'_>) -> u32 {
        py.detach(|| lock(&self.import).group())
    }

    /// Bytes that came so far.
    #[getter]
    fn received(&self, py: Python<'_>) -> u64 {
        py.detach(|| lock(&self.import).received())
    }

    #[getter]
    fn finished(&self, py: Python<'_>) -> bool {
        py.detach(|| lock(&self.import).is_finished())
    }

    /// (index, term); None: the stream's head has not come.
    #[getter]
    fn position(&self, py: Python<'_>) -> Option<(u64, u64)> {
        let position = py.detach(|| lock(&self.import).position());
        position.map(|Position { index, term }| (index, term))
    }
}

#[pymethods]
impl PyJournal {
    /// Begins to take in a snapshot of a group.
    fn begin_import(&self, group: u32) -> PyImport {
        PyImport {
            import: Mutex::new(Import::begin(self.store().clone(), group)),
        }
    }
}

#[pymethods]
impl PyShard {
    /// The shard as it is now, to be read as a stream; None: not now, since it owes rows or takes a snapshot in.
    fn export(&self) -> PyResult<Option<PyExport>> {
        let mut shard = self.lock();
        let store = self.store().filter(|_| shard.is_logged());
        let store = store.ok_or_else(|| PyValueError::new_err("a volatile shard has no log"))?;
        let (mark, state) = match shard.snapshot_mark() {
            Ok(taken) => taken,
            Err(GroupError::Dead(reason)) => return Err(RaftDead::new_err(reason)),
            Err(_) => return Ok(None),
        };
        // Under the shard's lock: no cycle's frozen copy is newer and knows nothing of this.
        let export = Export::begin(store.clone(), shard.id, state, mark.clone());
        Ok(Some(PyExport {
            group: shard.id,
            mark,
            export: Mutex::new(Some(export)),
        }))
    }

    /// Followers that need it are sent a message with `data`, by which they fetch the export. False: not now.
    #[pyo3(name = "offer_snapshot")]
    fn offer_export(&self, export: &PyExport, data: &[u8]) -> PyResult<bool> {
        if export.group != self.lock().id {
            return Err(PyValueError::new_err("an export of another shard"));
        }
        self.offer_snapshot(&export.mark, Bytes::copy_from_slice(data))
    }

    /// A leader's message with a snapshot whose import is finished. False: it was refused, or of no use.
    #[pyo3(name = "step_snapshot")]
    fn step_import(&self, message: &[u8], imported: &PyImport) -> PyResult<bool> {
        let import = lock(&imported.import);
        if import.group() != self.lock().id {
            return Err(PyValueError::new_err("an import of another shard"));
        }
        let state = import.state();
        let state = state.ok_or_else(|| PyValueError::new_err("the import is not finished"))?;
        drop(import);
        self.step_snapshot(&Bytes::copy_from_slice(message), state)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyExport>()?;
    m.add_class::<PyImport>()?;
    m.add("SnapshotRefused", m.py().get_type::<SnapshotRefused>())?;
    Ok(())
}
