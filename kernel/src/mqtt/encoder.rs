//! Runs of deliveries as PUBLISH packets (specification 3.3).

use crate::conversion::to_mqtt;
use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::{flags, Entry, MessageRun, Origin, NO_EXPIRATION};
use crate::mqtt::delivery_topics::DeliveryTopics;
use crate::mqtt::grant::Grant;
use crate::mqtt::packet::{self, varint_size, BODY_SIZE_MAX};
use crate::mqtt::property::{MESSAGE_EXPIRY, TOPIC_ALIAS};
use crate::mqtt::topic_aliases::{Alias, TopicAliases};

const EXPIRY_SIZE: usize = 5;
const ALIAS_SIZE: usize = 3;
/// A topic's length is a u16; those of other protocols may be longer.
const TOPIC_SIZE_MAX: usize = u16::MAX as usize;

/// What a delivery is granted by.
#[derive(Clone, Copy)]
pub enum Grants<'a> {
    One(&'a Grant),
    /// For each topic; the topics are those of the same run.
    ByTopic(&'a DeliveryTopics, &'a [&'a Grant]),
}

/// What all packets of one connection have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// 3, 4 or 5.
    pub version: u8,
    /// Bytes of a whole packet that the subscriber takes.
    pub packet_size_max: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    pub wire: Vec<u8>,
    /// Where in `wire` packet identifiers stand, and of which delivery.
    pub ids_at: Vec<(usize, u32)>,
    /// Deliveries that are too large for the subscriber.
    pub left_out: Vec<u32>,
}

/// Seconds that deliveries of a part still have, at least one: what was begun is brought to its end. 0: no limit.
pub fn seconds_left(part: &Part, now_ms: u64) -> u32 {
    if part.expires_ms == 0 {
        return 0;
    }
    let left_s = part.expires_ms.saturating_sub(now_ms).div_ceil(1000);
    left_s.clamp(1, u64::from(u32::MAX)) as u32
}

/// PUBLISH for each delivery: of QoS 0 without `packet_ids`, else of QoS 1 or 2 under them, one for each. Aliases
/// are for version 5.
pub fn encode(
    run: &DeliveryRun,
    grants: Grants,
    packet_ids: Option<&[u16]>,
    shape: Shape,
    now_ms: u64,
    aliases: Option<&mut TopicAliases>,
) -> Encoded {
    let mut writer = Writer {
        shape,
        packet_ids,
        aliases: aliases.filter(|_| shape.version == 5),
        out: Encoded::default(),
        position: 0,
    };
    for (number, part) in run.parts.iter().enumerate() {
        let left_s = seconds_left(part, now_ms);
        if part.messages.origin == Origin::Mqtt {
            let numbered = (number, part.entries());
            writer.put_part(part, &part.messages, numbered, grants, left_s);
        } else {
            let converted = to_mqtt(&slice(part));
            assert_eq!(converted.entries.len(), part.count as usize, "one for one");
            let numbered = (number, &converted.entries[..]);
            writer.put_part(part, &converted, numbered, grants, left_s);
        }
    }
    let wire = &mut writer.out.wire;
    if wire.capacity() > wire.len() + wire.len() / 4 {
        wire.shrink_to_fit();
    }
    writer.out
}

/// A part's messages only.
fn slice(part: &Part) -> MessageRun {
    MessageRun {
        origin: part.messages.origin,
        buffer: part.messages.buffer.clone(),
        entries: part.entries().to_vec(),
        dictionary: part.messages.dictionary.clone(),
    }
}

struct Writer<'a> {
    shape: Shape,
    packet_ids: Option<&'a [u16]>,
    aliases: Option<&'a mut TopicAliases>,
    out: Encoded,
    /// Of the next delivery.
    position: u32,
}

/// One packet's parts.
struct Publish<'a> {
    first: u8,
    topic: &'a [u8],
    packet_id: Option<u16>,
    /// The message's own properties and the grant's.
    properties: [&'a [u8]; 2],
    /// 0: none.
    expiry_s: u32,
    body: &'a [u8],
}

impl Writer<'_> {
    /// `part` as it was; `messages` and entries in the form of MQTT.
    fn put_part(
        &mut self,
        part: &Part,
        messages: &MessageRun,
        (number, entries): (usize, &[Entry]),
        grants: Grants,
        left_s: u32,
    ) {
        self.reserve(messages, entries, grants, left_s);
        let five = self.shape.version == 5;
        for (entry, original) in entries.iter().zip(part.entries()) {
            let grant = match grants {
                Grants::One(grant) => grant,
                Grants::ByTopic(topics, grants) => {
                    grants[topics.numbers[number][original.key as usize] as usize]
                }
            };
            let packet_id = self.packet_ids.map(|ids| ids[self.position as usize]);
            let own: [&[u8]; 2] = if five {
                [entry.properties.of(&messages.buffer), &grant.properties]
            } else {
                [&[], &[]]
            };
            let expires = five && entry.expiration_ms != NO_EXPIRATION;
            self.put(&Publish {
                first: first_byte(entry, grant, packet_id.is_some(), part.redelivered),
                topic: messages.routing_key(entry.key),
                packet_id,
                properties: own,
                expiry_s: if expires { left_s } else { 0 },
                body: entry.body.of(&messages.buffer),
            });
            self.position += 1;
        }
    }

    /// Makes room for these, and little more.
    fn reserve(&mut self, messages: &MessageRun, entries: &[Entry], grants: Grants, left_s: u32) {
        let five = self.shape.version == 5;
        let mut fixed = 2 + if self.packet_ids.is_some() { 2 } else { 0 };
        if five {
            fixed += match grants {
                Grants::One(grant) => grant.properties.len(),
                Grants::ByTopic(_, grants) => {
                    let sizes = grants.iter().map(|grant| grant.properties.len());
                    sizes.max().unwrap_or(0)
                }
            };
            fixed += if left_s > 0 { EXPIRY_SIZE } else { 0 };
            fixed += if self.aliases.is_some() {
                ALIAS_SIZE
            } else {
                0
            };
        }
        let sizes = entries.iter().map(|entry| {
            let topic = messages.dictionary[entry.key as usize].routing_key.size;
            let mut size = fixed + topic as usize + entry.body.size as usize;
            if five {
                let properties = entry.properties.size as usize;
                size += properties + varint_size(properties + fixed);
            }
            1 + varint_size(size) + size
        });
        self.out.wire.reserve(sizes.sum());
        if self.packet_ids.is_some() {
            self.out.ids_at.reserve(entries.len());
        }
    }

    #[inline]
    fn put(&mut self, publish: &Publish) {
        if let Some(aliases) = self.aliases.as_deref_mut() {
            if let Some(alias) = aliases.find(publish.topic) {
                if self.put_packet(publish, Some(alias)) {
                    if !alias.known {
                        let aliases = self.aliases.as_deref_mut().expect("there they are");
                        aliases.tell(publish.topic);
                    }
                    return;
                }
            }
        }
        if !self.put_packet(publish, None) {
            self.out.left_out.push(self.position);
        }
    }

    /// Says whether it is small enough; if not, nothing is done.
    #[inline]
    fn put_packet(&mut self, publish: &Publish, alias: Option<Alias>) -> bool {
        let topic = match alias {
            Some(Alias { known: true, .. }) => &[],
            _ => publish.topic,
        };
        let five = self.shape.version == 5;
        let expiry_size = if publish.expiry_s > 0 { EXPIRY_SIZE } else { 0 };
        let alias_size = if alias.is_some() { ALIAS_SIZE } else { 0 };
        let [own, granted] = publish.properties;
        let properties_size = own.len() + granted.len() + expiry_size + alias_size;
        let head_size = if five {
            varint_size(properties_size)
        } else {
            0
        };
        let id_size = if publish.packet_id.is_some() { 2 } else { 0 };
        let size = 2 + topic.len() + id_size + head_size + properties_size + publish.body.len();
        if topic.len() > TOPIC_SIZE_MAX
            || size > BODY_SIZE_MAX
            || 1 + varint_size(size) + size > self.shape.packet_size_max
        {
            return false;
        }
        let wire = &mut self.out.wire;
        wire.push(publish.first);
        packet::put_varint(wire, size);
        wire.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        wire.extend_from_slice(topic);
        if let Some(packet_id) = publish.packet_id {
            self.out.ids_at.push((wire.len(), self.position));
            wire.extend_from_slice(&packet_id.to_be_bytes());
        }
        if five {
            packet::put_varint(wire, properties_size);
            if properties_size > 0 {
                wire.extend_from_slice(own);
                if publish.expiry_s > 0 {
                    wire.push(MESSAGE_EXPIRY);
                    wire.extend_from_slice(&publish.expiry_s.to_be_bytes());
                }
                if let Some(alias) = alias {
                    wire.push(TOPIC_ALIAS);
                    wire.extend_from_slice(&alias.number.to_be_bytes());
                }
                wire.extend_from_slice(granted);
            }
        }
        wire.extend_from_slice(publish.body);
        true
    }
}

/// Type and flags.
#[inline]
fn first_byte(entry: &Entry, grant: &Grant, with_id: bool, redelivered: bool) -> u8 {
    let retain = entry.flags & flags::REPLAYED != 0
        || grant.retain_as_published && entry.flags & flags::RETAIN != 0;
    let mut first = packet::PUBLISH << 4 | u8::from(retain);
    if with_id {
        let published = if entry.flags & flags::EXACTLY_ONCE != 0 {
            2
        } else {
            1
        };
        first |= published.min(grant.qos).max(1) << 1;
        if redelivered {
            first |= packet::DUP;
        }
    }
    first
}

#[cfg(test)]
mod tests;
