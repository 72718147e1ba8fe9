//! A PUBLISH as a client sends it (specification 3.3).

use crate::decoder::Violation;
use crate::message_run::{flags, Facts, NO_EXPIRATION};
use crate::mqtt::packet::{self, malformed, protocol_error};
use crate::mqtt::property::{self, Properties, Property};
use crate::mqtt::reason_code::{MALFORMED_PACKET, PAYLOAD_FORMAT_INVALID, PROTOCOL_ERROR};
use crate::mqtt::topic_name;

/// One PUBLISH; the characters of its topic are not looked at yet.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    pub qos: u8,
    pub topic: &'a [u8],
    /// 0 for QoS 0.
    pub packet_id: u16,
    pub topic_alias: Option<u16>,
    /// The properties of the message itself, in order; between the pieces stood those of the hop.
    pub properties: [&'a [u8]; 3],
    pub body: &'a [u8],
    pub facts: Facts,
}

impl<'a> Publish<'a> {
    /// `flags`: allowed ones ([`packet::check_first_byte`]).
    #[inline]
    pub fn parse(flags: u8, packet: &'a [u8], version: u8) -> Result<Self, Violation> {
        let qos = flags >> 1 & 3;
        let Some((topic, mut rest)) = packet::split_string(packet) else {
            return Err(malformed("topic is cut short"));
        };
        let mut packet_id = 0;
        if qos > 0 {
            let Some((id, after)) = packet::split_u16(rest) else {
                return Err(malformed("packet identifier is cut short"));
            };
            if id == 0 {
                return Err(protocol_error("packet identifier 0"));
            }
            (packet_id, rest) = (id, after);
        }
        let mut publish = Self {
            qos,
            topic,
            packet_id,
            topic_alias: None,
            properties: [&[]; 3],
            body: rest,
            facts: Facts {
                expiration_ms: NO_EXPIRATION,
                priority: 0,
                flags: flags_of(qos, flags & packet::RETAIN != 0),
            },
        };
        if version == 5 {
            let (properties, body) = property::split(rest)?;
            publish.body = body;
            if !properties.is_empty() {
                publish.receive_properties(properties)?;
            }
        }
        Ok(publish)
    }

    fn receive_properties(&mut self, wire: &'a [u8]) -> Result<(), Violation> {
        let (mut piece, mut kept_from, mut at) = (0, 0, 0);
        for property in Properties::new(wire, property::OF_PUBLISH) {
            let property = property?;
            let end = at + property.wire.len();
            if self.receive_property(&property)? {
                self.properties[piece] = &wire[kept_from..at];
                piece += 1;
                kept_from = end;
            }
            at = end;
        }
        self.properties[piece] = &wire[kept_from..];
        Ok(())
    }

    /// Says whether it is the hop's and not the message's, which two are.
    fn receive_property(&mut self, property: &Property) -> Result<bool, Violation> {
        match property.id {
            property::MESSAGE_EXPIRY => {
                let bytes = property.value.try_into().expect("it has four bytes");
                let expiry_ms = u64::from(u32::from_be_bytes(bytes)) * 1000;
                self.facts.expiration_ms = expiry_ms.min(u64::from(NO_EXPIRATION - 1)) as u32;
                return Ok(true);
            }
            property::TOPIC_ALIAS => {
                let bytes = property.value.try_into().expect("it has two bytes");
                self.topic_alias = Some(u16::from_be_bytes(bytes));
                return Ok(true);
            }
            property::PAYLOAD_FORMAT => match property.value {
                [0] => {}
                [1] if std::str::from_utf8(self.body).is_ok() => {}
                [1] => {
                    let text = "payload is not UTF-8, which its format says it is";
                    return Err(Violation::new(PAYLOAD_FORMAT_INVALID, text));
                }
                _ => return Err(protocol_error("unknown payload format")),
            },
            property::RESPONSE_TOPIC => topic_name::check(property.value).map_err(|violation| {
                let code = match violation.code {
                    MALFORMED_PACKET => MALFORMED_PACKET,
                    _ => PROTOCOL_ERROR,
                };
                Violation::new(code, format!("response topic: {}", violation.text))
            })?,
            property::SUBSCRIPTION_IDENTIFIER => {
                return Err(protocol_error("subscription identifier from a client"));
            }
            _ => {}
        }
        Ok(false)
    }
}

/// What a message's entry says of how it was published.
#[inline]
fn flags_of(qos: u8, retain: bool) -> u8 {
    const OF_QOS: [u8; 3] = [
        0,
        flags::PERSISTENT,
        flags::PERSISTENT | flags::EXACTLY_ONCE,
    ];
    OF_QOS[usize::from(qos)] | if retain { flags::RETAIN } else { 0 }
}
