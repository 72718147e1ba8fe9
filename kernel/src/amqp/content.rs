//! A publish on the wire: a method frame, a content header frame, body frames (specification 4.2.6).
//!
//! Most lie whole in one read and are taken at once ([`opening`], [`content`]). The others go
//! through the assembler.

use crate::amqp::frame::{self, Front};
use crate::amqp::method;
use crate::amqp::properties;
use crate::amqp::table::Reader;
use crate::message_run::{flags, Facts};

const MANDATORY_BIT: u8 = 1;
pub const IMMEDIATE_BIT: u8 = 2;
const CLASS_BASIC: u16 = 60;
/// Bounds the messages that may be open at once.
pub const CHANNEL_MAX: u16 = 2047;
/// basic.publish's two ids as they stand on the wire.
const PUBLISH_IDS: u32 = (method::PUBLISH.0 as u32) << 16 | method::PUBLISH.1 as u32;

/// The arguments of basic.publish.
#[derive(Clone, Copy)]
pub struct Publish<'a> {
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    pub bits: u8,
}

impl<'a> Publish<'a> {
    /// None unless they fit to the last byte.
    #[inline]
    pub fn parse(arguments: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(arguments);
        reader.u16()?; // reserved
        let exchange = reader.short_string()?;
        let routing_key = reader.short_string()?;
        let bits = reader.u8()?;
        reader.is_empty().then_some(Self {
            exchange,
            routing_key,
            bits,
        })
    }

    pub fn has_plain_names(&self) -> bool {
        is_plain(self.exchange) && is_plain(self.routing_key)
    }

    #[inline]
    pub fn flags(&self) -> u8 {
        if self.bits & MANDATORY_BIT == 0 {
            0
        } else {
            flags::MANDATORY
        }
    }
}

/// The payload of a content header frame.
pub struct Header<'a> {
    pub class: u16,
    pub weight: u16,
    pub body_size: u64,
    pub properties: &'a [u8],
}

impl<'a> Header<'a> {
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self {
            class: reader.u16()?,
            weight: reader.u16()?,
            body_size: reader.u64()?,
            properties: reader.bytes(reader.left())?,
        })
    }

    #[inline]
    pub fn is_basic(&self) -> bool {
        self.class == CLASS_BASIC && self.weight == 0
    }
}

/// A basic.publish's frame.
pub struct Opening<'a> {
    pub channel: u16,
    pub publish: Publish<'a>,
    /// All of the frame.
    pub wire: &'a [u8],
}

/// The publish frame at the front of `data`, if it is whole and nothing is wrong with it that can
/// be seen in it alone (names may not be UTF-8).
#[inline]
pub fn opening(data: &[u8], frame_size_max: usize) -> Option<Opening<'_>> {
    let (frame, rest) = split(data, frame_size_max)?;
    let (ids, arguments) = frame.payload.split_first_chunk::<4>()?;
    if frame.kind != frame::METHOD || u32::from_be_bytes(*ids) != PUBLISH_IDS {
        return None;
    }
    let publish = Publish::parse(arguments)?;
    let allowed = publish.bits & IMMEDIATE_BIT == 0 && is_channel(frame.channel);
    allowed.then_some(Opening {
        channel: frame.channel,
        publish,
        wire: &data[..data.len() - rest.len()],
    })
}

/// What follows a publish frame.
pub struct Content<'a> {
    pub properties: &'a [u8],
    pub body: &'a [u8],
    /// What the properties say.
    pub facts: Facts,
    /// Bytes on the wire.
    pub size: usize,
}

/// The content at the front of `data` if all is as it commonly is: nothing missing, nothing wrong, at
/// most one body frame.
#[inline]
pub fn content(data: &[u8], channel: u16, frame_size_max: usize) -> Option<Content<'_>> {
    let (frame, after_header) = split(data, frame_size_max)?;
    let header = Header::parse(frame.payload)?;
    if frame.kind != frame::HEADER || frame.channel != channel || !header.is_basic() {
        return None;
    }
    let (body, rest) = if header.body_size == 0 {
        (&[][..], after_header)
    } else {
        let (frame, rest) = split(after_header, frame_size_max)?;
        if frame.kind != frame::BODY
            || frame.channel != channel
            || frame.payload.len() as u64 != header.body_size
        {
            return None;
        }
        (frame.payload, rest)
    };
    Some(Content {
        properties: header.properties,
        body,
        facts: properties::read(header.properties).ok()?,
        size: data.len() - rest.len(),
    })
}

#[inline]
fn split(data: &[u8], frame_size_max: usize) -> Option<(frame::WireFrame<'_>, &[u8])> {
    match frame::front(data, frame_size_max) {
        Front::Whole(frame) => Some((frame, &data[frame.size()..])),
        _ => None,
    }
}

/// Whether something may be published there.
#[inline]
pub fn is_channel(channel: u16) -> bool {
    (1..=CHANNEL_MAX).contains(&channel)
}

/// Whether a name is UTF-8 without control characters (Unicode's Cc). Other protocols will write it, and a line break
/// that is a byte like any other here ends a header there.
pub fn is_plain(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_holds_no_control_character() {
        for name in ["", "a b", "\u{e9}t\u{e9}", "\u{a0}", "\u{2028}"] {
            assert!(is_plain(name.as_bytes()), "{name:?}");
        }
        for name in ["\0", "a\nb", "\r", "\u{7f}", "\u{85}", "\u{9f}"] {
            assert!(!is_plain(name.as_bytes()), "{name:?}");
        }
        assert!(!is_plain(b"\xff"));
    }
}
