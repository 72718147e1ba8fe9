//! `Shard` for Python: a replica that its group has let go.

use pyo3::prelude::*;

use crate::damage::StoreResult;
use crate::face::journal::store_error;
use crate::face::shard::PyShard;
use crate::shard_open::open_shard;
use crate::store::Store;

impl PyShard {
    /// The store first, while the shard takes nothing in; then what it has of the group now.
    fn begin_anew(&self, store: &Store) -> StoreResult<()> {
        let options = self.lock().options_anew();
        store.drop_group(options.id)?;
        let anew = open_shard(store, store.recovered(options.id)?, options)?;
        let old = std::mem::replace(&mut *self.lock(), anew);
        drop(old); // megabytes, of which no round waits to be rid
        Ok(())
    }
}

#[pymethods]
impl PyShard {
    /// See _kernel.pyi.
    #[pyo3(signature = (said = None))]
    fn let_go(&self, said: Option<(u64, u64)>) -> bool {
        let Some(store) = self.store() else {
            return false;
        };
        let mut shard = self.lock();
        let goes = match said {
            None => shard.let_go(),
            Some((term, contacts)) => shard.let_go_by(term, contacts),
        };
        if !goes {
            return false;
        }
        if store.begin_forgetting() {
            return true;
        }
        shard.stay();
        false
    }

    #[getter]
    fn contacts(&self) -> u64 {
        self.lock().contacts()
    }

    /// After `let_go`, on a thread of its own: takes as long as the disk does, without the GIL.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        let Some(store) = self.store() else {
            return Ok(());
        };
        py.detach(|| self.begin_anew(store)).map_err(store_error)
    }

    /// After `forget`, whatever came of it; between rounds, so that no frozen copy of the old state is on its way.
    fn end_departure(&self) {
        self.lock().stay();
        if let Some(store) = self.store() {
            store.end_forgetting();
        }
    }
}
