//! `SimDisk` for Python: the disk in memory that the simulation crashes, fills and breaks.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::disk::Disk;
use crate::face::journal::disk_error;
use crate::sim_disk::SimDisk;

#[pyclass(frozen, name = "SimDisk", module = "kernel.disk")]
pub struct PySimDisk {
    disk: SimDisk,
}

impl PySimDisk {
    /// The disk as the store takes it; both are the same disk.
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }
}

#[pymethods]
impl PySimDisk {
    /// `capacity`: bytes that fit.
    #[new]
    fn new(capacity: u64) -> Self {
        Self {
            disk: SimDisk::new(capacity),
        }
    }

    /// Another disk that holds the same now, as a process finds it that starts there.
    fn copy(&self) -> Self {
        Self {
            disk: self.disk.copy(),
        }
    }

    /// Power loss and return: of what was not synced some sectors are kept, drawn from the seed.
    fn crash(&self, seed: u64) {
        self.disk.crash(seed);
    }

    /// The process dies and the machine goes on: nothing written is lost.
    fn kill(&self) {
        self.disk.kill();
    }

    /// After `calls` more calls that change something, every such call fails until a crash or kill.
    fn cut_power_after(&self, calls: u64) {
        self.disk.cut_power_after(calls);
    }

    /// Calls so far that changed something.
    #[getter]
    fn calls(&self) -> u64 {
        self.disk.calls()
    }

    #[getter]
    fn free(&self) -> PyResult<u64> {
        self.disk.free_space().map_err(|error| disk_error(&error))
    }

    fn set_capacity(&self, capacity: u64) {
        self.disk.set_capacity(capacity);
    }

    /// The next sync of the file fails with EIO, and what it should have saved is then clean.
    fn fail_sync_once(&self, name: &str) {
        self.disk.fail_sync_once(name);
    }

    fn fail_read_once(&self, name: &str) {
        self.disk.fail_read_once(name);
    }

    /// The next write to the file fails with EIO after half of it.
    fn fail_write_once(&self, name: &str) {
        self.disk.fail_write_once(name);
    }

    /// Inverts one bit of what is on the platter and in the cache. Raises `OSError` if there is no such file.
    fn flip_bit(&self, name: &str, position: u64, bit: u8) -> PyResult<()> {
        let flipped = self.disk.flip_bit(name, position, bit);
        flipped.map_err(|error| disk_error(&error))
    }

    /// Names of the files, in order.
    fn names(&self) -> PyResult<Vec<String>> {
        self.disk.list().map_err(|error| disk_error(&error))
    }

    /// A file's bytes as they read now.
    fn read<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyBytes>> {
        let read = || {
            let file = self.disk.open(name)?;
            let size = file.size()?;
            file.read_range(0, size as usize)
        };
        let data = read().map_err(|error| disk_error(&error))?;
        Ok(PyBytes::new(py, &data))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySimDisk>()
}
