//! A SEND's headers: where it goes, how, and what is kept of them as the message's properties.

use std::borrow::Cow;

use crate::conversion::header_lines::put_escaped;
use crate::decoder::Violation;
use crate::message_run::{flags, Facts, NO_EXPIRATION};
use crate::stomp::destination::{self, Kind};
use crate::stomp::frame::{shown, violation};
use crate::stomp::head::{Head, Line};
use crate::stomp::header::{self, Rules};

/// Headers that say how a queue is made, if the SEND creates it; they stay properties as well.
const PARAMETERS: [&[u8]; 17] = [
    b"x-queue-name",
    b"x-queue-type",
    b"x-message-ttl",
    b"x-expires",
    b"x-max-length",
    b"x-max-length-bytes",
    b"x-overflow",
    b"x-max-priority",
    b"x-dead-letter-exchange",
    b"x-dead-letter-routing-key",
    b"x-single-active-consumer",
    b"x-max-age",
    b"x-stream-max-segment-size-bytes",
    b"x-stream-filter-size-bytes",
    b"exclusive",
    b"auto-delete",
    b"durable",
];

/// What SENDs of one run have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness {
    pub kind: Kind,
    /// Empty: none.
    pub transaction: Vec<u8>,
    /// Of a `/queue/`, in the order they came.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// The name behind `/temp-queue/` in `reply-to`; empty: none.
    pub temp_queue: Vec<u8>,
}

impl Default for Likeness {
    fn default() -> Self {
        Self {
            kind: Kind::Queue,
            transaction: Vec::new(),
            parameters: Vec::new(),
            temp_queue: Vec::new(),
        }
    }
}

/// One SEND's headers, read.
#[derive(Debug)]
pub struct Send {
    pub likeness: Likeness,
    pub exchange: Vec<u8>,
    pub routing_key: Vec<u8>,
    /// Header lines of 1.2.
    pub properties: Vec<u8>,
    pub facts: Facts,
    pub receipt: Option<Vec<u8>>,
    pub content_length: Option<usize>,
    /// The lines that gave these two.
    pub receipt_line: Option<Line>,
    pub content_length_line: Option<Line>,
    /// Where in `properties` each line begins.
    starts: Vec<u32>,
    has_destination: bool,
    has_expiration: bool,
    has_persistent: bool,
}

const PLAIN: Facts = Facts {
    expiration_ms: NO_EXPIRATION,
    priority: 0,
    flags: 0,
};

impl Default for Send {
    fn default() -> Self {
        Self {
            likeness: Likeness::default(),
            exchange: Vec::new(),
            routing_key: Vec::new(),
            properties: Vec::new(),
            facts: PLAIN,
            receipt: None,
            content_length: None,
            receipt_line: None,
            content_length_line: None,
            starts: Vec::new(),
            has_destination: false,
            has_expiration: false,
            has_persistent: false,
        }
    }
}

impl Send {
    fn clear(&mut self) {
        self.likeness.transaction.clear();
        self.likeness.parameters.clear();
        self.likeness.temp_queue.clear();
        self.properties.clear();
        self.starts.clear();
        self.facts = PLAIN;
        self.receipt = None;
        self.content_length = None;
        (self.receipt_line, self.content_length_line) = (None, None);
        (self.has_destination, self.has_expiration) = (false, false);
        self.has_persistent = false;
    }

    /// Reads a SEND whose head is whole, in place of what was read before.
    pub fn read(&mut self, data: &[u8], head: &Head, rules: Rules) -> Result<(), Violation> {
        self.clear();
        for line in head.headers() {
            let (name, value) = header::split(line.of(data), rules)?;
            self.receive(*line, &name, value)?;
        }
        if !self.has_destination {
            return Err(violation("Missing header", "SEND has no destination"));
        }
        if self.likeness.kind != Kind::Queue {
            self.likeness.parameters.clear();
        }
        Ok(())
    }

    #[inline]
    fn receive(&mut self, line: Line, name: &[u8], value: Cow<[u8]>) -> Result<(), Violation> {
        match name {
            b"destination" => {
                if !self.has_destination {
                    self.has_destination = true;
                    self.receive_destination(&value)?;
                }
            }
            b"content-length" => {
                if self.content_length.is_none() {
                    self.content_length = Some(content_length(&value)?);
                    self.content_length_line = Some(line);
                }
            }
            b"receipt" => {
                if self.receipt.is_none() {
                    self.receipt = Some(value.into_owned());
                    self.receipt_line = Some(line);
                }
            }
            b"transaction" => {
                if value.is_empty() {
                    return Err(violation("Invalid header", "transaction has no value"));
                }
                if self.likeness.transaction.is_empty() {
                    self.likeness.transaction.extend_from_slice(&value);
                }
            }
            b"persistent" => {
                if !self.has_persistent && &*value == b"true" {
                    self.facts.flags |= flags::PERSISTENT;
                }
                self.has_persistent = true;
            }
            b"expiration" => {
                if !self.has_expiration {
                    self.has_expiration = true;
                    match decimal(&value) {
                        Some(ms) => self.facts.expiration_ms = ms.min(NO_EXPIRATION - 1),
                        None => _ = self.put(name, &value),
                    }
                }
            }
            b"message-id" => {
                let text = "message-id is the broker's; a SEND's own is amqp-message-id";
                return Err(violation("Invalid header", text));
            }
            _ => {
                if self.put(name, &value) {
                    self.notice(name, &value)?;
                }
            }
        }
        Ok(())
    }

    fn receive_destination(&mut self, value: &[u8]) -> Result<(), Violation> {
        let destination = destination::parse(value).map_err(|text| Violation::new(0, text))?;
        if destination.kind == Kind::TempQueue {
            let text = "a SEND names /temp-queue/ in its reply-to only";
            return Err(violation("Invalid destination", text));
        }
        self.likeness.kind = destination.kind;
        self.exchange.clear();
        self.exchange.extend_from_slice(&destination.exchange);
        self.routing_key.clear();
        self.routing_key.extend_from_slice(&destination.routing_key);
        Ok(())
    }

    /// Keeps a property, if it is the first of its name.
    #[inline]
    fn put(&mut self, name: &[u8], value: &[u8]) -> bool {
        let start = self.properties.len();
        put_escaped(&mut self.properties, name);
        self.properties.push(b':');
        let (before, put) = self.properties.split_at(start);
        let repeated = self
            .starts
            .iter()
            .any(|&start| before[start as usize..].starts_with(put));
        if repeated {
            self.properties.truncate(start);
            return false;
        }
        put_escaped(&mut self.properties, value);
        self.properties.push(b'\n');
        self.starts.push(start as u32);
        true
    }

    /// What the broker must know of a property.
    fn notice(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        match name {
            b"priority" => {
                let priority = decimal(value).and_then(|number| u8::try_from(number).ok());
                self.facts.priority = priority.unwrap_or(0);
            }
            b"user-id" => self.facts.flags |= flags::HAS_USER_ID,
            b"reply-to" if value.starts_with(b"/temp-queue/") => {
                let name = destination::parse(value).map_err(|text| {
                    Violation::new(0, text.replacen("destination", "reply-to", 1))
                })?;
                self.likeness
                    .temp_queue
                    .extend_from_slice(&name.routing_key);
            }
            _ if PARAMETERS.contains(&name) => {
                let parameter = (name.to_vec(), value.to_vec());
                self.likeness.parameters.push(parameter);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Digits that are a u32, which an expiration must be in AMQP as well.
fn decimal(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Saturates: what is too large for a frame is said where its size is known.
pub fn content_length(text: &[u8]) -> Result<usize, Violation> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        let text = format!("content-length is {}, not a number of bytes", shown(text));
        return Err(violation("Invalid header", text));
    }
    let digits = text.iter().map(|digit| usize::from(digit - b'0'));
    Ok(digits.fold(0, |value: usize, digit| {
        value.saturating_mul(10).saturating_add(digit)
    }))
}
