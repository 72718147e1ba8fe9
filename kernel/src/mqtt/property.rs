//! MQTT 5's properties (specification 2.2.2): an identifier, then a value of the identifier's shape.

use crate::decoder::Violation;
use crate::mqtt::packet::{self, malformed, protocol_error, Varint};

pub const PAYLOAD_FORMAT: u8 = 1;
pub const MESSAGE_EXPIRY: u8 = 2;
pub const CONTENT_TYPE: u8 = 3;
pub const RESPONSE_TOPIC: u8 = 8;
pub const CORRELATION_DATA: u8 = 9;
pub const SUBSCRIPTION_IDENTIFIER: u8 = 11;
pub const REASON_STRING: u8 = 31;
pub const TOPIC_ALIAS: u8 = 35;
pub const USER_PROPERTY: u8 = 38;

/// A set of identifiers.
type Set = u64;

const fn set_of(ids: &[u8]) -> Set {
    let mut set = 0;
    let mut at = 0;
    while at < ids.len() {
        set |= 1 << ids[at];
        at += 1;
    }
    set
}

/// What a client's PUBLISH may have. A subscription identifier is known, and refused by name.
pub const OF_PUBLISH: Set = set_of(&[
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    USER_PROPERTY,
]);
pub const OF_ACK: Set = set_of(&[REASON_STRING, USER_PROPERTY]);

/// One property of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    pub id: u8,
    /// A number's bytes; of a string or binary data those after its length; of a pair both strings as they stand.
    pub value: &'a [u8],
    /// All of it, the identifier included.
    pub wire: &'a [u8],
}

/// Goes through a packet's properties, and checks them against what may stand there.
pub struct Properties<'a> {
    rest: &'a [u8],
    allowed: Set,
    seen: Set,
}

impl<'a> Properties<'a> {
    /// `wire`: without the length in front.
    pub fn new(wire: &'a [u8], allowed: Set) -> Self {
        Self {
            rest: wire,
            allowed,
            seen: 0,
        }
    }

    fn split_next(&mut self, id: u8) -> Result<Property<'a>, Violation> {
        let bit = if id < 64 { 1 << id } else { 0 };
        if self.allowed & bit == 0 {
            return Err(malformed(format!("property {id} in the wrong packet")));
        }
        if self.seen & bit != 0 && id != USER_PROPERTY {
            return Err(protocol_error(format!("property {id} twice")));
        }
        self.seen |= bit;
        let Some((value, rest)) = split_value(id, &self.rest[1..]) else {
            return Err(malformed(format!("property {id} is cut short")));
        };
        if !is_well_formed(id, value) {
            return Err(malformed(format!("property {id} is not UTF-8")));
        }
        let wire = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Ok(Property { id, value, wire })
    }
}

impl<'a> Iterator for Properties<'a> {
    /// An error: it is of another packet or unknown, comes a second time, is cut short, or is a string and not UTF-8.
    type Item = Result<Property<'a>, Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = *self.rest.first()?;
        Some(self.split_next(id))
    }
}

/// The properties at the front of a packet's part and what follows them.
///
/// # Errors
/// Their length is none, or larger than the packet.
#[inline]
pub fn split(data: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    // Most have none.
    if let Some((0, rest)) = data.split_first() {
        return Ok((&[], rest));
    }
    let Varint::Whole(size, head) = packet::varint(data) else {
        return Err(malformed("no property length"));
    };
    let split = data[head..].split_at_checked(size);
    split.ok_or_else(|| malformed("properties longer than their packet"))
}

/// Value and rest; None: it is cut short.
fn split_value(id: u8, data: &[u8]) -> Option<(&[u8], &[u8])> {
    match id {
        PAYLOAD_FORMAT => data.split_at_checked(1),
        TOPIC_ALIAS => data.split_at_checked(2),
        MESSAGE_EXPIRY => data.split_at_checked(4),
        SUBSCRIPTION_IDENTIFIER => match packet::varint(data) {
            Varint::Whole(_, size) => data.split_at_checked(size),
            Varint::Part | Varint::TooLong => None,
        },
        USER_PROPERTY => {
            let (_, after_name) = packet::split_string(data)?;
            let (_, rest) = packet::split_string(after_name)?;
            data.split_at_checked(data.len() - rest.len())
        }
        _ => packet::split_string(data),
    }
}

fn is_well_formed(id: u8, value: &[u8]) -> bool {
    match id {
        CONTENT_TYPE | RESPONSE_TOPIC | REASON_STRING => is_text(value),
        USER_PROPERTY => {
            let (name, after_name) = packet::split_string(value).expect("it was split");
            is_text(name) && is_text(&after_name[2..])
        }
        _ => true,
    }
}

/// Whether it may be a UTF-8 encoded string (1.5.4).
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none()
}
