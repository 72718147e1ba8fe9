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
        let checker = Checker::new(spec.nonce, spec.size, spec.publishers.max(1));
        Ok(Self {
            socket,
            deliveries: Deliveries::new(checker, spec.ack_every),
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
    fn new(checker: Checker, ack_every: u64) -> Self {
        Self {
            checker,
            expected: Expected::Method,
            start: Vec::new(),
            ack_every,
            since_ack: 0,
            last_tag: 0,
            acks: Vec::new(),
            redelivered: 0,
            closed: false,
            first_at: None,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &mut Vec<u8>, kind: u8, payload: &[u8]) {
        bytes.extend_from_slice(&[kind, 0, 1]);
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes.push(wire::FRAME_END);
    }

    /// A delivery whose body comes in pieces.
    fn deliver(bytes: &mut Vec<u8>, tag: u64, sequence: u64, pieces: &[usize]) {
        wire::method(bytes, 1, wire::BASIC_DELIVER, |bytes| {
            bytes.extend_from_slice(b"\x01c");
            bytes.extend_from_slice(&tag.to_be_bytes());
            bytes.extend_from_slice(b"\0\0\x01q");
        });
        let mut body = sequence.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
        body.extend_from_slice(&500_u64.to_be_bytes());
        body.resize(pieces.iter().sum(), b'x');
        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&(body.len() as u64).to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        frame(bytes, wire::HEADER, &header);
        let mut at = 0;
        for piece in pieces {
            frame(bytes, wire::BODY, &body[at..at + piece]);
            at += piece;
        }
    }

    #[test]
    fn deliveries_are_the_same_however_they_are_cut() {
        let mut bytes = Vec::new();
        for (tag, pieces) in [&[40][..], &[5, 15, 20], &[39, 1], &[1, 39]]
            .iter()
            .enumerate()
        {
            deliver(&mut bytes, tag as u64 + 1, tag as u64, pieces);
            frame(&mut bytes, wire::HEARTBEAT, &[]);
        }
        for cut in 0..bytes.len() {
            let mut deliveries = Deliveries::new(Checker::new(9, 40, 1), 2);
            let mut latencies = Histogram::new();
            let taken = deliveries.take(&bytes[..cut], 700, &mut latencies).unwrap();
            deliveries
                .take(&bytes[taken..], 700, &mut latencies)
                .unwrap();
            assert_eq!(deliveries.checker.verdict(&[4]), Ok(()));
            assert_eq!((latencies.count(), latencies.min()), (4, 200));
            let mut acks = Vec::new();
            wire::ack_through(&mut acks, 2);
            wire::ack_through(&mut acks, 4);
            assert_eq!(deliveries.acks, acks);
        }
    }

    #[test]
    fn a_broker_that_skips_a_tag_or_a_frame_is_told() {
        let mut bytes = Vec::new();
        deliver(&mut bytes, 2, 0, &[40]);
        let mut deliveries = Deliveries::new(Checker::new(9, 40, 1), 0);
        let told = deliveries.take(&bytes, 0, &mut Histogram::new());
        assert!(told.unwrap_err().contains("tag 2 after 0"));
        let mut out_of_turn = Vec::new();
        frame(&mut out_of_turn, wire::BODY, b"x");
        let mut deliveries = Deliveries::new(Checker::new(9, 40, 1), 0);
        assert!(deliveries
            .take(&out_of_turn, 0, &mut Histogram::new())
            .is_err());
    }
}
