//! `Shard` for Python: commands without a number, and whose they were.

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::face::message_run::PyMessageRun;
use crate::face::route::{targets, PyRoute};
use crate::face::shard::{sequence_range, PyShard};
use crate::wave::{Sender, SequenceRange};

#[pymethods]
impl PyShard {
    fn accepted_through(&self, peer: u64, incarnation: u64) -> u64 {
        let sender = Sender { peer, incarnation };
        self.lock().accepted_through(sender)
    }

    /// The sender's commands through `number` are in the waves gathered so far.
    fn take_in(&self, peer: u64, incarnation: u64, number: u64, urgent: bool) -> PyResult<()> {
        let sender = Sender { peer, incarnation };
        if self.serving_shard()?.take_in(sender, number, urgent) {
            return Ok(());
        }
        Err(PyValueError::new_err("a number that was taken in before"))
    }

    /// `publish` without a number; the records that some queue rejected.
    #[pyo3(signature = (messages, routes, turns = vec![]))]
    fn append(
        &self,
        messages: &PyMessageRun,
        routes: Vec<PyRef<'_, PyRoute>>,
        turns: Vec<u64>,
    ) -> PyResult<Option<Vec<u32>>> {
        let mut shard = self.serving_shard()?;
        let rejected = shard.append(&messages.run, &targets(&routes), &turns);
        Ok((!rejected.is_empty()).then_some(rejected))
    }

    /// `accept` without a number.
    fn append_with_command(
        &self,
        messages: &PyMessageRun,
        outbox: u64,
        command: &[u8],
    ) -> PyResult<()> {
        let command = Bytes::copy_from_slice(command);
        let mut shard = self.serving_shard()?;
        shard.append_with_command(&messages.run, outbox, command);
        Ok(())
    }

    /// `commit` without a number.
    fn append_part(
        &self,
        messages: Option<&PyMessageRun>,
        routes: Vec<PyRef<'_, PyRoute>>,
        turns: Vec<u64>,
        settled: Vec<(u64, u64, u64, u8)>,
        command: Option<&[u8]>,
    ) -> PyResult<()> {
        let settled: PyResult<Vec<SequenceRange>> =
            settled.into_iter().map(sequence_range).collect();
        let command = command.map(Bytes::copy_from_slice);
        let run = messages.map(|messages| &messages.run);
        let keys = targets(&routes);
        let mut shard = self.serving_shard()?;
        shard.append_part(run, &keys, &turns, &settled?, command);
        Ok(())
    }

    /// `create_queue` without a number.
    fn begin_queue(&self, queue: u64) -> PyResult<()> {
        self.serving_shard()?.begin_queue(queue);
        Ok(())
    }

    /// `drop_queue` without a number.
    fn end_queue(&self, queue: u64) -> PyResult<()> {
        self.serving_shard()?.end_queue(queue);
        Ok(())
    }
}
