//! `Shard` for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::damage::StoreError;
use crate::face::delivery_run::PyDeliveryRun;
use crate::face::journal::{self, PyJournal};
use crate::face::message_run::PyMessageRun;
use crate::face::route::{targets, PyRoute};
use crate::group_record::GroupRecord;
use crate::raft_group::GroupError;
use crate::raft_ready::SnapshotMark;
use crate::shard::{Asked, Shard, Stepped};
use crate::shard_open::ShardOptions;
use crate::shard_ready::Taken;
use crate::shard_state::ShardState;
use crate::store::Store;
use crate::wave::{Outcome, Sender, SequenceRange};

/// (deliveries, [(first, last sequence)], count, bytes).
type PyTaken<'py> = (Bound<'py, PyDeliveryRun>, Vec<(u64, u64)>, usize, u64);

/// (changed queues, dropped queues, own commands applied through, [(index, time in ms, command)]).
type PyEffects<'py> = (
    Vec<u64>,
    Vec<u64>,
    u64,
    Vec<(u64, u64, Bound<'py, PyBytes>)>,
);

create_exception!(
    kernel,
    RaftDead,
    PyRuntimeError,
    "The shard's group does nothing any more, and why: it is to be restored from the journal."
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

    fn opened(journal: &PyJournal, options: ShardOptions) -> PyResult<Self> {
        let shard = journal.open_shard(options)?;
        Ok(Self::new(shard, Some(journal.store().clone())))
    }

    /// What the shard must have written goes to its journal.
    fn write(&self, shard: &mut Shard, record: Option<GroupRecord>) -> PyResult<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        if let Some(reason) = shard.dead() {
            return Err(RaftDead::new_err(reason.to_owned()));
        }
        if let Some(record) = record {
            let write = store.journal().submit(vec![record]);
            shard.written(write);
        }
        store.note_released(shard.take_released());
        Ok(())
    }

    /// Asks the group something; false: it refused.
    pub fn ask(&self, call: impl FnOnce(&mut Shard) -> Asked) -> PyResult<bool> {
        let mut shard = self.lock();
        match call(&mut shard) {
            Ok(record) => self.write(&mut shard, record).map(|()| true),
            Err(GroupError::Dead(reason)) => Err(RaftDead::new_err(reason)),
            Err(_) => Ok(false),
        }
    }

    /// Steps a leader's snapshot whose `state` is durable here. False: it was refused, or of no use.
    pub fn step_snapshot(&self, message: &Bytes, state: ShardState) -> PyResult<bool> {
        let mut shard = self.lock();
        let stepped = shard.step_snapshot(message, state, None);
        self.receive_stepped(&mut shard, stepped)
    }

    pub fn receive_stepped(&self, shard: &mut Shard, stepped: Stepped) -> PyResult<bool> {
        let (installed, record) = match stepped {
            Ok(outcome) => outcome,
            Err(GroupError::Dead(reason)) => return Err(RaftDead::new_err(reason)),
            Err(_) => return Ok(false),
        };
        if let (true, Some(store)) = (installed, &self.store) {
            shard.sealed_through = store.sealed_through(shard.id);
        }
        self.write(shard, record)?;
        Ok(installed)
    }

    /// Followers that need it are sent a snapshot with `data`, by which they fetch what `mark` was taken with.
    pub fn offer_snapshot(&self, mark: &SnapshotMark, data: Bytes) -> PyResult<bool> {
        self.ask(|shard| shard.offer_snapshot(mark, data))
    }

    /// Python's one thread calls in; a job's thread only ever holds a frozen copy.
    pub fn lock(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// To be told something that only a leader takes in.
    pub fn serving_shard(&self) -> PyResult<MutexGuard<'_, Shard>> {
        let shard = self.lock();
        if shard.is_serving() {
            return Ok(shard);
        }
        Err(PyValueError::new_err("the replica does not serve"))
    }
}

pub fn sequence_range(settled: (u64, u64, u64, u8)) -> PyResult<SequenceRange> {
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
        Self::opened(
            journal,
            ShardOptions {
                id,
                incarnation,
                seed,
                cache_size_max,
                voters: None,
            },
        )
    }

    /// A replica of a group, as the journal has it. `voters`: the configuration of a group that the store knows
    /// nothing of; without any it waits for a leader's snapshot.
    #[staticmethod]
    #[pyo3(signature = (journal, id, incarnation, seed, cache_size_max, voters))]
    fn replica(
        journal: &PyJournal,
        id: u32,
        incarnation: u64,
        seed: u64,
        cache_size_max: usize,
        voters: Vec<u64>,
    ) -> PyResult<Self> {
        Self::opened(
            journal,
            ShardOptions {
                id,
                incarnation,
                seed,
                cache_size_max,
                voters: Some(voters),
            },
        )
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
    fn barrier(&self, urgent: bool) -> PyResult<u64> {
        Ok(self.serving_shard()?.barrier(urgent))
    }

    #[pyo3(signature = (messages, routes, turns = vec![]))]
    fn publish(
        &self,
        messages: &PyMessageRun,
        routes: Vec<PyRef<'_, PyRoute>>,
        turns: Vec<u64>,
    ) -> PyResult<(u64, Option<Vec<u32>>)> {
        let mut shard = self.serving_shard()?;
        let (number, rejected) = shard.publish(&messages.run, &targets(&routes), &turns);
        Ok((number, (!rejected.is_empty()).then_some(rejected)))
    }

    fn accept(&self, messages: &PyMessageRun, outbox: u64, command: &[u8]) -> PyResult<u64> {
        let command = Bytes::copy_from_slice(command);
        let mut shard = self.serving_shard()?;
        Ok(shard.accept(&messages.run, outbox, command))
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
        let mut shard = self.serving_shard()?;
        Ok(shard.commit(run, &keys, &turns, &settled?, command))
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
    ) -> PyResult<()> {
        let sender = Sender {
            peer: sender.0,
            incarnation: sender.1,
        };
        self.serving_shard()?.receive_move(
            &messages.run,
            &targets(&routes),
            &turns,
            sender,
            number,
        );
        Ok(())
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

    fn forget_sender(&self, peer: u64, incarnation: u64) -> PyResult<()> {
        self.serving_shard()?
            .forget_sender(Sender { peer, incarnation });
        Ok(())
    }

    fn create_queue(&self, queue: u64) -> PyResult<u64> {
        Ok(self.serving_shard()?.create_queue(queue))
    }

    fn drop_queue(&self, queue: u64) -> PyResult<u64> {
        Ok(self.serving_shard()?.drop_queue(queue))
    }

    fn propose_command(&self, command: &[u8]) -> PyResult<u64> {
        let mut shard = self.serving_shard()?;
        Ok(shard.propose_command(Bytes::copy_from_slice(command)))
    }

    fn note_command(&self, command: &[u8]) -> PyResult<()> {
        let mut shard = self.serving_shard()?;
        shard.note_command(Bytes::copy_from_slice(command));
        Ok(())
    }

    fn settle(&self, queue: u64, first: u64, last: u64, outcome_number: u8) -> PyResult<()> {
        self.serving_shard()?
            .settle(queue, first, last, outcome(outcome_number)?);
        Ok(())
    }

    fn give_back(&self, queue: u64, first: u64, last: u64) -> PyResult<()> {
        self.serving_shard()?.give_back(queue, first, last);
        Ok(())
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
        self.serving_shard()?
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
    fn propose(&self, now_ms: u64) -> PyResult<()> {
        let mut shard = self.lock();
        let record = shard.propose(now_ms);
        self.write(&mut shard, record)
    }

    /// Starts an election, which a group's only voter wins; alone that takes two syncs. False: not able to now.
    fn campaign(&self) -> PyResult<bool> {
        self.ask(Shard::campaign)
    }

    /// The journal's writes through this one are on disk.
    pub fn receive_synced(&self, write: u64) -> PyResult<()> {
        let mut shard = self.lock();
        let record = shard.receive_synced(write);
        self.write(&mut shard, record)
    }

    fn tick(&self) -> PyResult<()> {
        let mut shard = self.lock();
        let record = shard.tick();
        self.write(&mut shard, record)
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

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("RaftDead", m.py().get_type::<RaftDead>())?;
    m.add_class::<PyShard>()?;
    Ok(())
}
