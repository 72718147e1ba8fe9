//! Commands and their numbers: what a shard takes in, and from whom through which.
//!
//! A sender numbers its commands densely from 1. This node's own front has its numbers given here; every other
//! sender's come with its commands: what a command asks for is done by the methods without a number, and then
//! `take_in` says whose command it was. Only a shard that serves may be told any of it.

use std::sync::Arc;

use bytes::Bytes;

use super::Shard;
use crate::message_run::MessageRun;
use crate::pending_wave::Targets;
use crate::wave::{Sender, SequenceRange};

impl Shard {
    /// The number of the front's next command, which rides in the wave being gathered.
    pub(super) fn number(&mut self) -> u64 {
        self.pending.urgent = true;
        self.number_in_time()
    }

    /// Its number, where nobody waits for it: it rides with the next wave.
    fn number_in_time(&mut self) -> u64 {
        self.last_number += 1;
        self.pending.through(self.sender, self.last_number);
        self.last_number
    }

    /// The last number taken in of a sender, what is under way counted in; 0: none.
    pub fn accepted_through(&self, sender: Sender) -> u64 {
        if self.served.is_some() && sender == self.sender {
            return self.last_number;
        }
        let accepted = self.accepted.get(&sender).copied().unwrap_or(0);
        accepted.max(self.applied_through(sender))
    }

    /// The last number applied for a sender; 0: none.
    pub fn applied_through(&self, sender: Sender) -> u64 {
        self.state.senders.get(&sender).copied().unwrap_or(0)
    }

    /// A sender's commands through `number` are in the waves gathered so far. To be said after each command that
    /// may have begun a new wave. False: not beyond what was taken in before; nothing was done.
    #[must_use]
    pub fn take_in(&mut self, sender: Sender, number: u64, urgent: bool) -> bool {
        if number <= self.accepted_through(sender) {
            return false;
        }
        if sender == self.sender {
            self.last_number = number;
        } else {
            self.accepted.insert(sender, number);
        }
        self.pending.through(sender, number);
        self.pending.urgent |= urgent;
        true
    }

    /// A command that does nothing but be applied: all that was said before it is applied with it.
    pub fn barrier(&mut self, urgent: bool) -> u64 {
        if urgent {
            self.number()
        } else {
            self.number_in_time()
        }
    }

    /// A front's publish. Answers its number and the records some queue rejected.
    pub fn publish(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        turns: &[u64],
    ) -> (u64, Vec<u32>) {
        let rejected = self.append(run, keys, turns);
        (self.number(), rejected)
    }

    /// Puts messages into an outbox together with a command, in one wave. Answers its number.
    pub fn accept(&mut self, run: &Arc<MessageRun>, outbox: u64, command: Bytes) -> u64 {
        self.append_with_command(run, outbox, command);
        self.number()
    }

    /// The same without a number.
    pub fn append_with_command(&mut self, run: &Arc<MessageRun>, outbox: u64, command: Bytes) {
        self.append_to(run, outbox);
        self.note_command(command);
    }

    /// A transaction's part in this shard, in one wave: messages go where `keys` say, ranges are settled, and a
    /// command says what is still to be done elsewhere. Answers its number.
    pub fn commit(
        &mut self,
        messages: Option<&Arc<MessageRun>>,
        keys: &[Targets],
        turns: &[u64],
        settled: &[SequenceRange],
        command: Option<Bytes>,
    ) -> u64 {
        self.append_part(messages, keys, turns, settled, command);
        self.number()
    }

    /// The same without a number.
    pub fn append_part(
        &mut self,
        messages: Option<&Arc<MessageRun>>,
        keys: &[Targets],
        turns: &[u64],
        settled: &[SequenceRange],
        command: Option<Bytes>,
    ) {
        if let Some(run) = messages {
            // It may begin a new wave; nothing that follows does.
            let rejected = self.append(run, keys, turns);
            debug_assert!(rejected.is_empty(), "there was room for all of it");
        }
        for range in settled {
            self.settle_range(*range);
        }
        self.pending.wave.commands.extend(command);
    }

    /// A move from another shard's outbox, numbered by its sequence there.
    pub fn receive_move(
        &mut self,
        run: &Arc<MessageRun>,
        keys: &[Targets],
        turns: &[u64],
        sender: Sender,
        number: u64,
    ) {
        self.append(run, keys, turns);
        let fresh = self.take_in(sender, number, true);
        debug_assert!(fresh, "a move is looked up before it is taken in");
    }

    pub fn create_queue(&mut self, queue: u64) -> u64 {
        self.begin_queue(queue);
        self.number()
    }

    /// Creates a queue; without a number.
    pub fn begin_queue(&mut self, queue: u64) {
        self.pending.wave.created_queues.push(queue);
        self.queues.entry(queue).or_default();
    }

    pub fn drop_queue(&mut self, queue: u64) -> u64 {
        self.end_queue(queue);
        self.number()
    }

    /// Drops a queue; without a number.
    pub fn end_queue(&mut self, queue: u64) {
        self.pending.wave.dropped_queues.push(queue);
    }

    /// A change of topology, for the core to apply once it is committed.
    pub fn propose_command(&mut self, command: Bytes) -> u64 {
        self.note_command(command);
        self.number()
    }

    /// A command without a number, that nobody waits for: it rides with the next wave.
    pub fn note_command(&mut self, command: Bytes) {
        self.pending.wave.commands.push(command);
    }

    pub fn forget_sender(&mut self, sender: Sender) {
        self.pending.wave.forgotten_senders.push(sender);
    }
}
