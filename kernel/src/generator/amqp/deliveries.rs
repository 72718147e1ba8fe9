//! The deliveries of one queue's consumer on one channel, and their acknowledgements.

use super::{wire, ChannelClose};
use crate::generator::client::{Arrivals, Consuming, Ending};
use crate::generator::template::BODY_TIMED;
use crate::generator::Side;

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
pub struct Deliveries {
    expected: Expected,
    /// The beginning of a body that is cut in several frames.
    start: Vec<u8>,
    /// 0: consumed without acknowledgement.
    ack_every: u64,
    since_ack: u64,
    last_tag: u64,
    redelivered: u64,
    close: ChannelClose,
}

impl Consuming for Deliveries {
    fn take(
        &mut self,
        bytes: &[u8],
        arrivals: &mut Arrivals,
        answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
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
                        self.take_body(&[], arrivals, answers)?;
                    }
                }
                (wire::BODY, Expected::Body { .. }) => {
                    self.take_body(frame.payload, arrivals, answers)?;
                }
                (wire::HEARTBEAT, _) => {}
                (kind, _) => return Err(format!("a frame of kind {kind} out of turn")),
            }
        }
        Ok(position)
    }

    fn redelivered(&self) -> u64 {
        self.redelivered
    }

    fn end_of_stream(&mut self) -> &mut dyn Ending {
        self
    }
}

impl Ending for Deliveries {
    /// Acknowledges the rest too.
    fn ask(&mut self, output: &mut Vec<u8>) {
        if self.since_ack > 0 && self.ack_every > 0 {
            wire::ack_through(output, self.last_tag);
        }
        self.ack_every = 0;
        self.close.ask(output);
    }

    fn is_answered(&self) -> bool {
        self.close.is_answered()
    }

    fn last_words(&self, output: &mut Vec<u8>) {
        self.close.last_words(output);
    }

    fn forget(&self, side: &Side) -> Result<(), String> {
        self.close.forget(side)
    }
}

impl Deliveries {
    pub fn new(ack_every: u64) -> Self {
        Self {
            expected: Expected::Method,
            start: Vec::new(),
            ack_every,
            since_ack: 0,
            last_tag: 0,
            redelivered: 0,
            close: ChannelClose::default(),
        }
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
            Some(wire::CHANNEL_CLOSE_OK) => self.close.answered = true,
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
        arrivals: &mut Arrivals,
        answers: &mut Vec<u8>,
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
        arrivals.take(start, size)?;
        self.since_ack += 1;
        if self.ack_every > 0 && self.since_ack >= self.ack_every {
            self.since_ack = 0;
            wire::ack_through(answers, self.last_tag);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::checker::Checker;
    use crate::histogram::Histogram;

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
            let mut deliveries = Deliveries::new(2);
            let (mut checker, mut latencies) = (Checker::new(9, 40, 0..1), Histogram::new());
            let mut answers = Vec::new();
            let mut arrivals = Arrivals::new(&mut checker, 0, 700, &mut latencies);
            let taken = deliveries
                .take(&bytes[..cut], &mut arrivals, &mut answers)
                .unwrap();
            deliveries
                .take(&bytes[taken..], &mut arrivals, &mut answers)
                .unwrap();
            assert_eq!(arrivals.count, 4);
            assert_eq!(checker.verdict(&[4]), Ok(()));
            assert_eq!((latencies.count(), latencies.min()), (4, 200));
            let mut acks = Vec::new();
            wire::ack_through(&mut acks, 2);
            wire::ack_through(&mut acks, 4);
            assert_eq!(answers, acks);
        }
    }

    fn told(bytes: &[u8]) -> String {
        let (mut checker, mut latencies) = (Checker::new(9, 40, 0..1), Histogram::new());
        let mut arrivals = Arrivals::new(&mut checker, 0, 0, &mut latencies);
        Deliveries::new(0)
            .take(bytes, &mut arrivals, &mut Vec::new())
            .unwrap_err()
    }

    #[test]
    fn a_broker_that_skips_a_tag_or_a_frame_is_told() {
        let mut bytes = Vec::new();
        deliver(&mut bytes, 2, 0, &[40]);
        assert!(told(&bytes).contains("tag 2 after 0"));
        let mut out_of_turn = Vec::new();
        frame(&mut out_of_turn, wire::BODY, b"x");
        assert!(told(&out_of_turn).contains("out of turn"));
    }
}
