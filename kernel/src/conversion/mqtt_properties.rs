//! An MQTT 5 message's properties as a run keeps them: without their length and without those of one hop.

use crate::amqp::table::Reader;
use crate::conversion::text;
use crate::mqtt::property as id;

/// A string's size is a u16.
pub const STRING_SIZE_MAX: usize = u16::MAX as usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    PayloadFormat(u8),
    ContentType(&'a [u8]),
    ResponseTopic(&'a [u8]),
    CorrelationData(&'a [u8]),
    User(&'a [u8], &'a [u8]),
}

/// The properties in order. Bytes that are none end them; one that says what it may not is passed over.
pub fn properties(encoded: &[u8]) -> impl Iterator<Item = Property<'_>> {
    let mut reader = Reader::new(encoded);
    std::iter::from_fn(move || {
        Some(match reader.u8()? {
            id::PAYLOAD_FORMAT => Property::PayloadFormat(reader.u8()?),
            id::CONTENT_TYPE => Property::ContentType(string(&mut reader)?),
            id::RESPONSE_TOPIC => Property::ResponseTopic(string(&mut reader)?),
            id::CORRELATION_DATA => Property::CorrelationData(string(&mut reader)?),
            id::USER_PROPERTY => Property::User(string(&mut reader)?, string(&mut reader)?),
            _ => return None,
        })
    })
    .filter(Property::is_sound)
}

fn string<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let size = reader.u16()?;
    reader.bytes(size as usize)
}

impl Property<'_> {
    fn is_sound(&self) -> bool {
        let is_string = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
        match self {
            Self::PayloadFormat(format) => *format <= 1,
            Self::ContentType(value) => is_string(value),
            Self::ResponseTopic(topic) => is_topic(topic),
            Self::CorrelationData(_) => true,
            Self::User(name, value) => is_string(name) && is_string(value),
        }
    }

    /// Appends it; its strings are at most [`STRING_SIZE_MAX`] long.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (id, strings): (u8, &[&[u8]]) = match self {
            Self::PayloadFormat(format) => {
                out.extend_from_slice(&[id::PAYLOAD_FORMAT, *format]);
                return;
            }
            Self::ContentType(value) => (id::CONTENT_TYPE, &[value]),
            Self::ResponseTopic(value) => (id::RESPONSE_TOPIC, &[value]),
            Self::CorrelationData(value) => (id::CORRELATION_DATA, &[value]),
            Self::User(name, value) => (id::USER_PROPERTY, &[name, value]),
        };
        out.push(id);
        for string in strings {
            assert!(string.len() <= STRING_SIZE_MAX, "a string's size is a u16");
            out.extend_from_slice(&(string.len() as u16).to_be_bytes());
            out.extend_from_slice(string);
        }
    }
}

/// Whether a message may be published to it, and every client can be shown it.
pub fn is_topic(name: &[u8]) -> bool {
    (1..=STRING_SIZE_MAX).contains(&name.len())
        && text::is_text(name)
        && !name.iter().any(|byte| matches!(byte, b'+' | b'#'))
}
