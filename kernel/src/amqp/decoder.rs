//! One AMQP 0-9-1 connection's bytes to frames, publishes and settlements in runs.
//!
//! It stops after each frame that may change what it should allow: the protocol header, start-ok,
//! secure-ok, tune-ok, connection.open. Until connection.open only methods on channel 0 pass, so
//! that a stranger makes us keep no more than one frame. After a violation that ends the connection
//! it discards everything.
//!
//! Bytes that no frame ends in wait in `carry`, at most one frame of them (more while stopped); each
//! byte is copied there at most once and never looked at again until its frame is whole.

use bytes::Bytes;

use crate::amqp::assembler::{Assembled, Assembler, OpenMessage};
use crate::amqp::content::{self, Content, Opening, Publish};
use crate::amqp::frame::{self, Front, WireFrame};
use crate::amqp::method::{self, Checked, MethodId};
use crate::amqp::reply_code;
use crate::amqp::settlement;
use crate::decoder::{Decoder, Frame, Violation};
use crate::message_run::Origin;
use crate::run_builder::{RunBuilder, RUN_COUNT_MAX, RUN_SIZE_MAX};

/// A message that came in parts and is larger than this becomes a run of its own, uncopied.
const COPIED_SIZE_MAX: usize = 64 << 10;
/// An input buffer larger than this is given back once it is empty.
const CARRY_KEPT_MAX: usize = 16 << 10;

const HEADER_SIZE: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    ProtocolHeader,
    /// Methods on channel 0 only.
    Handshake,
    Open,
    /// A violation ended the connection.
    Ended,
}

/// What a look at the front of some bytes led to.
enum Step {
    /// So many bytes are done with.
    Taken(usize),
    /// Nothing can be done with fewer bytes than this.
    Wants(usize),
}

pub struct AmqpDecoder {
    frame_size_max: usize,
    message_size_max: u64,
    phase: Phase,
    stopped: bool,
    carry: Vec<u8>,
    assembler: Assembler,
    /// The publishes that came last, all of one channel.
    run: Option<(u16, RunBuilder)>,
    /// Bytes kept in `carry`, for the law that none is kept twice.
    #[cfg(test)]
    copied: usize,
}

impl Decoder for AmqpDecoder {
    fn receive(&mut self, data: &[u8], frames: &mut Vec<Frame>) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.stopped {
            return self.keep(data);
        }
        let rest = self.complete_carry(data, frames);
        let taken = self.scan(rest, frames);
        if self.phase != Phase::Ended {
            self.keep(&rest[taken..]);
        }
        self.end_run(frames);
    }

    fn resume(&mut self, frames: &mut Vec<Frame>) {
        self.stopped = false;
        let mut carry = std::mem::take(&mut self.carry);
        let taken = self.scan(&carry, frames);
        self.end_run(frames);
        if self.phase != Phase::Ended {
            carry.drain(..taken);
            self.carry = carry;
        }
    }

    fn stopped(&self) -> bool {
        self.stopped
    }

    fn buffered(&self) -> usize {
        self.carry.len() + self.assembler.held()
    }
}

impl AmqpDecoder {
    pub fn new(frame_size_max: usize, message_size_max: u64) -> Self {
        Self {
            frame_size_max,
            message_size_max,
            phase: Phase::ProtocolHeader,
            stopped: false,
            carry: Vec::new(),
            assembler: Assembler::default(),
            run: None,
            #[cfg(test)]
            copied: 0,
        }
    }

    pub fn frame_size_max(&self) -> usize {
        self.frame_size_max
    }

    /// From the next frame on.
    pub fn set_frame_size_max(&mut self, size: usize) {
        self.frame_size_max = size;
    }

    pub fn message_size_max(&self) -> u64 {
        self.message_size_max
    }

    /// From the next content header on.
    pub fn set_message_size_max(&mut self, size: u64) {
        self.message_size_max = size;
    }

    fn keep(&mut self, data: &[u8]) {
        #[cfg(test)]
        {
            self.copied += data.len();
        }
        self.carry.extend_from_slice(data);
    }

    /// Tops the carried frame up from `data` and handles it; what remains of `data` is for `scan`.
    fn complete_carry<'a>(&mut self, mut data: &'a [u8], frames: &mut Vec<Frame>) -> &'a [u8] {
        while !self.carry.is_empty() {
            let carry = std::mem::take(&mut self.carry);
            let step = self.guarded_step(&carry, frames);
            self.carry = carry;
            match step {
                Some(Step::Wants(size)) if !data.is_empty() => {
                    let missing = (size - self.carry.len()).min(data.len());
                    self.keep(&data[..missing]);
                    data = &data[missing..];
                }
                Some(Step::Wants(_)) => break,
                Some(Step::Taken(size)) => {
                    assert_eq!(size, self.carry.len(), "one frame is carried");
                    self.carry.clear();
                    self.carry.shrink_to(CARRY_KEPT_MAX);
                }
                None => self.carry = Vec::new(),
            }
        }
        data
    }

    /// Handles all that is whole; how many bytes that was.
    fn scan(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        while !self.stopped && self.phase != Phase::Ended && taken < data.len() {
            let rest = &data[taken..];
            if self.phase == Phase::Open {
                let size = self.scan_publishes(rest, frames);
                if size > 0 {
                    taken += size;
                    continue;
                }
            }
            match self.guarded_step(rest, frames) {
                Some(Step::Taken(size)) => taken += size,
                Some(Step::Wants(_)) => break,
                None => return data.len(),
            }
        }
        taken
    }

    /// Takes publishes of one channel as long as each lies whole at the front; how many bytes those
    /// were. Whatever is unusual is left for `step`.
    fn scan_publishes(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> usize {
        let frame_size_max = self.frame_size_max;
        let Some(mut opening) = content::opening(data, frame_size_max) else {
            return 0;
        };
        let channel = opening.channel;
        let next = |rest| content::content(rest, channel, frame_size_max);
        let Some(mut content) = next(&data[opening.wire.len()..]) else {
            return 0;
        };
        if self.assembler.is_open(channel) {
            return 0;
        }
        let mut builder = self.take_run(channel, content.size, frames);
        reserve(&mut builder, data.len(), &opening, &content);
        let mut key = None;
        let mut taken = 0;
        while content.body.len() as u64 <= self.message_size_max && builder.has_room(content.size) {
            key = key.or_else(|| number_key(&mut builder, &opening.publish));
            let Some(number) = key else {
                break;
            };
            content.facts.flags |= opening.publish.flags();
            builder.push(number, content.properties, content.body, content.facts);
            taken += opening.wire.len() + content.size;
            let rest = &data[taken..];
            // Most publishers write the same publish frame again and again.
            if !rest.starts_with(opening.wire) {
                match content::opening(rest, frame_size_max) {
                    Some(other) if other.channel == channel => opening = other,
                    _ => break,
                }
                key = None;
            }
            match next(&rest[opening.wire.len()..]) {
                Some(other) => content = other,
                None => break,
            }
        }
        self.run = Some((channel, builder));
        taken
    }

    /// The run that a message of `channel` and `size` continues, or a new one.
    fn take_run(&mut self, channel: u16, size: usize, frames: &mut Vec<Frame>) -> RunBuilder {
        if let Some((of, builder)) = self.run.take() {
            if of == channel && builder.has_room(size) {
                return builder;
            }
            end_run(of, builder, frames);
        }
        RunBuilder::new(Origin::Amqp091)
    }

    fn end_run(&mut self, frames: &mut Vec<Frame>) {
        if let Some((channel, builder)) = self.run.take() {
            end_run(channel, builder, frames);
        }
    }

    fn push(&mut self, frame: Frame, frames: &mut Vec<Frame>) {
        self.end_run(frames);
        frames.push(frame);
    }

    /// `step`, with a violation turned into its frame; None: the connection is over.
    fn guarded_step(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> Option<Step> {
        match self.step(data, frames) {
            Ok(step) => Some(step),
            Err(violation) => {
                self.push(Frame::Violation(violation), frames);
                self.phase = Phase::Ended;
                self.assembler.clear();
                None
            }
        }
    }

    /// Handles one frame. An error ends the connection.
    fn step(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> Result<Step, Violation> {
        let frame_error = |text| Err(Violation::new(reply_code::FRAME_ERROR, text));
        if self.phase == Phase::ProtocolHeader {
            let Some(bytes) = data.first_chunk::<HEADER_SIZE>() else {
                return Ok(Step::Wants(HEADER_SIZE));
            };
            frames.push(Frame::ProtocolHeader { bytes: *bytes });
            self.phase = Phase::Handshake;
            self.stopped = true;
            return Ok(Step::Taken(HEADER_SIZE));
        }
        let frame = match frame::front(data, self.frame_size_max) {
            Front::Whole(frame) => frame,
            Front::Part(size) => return Ok(Step::Wants(size)),
            Front::UnknownKind(kind) => return frame_error(format!("unknown frame type {kind}")),
            Front::TooLong(size) => {
                let most = self.frame_size_max;
                return frame_error(format!("frame of {size} bytes, at most {most} are allowed"));
            }
            Front::WrongEnd => return frame_error("frame does not end in 0xCE".into()),
        };
        if self.phase == Phase::Handshake && frame.channel != 0 {
            let text = "the connection is not open yet";
            return Err(Violation::new(reply_code::UNEXPECTED_FRAME, text).on(frame.channel));
        }
        match frame.kind {
            frame::METHOD => self.receive_method(frame, frames)?,
            frame::HEADER | frame::BODY => self.receive_content(frame, frames)?,
            _ => self.receive_heartbeat(frame, frames)?,
        }
        Ok(Step::Taken(frame.size()))
    }

    fn receive_heartbeat(
        &mut self,
        frame: WireFrame,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Violation> {
        if frame.channel != 0 {
            let text = "heartbeat on a channel other than 0";
            return Err(Violation::new(reply_code::UNEXPECTED_FRAME, text).on(frame.channel));
        }
        if !frame.payload.is_empty() {
            let text = "heartbeat with a payload";
            return Err(Violation::new(reply_code::FRAME_ERROR, text));
        }
        self.push(Frame::Heartbeat, frames);
        Ok(())
    }

    fn receive_method(
        &mut self,
        frame: WireFrame,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Violation> {
        let channel = frame.channel;
        let (id, arguments) = checked_method(frame)?;
        let misplaced = |code, text: &str| Err(Violation::new(code, text).on(channel).of(id));
        if id == method::CHANNEL_CLOSE_OK {
            // The channel was closed under the publisher's hands; it need not finish its message.
            self.assembler.abandon(channel);
        } else if self.assembler.is_open(channel) {
            let text = "a method within a message's content";
            return misplaced(reply_code::UNEXPECTED_FRAME, text);
        }
        if id.0 == method::CONNECTION_CLASS && channel != 0 {
            let text = "connection methods belong to channel 0";
            return misplaced(reply_code::COMMAND_INVALID, text);
        }
        match id {
            method::PUBLISH => return self.assembler.begin(channel, arguments),
            method::ACK | method::NACK | method::REJECT => {
                self.end_run(frames);
                settlement::settle(channel, id, arguments, frames);
                return Ok(());
            }
            method::START_OK | method::SECURE_OK | method::TUNE_OK => self.stopped = true,
            method::CONNECTION_OPEN => {
                self.stopped = true;
                self.phase = Phase::Open;
            }
            _ => {}
        }
        let (class, method) = id;
        let arguments = Bytes::copy_from_slice(arguments);
        self.push(
            Frame::Method {
                channel,
                class,
                method,
                arguments,
            },
            frames,
        );
        Ok(())
    }

    fn receive_content(
        &mut self,
        frame: WireFrame,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Violation> {
        let (channel, most) = (frame.channel, self.message_size_max);
        let assembled = if frame.kind == frame::HEADER {
            self.assembler
                .receive_header(channel, frame.payload, most)?
        } else {
            self.assembler.receive_body(channel, frame.payload, most)?
        };
        match assembled {
            Assembled::Partly => {}
            Assembled::Refused(violation) => self.push(Frame::Violation(violation), frames),
            Assembled::Whole(message) => self.receive_message(channel, message, frames),
        }
        Ok(())
    }

    fn receive_message(&mut self, channel: u16, message: OpenMessage, frames: &mut Vec<Frame>) {
        if message.size() > COPIED_SIZE_MAX {
            let run = message.into_run();
            return self.push(Frame::Messages { channel, run }, frames);
        }
        let mut builder = self.take_run(channel, message.size(), frames);
        message.add_to(&mut builder);
        self.run = Some((channel, builder));
    }
}

/// A method's ids and arguments.
fn checked_method(frame: WireFrame<'_>) -> Result<(MethodId, &[u8]), Violation> {
    let Some((ids, arguments)) = frame.payload.split_first_chunk() else {
        let text = "method without its ids";
        return Err(Violation::new(reply_code::SYNTAX_ERROR, text).on(frame.channel));
    };
    let [c1, c0, m1, m0] = *ids;
    let id = (u16::from_be_bytes([c1, c0]), u16::from_be_bytes([m1, m0]));
    let (code, text) = match method::check(id, arguments) {
        Checked::WellFormed => return Ok((id, arguments)),
        Checked::Unknown => (reply_code::NOT_IMPLEMENTED, "unknown method"),
        Checked::Wrong(fault) => (reply_code::SYNTAX_ERROR, fault),
    };
    Err(Violation::new(code, text).on(frame.channel).of(id))
}

/// The key's number; None if it is new and a name of it is not one.
#[inline]
fn number_key(builder: &mut RunBuilder, publish: &Publish) -> Option<u32> {
    let (exchange, routing_key) = (publish.exchange, publish.routing_key);
    match builder.find_key(exchange, routing_key) {
        None if publish.has_plain_names() => Some(builder.add_key(exchange, routing_key)),
        found => found,
    }
}

/// Makes room for `left` bytes of messages such as this one.
fn reserve(builder: &mut RunBuilder, left: usize, opening: &Opening, content: &Content) {
    let count = (left / (opening.wire.len() + content.size)).min(RUN_COUNT_MAX);
    let names = opening.publish.exchange.len() + opening.publish.routing_key.len();
    let size = count * (content.properties.len() + content.body.len()) + names;
    builder.reserve(count, size.min(left).min(RUN_SIZE_MAX));
}

fn end_run(channel: u16, builder: RunBuilder, frames: &mut Vec<Frame>) {
    if builder.count() > 0 {
        let run = builder.finish();
        frames.push(Frame::Messages { channel, run });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        out.extend_from_slice(&channel.to_be_bytes());
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        out.extend_from_slice(payload);
        out.push(frame::END);
        out
    }

    fn opened() -> AmqpDecoder {
        let mut decoder = AmqpDecoder::new(131_072, 16 << 20);
        let open = wire_frame(frame::METHOD, 0, b"\0\x0a\0\x28\x01/\0\0");
        let mut frames = Vec::new();
        decoder.receive(b"AMQP\0\0\x09\x01", &mut frames);
        decoder.resume(&mut frames);
        decoder.receive(&open, &mut frames);
        decoder.resume(&mut frames);
        assert_eq!(frames.len(), 2);
        decoder
    }

    fn large_message(body_size: usize) -> Vec<u8> {
        let mut out = wire_frame(frame::METHOD, 1, b"\0\x3c\0\x28\0\0\0\x01q\0");
        let mut header = b"\0\x3c\0\0".to_vec();
        header.extend_from_slice(&(body_size as u64).to_be_bytes());
        header.extend_from_slice(&[0x10, 0, 2]);
        out.extend_from_slice(&wire_frame(frame::HEADER, 1, &header));
        let body: Vec<u8> = (0..body_size).map(|at| (at % 251) as u8).collect();
        for piece in body.chunks(131_064) {
            out.extend_from_slice(&wire_frame(frame::BODY, 1, piece));
        }
        out
    }

    #[test]
    fn a_large_body_is_copied_a_few_times_however_it_is_cut() {
        const SIZE: usize = 10_000_000;
        let stream = large_message(SIZE);
        for cut in [1, 1000, 4096, 256 << 10, SIZE * 2] {
            let mut decoder = opened();
            let (mut frames, mut held_max) = (Vec::new(), 0);
            for piece in stream.chunks(cut) {
                decoder.receive(piece, &mut frames);
                held_max = held_max.max(decoder.buffered());
            }
            let [Frame::Messages { run, .. }] = &frames[..] else {
                panic!("one message");
            };
            assert!((0..SIZE).all(|at| run.body(0)[at] == (at % 251) as u8));
            // Into the message and, as its buffer doubles, once or twice more; out of the carry once.
            assert!(decoder.assembler.copied <= 3 * SIZE);
            assert!(decoder.copied <= stream.len() + 64);
            assert!(held_max <= SIZE + 2 * 131_072);
            assert_eq!(decoder.buffered(), 0);
        }
    }

    #[test]
    fn room_is_not_made_for_what_a_header_only_declares() {
        let mut decoder = opened();
        let stream = large_message(16 << 20);
        decoder.receive(&stream[..1000], &mut Vec::new());
        assert!(decoder.buffered() < 2000);
    }
}
