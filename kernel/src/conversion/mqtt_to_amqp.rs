//! MQTT's form of a message as AMQP 0-9-1's.

use crate::amqp::properties::flag;
use crate::conversion::amqp_form::{Headers, Values, SHORT_STRING_SIZE_MAX};
use crate::conversion::mqtt_properties::{properties, Property};
use crate::conversion::text::{self, BASE64_SUFFIX};
use crate::conversion::topic::{queue_of, routing_key_of};
use crate::conversion::{carried, facts, FLAGS_OF_AMQP};
use crate::message_run::{flags, Entry, MessageRun, Origin, NO_EXPIRATION};
use crate::run_builder::RunBuilder;

/// Entries of a run of MQTT origin as a run of their own.
pub fn convert(run: &MessageRun, entries: &[Entry]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let sizes = entries.iter().map(|e| e.properties.size + e.body.size);
    let size = sizes.map(|size| size as usize).sum::<usize>() + entries.len() * 16;
    builder.reserve(entries.len(), size);
    let mut last: Option<(u32, Address)> = None;
    let mut encoded = Vec::new();
    for entry in entries {
        let topic = run.routing_key(entry.key);
        let address = match &mut last {
            Some((key, address)) if *key == entry.key => address,
            _ => &mut last.insert((entry.key, address_of(topic))).1,
        };
        let exchange = if address.to_queue {
            b""
        } else {
            run.exchange(entry.key)
        };
        let key = builder.key(exchange, &address.routing_key);
        encoded.clear();
        let whole_topic = address.cut.then_some(topic);
        let before = entry.properties.of(&run.buffer);
        put_properties(&mut encoded, before, entry, whole_topic);
        let body = entry.body.of(&run.buffer);
        builder.push(key, &encoded, body, facts(entry, FLAGS_OF_AMQP));
    }
    builder.finish()
}

/// Where a topic leads.
pub struct Address {
    /// Past all exchanges, by the default one.
    pub to_queue: bool,
    pub routing_key: Vec<u8>,
    /// The routing key is only the front of what it should be.
    pub cut: bool,
}

pub fn address_of(topic: &[u8]) -> Address {
    let queue = queue_of(topic);
    let to_queue = queue.is_some();
    let mut routing_key = queue.unwrap_or_else(|| routing_key_of(topic));
    let size = text::cut(&routing_key, SHORT_STRING_SIZE_MAX).len();
    let cut = size < routing_key.len();
    routing_key.truncate(size);
    Address {
        to_queue,
        routing_key,
        cut,
    }
}

/// `whole_topic`: the one that did not fit in a routing key.
pub fn put_properties(out: &mut Vec<u8>, before: &[u8], entry: &Entry, whole_topic: Option<&[u8]>) {
    let mode = 1 + u8::from(entry.flags & flags::PERSISTENT != 0);
    if before.is_empty() && whole_topic.is_none() && entry.expiration_ms == NO_EXPIRATION {
        out.extend_from_slice(&flag::DELIVERY_MODE.to_be_bytes());
        out.push(mode);
        return;
    }
    let mut values = Values::default();
    values.set(flag::DELIVERY_MODE, vec![mode]);
    if entry.expiration_ms != NO_EXPIRATION {
        let text = entry.expiration_ms.to_string();
        values.set(flag::EXPIRATION, text.into_bytes());
    }
    let mut headers = Headers::default();
    if let Some(topic) = whole_topic {
        headers.add(carried::TOPIC, b'S', topic);
    }
    put_singles(&mut values, &mut headers, before);
    put_user_properties(&mut values, &mut headers, before);
    if headers.size > 0 {
        values.set(flag::HEADERS, headers.encoded());
    }
    values.put(out);
}

/// Those that stand once, in a fixed order: of equal ones the first counts.
fn put_singles(values: &mut Values, headers: &mut Headers, before: &[u8]) {
    let (mut format, mut content_type, mut response_topic, mut correlation) =
        (None, None, None, None);
    for property in properties(before) {
        match property {
            Property::PayloadFormat(value) => _ = format.get_or_insert(value),
            Property::ContentType(value) => _ = content_type.get_or_insert(value),
            Property::ResponseTopic(value) => _ = response_topic.get_or_insert(value),
            Property::CorrelationData(value) => _ = correlation.get_or_insert(value),
            Property::User(..) => {}
        }
    }
    if let Some(format) = format {
        headers.add(
            carried::PAYLOAD_FORMAT,
            b'I',
            &i32::from(format).to_be_bytes(),
        );
    }
    if let Some(topic) = response_topic {
        let address = address_of(topic);
        values.claim(flag::REPLY_TO);
        if address.cut {
            headers.add(carried::RESPONSE_TOPIC, b'S', topic);
        } else {
            values.set(flag::REPLY_TO, address.routing_key);
            if !address.to_queue {
                headers.add(carried::RESPONSE_EXCHANGE, b'S', carried::TOPIC_EXCHANGE);
            }
        }
    }
    if let Some(data) = correlation {
        if data.len() <= SHORT_STRING_SIZE_MAX && std::str::from_utf8(data).is_ok() {
            values.set(flag::CORRELATION_ID, data.to_vec());
        } else {
            headers.add(carried::CORRELATION_DATA, b'x', data);
        }
    }
    if let Some(content_type) = content_type {
        values.claim(flag::CONTENT_TYPE);
        if content_type.len() <= SHORT_STRING_SIZE_MAX {
            values.set(flag::CONTENT_TYPE, content_type.to_vec());
        } else {
            headers.add(carried::CONTENT_TYPE, b'S', content_type);
        }
    }
}

fn put_user_properties(values: &mut Values, headers: &mut Headers, before: &[u8]) {
    for property in properties(before) {
        let Property::User(name, value) = property else {
            continue;
        };
        if !text::is_text(name) {
            continue;
        }
        // The first of a name is the property, if it is just what would be written for it.
        if let Some(flag) = carried::property_of(name).filter(|flag| values.claim(*flag)) {
            if let Some(value) = carried::property_value(name, value) {
                values.set(flag, value);
                continue;
            }
        }
        put_user_property(headers, name, value);
    }
}

/// What a name holds twice keeps its order: where it was text once, it is text from then on.
fn put_user_property(headers: &mut Headers, name: &[u8], value: &[u8]) {
    let whole = carried::header_name(name);
    let plain = name.strip_suffix(BASE64_SUFFIX).map(carried::header_name);
    let size = whole.len().max(plain.as_ref().map_or(0, Vec::len));
    if size > SHORT_STRING_SIZE_MAX {
        headers.add_pair(name, value);
        return;
    }
    if let Some(plain) = plain.filter(|_| !headers.has(&whole)) {
        if let Some(bytes) = text::from_base64(value) {
            headers.add(&plain, b'x', &bytes);
            return;
        }
    }
    headers.add(&whole, b'S', value);
}
