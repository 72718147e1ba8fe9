//! All shards of a node for Python: what is asked in each round is asked of all of them in one call.

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::face::piece::PyPiece;
use crate::face::shard::PyShard;
use crate::peer_frame::frame_runs;
use crate::raft_guard::asks_for_votes;
use crate::shard::Shard;

/// Which of a node's shards want to be looked at: one call for all of them in each round.
#[pyfunction]
fn busy_shards(shards: Vec<PyRef<'_, PyShard>>) -> Vec<usize> {
    let busy = shards.iter().enumerate();
    busy.filter(|(_, shard)| shard.lock().is_busy())
        .map(|(number, _)| number)
        .collect()
}

#[pyfunction]
fn any_urgent(shards: Vec<PyRef<'_, PyShard>>) -> bool {
    shards.iter().any(|shard| shard.lock().is_urgent())
}

/// Whether a step would take something in of any of them, or propose something at once.
#[pyfunction]
fn any_due(shards: Vec<PyRef<'_, PyShard>>) -> bool {
    shards.iter().any(|shard| shard.lock().is_due())
}

/// The journal's writes through this one are on disk: those that were not left are told. Which of them ceased to serve by
/// it, if one did; the others are then still to be told.
#[pyfunction]
fn receive_synced(shards: Vec<PyRef<'_, PyShard>>, write: u64) -> PyResult<Option<usize>> {
    for (number, shard) in shards.iter().enumerate() {
        if shard.lock().has_left() {
            continue;
        }
        let served = shard.lock().is_serving();
        shard.receive_synced(write)?;
        if served && !shard.lock().is_serving() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

#[pyfunction]
fn wanting_shards(shards: Vec<PyRef<'_, PyShard>>) -> Vec<usize> {
    let numbered = shards.iter().enumerate();
    let wanting = numbered.filter(|(_, shard)| shard.lock().wants_reads());
    wanting.map(|(number, _)| number).collect()
}

/// (which of them, the peer, whether it goes by the bulk connection, bytes, pieces).
type PyFrames<'py> = (usize, u64, bool, usize, Vec<Bound<'py, PyAny>>);

/// What their groups have to say, as frames.
#[pyfunction]
fn take_frames<'py>(
    py: Python<'py>,
    shards: Vec<PyRef<'py, PyShard>>,
) -> PyResult<Vec<PyFrames<'py>>> {
    let mut frames = Vec::new();
    for (number, shard) in shards.iter().enumerate() {
        let mut shard = shard.lock();
        if !shard.has_messages() {
            continue;
        }
        for run in frame_runs(shard.id, shard.take_messages()) {
            let pieces: PyResult<_> = run.pieces.into_iter().map(|each| piece(py, each)).collect();
            frames.push((number, run.to, run.bulk, run.size, pieces?));
        }
    }
    Ok(frames)
}

/// What is to be seen to of a frame that was stepped, or was not: its place, and which it is.
type PyNotes = Vec<(usize, &'static str)>;

/// Gives groups what peers say to them, from one of the frames on. Whether a step of the core would make something of it;
/// notes: "unknown" group; "refused", so nothing was done; "asked" for votes; a replica here "ceased" to serve by it; and
/// where to go on: who ceased is seen to before others are told anything.
#[pyfunction]
fn step_frames(
    shards: &Bound<'_, PyDict>,
    frames: Vec<Bound<'_, PyAny>>,
    first: usize,
) -> PyResult<(bool, PyNotes, usize)> {
    let py = shards.py();
    let mut due = false;
    let mut notes = Vec::new();
    for (place, frame) in frames.iter().enumerate().skip(first) {
        let group = frame.getattr(intern!(py, "head"))?.get_item(0)?;
        let Some(shard) = shards.get_item(group)? else {
            notes.push((place, "unknown"));
            continue;
        };
        let shard: PyRef<'_, PyShard> = shard.extract()?;
        let message: PyBackedBytes = frame.getattr(intern!(py, "body"))?.extract()?;
        let asks = asks_for_votes(&message);
        // Its entries stay slices of it.
        let message = Bytes::from_owner(message);
        let served = shard.lock().is_serving();
        if !shard.ask(|shard| shard.step(&message))? {
            notes.push((place, "refused"));
        } else if asks {
            notes.push((place, "asked"));
        }
        let shard = shard.lock();
        due |= shard.is_busy() || shard.has_messages();
        if served && !shard.is_serving() {
            notes.push((place, "ceased"));
            return Ok((due, notes, place + 1));
        }
    }
    Ok((due, notes, frames.len()))
}

/// What is small is bytes, which cost less than what keeps others' memory.
fn piece(py: Python<'_>, piece: Bytes) -> PyResult<Bound<'_, PyAny>> {
    const BYTES_SIZE_MAX: usize = 4096;
    if piece.len() <= BYTES_SIZE_MAX {
        return Ok(PyBytes::new(py, &piece).into_any());
    }
    Ok(Bound::new(py, PyPiece::new(piece))?.into_any())
}

/// Of each: 0 if its clock goes on, else a number that is another one once its log is.
#[pyfunction]
fn quiet_marks(shards: Vec<PyRef<'_, PyShard>>) -> Vec<u64> {
    let mark = |shard: &Shard| u64::from(shard.is_quiet()) * (shard.state().applied_index + 1);
    shards.iter().map(|shard| mark(&shard.lock())).collect()
}

#[pyfunction]
fn under_way_size(shards: Vec<PyRef<'_, PyShard>>) -> usize {
    shards.iter().map(|s| s.lock().under_way_size()).sum()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(busy_shards, m)?)?;
    m.add_function(wrap_pyfunction!(any_urgent, m)?)?;
    m.add_function(wrap_pyfunction!(any_due, m)?)?;
    m.add_function(wrap_pyfunction!(receive_synced, m)?)?;
    m.add_function(wrap_pyfunction!(wanting_shards, m)?)?;
    m.add_function(wrap_pyfunction!(take_frames, m)?)?;
    m.add_function(wrap_pyfunction!(step_frames, m)?)?;
    m.add_function(wrap_pyfunction!(quiet_marks, m)?)?;
    m.add_function(wrap_pyfunction!(under_way_size, m)?)?;
    Ok(())
}
