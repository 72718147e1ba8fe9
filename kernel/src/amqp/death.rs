//! The record of a message's deaths, in its headers.
//!
//! `x-death` is an array of tables, newest first, one for each (queue, reason); `x-first-death-*` is
//! written once and `x-last-death-*` each time, for queue, reason and exchange (as RabbitMQ 4 does).
//! A record that a client sent is not believed: it is replaced.

use crate::amqp::properties::{self, flag};
use crate::amqp::table::{self, Field};
use crate::conversion::amqp_part;
use crate::delivery_run::DeliveryRun;
use crate::message_run::{flags, Facts, MessageRun, Origin, NO_EXPIRATION};
use crate::run_builder::RunBuilder;

/// What happened to some messages, and where they go.
pub struct Death<'a> {
    /// Where they died.
    pub queue: &'a [u8],
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    pub reason: &'a [u8],
    pub exchange: &'a [u8],
    /// None: they keep their own.
    pub routing_key: Option<&'a [u8]>,
    /// Unix time, seconds.
    pub time_s: u64,
}

const DEATHS: &[u8] = b"x-death";
const FIRST: [&[u8]; 3] = [
    b"x-first-death-queue",
    b"x-first-death-reason",
    b"x-first-death-exchange",
];
const LAST: [&[u8]; 3] = [
    b"x-last-death-queue",
    b"x-last-death-reason",
    b"x-last-death-exchange",
];

/// What still holds of a message that died: whatever it says of its publish ended with its first route.
const KEPT: u8 = flags::PERSISTENT | flags::EXACTLY_ONCE | flags::HAS_USER_ID;

/// The same messages, readdressed, each with this death in its headers and without an expiration; in AMQP's
/// form, since no other has a place for the record.
pub fn dead_letter(run: &DeliveryRun, death: &Death) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let mut properties = Vec::new();
    for part in &run.parts {
        let (messages, range) = amqp_part(&part.messages, part.range());
        for entry in &messages.entries[range] {
            let before = entry.properties.of(&messages.buffer);
            let from = (
                messages.exchange(entry.key),
                messages.routing_key(entry.key),
            );
            let believed = entry.flags & flags::DEAD_LETTERED != 0;
            properties.clear();
            put_properties(&mut properties, before, believed, from, death);
            let key = builder.key(death.exchange, death.routing_key.unwrap_or(from.1));
            let kept = entry.flags & KEPT;
            let facts = Facts {
                expiration_ms: NO_EXPIRATION,
                priority: entry.priority,
                flags: kept | flags::DEAD_LETTERED,
            };
            builder.push(key, &properties, entry.body.of(&messages.buffer), facts);
        }
    }
    builder.finish()
}

/// Numbers of the messages that have been in `queue` before and came back without anybody's rejecting
/// them on the way: they would go round for ever, so they are not to be put there. Of another form there are none: the record
/// is in AMQP's, in which all dead letters are.
pub fn cycling(run: &MessageRun, queue: &[u8]) -> Vec<usize> {
    if run.origin != Origin::Amqp091 {
        return Vec::new();
    }
    let entries = run.entries.iter().enumerate();
    let dead = entries.filter(|(_, entry)| entry.flags & flags::DEAD_LETTERED != 0);
    dead.filter(|&(index, _)| {
        let headers = properties::get(run.properties(index), flag::HEADERS);
        is_cycle(deaths(headers.unwrap_or_default()), queue)
    })
    .map(|(index, _)| index)
    .collect()
}

fn is_cycle<'a>(deaths: impl Iterator<Item = Field<'a>>, queue: &[u8]) -> bool {
    for death in deaths {
        if table::get(death.value, b"reason", b'S') == Some(b"rejected") {
            return false;
        }
        if table::get(death.value, b"queue", b'S') == Some(queue) {
            return true;
        }
    }
    false
}

/// The tables of `x-death`.
fn deaths(headers: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let array = table::get(headers, DEATHS, b'A').unwrap_or_default();
    table::elements(array).filter(|element| element.kind == b'F')
}

/// Appends `before` with new headers and without expiration. `from`: the exchange and routing key it came by.
fn put_properties(
    out: &mut Vec<u8>,
    before: &[u8],
    believed: bool,
    from: (&[u8], &[u8]),
    death: &Death,
) {
    let headers = properties::get(before, flag::HEADERS).unwrap_or_default();
    let expiration = properties::get(before, flag::EXPIRATION);
    let new_headers = new_headers(headers, believed, from, expiration, death);
    let mut present = flag::HEADERS;
    let mut put_headers = Some(new_headers);
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    let checked = properties::visit(before, |property, value| {
        if property <= flag::HEADERS {
            if let Some(headers) = put_headers.take() {
                properties::put_value(out, flag::HEADERS, &headers);
            }
        }
        if property != flag::HEADERS && property != flag::EXPIRATION {
            present |= property;
            properties::put_value(out, property, value);
        }
        Ok(())
    });
    debug_assert!(checked.is_ok(), "a run's properties were checked");
    if let Some(headers) = put_headers {
        properties::put_value(out, flag::HEADERS, &headers);
    }
    out[start..start + 2].copy_from_slice(&present.to_be_bytes());
}

fn new_headers(
    headers: &[u8],
    believed: bool,
    from: (&[u8], &[u8]),
    expiration: Option<&[u8]>,
    death: &Death,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(headers.len() + 512);
    for field in table::fields(headers) {
        let replaced = field.name == DEATHS
            || LAST.contains(&field.name)
            || (!believed && FIRST.contains(&field.name));
        // A routing key of the queue's own takes the place of all that the publisher gave.
        let overruled = death.routing_key.is_some() && matches!(field.name, b"CC" | b"BCC");
        if !replaced && !overruled {
            out.extend_from_slice(field.wire);
        }
    }
    let record = new_record(headers, believed, from, expiration, death);
    table::put_field(&mut out, DEATHS, b'A', &record);
    let values = [death.queue, death.reason, from.0];
    if !believed {
        for (name, value) in FIRST.iter().zip(values) {
            table::put_field(&mut out, name, b'S', value);
        }
    }
    for (name, value) in LAST.iter().zip(values) {
        table::put_field(&mut out, name, b'S', value);
    }
    out
}

/// The array: this death first, then the others.
fn new_record(
    headers: &[u8],
    believed: bool,
    from: (&[u8], &[u8]),
    expiration: Option<&[u8]>,
    death: &Death,
) -> Vec<u8> {
    let (mut same, mut others) = (None, Vec::new());
    for before in deaths(headers).filter(|_| believed) {
        let is_same = table::get(before.value, b"queue", b'S') == Some(death.queue)
            && table::get(before.value, b"reason", b'S') == Some(death.reason);
        if is_same {
            same = Some(before.value);
        } else {
            others.push(before.wire);
        }
    }
    let newest = match same {
        Some(before) => counted_again(before),
        None => first_of_its_kind(headers, from, expiration, death),
    };
    let mut out = Vec::new();
    table::put_element(&mut out, b'F', &newest);
    for other in others {
        out.extend_from_slice(other);
    }
    out
}

/// The same pair died before: only its count changes.
fn counted_again(before: &[u8]) -> Vec<u8> {
    let count = table::get(before, b"count", b'l').and_then(|value| value.try_into().ok());
    let count = count.map_or(0, i64::from_be_bytes).saturating_add(1);
    let mut out = Vec::with_capacity(before.len() + 16);
    table::put_field(&mut out, b"count", b'l', &count.to_be_bytes());
    for field in table::fields(before).filter(|field| field.name != b"count") {
        out.extend_from_slice(field.wire);
    }
    out
}

fn first_of_its_kind(
    headers: &[u8],
    (exchange, routing_key): (&[u8], &[u8]),
    expiration: Option<&[u8]>,
    death: &Death,
) -> Vec<u8> {
    let mut routing_keys = Vec::new();
    table::put_element(&mut routing_keys, b'S', routing_key);
    let copies = table::get(headers, b"CC", b'A').unwrap_or_default();
    for copy in table::elements(copies).filter(|element| element.kind == b'S') {
        routing_keys.extend_from_slice(copy.wire);
    }
    let mut out = Vec::new();
    table::put_field(&mut out, b"count", b'l', &1i64.to_be_bytes());
    table::put_field(&mut out, b"reason", b'S', death.reason);
    table::put_field(&mut out, b"queue", b'S', death.queue);
    table::put_field(&mut out, b"time", b'T', &death.time_s.to_be_bytes());
    table::put_field(&mut out, b"exchange", b'S', exchange);
    table::put_field(&mut out, b"routing-keys", b'A', &routing_keys);
    if let Some(expiration) = expiration {
        table::put_field(&mut out, b"original-expiration", b'S', expiration);
    }
    out
}
