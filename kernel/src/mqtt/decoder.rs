//! One MQTT connection's bytes to frames, publishes and acknowledgements in runs.
//!
//! The first packet is CONNECT, which says the version; it stops after that, and after each AUTH, until its owner says
//! what is allowed from there on. After a violation it discards everything.
//!
//! Bytes that no packet ends in wait in `carry`, at most one packet of them (more while stopped). A packet's size is
//! checked before it is kept, each byte is copied there once, and only the fixed header is looked at before all has come.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::decoder::{Decoder, Frame, Violation};
use crate::message_run::{Entry, Key, MessageRun, Origin, Span};
use crate::mqtt::packet::{self, malformed, protocol_error, Varint};
use crate::mqtt::publish::Publish;
use crate::mqtt::reason_code::{PACKET_TOO_LARGE, TOPIC_ALIAS_INVALID};
use crate::mqtt::{ack, topic_name};
use crate::run_builder::{RunBuilder, RUN_COUNT_MAX, RUN_SIZE_MAX};

/// Where all topics lead.
const EXCHANGE: &[u8] = b"amq.topic";
/// The bits of a first byte that publishes of one run share: type and QoS.
const OF_RUN: u8 = 0xF6;
/// A packet that came in parts and is larger than this becomes a run of its own, uncopied.
const COPIED_SIZE_MAX: usize = 64 << 10;
/// An input buffer larger than this is given back once it is empty.
const CARRY_KEPT_MAX: usize = 16 << 10;
/// The input buffer grows by at least so much.
const GROWTH_MIN: usize = 4 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// CONNECT is to come.
    Greeting,
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
    /// All of the carry is this message.
    Alone(Large),
}

/// A message that stays where it is.
struct Large {
    qos: u8,
    packet_id: u16,
    topic: Vec<u8>,
    properties: Vec<u8>,
    /// But for its properties; the body is in the carry.
    entry: Entry,
}

/// The publishes that came last, all of one QoS.
struct Run {
    qos: u8,
    builder: RunBuilder,
    packet_ids: Vec<u16>,
}

pub struct MqttDecoder {
    version: u8,
    packet_size_max: usize,
    topic_alias_max: u16,
    topics: BTreeMap<u16, Box<[u8]>>,
    phase: Phase,
    stopped: bool,
    carry: Vec<u8>,
    run: Run,
    /// Bytes kept in `carry`, for the law that none is kept twice.
    #[cfg(test)]
    copied: usize,
}

impl Decoder for MqttDecoder {
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
        self.carry.len()
    }
}

impl MqttDecoder {
    pub fn new(packet_size_max: usize) -> Self {
        Self {
            version: 0,
            packet_size_max,
            topic_alias_max: 0,
            topics: BTreeMap::new(),
            phase: Phase::Greeting,
            stopped: false,
            carry: Vec::new(),
            run: Run::new(),
            #[cfg(test)]
            copied: 0,
        }
    }

    /// 3, 4 (3.1.1) or 5; 0: CONNECT has not come yet, or names none of these.
    pub fn version(&self) -> u8 {
        self.version
    }

    pub fn set_version(&mut self, version: u8) {
        self.version = version;
    }

    /// Bytes of a whole packet.
    pub fn packet_size_max(&self) -> usize {
        self.packet_size_max
    }

    /// From the next packet on.
    pub fn set_packet_size_max(&mut self, size: usize) {
        self.packet_size_max = size;
    }

    /// 0: none.
    pub fn topic_alias_max(&self) -> u16 {
        self.topic_alias_max
    }

    /// From the next packet on.
    pub fn set_topic_alias_max(&mut self, count: u16) {
        self.topic_alias_max = count;
    }

    fn keep(&mut self, data: &[u8]) {
        #[cfg(test)]
        {
            self.copied += data.len();
        }
        self.carry.extend_from_slice(data);
    }

    /// Tops the carried packet up from `data` and handles it; what remains of `data` is for `scan`.
    fn complete_carry<'a>(&mut self, mut data: &'a [u8], frames: &mut Vec<Frame>) -> &'a [u8] {
        while !self.carry.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            match self.guarded_step(&carry, true, frames) {
                Some(Step::Wants(size)) => {
                    let missing = size - carry.len();
                    let piece = &data[..missing.min(data.len())];
                    if carry.capacity() - carry.len() < piece.len() {
                        // Doubles, and at the end fits.
                        let growth = carry.len().max(GROWTH_MIN).max(piece.len());
                        carry.reserve_exact(growth.min(missing));
                    }
                    self.carry = carry;
                    if piece.is_empty() {
                        break;
                    }
                    self.keep(piece);
                    data = &data[piece.len()..];
                }
                Some(Step::Taken(size)) => {
                    assert_eq!(size, carry.len(), "one packet is carried");
                    carry.clear();
                    carry.shrink_to(CARRY_KEPT_MAX);
                    self.carry = carry;
                    break;
                }
                Some(Step::Alone(message)) => self.push(message.into_frame(carry), frames),
                None => {}
            }
        }
        data
    }

    /// Handles all that is whole; how many bytes that was.
    fn scan(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        while !self.stopped && self.phase != Phase::Ended && taken < data.len() {
            match self.guarded_step(&data[taken..], false, frames) {
                Some(Step::Taken(size)) => taken += size,
                Some(Step::Wants(_) | Step::Alone(_)) => break,
                None => return data.len(),
            }
        }
        taken
    }

    fn end_run(&mut self, frames: &mut Vec<Frame>) {
        if self.run.builder.count() > 0 {
            let run = std::mem::replace(&mut self.run, Run::new());
            frames.push(run.finish());
        }
    }

    fn push(&mut self, frame: Frame, frames: &mut Vec<Frame>) {
        self.end_run(frames);
        frames.push(frame);
    }

    /// `step`, with a violation turned into its frame; None: the connection is over.
    #[inline]
    fn guarded_step(
        &mut self,
        data: &[u8],
        carried: bool,
        frames: &mut Vec<Frame>,
    ) -> Option<Step> {
        match self.step(data, carried, frames) {
            Ok(step) => Some(step),
            Err(violation) => {
                self.push(Frame::Violation(violation), frames);
                self.phase = Phase::Ended;
                self.topics.clear();
                None
            }
        }
    }

    /// Handles one packet. `carried`: `data` is a carry and holds no more than that packet.
    #[inline]
    fn step(
        &mut self,
        data: &[u8],
        carried: bool,
        frames: &mut Vec<Frame>,
    ) -> Result<Step, Violation> {
        let (kind, flags) = (data[0] >> 4, data[0] & 0xF);
        if self.phase == Phase::Greeting && kind != packet::CONNECT {
            return Err(protocol_error("the first packet is not CONNECT"));
        }
        packet::check_first_byte(data[0], self.version)?;
        if self.phase == Phase::Open && kind == packet::CONNECT {
            return Err(protocol_error("a second CONNECT"));
        }
        let (body_size, head_size) = match packet::varint(&data[1..]) {
            Varint::Whole(value, size) => (value, 1 + size),
            Varint::Part => return Ok(Step::Wants(data.len() + 1)),
            Varint::TooLong => return Err(malformed("remaining length of more than 4 bytes")),
        };
        let size = head_size + body_size;
        if size > self.packet_size_max {
            let most = self.packet_size_max;
            let text = format!("packet of {size} bytes, at most {most} are allowed");
            return Err(Violation::new(PACKET_TOO_LARGE, text));
        }
        if data.len() < size {
            return Ok(Step::Wants(size));
        }
        let body = &data[head_size..size];
        match kind {
            packet::PUBLISH => {
                let publish = Publish::parse(flags, body, self.version)?;
                if carried && size > COPIED_SIZE_MAX {
                    let body_at = size - publish.body.len();
                    return self.take_large(&publish, body_at).map(Step::Alone);
                }
                // The run that this one may begin goes no further if the next is of another QoS.
                let next = data.get(size).copied().unwrap_or_default();
                let alike = next & OF_RUN == data[0] & OF_RUN;
                let left = if alike { data.len() } else { size };
                self.receive_publish(&publish, size, left, frames)?;
            }
            packet::PUBACK..=packet::PUBCOMP => {
                let (packet_id, reason) = ack::parse(kind, body, self.version)?;
                self.end_run(frames);
                ack::receive(kind, reason, packet_id, frames);
            }
            _ => self.receive_other(kind, flags, body, frames)?,
        }
        Ok(Step::Taken(size))
    }

    /// `size`: that of its packet; `left` bytes of its like may be there from it on.
    #[inline]
    fn receive_publish(
        &mut self,
        publish: &Publish,
        size: usize,
        left: usize,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Violation> {
        if self.run.qos != publish.qos || !self.run.builder.has_room(size) {
            self.end_run(frames);
        }
        if self.run.builder.count() == 0 {
            self.run.begin(publish, size, left);
        }
        let run = &mut self.run;
        let key = if publish.topic_alias.is_none() {
            let found = run.builder.find_key(EXCHANGE, publish.topic);
            if found.is_none() {
                topic_name::check(publish.topic)?;
            }
            found.unwrap_or_else(|| run.builder.add_key(EXCHANGE, publish.topic))
        } else {
            let topic = resolve(&mut self.topics, self.topic_alias_max, publish)?;
            run.builder.key(EXCHANGE, topic)
        };
        run.push(key, publish);
        Ok(())
    }

    /// `body_at`: where its body begins.
    fn take_large(&mut self, publish: &Publish, body_at: usize) -> Result<Large, Violation> {
        let topic = resolve(&mut self.topics, self.topic_alias_max, publish)?;
        Ok(Large {
            qos: publish.qos,
            packet_id: publish.packet_id,
            topic: topic.to_vec(),
            properties: publish.properties.concat(),
            entry: Entry {
                properties: Span::default(),
                body: Span::new(body_at, publish.body.len()),
                key: 0,
                expiration_ms: publish.facts.expiration_ms,
                priority: publish.facts.priority,
                flags: publish.facts.flags,
            },
        })
    }

    fn receive_other(
        &mut self,
        kind: u8,
        flags: u8,
        body: &[u8],
        frames: &mut Vec<Frame>,
    ) -> Result<(), Violation> {
        let bare = kind == packet::PINGREQ || kind == packet::DISCONNECT && self.version < 5;
        if bare && !body.is_empty() {
            let text = format!("{} with a body", packet::name(kind));
            return Err(malformed(text));
        }
        if kind == packet::CONNECT {
            self.version = version_of(body);
            self.phase = Phase::Open;
        }
        self.stopped = matches!(kind, packet::CONNECT | packet::AUTH);
        let body = Bytes::copy_from_slice(body);
        self.push(Frame::Packet { kind, flags, body }, frames);
        Ok(())
    }
}

impl Run {
    fn new() -> Self {
        Self {
            qos: 0,
            builder: RunBuilder::new(Origin::Mqtt),
            packet_ids: Vec::new(),
        }
    }

    /// Makes room for `left` bytes of messages such as this one, whose packet has `size`.
    fn begin(&mut self, publish: &Publish, size: usize, left: usize) {
        self.qos = publish.qos;
        let count = (left / size).clamp(1, RUN_COUNT_MAX);
        let kept: usize = publish.properties.iter().map(|piece| piece.len()).sum();
        let names = EXCHANGE.len() + publish.topic.len();
        let bytes = count * (kept + publish.body.len()) + names;
        let most = RUN_SIZE_MAX.max(size + EXCHANGE.len());
        self.builder.reserve(count, bytes.min(most));
        if publish.qos > 0 {
            self.packet_ids.reserve(count);
        }
    }

    #[inline]
    fn push(&mut self, key: u32, publish: &Publish) {
        let pieces = &publish.properties;
        self.builder
            .push_pieces(key, pieces, publish.body, publish.facts);
        if publish.qos > 0 {
            self.packet_ids.push(publish.packet_id);
        }
    }

    fn finish(self) -> Frame {
        Frame::Publishes {
            qos: self.qos,
            messages: self.builder.finish(),
            packet_ids: self.packet_ids,
        }
    }
}

impl Large {
    /// A run of it alone; `buffer`: its packet.
    fn into_frame(self, mut buffer: Vec<u8>) -> Frame {
        let more = EXCHANGE.len() + self.topic.len() + self.properties.len();
        buffer.reserve_exact(more);
        let mut put = |piece: &[u8]| {
            let span = Span::new(buffer.len(), piece.len());
            buffer.extend_from_slice(piece);
            span
        };
        let key = Key {
            exchange: put(EXCHANGE),
            routing_key: put(&self.topic),
        };
        let entry = Entry {
            properties: put(&self.properties),
            ..self.entry
        };
        buffer.shrink_to_fit();
        let messages = MessageRun {
            origin: Origin::Mqtt,
            buffer: Bytes::from(buffer),
            entries: vec![entry],
            dictionary: vec![key],
        };
        let with_id = self.qos > 0;
        Frame::Publishes {
            qos: self.qos,
            messages,
            packet_ids: with_id.then_some(self.packet_id).into_iter().collect(),
        }
    }
}

/// The topic that a publish is to; one with an alias is remembered (3.3.2.3.4).
fn resolve<'a>(
    topics: &'a mut BTreeMap<u16, Box<[u8]>>,
    topic_alias_max: u16,
    publish: &Publish<'a>,
) -> Result<&'a [u8], Violation> {
    let Some(alias) = publish.topic_alias else {
        topic_name::check(publish.topic)?;
        return Ok(publish.topic);
    };
    if alias == 0 || alias > topic_alias_max {
        let text = format!("topic alias {alias}, at most {topic_alias_max} are allowed");
        return Err(Violation::new(TOPIC_ALIAS_INVALID, text));
    }
    if publish.topic.is_empty() {
        let topic = topics.get(&alias).map(|topic| &**topic);
        return topic.ok_or_else(|| protocol_error(format!("unknown topic alias {alias}")));
    }
    topic_name::check(publish.topic)?;
    topics.insert(alias, publish.topic.into());
    Ok(publish.topic)
}

/// The version that a CONNECT names (3.1.2.1, 3.1.2.2; bridges set bit 7); 0: none that we know.
fn version_of(body: &[u8]) -> u8 {
    let level = |rest: &[u8]| rest.first().map_or(0, |level| level & 0x7F);
    match packet::split_string(body) {
        Some((b"MQIsdp", rest)) if level(rest) == 3 => 3,
        Some((b"MQTT", rest)) if matches!(level(rest), 4 | 5) => level(rest),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
