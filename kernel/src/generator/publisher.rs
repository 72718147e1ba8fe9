//! One producer on one connection, in whatever protocol.

use std::ops::Range;

use super::client::{open_publisher, Confirms, Publishing};
use super::ledger::Ledger;
use super::socket::Socket;
use super::template::{Message, Template};
use super::{LoadSpec, Pattern};
use crate::histogram::Histogram;

/// A publisher writes at most this much before the others' turn.
const TURN_BYTES_MAX: usize = 1 << 20;
/// Of a confirmed open loop: what may be unconfirmed while the broker stands still.
const OPEN_LOOP_RING: u64 = 1 << 20;

/// Why a publisher stopped publishing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It sent what it was allowed to.
    Sent,
    /// The socket takes no more now.
    Socket,
    /// It is the others' turn.
    Turn,
}

pub struct Publisher {
    pub socket: Socket,
    protocol: Box<dyn Publishing>,
    template: Template,
    ledger: Option<Ledger>,
    window: u64,
    /// The next message's sequence: how many were sent.
    sequence: u64,
    /// Messages in one message of the WebSocket; 1 without one.
    together: u64,
    /// Fewer are held back until there are as many.
    whole: bool,
    /// With a WebSocket, what was stamped, wrapped.
    wrapped: Vec<u8>,
    /// Of the template, or of what was wrapped: stamped and not written yet.
    unwritten: Range<usize>,
    /// The epoll was asked to say when the socket takes more.
    pub awaits_writable: bool,
}

impl Publisher {
    pub fn open(spec: &LoadSpec, producer: u32) -> Result<Self, String> {
        let (socket, protocol) = open_publisher(spec, producer)?;
        let routing_keys = match spec.pattern {
            Pattern::Pairs => std::slice::from_ref(&spec.routing_keys[producer as usize]),
            Pattern::Everyone | Pattern::Group => &spec.routing_keys,
        };
        let message = Message {
            routing_keys,
            size: spec.size,
            producer,
            nonce: spec.nonce,
        };
        let is_open = spec.rate > 0.0;
        // In open loop what is due is sent, however many wait for their confirms.
        let window = if is_open { u64::MAX } else { spec.window };
        let confirmed = spec.publishing.protocol.is_confirmed();
        let together = spec.publishing.together();
        let useful = match (is_open, confirmed) {
            // What is due in a second: thousands of slow publishers need no more.
            (true, _) => (spec.rate / f64::from(spec.publishers)).ceil() as u64,
            (false, true) => window,
            (false, false) => u64::MAX,
        };
        let ring = if is_open {
            OPEN_LOOP_RING
        } else {
            spec.window * 2
        };
        let ring = ring.min(spec.publishing.protocol.unconfirmed_max());
        Ok(Self {
            socket,
            template: Template::new(&message, useful, together, &*protocol),
            protocol,
            ledger: confirmed.then(|| Ledger::new(ring)),
            window,
            sequence: spec.queued,
            together,
            whole: spec.is_for_a_time(),
            wrapped: Vec::new(),
            unwritten: 0..0,
            awaits_writable: false,
        })
    }

    pub fn sent(&self) -> u64 {
        self.sequence
    }

    pub fn unconfirmed(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::outstanding)
    }

    /// Everything that was stamped is with the operating system.
    pub fn is_flushed(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Publishes up to `allowed` messages, as the window and the socket let it. `due` says for a
    /// sequence when it was due (ns).
    pub fn publish(
        &mut self,
        allowed: u64,
        now: u64,
        due: impl Fn(u64) -> u64,
    ) -> Result<Pause, String> {
        let mut left = allowed;
        let mut budget = TURN_BYTES_MAX;
        loop {
            if !self.unwritten.is_empty() {
                let stamped = if self.socket.is_wrapping() {
                    &self.wrapped
                } else {
                    &self.template.bytes
                };
                let bytes = &stamped[self.unwritten.clone()];
                let written = self.socket.write(bytes)?;
                self.unwritten.start += written;
                budget = budget.saturating_sub(written);
            }
            // Answers stand between whole messages.
            if !self.unwritten.is_empty() || !self.socket.flush()? {
                return Ok(Pause::Socket);
            }
            let room = self
                .ledger
                .as_ref()
                .map_or(u64::MAX, |ledger| ledger.room(self.window));
            let count = self.sendable(left.min(room));
            if count == 0 {
                return Ok(Pause::Sent);
            }
            if budget == 0 {
                return Ok(Pause::Turn);
            }
            left -= self.stamp(count, now, &due);
        }
    }

    /// Of `count` messages, those that make whole messages of the WebSocket.
    fn sendable(&self, count: u64) -> u64 {
        count - if self.whole { count % self.together } else { 0 }
    }

    /// Stamps up to `count` copies from where the keys' turn is; gives how many.
    fn stamp(&mut self, count: u64, now: u64, due: impl Fn(u64) -> u64) -> u64 {
        let first = (self.sequence % self.template.len() as u64) as usize;
        let count = count.min((self.template.len() - first) as u64);
        let last = first + count as usize;
        for (place, copy) in (first..last).enumerate() {
            let sequence = self.sequence + place as u64;
            self.template.stamp(copy, sequence, due(sequence));
        }
        if let (true, Some(ledger)) = (self.protocol.is_numbered(), &self.ledger) {
            for (copy, tag) in (first..last).zip(ledger.next()..) {
                self.template.number(copy, tag, &*self.protocol);
            }
        }
        self.unwritten = self.template.starts[first]..self.template.starts[last];
        if self.socket.is_wrapping() {
            self.wrap(first..last);
        }
        self.sequence += count;
        if let Some(ledger) = &mut self.ledger {
            ledger.sent(count, now);
        }
        count
    }

    /// Puts stamped copies into messages of the WebSocket.
    fn wrap(&mut self, copies: Range<usize>) {
        self.wrapped.clear();
        for first in copies.clone().step_by(self.together as usize) {
            let last = copies.end.min(first + self.together as usize);
            let bytes = self.template.starts[first]..self.template.starts[last];
            let payload = &self.template.bytes[bytes];
            self.socket.wrap(&mut self.wrapped, payload);
        }
        self.unwritten = 0..self.wrapped.len();
    }

    /// Reads confirms; gives how many came. What is to be answered goes out with the next publish.
    pub fn receive(
        &mut self,
        scratch: &mut Vec<u8>,
        now: impl Fn() -> u64,
        latencies: &mut Histogram,
    ) -> Result<u64, String> {
        let mut confirmed = 0;
        let (protocol, ledger) = (&mut self.protocol, &mut self.ledger);
        self.socket.receive(scratch, |bytes, answers| {
            let mut confirms = Confirms::new(ledger.as_mut(), now(), latencies);
            let taken = protocol.take(bytes, &mut confirms, answers)?;
            confirmed += confirms.count;
            Ok(taken)
        })?;
        Ok(confirmed)
    }

    /// Waits until everything took effect, and hangs up.
    pub fn close(mut self, spec: &LoadSpec, scratch: &mut Vec<u8>) -> Result<(), String> {
        let (protocol, ledger) = (&mut self.protocol, &mut self.ledger);
        protocol.end_of_stream().ask(self.socket.output());
        self.socket.finish(scratch, |bytes, answers| {
            let mut ignored = Histogram::new();
            let mut confirms = Confirms::new(ledger.as_mut(), 1, &mut ignored);
            let taken = protocol.take(bytes, &mut confirms, answers)?;
            Ok((taken, protocol.end_of_stream().is_answered()))
        })?;
        let ending = protocol.end_of_stream();
        ending.last_words(self.socket.output());
        self.socket.hang_up();
        ending.forget(&spec.publishing)
    }
}
