//! STOMP's form of a message as AMQP 0-9-1's.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::amqp::properties::flag;
use crate::conversion::amqp_form::{is_string, Headers, Values, SHORT_STRING_SIZE_MAX};
use crate::conversion::destination::{self, AMQ_QUEUE, QUEUE, REPLY_QUEUE, TOPIC};
use crate::conversion::mqtt_properties::{is_topic, STRING_SIZE_MAX};
use crate::conversion::stomp_names::{is_carried_on, is_of_one_hop, own_name, property_of};
use crate::conversion::text::{self, BASE64_SUFFIX};
use crate::conversion::topic::{queue_topic, topic_of};
use crate::conversion::{carried, facts, header_lines, KeyNumbers, FLAGS_OF_AMQP_ALONE};
use crate::message_run::{flags, Entry, MessageRun, Origin, NO_EXPIRATION};
use crate::run_builder::RunBuilder;

/// Entries of a run of STOMP origin as a run of their own.
pub fn convert(run: &MessageRun, entries: &[Entry]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let sizes = entries.iter().map(|e| e.properties.size + e.body.size);
    let size = sizes.map(|size| size as usize).sum::<usize>() + entries.len() * 16;
    builder.reserve(entries.len(), size);
    let mut numbers = KeyNumbers::of(run);
    let mut encoded = Vec::new();
    for entry in entries {
        let (exchange, routing_key) = (run.exchange(entry.key), run.routing_key(entry.key));
        let key = numbers.get(entry.key, || builder.key(exchange, routing_key));
        encoded.clear();
        put_properties(&mut encoded, entry.properties.of(&run.buffer), entry);
        let body = entry.body.of(&run.buffer);
        builder.push(key, &encoded, body, facts(entry, FLAGS_OF_AMQP_ALONE));
    }
    builder.finish()
}

/// AMQP's properties for the header lines `before`.
pub fn put_properties(out: &mut Vec<u8>, before: &[u8], entry: &Entry) {
    let mode = 1 + u8::from(entry.flags & flags::PERSISTENT != 0);
    if before.is_empty() && entry.expiration_ms == NO_EXPIRATION {
        out.extend_from_slice(&flag::DELIVERY_MODE.to_be_bytes());
        out.push(mode);
        return;
    }
    let mut form = Form::default();
    form.values.set(flag::DELIVERY_MODE, vec![mode]);
    if entry.expiration_ms != NO_EXPIRATION {
        let text = entry.expiration_ms.to_string();
        form.values.set(flag::EXPIRATION, text.into_bytes());
    }
    let lines: Vec<Line> = header_lines::lines(before).collect();
    form.take(&lines);
    if form.headers.size > 0 {
        form.values.set(flag::HEADERS, form.headers.encoded());
    }
    form.values.put(out);
}

type Line<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

#[derive(Default)]
struct Form {
    values: Values,
    headers: Headers,
    /// Properties that are there, wherever AMQP has the room.
    present: u16,
}

impl Form {
    fn take(&mut self, lines: &[Line]) {
        // Properties first: whether they are there says what other names mean.
        let names = Base64Names::of(lines);
        let others: Vec<&Line> = lines
            .iter()
            .filter(|(name, value)| !self.take_property(name, value, &names))
            .collect();
        for (name, value) in others {
            self.take_header(name, value, &names);
        }
    }

    /// Says whether the line is no header.
    fn take_property(&mut self, name: &[u8], value: &[u8], names: &Base64Names) -> bool {
        let whole = name.strip_suffix(BASE64_SUFFIX).unwrap_or(name);
        if is_of_one_hop(whole) {
            return true;
        }
        if let Some(property) = property_of(name) {
            let taken = self.set(property, value) || property == flag::USER_ID;
            self.present |= if taken { property } else { 0 };
            return taken;
        }
        // The broker vouches for a user id, so that nothing else may look like one.
        if property_of(whole) == Some(flag::USER_ID) {
            return true;
        }
        let Some(plain) = names.plain(name) else {
            return false;
        };
        let (Some(property), Some(value)) = (property_of(plain), text::from_base64(value)) else {
            return false;
        };
        let taken = !text::is_lines(&value) && self.set_bytes(property, value);
        self.present |= if taken { property } else { 0 };
        taken
    }

    /// Sets a property to what a line says; says no if that is not what would be written for it.
    fn set(&mut self, property: u16, value: &[u8]) -> bool {
        if self.present & property != 0 {
            return false;
        }
        let short = value.len() <= SHORT_STRING_SIZE_MAX && text::is_lines(value);
        let encoded = match property {
            flag::REPLY_TO => return self.set_reply_to(value),
            flag::PRIORITY => carried::priority(value),
            flag::TIMESTAMP => carried::timestamp(value),
            _ => short.then(|| value.to_vec()),
        };
        if let Some(encoded) = encoded {
            self.values.set(property, encoded);
            return true;
        }
        match property {
            flag::CONTENT_TYPE if is_string(value) => {
                self.headers.add(carried::CONTENT_TYPE, b'S', value);
                true
            }
            flag::CORRELATION_ID if value.len() <= STRING_SIZE_MAX && text::is_lines(value) => {
                self.headers.add(carried::CORRELATION_DATA, b'x', value);
                true
            }
            _ => false,
        }
    }

    /// The same for a value that stands in base64, being no text.
    fn set_bytes(&mut self, property: u16, value: Vec<u8>) -> bool {
        const NEVER: u16 = flag::PRIORITY | flag::TIMESTAMP | flag::REPLY_TO;
        if (self.present | NEVER) & property != 0 {
            return false;
        }
        // Many AMQP clients end at a short string that is not UTF-8.
        if value.len() <= SHORT_STRING_SIZE_MAX && std::str::from_utf8(&value).is_ok() {
            self.values.set(property, value);
        } else if property == flag::CORRELATION_ID && value.len() <= STRING_SIZE_MAX {
            self.headers.add(carried::CORRELATION_DATA, b'x', &value);
        } else {
            return false;
        }
        true
    }

    fn set_reply_to(&mut self, value: &[u8]) -> bool {
        let queue = |prefix| value.strip_prefix(prefix).and_then(destination::name_of);
        if let Some(key) = queue(TOPIC) {
            return self.set_address(&key, Some(carried::TOPIC_EXCHANGE), topic_of);
        }
        let name = value.strip_prefix(REPLY_QUEUE).map(Cow::Borrowed);
        let name = name.or_else(|| queue(QUEUE)).or_else(|| queue(AMQ_QUEUE));
        // A name that is no destination, as RabbitMQ takes them.
        let name = name.or((!value.starts_with(b"/")).then_some(Cow::Borrowed(value)));
        name.is_some_and(|name| self.set_address(&name, None, queue_topic))
    }

    /// `topic`: how MQTT writes it, which has room for longer names.
    fn set_address(
        &mut self,
        name: &[u8],
        exchange: Option<&[u8]>,
        topic: fn(&[u8]) -> Vec<u8>,
    ) -> bool {
        if std::str::from_utf8(name).is_err() {
            return false;
        }
        if name.len() <= SHORT_STRING_SIZE_MAX {
            self.values.set(flag::REPLY_TO, name.to_vec());
            if let Some(exchange) = exchange {
                self.headers.add(carried::RESPONSE_EXCHANGE, b'S', exchange);
            }
            return true;
        }
        let topic = topic(name);
        if is_topic(&topic) {
            self.headers.add(carried::RESPONSE_TOPIC, b'S', &topic);
        }
        is_topic(&topic)
    }

    fn take_header(&mut self, name: &[u8], value: &[u8], names: &Base64Names) {
        let own = own_name(name, self.present);
        if own.is_empty() || !text::is_text(own) {
            return;
        }
        let header = header_name(own);
        let plain = names.plain(name).map(|plain| own_name(plain, self.present));
        let plain_header = plain.map(header_name);
        let size = plain_header.as_ref().map_or(0, |header| header.len());
        if header.len().max(size) > SHORT_STRING_SIZE_MAX {
            self.headers.add_pair(own, value);
            return;
        }
        if let Some(plain_header) = plain_header.filter(|header| !header.is_empty()) {
            if let Some(bytes) = text::from_base64(value) {
                self.headers.add(&plain_header, b'x', &bytes);
                return;
            }
        }
        match (&*header, value) {
            (carried::PAYLOAD_FORMAT, b"0") => self.headers.add(&header, b'I', &[0, 0, 0, 0]),
            (carried::PAYLOAD_FORMAT, b"1") => self.headers.add(&header, b'I', &[0, 0, 0, 1]),
            _ => self.headers.add(&header, b'S', value),
        }
    }
}

/// What a header is called in AMQP, where some carry what MQTT has.
fn header_name(own: &[u8]) -> Cow<'_, [u8]> {
    if is_carried_on(own) {
        Cow::Borrowed(own)
    } else {
        Cow::Owned(carried::header_name(own))
    }
}

/// All names of a message if one of them says that its value is in base64, else none.
struct Base64Names<'a>(HashSet<&'a [u8]>);

impl<'a> Base64Names<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let any = lines.iter().any(|(name, _)| name.ends_with(BASE64_SUFFIX));
        let names = lines.iter().filter(|_| any).map(|(name, _)| &**name);
        Self(names.collect())
    }

    /// The name without `;base64`, if there is no other line of that name.
    fn plain<'b>(&self, name: &'b [u8]) -> Option<&'b [u8]> {
        let plain = name.strip_suffix(BASE64_SUFFIX)?;
        (!self.0.contains(plain)).then_some(plain)
    }
}
