//! `Shard`, `Route` and `Unsettled` for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::damage::StoreError;
use crate::face::delivery_run::PyDeliveryRun;
use crate::face::journal::{self, PyJournal};
use crate::face::message_run::PyMessageRun;
use crate::group_record::GroupRecord;
use crate::message_run::NO_EXPIRATION;
use crate::pending_wave::{Share, Target, Targets, Wanted};
use crate::shard::Shard;
use crate::shard_ready::Taken;
use crate::store::Store;
use crate::unsettled::Unsettled;
use crate::wave::{Outcome, Sender, SequenceRange};

/// Where a key of a run leads within one shard; made once for many publishes.
#[pyclass(frozen, name = "Route", module = "kernel")]
pub struct PyRoute {
    targets: Targets,
}

/// A queue's id, its message TTL in ms, how many more it takes before it rejects; None: no bound.
type Plain = (u64, Option<u32>, Option<u64>);

#[derive(FromPyObject)]
enum AnyTarget {
    Plain(Plain),
    /// Which messages it gets (0 all, 1 persistent, 2 transient, 3 to be retained), and whose turn it is of how many.
    Chosen(u64, Option<u32>, Option<u64>, u8, Option<(u32, u32)>),
}

impl AnyTarget {
    fn target(self) -> PyResult<Target> {
        let ((queue, ttl_ms, room), wanted, share) = match self {
            Self::Plain(plain) => (plain, 0, None),
            Self::Chosen(queue, ttl_ms, room, wanted, share) => {
                ((queue, ttl_ms, room), wanted, share)
            }
        };
        let wanted = match wanted {
            0 => Wanted::All,
            1 => Wanted::Persistent,
            2 => Wanted::Transient,
            3 => Wanted::Retained,
            _ => return Err(PyValueError::new_err("no such kind of messages")),
        };
        if share.is_some_and(|(member, members)| member >= members) {
            return Err(PyValueError::new_err("no such member"));
        }
        Ok(Target {
            ttl_ms: ttl_ms.unwrap_or(NO_EXPIRATION),
            room: room.unwrap_or(u64::MAX),
            wanted,
            share: share.map(|(member, members)| Share { member, members }),
            ..Target::of(queue)
        })
    }
}

#[pymethods]
impl PyRoute {
    #[new]
    fn new(targets: Vec<AnyTarget>) -> PyResult<Self> {
        let targets: PyResult<Vec<Target>> = targets.into_iter().map(AnyTarget::target).collect();
        Ok(Self {
            targets: Arc::new(targets?),
        })
    }
}

/// (deliveries, [(first, last sequence)], count, bytes).
type PyTaken<'py> = (Bound<'py, PyDeliveryRun>, Vec<(u64, u64)>, usize, u64);

/// (changed queues, dropped queues, own commands applied through, [(index, time in ms, command)]).
type PyEffects<'py> = (
    Vec<u64>,
    Vec<u64>,
    u64,
    Vec<(u64, u64, Bound<'py, PyBytes>)>,
);

#[pyclass(frozen, name = "Shard", module = "kernel")]
pub struct PyShard {
    shard: Mutex<Shard>,
    /// A logged shard's.
    store: Option<Arc<Store>>,
}

impl PyShard {
    pub fn new(shard: Shard, store: Option<Arc<Store>>) -> Self {
        Self {
            shard: Mutex::new(shard),
            store,
        }
    }

    /// What the shard must have written goes to its journal.
    fn write(&self, shard: &mut Shard, record: Option<GroupRecord>) {
        let Some(store) = &self.store else {
            return;
        };
        if let Some(record) = record {
            let write = store.journal().submit(vec![record]);
            shard.written(write);
        }
        store.note_released(shard.take_released());
    }

    /// Python's one thread calls in; a job's thread only ever holds a frozen copy.
    pub fn lock(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn targets(routes: &[PyRef<'_, PyRoute>]) -> Vec<Targets> {
    routes.iter().map(|route| route.targets.clone()).collect()
}

fn sequence_range(settled: (u64, u64, u64, u8)) -> PyResult<SequenceRange> {
    let (queue, first, last, number) = settled;
    Ok(SequenceRange {
        queue,
        first,
        last,
        outcome: outcome(number)? as u8,
    })
}

fn outcome(number: u8) -> PyResult<Outcome> {
    Outcome::of(number).ok_or_else(|| PyValueError::new_err("no such outcome"))
}

#[pymethods]
impl PyShard {
    #[staticmethod]
    fn volatile(id: u32, peer: u64, incarnation: u64) -> Self {
        Self::new(Shard::volatile(id, Sender { peer, incarnation }), None)
    }

    /// A logged shard of which this node is the only voter, as the journal has it.
    #[staticmethod]
    #[pyo3(signature = (journal, id, incarnation, seed, cache_size_max))]
    fn logged_alone(
        journal: &PyJournal,
        id: u32,
        incarnation: u64,
        seed: u64,
        cache_size_max: usize,
    ) -> PyResult<Self> {
        let shard = journal.restore_shard(id, incarnation, seed, cache_size_max)?;
        Ok(Self::new(shard, Some(journal.store().clone())))
    }

    #[getter]
    fn id(&self) -> u32 {
        self.lock().id
    }

    #[getter]
    fn logged(&self) -> bool {
        self.lock().is_logged()
    }

    #[getter]
    fn serving(&self) -> bool {
        self.lock().is_serving()
    }

    #[getter]
    fn memory_size(&self) -> usize {
        self.lock().memory_size()
    }

    #[getter]
    fn under_way_size(&self) -> usize {
        self.lock().under_way_size()
    }

    #[getter]
    fn urgent(&self) -> bool {
        self.lock().is_urgent()
    }

    #[getter]
    fn pending(&self) -> bool {
        self.lock().has_pending()
    }

    #[getter]
    fn time_ms(&self) -> u64 {
        self.lock().state().time_ms
    }

    #[getter]
    fn applied_index(&self) -> u64 {
        self.lock().state().applied_index
    }

    /// A number over all of the replicated state; in no hot path.
    fn state_hash(&self) -> u64 {
        self.lock().state().hash()
    }

    fn queue_ids(&self) -> Vec<u64> {
        self.lock().state().queues.keys().copied().collect()
    }

    fn has_queue(&self, queue: u64) -> bool {
        self.lock().state().queues.contains_key(&queue)
    }

    #[pyo3(signature = (urgent = true))]
    fn barrier(&self, urgent: bool) -> u64 {
        self.lock().barrier(urgent)
    }

    #[pyo3(signature = (messages, routes, turns = vec![]))]
    fn publish(
        &self,
        messages: &PyMessageRun,
        routes: Vec<PyRef<'_, PyRoute>>,
        turns: Vec<u64>,
    ) -> (u64, Option<Vec<u32>>) {
        let (number, rejected) = self
            .lock()
            .publish(&messages.run, &targets(&routes), &turns);
        (number, (!rejected.is_empty()).then_some(rejected))
    }

    fn accept(&self, messages: &PyMessageRun, outbox: u64, command: &[u8]) -> u64 {
        let command = Bytes::copy_from_slice(command);
        self.lock().accept(&messages.run, outbox, command)
    }

    /// `settled`: (queue, first, last sequence, outcome).
    fn commit(
        &self,
        messages: Option<&PyMessageRun>,
        routes: Vec<PyRef<'_, PyRoute>>,
        turns: Vec<u64>,
        settled: Vec<(u64, u64, u64, u8)>,
        command: Option<&[u8]>,
    ) -> PyResult<u64> {
        let settled: PyResult<Vec<SequenceRange>> =
            settled.into_iter().map(sequence_range).collect();
        let command = command.map(Bytes::copy_from_slice);
        let run = messages.map(|messages| &messages.run);
        let keys = targets(&routes);
        Ok(self.lock().commit(run, &keys, &turns, &settled?, command))
    }

    fn next_sequence(&self, queue: u64) -> u64 {
        self.lock().next_sequence(queue)
    }

    #[pyo3(signature = (messages, routes, sender, number, turns = vec![]))]
    fn receive_move(
        &self,
        messages: &PyMessageRun,
        routes: Vec<PyRef<'_, PyRoute>>,
        sender: (u64, u64),
        number: u64,
        turns: Vec<u64>,
    ) {
        let sender = Sender {
            peer: sender.0,
            incarnation: sender.1,
        };
        self.lock()
            .receive_move(&messages.run, &targets(&routes), &turns, sender, number);
    }

    fn applied_through(&self, peer: u64, incarnation: u64) -> u64 {
        self.lock().applied_through(Sender { peer, incarnation })
    }

    fn senders(&self) -> Vec<(u64, u64)> {
        self.lock()
            .state()
            .senders
            .keys()
            .map(|s| (s.peer, s.incarnation))
            .collect()
    }

    fn forget_sender(&self, peer: u64, incarnation: u64) {
        self.lock().forget_sender(Sender { peer, incarnation });
    }

    fn create_queue(&self, queue: u64) -> u64 {
        self.lock().create_queue(queue)
    }

    fn drop_queue(&self, queue: u64) -> u64 {
        self.lock().drop_queue(queue)
    }

    fn propose_command(&self, command: &[u8]) -> u64 {
        self.lock().propose_command(Bytes::copy_from_slice(command))
    }

    fn note_command(&self, command: &[u8]) {
        self.lock().note_command(Bytes::copy_from_slice(command));
    }

    fn settle(&self, queue: u64, first: u64, last: u64, outcome_number: u8) -> PyResult<()> {
        self.lock()
            .settle(queue, first, last, outcome(outcome_number)?);
        Ok(())
    }

    fn give_back(&self, queue: u64, first: u64, last: u64) {
        self.lock().give_back(queue, first, last);
    }

    fn counts(&self, queue: u64) -> (u64, u64, u64) {
        self.lock().counts(queue)
    }

    #[getter]
    fn may_expire(&self) -> bool {
        self.lock().may_expire()
    }

    fn ready_size(&self, queue: u64) -> u64 {
        self.lock().ready_size(queue)
    }

    fn check_out(&self, queue: u64, count: u64) -> Vec<(u64, u64)> {
        self.lock().check_out(queue, count)
    }

    fn check_out_expired(&self, queue: u64, now_ms: u64, count: u64) -> Vec<(u64, u64)> {
        self.lock().check_out_expired(queue, now_ms, count)
    }

    fn hold(&self, queue: u64, first: u64, last: u64) -> Vec<(u64, u64)> {
        self.lock().hold(queue, first, last)
    }

    fn first_ready(&self, queue: u64) -> Option<u64> {
        self.lock().first_ready(queue)
    }

    fn ready_from(&self, queue: u64) -> u64 {
        self.lock().ready_from(queue)
    }

    fn head_expires_ms(&self, queue: u64) -> u64 {
        self.lock().head_expires_ms(queue)
    }

    #[pyo3(signature = (queue, count, size, settle=false))]
    fn take<'py>(
        &self,
        py: Python<'py>,
        queue: u64,
        count: u64,
        size: u64,
        settle: bool,
    ) -> PyResult<Option<PyTaken<'py>>> {
        let mut shard = self.lock();
        let Taken {
            deliveries,
            ranges,
            size,
        } = shard.take(queue, count, size);
        if ranges.is_empty() {
            return Ok(None);
        }
        if settle {
            for (first, last) in &ranges {
                shard.settle(queue, *first, *last, Outcome::Accepted);
            }
        }
        let count = deliveries.count();
        Ok(Some((
            Bound::new(py, PyDeliveryRun::new(deliveries))?,
            ranges,
            count,
            size,
        )))
    }

    fn reserve_mark(&self, queue: u64) {
        self.lock().reserve_mark(queue);
    }

    fn peek(&self, queue: u64, first: u64, last: u64) -> Option<(PyDeliveryRun, u64)> {
        let (run, through) = self.lock().peek(queue, first, last)?;
        Some((PyDeliveryRun::new(run), through))
    }

    /// Puts messages into an outbox and settles those they stand for, in one wave.
    fn bury(
        &self,
        messages: &PyMessageRun,
        outbox: u64,
        queue: u64,
        ranges: Vec<(u64, u64)>,
        outcome_number: u8,
    ) -> PyResult<()> {
        let outcome = outcome(outcome_number)?;
        self.lock()
            .bury(&messages.run, outbox, queue, &ranges, outcome);
        Ok(())
    }

    /// Reads entries' frames back. Takes as long as the disk does, without the GIL: for a thread of its own.
    fn read(&self, py: Python<'_>, entries: Vec<u64>) -> PyResult<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let group = self.lock().id;
        let read: Result<Vec<_>, StoreError> = py.detach(|| {
            let each = entries.into_iter();
            each.map(|entry| Ok((entry, store.read_frames(group, entry)?)))
                .collect()
        });
        let read = read.map_err(journal::store_error)?;
        self.lock().receive_reads(read);
        Ok(())
    }

    fn take_wanted_reads(&self) -> Vec<u64> {
        self.lock().take_wanted_reads()
    }

    fn put_row(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.lock().put_row(key, value);
    }

    fn rows<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let shard = self.lock();
        let rows = shard.state().rows.iter();
        rows.map(|(k, v)| (PyBytes::new(py, k), PyBytes::new(py, v)))
            .collect()
    }

    /// Proposes what was gathered; what a logged shard must write goes to its journal.
    fn propose(&self, now_ms: u64) {
        let mut shard = self.lock();
        let record = shard.propose(now_ms);
        self.write(&mut shard, record);
    }

    /// Starts leading the group; alone that takes two syncs.
    fn campaign(&self) {
        let mut shard = self.lock();
        let record = shard.campaign();
        self.write(&mut shard, record);
    }

    /// The journal's writes through this one are on disk.
    fn receive_synced(&self, write: u64) {
        let mut shard = self.lock();
        let record = shard.receive_synced(write);
        self.write(&mut shard, record);
    }

    fn tick(&self) {
        self.lock().tick();
    }

    fn take_effects<'py>(&self, py: Python<'py>) -> Option<PyEffects<'py>> {
        let mut shard = self.lock();
        let effects = shard.take_effects()?;
        let mine = effects
            .applied
            .iter()
            .rev()
            .find(|(sender, _)| *sender == shard.sender);
        let commands = effects
            .commands
            .iter()
            .map(|(index, time, bytes)| (*index, *time, PyBytes::new(py, bytes)))
            .collect();
        let through = mine.map_or(0, |(_, through)| *through);
        let changed = effects.changed_queues.into_iter().collect();
        Some((changed, effects.dropped_queues, through, commands))
    }

    /// Copies survivors of the waves since `from` out of the reads they pin; answers where to go on.
    fn unpin(&self, from_: u64) -> u64 {
        self.lock().unpin(from_)
    }
}

#[pyclass(frozen, name = "Unsettled", module = "kernel")]
pub struct PyUnsettled {
    unsettled: Mutex<Unsettled>,
}

impl PyUnsettled {
    fn lock(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

type Ranges = Vec<(u32, u64, u64, u64)>;

fn ranges(settled: Vec<crate::unsettled::Settled>) -> Ranges {
    settled
        .into_iter()
        .map(|s| (s.consumer, s.queue, s.first, s.last))
        .collect()
}

#[pymethods]
impl PyUnsettled {
    #[new]
    fn new() -> Self {
        Self {
            unsettled: Mutex::new(Unsettled::default()),
        }
    }

    fn __len__(&self) -> usize {
        self.lock().count() as usize
    }

    /// Gives the next tags to deliveries of these sequences; answers the first tag.
    #[pyo3(signature = (consumer, queue, sequences, kept=true))]
    fn push(&self, consumer: u32, queue: u64, sequences: Vec<(u64, u64)>, kept: bool) -> u64 {
        let mut unsettled = self.lock();
        let mut tag = 0;
        for (first, last) in sequences {
            let given = unsettled.push(consumer, queue, first, last + 1 - first, kept);
            if tag == 0 {
                tag = given;
            }
        }
        tag
    }

    /// [(consumer, queue, first, last sequence)], or None if a tag is not unsettled.
    fn settle(&self, first: u64, last: u64) -> Option<Ranges> {
        self.lock().settle(first, last).map(ranges)
    }

    /// The same, to see what settles would come to.
    fn copy(&self) -> Self {
        Self {
            unsettled: Mutex::new(self.lock().clone()),
        }
    }

    fn take_all(&self) -> Ranges {
        ranges(self.lock().take_all())
    }
}

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

#[pyfunction]
fn wanting_shards(shards: Vec<PyRef<'_, PyShard>>) -> Vec<usize> {
    let numbered = shards.iter().enumerate();
    let wanting = numbered.filter(|(_, shard)| shard.lock().wants_reads());
    wanting.map(|(number, _)| number).collect()
}

#[pyfunction]
fn under_way_size(shards: Vec<PyRef<'_, PyShard>>) -> usize {
    shards.iter().map(|s| s.lock().under_way_size()).sum()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRoute>()?;
    m.add_function(wrap_pyfunction!(busy_shards, m)?)?;
    m.add_function(wrap_pyfunction!(any_urgent, m)?)?;
    m.add_function(wrap_pyfunction!(wanting_shards, m)?)?;
    m.add_function(wrap_pyfunction!(under_way_size, m)?)?;
    m.add_class::<PyShard>()?;
    m.add_class::<PyUnsettled>()?;
    Ok(())
}
