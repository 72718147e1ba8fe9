//! One producer on one connection.

use std::ops::Range;

use super::ledger::Ledger;
use super::socket::Socket;
use super::template::{Message, Template};
use super::wire;
use super::LoadSpec;
use crate::histogram::Histogram;

/// A publisher writes at most this much before the others' turn.
const TURN_BYTES_MAX: usize = 1 << 20;

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
    template: Template,
    ledger: Option<Ledger>,
    window: u64,
    /// The next message's sequence: how many were sent.
    sequence: u64,
    /// Of the template: stamped and not written yet.
    unwritten: Range<usize>,
    /// The epoll was asked to say when the socket takes more.
    pub awaits_writable: bool,
}

impl Publisher {
    pub fn open(spec: &LoadSpec, producer: u32) -> Result<Self, String> {
        let mut socket = Socket::open(spec)?;
        if spec.confirms {
            wire::method(socket.output(), 1, wire::CONFIRM_SELECT, |bytes| {
                bytes.push(0);
            });
            socket.call(wire::CONFIRM_SELECT_OK)?;
        }
        let message = Message {
            exchange: &spec.exchange,
            routing_keys: &spec.routing_keys,
            size: spec.size,
            persistent: spec.persistent,
            producer,
            nonce: spec.nonce,
        };
        // In open loop what is due is sent, however many wait for their confirms.
        let window = if spec.rate > 0.0 {
            u64::MAX
        } else {
            spec.window
        };
        let useful = if spec.confirms { window } else { u64::MAX };
        let ring = if spec.rate > 0.0 {
            1 << 20
        } else {
            spec.window * 2
        };
        Ok(Self {
            socket,
            template: Template::new(&message, useful),
            ledger: spec.confirms.then(|| Ledger::new(ring)),
            window,
            sequence: spec.queued,
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
                let bytes = &self.template.bytes[self.unwritten.clone()];
                let written = self.socket.write(bytes)?;
                self.unwritten.start += written;
                budget = budget.saturating_sub(written);
            }
            let room = self
                .ledger
                .as_ref()
                .map_or(u64::MAX, |ledger| ledger.room(self.window));
            let count = left.min(room);
            if !self.unwritten.is_empty() {
                return Ok(Pause::Socket);
            }
            if count == 0 {
                return Ok(Pause::Sent);
            }
            if budget == 0 {
                return Ok(Pause::Turn);
            }
            left -= self.stamp(count, now, &due);
        }
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
        self.unwritten = self.template.starts[first]..self.template.starts[last];
        self.sequence += count;
        if let Some(ledger) = &mut self.ledger {
            ledger.sent(count, now);
        }
        count
    }

    /// Reads confirms; gives how many came.
    pub fn receive(
        &mut self,
        scratch: &mut Vec<u8>,
        now: impl Fn() -> u64,
        latencies: &mut Histogram,
    ) -> Result<u64, String> {
        let mut confirmed = 0;
        let ledger = &mut self.ledger;
        self.socket.receive(scratch, |bytes| {
            let (taken, count, _) = take_confirms(bytes, ledger, now(), latencies)?;
            confirmed += count;
            Ok(taken)
        })?;
        Ok(confirmed)
    }

    pub fn close(mut self, scratch: &mut Vec<u8>) -> Result<(), String> {
        let ledger = &mut self.ledger;
        self.socket.close(scratch, |bytes| {
            let (taken, _, closed) = take_confirms(bytes, ledger, 1, &mut Histogram::new())?;
            Ok((taken, closed))
        })
    }
}

/// Gives how many bytes were understood, how many messages confirmed, and whether the channel closed.
fn take_confirms(
    bytes: &[u8],
    ledger: &mut Option<Ledger>,
    now: u64,
    latencies: &mut Histogram,
) -> Result<(usize, u64, bool), String> {
    let mut position = 0;
    let mut confirmed = 0;
    let mut closed = false;
    while let Some(frame) = wire::split(&bytes[position..])? {
        position += frame.size;
        let tag = wire::tag_and_bit(frame.payload, 4);
        match (frame.method(), tag, ledger.as_mut()) {
            (Some(wire::BASIC_ACK), Some((tag, multiple)), Some(ledger)) => {
                confirmed += ledger.confirm(tag, multiple, now, latencies)?;
            }
            (Some(wire::BASIC_NACK), _, _) => return Err("a publish was refused (nack)".into()),
            (Some(wire::CHANNEL_CLOSE_OK), _, _) => closed = true,
            (Some(wire::CONNECTION_CLOSE | wire::CHANNEL_CLOSE), _, _) => {
                return Err(format!("closed: {}", wire::close_reason(frame.payload)));
            }
            _ if frame.kind == wire::HEARTBEAT => {}
            (method, _, _) => return Err(format!("a publisher was sent {method:?}")),
        }
    }
    Ok((position, confirmed, closed))
}
