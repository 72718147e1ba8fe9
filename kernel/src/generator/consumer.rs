//! One queue's consumer on one connection.

use super::checker::Checker;
use super::socket::Socket;
use super::template::BODY_TIMED;
use super::wire;
use super::LoadSpec;
use crate::histogram::Histogram;

pub struct Consumer {
    pub socket: Socket,
    deliveries: Deliveries,
}

/// What a delivery waits for.
#[derive(Clone, Copy)]
enum Expected {
    Method,
    Header,
    /// Of a body of `size` bytes, `left` are to come.
    Body {
        size: usize,
        left: usize,
    },
}

/// The deliveries of a connection, frame by frame.
struct Deliveries {
    checker: Checker,
    expected: Expected,
    /// The beginning of a body that is cut in several frames.
    start: Vec<u8>,
    ack_every: u64,
    since_ack: u64,
    last_tag: u64,
    acks: Vec<u8>,
    redelivered: u64,
    closed: bool,
    first_at: Option<u64>,
}

impl Consumer {
    /// Starts consuming: deliveries may come from here on.
    pub fn open(spec: &LoadSpec, queue: &str) -> Result<Self, String> {
        let mut socket = Socket::open(spec)?;
        if spec.prefetch > 0 {
            wire::qos(socket.output(), spec.prefetch);
            socket.call(wire::BASIC_QOS_OK)?;
        }
        wire::consume(socket.output(), queue, spec.ack_every == 0);
        socket.call(wire::BASIC_CONSUME_OK)?;
        let producers = spec.publishers.max(1);
        Ok(Self {
            socket,
            deliveries: Deliveries {
                checker: Checker::new(spec.nonce, spec.size, producers),
                expected: Expected::Method,
                start: Vec::new(),
                ack_every: spec.ack_every,
                since_ack: 0,
                last_tag: 0,
                acks: Vec::new(),
                redelivered: 0,
                closed: false,
                first_at: None,
            },
        })
    }

    pub fn checker(&self) -> &Checker {
        &self.deliveries.checker
    }

    pub fn redelivered(&self) -> u64 {
        self.deliveries.redelivered
    }

    /// When the first delivery came (ns).
    pub fn first_at(&self) -> Option<u64> {
        self.deliveries.first_at
    }

    pub fn receive(
        &mut self,
        scratch: &mut Vec<u8>,
        now: impl Fn() -> u64,
        latencies: &mut Histogram,
    ) -> Result<(), String> {
        let deliveries = &mut self.deliveries;
        self.socket
            .receive(scratch, |bytes| deliveries.take(bytes, now(), latencies))?;
        self.flush_acks()
    }

    /// Takes the deliveries that came in the same read as the answer to consume.
    pub fn receive_left(&mut self, now: u64, latencies: &mut Histogram) -> Result<(), String> {
        let deliveries = &mut self.deliveries;
        self.socket
            .receive_left(|bytes| deliveries.take(bytes, now, latencies))?;
        self.flush_acks()
    }

    fn flush_acks(&mut self) -> Result<(), String> {
        self.socket.output().append(&mut self.deliveries.acks);
        self.socket.flush().map(|_| ())
    }

    /// Acknowledges the rest and closes the channel; what comes until then is looked at too.
    pub fn close(&mut self, scratch: &mut Vec<u8>) -> Result<(), String> {
        let deliveries = &mut self.deliveries;
        if deliveries.since_ack > 0 && deliveries.ack_every > 0 {
            wire::ack_through(self.socket.output(), deliveries.last_tag);
        }
        deliveries.ack_every = 0;
        self.socket.close(scratch, |bytes| {
            let taken = deliveries.take(bytes, 0, &mut Histogram::new())?;
            Ok((taken, deliveries.closed))
        })
    }
}

impl Deliveries {
    /// Takes whole frames; gives how many bytes they were.
    fn take(&mut self, bytes: &[u8], now: u64, latencies: &mut Histogram) -> Result<usize, String> {
        let mut position = 0;
        while let Some(frame) = wire::split(&bytes[position..])? {
            position += frame.size;
            match (frame.kind, self.expected) {
                (wire::METHOD, Expected::Method) => self.take_method(&frame)?,
                (wire::HEADER, Expected::Header) => {
                    let size = frame
                        .payload
                        .get(4..12)
                        .and_then(|size| size.try_into().ok());
                    let size = size.map_or(0, u64::from_be_bytes) as usize;
                    self.start.clear();
                    self.expected = Expected::Body { size, left: size };
                    if size == 0 {
                        self.take_body(&[], now, latencies)?;
                    }
                }
                (wire::BODY, Expected::Body { .. }) => {
                    self.take_body(frame.payload, now, latencies)?;
                }
                (wire::HEARTBEAT, _) => {}
                (kind, _) => return Err(format!("a frame of kind {kind} out of turn")),
            }
        }
        Ok(position)
    }

    fn take_method(&mut self, frame: &wire::Frame) -> Result<(), String> {
        match frame.method() {
            Some(wire::BASIC_DELIVER) => {
                let consumer_tag = frame.payload.get(4).map_or(0, |size| *size as usize);
                let (tag, redelivered) = wire::tag_and_bit(frame.payload, 5 + consumer_tag)
                    .ok_or("a deliver without a tag")?;
                if tag != self.last_tag + 1 {
                    return Err(format!("delivery tag {tag} after {}", self.last_tag));
                }
                self.last_tag = tag;
                self.redelivered += u64::from(redelivered);
                self.expected = Expected::Header;
            }
            Some(wire::CHANNEL_CLOSE_OK) => self.closed = true,
            Some(wire::CONNECTION_CLOSE | wire::CHANNEL_CLOSE) => {
                return Err(format!("closed: {}", wire::close_reason(frame.payload)));
            }
            method => return Err(format!("a consumer was sent {method:?}")),
        }
        Ok(())
    }

    fn take_body(
        &mut self,
        payload: &[u8],
        now: u64,
        latencies: &mut Histogram,
    ) -> Result<(), String> {
        let Expected::Body { size, left } = self.expected else {
            return Err("a body of nothing".into());
        };
        if payload.len() > left {
            return Err("a body longer than its header says".into());
        }
        let left = left - payload.len();
        let whole = self.start.is_empty() && left == 0;
        if !whole {
            let wanted = BODY_TIMED
                .saturating_sub(self.start.len())
                .min(payload.len());
            self.start.extend_from_slice(&payload[..wanted]);
        }
        if left > 0 {
            self.expected = Expected::Body { size, left };
            return Ok(());
        }
        self.expected = Expected::Method;
        let start = if whole { payload } else { &self.start };
        if let Some(due) = self.checker.take(start, size)? {
            latencies.record(now.saturating_sub(due), 1);
        }
        self.first_at.get_or_insert(now);
        self.since_ack += 1;
        if self.ack_every > 0 && self.since_ack >= self.ack_every {
            self.since_ack = 0;
            wire::ack_through(&mut self.acks, self.last_tag);
        }
        Ok(())
    }
}
