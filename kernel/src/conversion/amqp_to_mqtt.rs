//! AMQP 0-9-1's form of a message as MQTT's.

use crate::amqp::properties::flag;
use crate::amqp::table::{self, Field};
use crate::conversion::amqp_form::{is_string, Message};
use crate::conversion::mqtt_properties::{is_topic, Property, STRING_SIZE_MAX};
use crate::conversion::mqtt_to_amqp::address_of;
use crate::conversion::text::{self, BASE64_SUFFIX};
use crate::conversion::topic::{queue_topic, topic_of, topic_shown};
use crate::conversion::{carried, facts, json_text, FLAGS_OF_AMQP, PROPERTIES_SIZE_MAX};
use crate::message_run::{Entry, MessageRun, Origin};
use crate::run_builder::RunBuilder;

/// Entries of a run of AMQP origin as a run of their own.
pub fn convert(run: &MessageRun, entries: &[Entry]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    let sizes = entries.iter().map(|e| e.properties.size + e.body.size);
    builder.reserve(entries.len(), sizes.map(|size| size as usize).sum());
    let mut encoded = Vec::new();
    for entry in entries {
        let message = Message::read(entry.properties.of(&run.buffer));
        let (exchange, routing_key) = (run.exchange(entry.key), run.routing_key(entry.key));
        let topic = message.topic(exchange, routing_key);
        let key = builder.key(shown_exchange(exchange), &topic);
        encoded.clear();
        message.put_properties(&mut encoded);
        let body = entry.body.of(&run.buffer);
        builder.push(key, &encoded, body, facts(entry, FLAGS_OF_AMQP));
    }
    builder.finish()
}

/// The exchange of a topic, be it one that leads past all exchanges.
pub fn shown_exchange(exchange: &[u8]) -> &[u8] {
    if exchange.is_empty() {
        carried::TOPIC_EXCHANGE
    } else {
        exchange
    }
}

impl Message<'_> {
    /// The header's topic is believed if it would have become this address: a publisher may not show another one
    /// than where it was allowed to publish.
    pub fn topic(&self, exchange: &[u8], routing_key: &[u8]) -> Vec<u8> {
        if let Some(topic) = self.topic.filter(|topic| is_topic(topic)) {
            let address = address_of(topic);
            let same =
                address.routing_key == routing_key && address.to_queue == exchange.is_empty();
            if address.cut && same {
                return topic.to_vec();
            }
        }
        mended(topic_shown(exchange, routing_key))
    }

    pub fn put_properties(&self, out: &mut Vec<u8>) {
        if let Some(format) = self.payload_format {
            Property::PayloadFormat(format).put(out);
        }
        let content_type = self.value(flag::CONTENT_TYPE);
        if let Some(content_type) = content_type.filter(|value| is_string(value)) {
            Property::ContentType(content_type).put(out);
        } else if let (None, Some(content_type)) = (content_type, self.content_type) {
            Property::ContentType(content_type).put(out);
        }
        self.put_response_topic(out);
        let correlation_id = self.value(flag::CORRELATION_ID);
        if let Some(data) = correlation_id.or(self.correlation_data) {
            Property::CorrelationData(data).put(out);
        }
        for bit in (0..16).rev() {
            let Some(value) = self.values[bit] else {
                continue;
            };
            if let Some((name, shown)) = carried::user_property(1 << bit, value) {
                put_string(out, name, &shown);
            }
        }
        for field in table::fields(self.headers) {
            put_header(out, &field);
        }
        for field in table::fields(self.headers) {
            if field.name == carried::USER_PROPERTIES && field.kind == b'A' {
                put_pairs(out, field.value);
            }
        }
    }

    /// A reply-to that is no text has been shown otherwise.
    fn put_response_topic(&self, out: &mut Vec<u8>) {
        let topic = match self.value(flag::REPLY_TO) {
            Some(name) if !text::is_text(name) => return,
            Some(key) if self.response_exchange == Some(carried::TOPIC_EXCHANGE) => topic_of(key),
            Some(queue) => queue_topic(queue),
            None => match self.response_topic {
                Some(topic) => topic.to_vec(),
                None => return,
            },
        };
        Property::ResponseTopic(&topic).put(out);
    }
}

/// A name no decoder let in, with a mark for each character that may not be shown.
fn mended(topic: Vec<u8>) -> Vec<u8> {
    if text::is_text(&topic) {
        return topic;
    }
    let shown = String::from_utf8_lossy(&topic);
    let plain = shown.chars().map(|c| {
        if text::is_plain(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    });
    plain.collect::<String>().into_bytes()
}

fn put_header(out: &mut Vec<u8>, field: &Field) {
    if carried::is_header(field.name) {
        return;
    }
    let name = carried::user_property_name(field.name);
    match field.kind {
        b'S' => put_string(out, name, field.value),
        b'x' => put_base64(out, name, field.value),
        b'A' if repeats(field.value) => {
            for element in table::elements(field.value) {
                if element.kind == b'S' {
                    put_string(out, name, element.value);
                } else {
                    put_base64(out, name, element.value);
                }
            }
        }
        b'A' | b'F' => {
            if let Some(json) = json_text::json(field, STRING_SIZE_MAX) {
                put_user(out, name, json.as_bytes());
            }
        }
        kind => {
            if let Some(text) = json_text::scalar(kind, field.value) {
                put_user(out, name, text.as_bytes());
            }
        }
    }
}

/// Whether an array is of strings and byte arrays.
fn repeats(array: &[u8]) -> bool {
    !array.is_empty() && table::elements(array).all(|element| matches!(element.kind, b'S' | b'x'))
}

/// Names that no header can have, and their values.
fn put_pairs(out: &mut Vec<u8>, array: &[u8]) {
    let mut strings = table::elements(array).map(|e| (e.kind == b'S').then_some(e.value));
    while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
        if let (Some(name), Some(value)) = (name, value) {
            put_string(out, name, value);
        }
    }
}

fn put_string(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if text::is_text(value) {
        put_user(out, name, value);
    } else {
        put_base64(out, name, value);
    }
}

fn put_base64(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if value.len() <= STRING_SIZE_MAX {
        let name = [name, BASE64_SUFFIX].concat();
        put_user(out, &name, text::to_base64(value).as_bytes());
    }
}

/// Leaves out what a string can't hold, or the properties together should not.
fn put_user(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let fits = out.len() + 5 + name.len() + value.len() <= PROPERTIES_SIZE_MAX;
    if fits && is_string(name) && value.len() <= STRING_SIZE_MAX {
        Property::User(name, value).put(out);
    }
}
