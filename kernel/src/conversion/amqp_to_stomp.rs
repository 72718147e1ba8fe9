//! AMQP 0-9-1's form of a message as STOMP's.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::amqp::properties::flag;
use crate::amqp::table::{self, Field};
use crate::conversion::amqp_form::Message;
use crate::conversion::destination::{self, QUEUE, REPLY_QUEUE, TOPIC};
use crate::conversion::mqtt_properties::STRING_SIZE_MAX;
use crate::conversion::stomp_names::{is_carried_on, shown_name, PROPERTIES};
use crate::conversion::text::{self, BASE64_SUFFIX};
use crate::conversion::topic::{queue_of, routing_key_of};
use crate::conversion::{carried, facts, header_lines, json_text, KeyNumbers};
use crate::conversion::{FLAGS_OF_AMQP_ALONE, PROPERTIES_SIZE_MAX};
use crate::message_run::{Entry, MessageRun, Origin};
use crate::run_builder::RunBuilder;

/// Queues whose names begin so can't be made by clients, which a reply to `/queue/` would try.
const RESERVED_QUEUE: &[u8] = b"amq.";

/// Entries of a run of AMQP origin as a run of their own.
pub fn convert(run: &MessageRun, entries: &[Entry]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Stomp);
    let sizes = entries.iter().map(|e| e.properties.size + e.body.size);
    builder.reserve(entries.len(), sizes.map(|size| size as usize).sum());
    let mut numbers = KeyNumbers::of(run);
    let mut lines = Vec::new();
    for entry in entries {
        let (exchange, routing_key) = (run.exchange(entry.key), run.routing_key(entry.key));
        let key = numbers.get(entry.key, || builder.key(exchange, routing_key));
        lines.clear();
        put_lines(&mut lines, entry.properties.of(&run.buffer));
        let body = entry.body.of(&run.buffer);
        builder.push(key, &lines, body, facts(entry, FLAGS_OF_AMQP_ALONE));
    }
    builder.finish()
}

/// Header lines for AMQP's properties. The commonest by far, a delivery mode alone, has none.
pub fn put_lines(out: &mut Vec<u8>, properties: &[u8]) {
    if !matches!(properties, [0x10, 0, _] | [0, 0] | []) {
        Lines::of(out).put_message(&Message::read(properties));
    }
}

/// What line `reply-to` says.
fn reply_to(message: &Message) -> Option<Vec<u8>> {
    if let Some(name) = message.value(flag::REPLY_TO) {
        if message.response_exchange == Some(carried::TOPIC_EXCHANGE) {
            return Some(destination::of(TOPIC, name));
        }
        if name.starts_with(RESERVED_QUEUE) && text::is_text(name) {
            return Some([REPLY_QUEUE, name].concat());
        }
        return Some(destination::of(QUEUE, name));
    }
    let topic = message.response_topic?;
    Some(match queue_of(topic) {
        Some(queue) => destination::of(QUEUE, &queue),
        None => destination::of(TOPIC, &routing_key_of(topic)),
    })
}

/// A property's value as STOMP shows it, wherever it stands.
fn shown<'a>(message: &Message<'a>, property: u16) -> Option<Cow<'a, [u8]>> {
    let value = message.value(property);
    match property {
        flag::REPLY_TO => reply_to(message).map(Cow::Owned),
        flag::CONTENT_TYPE => value.or(message.content_type).map(Cow::Borrowed),
        flag::CORRELATION_ID => value.or(message.correlation_data).map(Cow::Borrowed),
        flag::PRIORITY => Some(value?.first()?.to_string().into_bytes().into()),
        flag::TIMESTAMP => {
            let time_s = u64::from_be_bytes(value?.try_into().ok()?);
            Some(time_s.to_string().into_bytes().into())
        }
        // The broker vouches for the text, and for no other form of it.
        flag::USER_ID => value.filter(|id| text::is_lines(id)).map(Cow::Borrowed),
        _ => value.map(Cow::Borrowed),
    }
}

/// One message's header lines.
struct Lines<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    names: Names,
}

impl<'a> Lines<'a> {
    fn of(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        let names = Names::default();
        Self { out, start, names }
    }

    fn put_message(&mut self, message: &Message) {
        let mut present = 0;
        for (property, name) in PROPERTIES {
            if let Some(value) = shown(message, property) {
                present |= property;
                self.put_string(name, &value);
            }
        }
        for field in table::fields(message.headers) {
            self.put_header(&field, present);
        }
        for field in table::fields(message.headers) {
            if field.name == carried::USER_PROPERTIES && field.kind == b'A' {
                self.put_pairs(field.value, present);
            }
        }
    }

    fn put_header(&mut self, field: &Field, present: u16) {
        let own = if is_carried_on(field.name) {
            field.name
        } else if carried::is_header(field.name) {
            return;
        } else {
            carried::user_property_name(field.name)
        };
        let name = shown_name(own, present);
        match field.kind {
            b'S' => self.put_string(&name, field.value),
            b'x' => self.put_base64(&name, field.value),
            b'A' | b'F' => {
                if let Some(json) = json_text::json(field, STRING_SIZE_MAX) {
                    self.put(&name, json.as_bytes());
                }
            }
            kind => {
                if let Some(text) = json_text::scalar(kind, field.value) {
                    self.put(&name, text.as_bytes());
                }
            }
        }
    }

    /// Names that no header of AMQP's can have, and their values.
    fn put_pairs(&mut self, array: &[u8], present: u16) {
        let mut strings = table::elements(array).map(|e| (e.kind == b'S').then_some(e.value));
        while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
            if let (Some(name), Some(value)) = (name, value) {
                self.put_string(&shown_name(name, present), value);
            }
        }
    }

    fn put_string(&mut self, name: &[u8], value: &[u8]) {
        if text::is_lines(value) {
            self.put(name, value);
        } else {
            self.put_base64(name, value);
        }
    }

    fn put_base64(&mut self, name: &[u8], value: &[u8]) {
        if value.len() <= STRING_SIZE_MAX {
            let name = [name, BASE64_SUFFIX].concat();
            self.put(&name, text::to_base64(value).as_bytes());
        }
    }

    /// Leaves out what has no name or one that is there already, and what is too long.
    fn put(&mut self, name: &[u8], value: &[u8]) {
        let fits = name.len().max(value.len()) <= STRING_SIZE_MAX
            && self.out.len() - self.start + 2 * (name.len() + value.len() + 1)
                <= PROPERTIES_SIZE_MAX;
        if fits && !name.is_empty() && text::is_text(name) && self.names.insert(name) {
            header_lines::put(self.out, name, value);
        }
    }
}

/// Names that are there. Few are searched, many are hashed (keyed: publishers choose them).
#[derive(Default)]
struct Names {
    /// One behind the other, and where each ends.
    few: Vec<u8>,
    ends: Vec<usize>,
    many: HashSet<Vec<u8>>,
}

impl Names {
    const SEARCHED_MAX: usize = 16;

    /// Says whether it is new.
    fn insert(&mut self, name: &[u8]) -> bool {
        let mut start = 0;
        for &end in &self.ends {
            if &self.few[start..end] == name {
                return false;
            }
            start = end;
        }
        if self.ends.len() == Self::SEARCHED_MAX {
            return self.many.insert(name.to_vec());
        }
        self.few.extend_from_slice(name);
        self.ends.push(self.few.len());
        true
    }
}
