//! Messages of which frames are still to come: each frame is added as it comes, so that no byte is
//! looked at twice, and room is made for what came, never for what a header declares.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::amqp::content::{self, Header, Publish, IMMEDIATE_BIT};
use crate::amqp::method;
use crate::amqp::properties;
use crate::amqp::reply_code;
use crate::decoder::Violation;
use crate::message_run::{Entry, Facts, Key, MessageRun, Origin, Span};
use crate::run_builder::RunBuilder;

/// All open messages of a connection together: this many times the largest message, and
/// `OPEN_SIZE_MIN`.
const OPEN_MESSAGES_MAX: u64 = 8;
const OPEN_SIZE_MIN: u64 = 1 << 20;
/// A body's buffer grows by at least so much.
const GROWTH_MIN: usize = 4 << 10;

/// What a frame made of its message.
pub enum Assembled {
    Partly,
    Whole(OpenMessage),
    /// Its channel ends: the rest of its frames is counted and dropped.
    Refused(Violation),
}

/// The open messages of one connection, at most one for each channel.
#[derive(Default)]
pub struct Assembler {
    open: BTreeMap<u16, OpenMessage>,
    held: usize,
    /// Bytes copied, for the law that large messages are not copied over and over.
    #[cfg(test)]
    pub copied: usize,
}

impl Assembler {
    #[inline]
    pub fn is_open(&self, channel: u16) -> bool {
        self.open.contains_key(&channel)
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Starts a message. `arguments`: those of a basic.publish, well-formed.
    pub fn begin(&mut self, channel: u16, arguments: &[u8]) -> Result<(), Violation> {
        let at_fault = |code, text| Violation::new(code, text).on(channel).of(method::PUBLISH);
        let publish = Publish::parse(arguments).expect("the arguments were checked");
        if publish.bits & IMMEDIATE_BIT != 0 {
            return Err(at_fault(reply_code::NOT_IMPLEMENTED, "immediate=true"));
        }
        if !content::is_channel(channel) {
            return Err(at_fault(
                reply_code::CHANNEL_ERROR,
                "no channel to publish on",
            ));
        }
        let message = OpenMessage::new(&publish);
        self.held += message.held();
        self.open.insert(channel, message);
        Ok(())
    }

    pub fn receive_header(
        &mut self,
        channel: u16,
        payload: &[u8],
        message_size_max: u64,
    ) -> Result<Assembled, Violation> {
        let unexpected = |text| Violation::new(reply_code::UNEXPECTED_FRAME, text).on(channel);
        let at_fault = |code, text: &str| {
            let violation = Violation::new(code, text);
            violation.on(channel).of(method::PUBLISH)
        };
        let message = self.open.get_mut(&channel);
        let Some(message) = message.filter(|message| message.left.is_none()) else {
            return Err(unexpected("content header without a publish"));
        };
        let Some(header) = Header::parse(payload) else {
            let text = "content header too short";
            return Err(at_fault(reply_code::SYNTAX_ERROR, text));
        };
        if !header.is_basic() {
            return Err(unexpected(
                "content header of a class other than 60, or with a weight",
            ));
        }
        let facts = properties::read(header.properties)
            .map_err(|fault| at_fault(reply_code::SYNTAX_ERROR, fault))?;
        let held = message.held();
        if let Some(text) = message.fault(header.body_size, message_size_max) {
            message.discard(header.body_size);
            self.held -= held;
            if header.body_size == 0 {
                self.abandon(channel);
            }
            let violation = at_fault(reply_code::PRECONDITION_FAILED, &text);
            return Ok(Assembled::Refused(violation.of_channel()));
        }
        message.receive_header(&header, facts);
        self.held += message.held() - held;
        self.take_whole(channel, message_size_max)
    }

    pub fn receive_body(
        &mut self,
        channel: u16,
        payload: &[u8],
        message_size_max: u64,
    ) -> Result<Assembled, Violation> {
        let message = self.open.get_mut(&channel);
        let Some((message, left)) =
            message.and_then(|message| message.left.map(|left| (message, left)))
        else {
            let text = "body without a content header";
            return Err(Violation::new(reply_code::UNEXPECTED_FRAME, text).on(channel));
        };
        if payload.len() as u64 > left {
            let text = "body is longer than its header said";
            let violation = Violation::new(reply_code::FRAME_ERROR, text);
            return Err(violation.on(channel).of(method::PUBLISH));
        }
        let held = message.held();
        #[cfg(test)]
        let size = message.size();
        message.receive_body(payload, left);
        #[cfg(test)]
        {
            let moved = if message.held() == held { 0 } else { size };
            self.copied += payload.len() + moved;
        }
        self.held += message.held() - held;
        self.take_whole(channel, message_size_max)
    }

    fn take_whole(&mut self, channel: u16, message_size_max: u64) -> Result<Assembled, Violation> {
        if self.open[&channel].left == Some(0) {
            let message = self.abandon(channel);
            let whole = message.filter(|message| !message.discarded);
            return Ok(whole.map_or(Assembled::Partly, Assembled::Whole));
        }
        let held_max = message_size_max.saturating_mul(OPEN_MESSAGES_MAX);
        if self.held as u64 > held_max.saturating_add(OPEN_SIZE_MIN) {
            let text = "too many large messages at once on one connection";
            let violation = Violation::new(reply_code::RESOURCE_ERROR, text);
            return Err(violation.on(channel).of(method::PUBLISH));
        }
        Ok(Assembled::Partly)
    }

    /// Forgets a channel's message.
    pub fn abandon(&mut self, channel: u16) -> Option<OpenMessage> {
        let message = self.open.remove(&channel)?;
        self.held -= message.held();
        Some(message)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A message of which frames are still to come.
pub struct OpenMessage {
    /// Exchange, routing key, properties and body, one after the other.
    buffer: Vec<u8>,
    key: Key,
    properties: Span,
    facts: Facts,
    /// Body bytes to come; None: the header is to come.
    left: Option<u64>,
    /// Refused: its frames are counted and dropped.
    discarded: bool,
}

impl OpenMessage {
    fn new(publish: &Publish) -> Self {
        let exchange_size = publish.exchange.len();
        Self {
            buffer: [publish.exchange, publish.routing_key].concat(),
            key: Key {
                exchange: Span::new(0, exchange_size),
                routing_key: Span::new(exchange_size, publish.routing_key.len()),
            },
            properties: Span::default(),
            facts: Facts {
                expiration_ms: 0,
                priority: 0,
                flags: publish.flags(),
            },
            left: None,
            discarded: false,
        }
    }

    fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Bytes of names, properties and body.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Why a message of this size is refused.
    fn fault(&self, body_size: u64, message_size_max: u64) -> Option<String> {
        let exchange = self.key.exchange.of(&self.buffer);
        let routing_key = self.key.routing_key.of(&self.buffer);
        if body_size > message_size_max {
            return Some(format!(
                "message size {body_size} is larger than configured max size {message_size_max} (311 CONTENT_TOO_LARGE)"
            ));
        }
        let plain = content::is_plain(exchange) && content::is_plain(routing_key);
        (!plain).then(|| "exchange name or routing key holds a control character".into())
    }

    /// Takes the header; `facts` are those of its properties.
    fn receive_header(&mut self, header: &Header, facts: Facts) {
        assert!(self.left.is_none(), "one header for a message");
        self.properties = Span::new(self.buffer.len(), header.properties.len());
        self.buffer.extend_from_slice(header.properties);
        self.facts = Facts {
            flags: self.facts.flags | facts.flags,
            ..facts
        };
        self.left = Some(header.body_size);
    }

    /// Drops what it holds and what is to come, but still knows where it ends.
    fn discard(&mut self, body_size: u64) {
        self.buffer = Vec::new();
        self.left = Some(body_size);
        self.discarded = true;
    }

    /// Takes a body frame's payload, which is not longer than what is `left`.
    fn receive_body(&mut self, payload: &[u8], left: u64) {
        if !self.discarded {
            if self.buffer.capacity() - self.buffer.len() < payload.len() {
                // Doubles, and at the end fits.
                let growth = self.buffer.len().max(GROWTH_MIN).max(payload.len());
                self.buffer.reserve_exact(growth.min(left as usize));
            }
            self.buffer.extend_from_slice(payload);
        }
        self.left = Some(left - payload.len() as u64);
    }

    /// Adds it to a run of its channel, copied.
    pub fn add_to(&self, builder: &mut RunBuilder) {
        let exchange = self.key.exchange.of(&self.buffer);
        let routing_key = self.key.routing_key.of(&self.buffer);
        let key = builder.key(exchange, routing_key);
        let properties = self.properties.of(&self.buffer);
        builder.push(key, properties, self.body().of(&self.buffer), self.facts);
    }

    fn body(&self) -> Span {
        let start = (self.properties.start + self.properties.size) as usize;
        Span::new(start, self.buffer.len() - start)
    }

    /// A run of it alone, without copying.
    pub fn into_run(self) -> MessageRun {
        let entry = Entry {
            properties: self.properties,
            body: self.body(),
            key: 0,
            expiration_ms: self.facts.expiration_ms,
            priority: self.facts.priority,
            flags: self.facts.flags,
        };
        MessageRun {
            origin: Origin::Amqp091,
            buffer: Bytes::from(self.buffer),
            entries: vec![entry],
            dictionary: vec![self.key],
        }
    }
}
