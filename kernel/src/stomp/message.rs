//! Runs of deliveries as MESSAGE frames.
//!
//! What is alike in consecutive messages is made once: all before the tag for each key, all between the tag and the body
//! as long as properties and size are the same.

use memchr::memchr;

use crate::conversion::{header_lines, stomp_part};
use crate::delivery_run::DeliveryRun;
use crate::message_run::{flags, Entry, Facts, MessageRun, Origin, NO_EXPIRATION};
use crate::run_builder::RunBuilder;
use crate::stomp::destination;
use crate::stomp::frame::END;
use crate::stomp::header::put_line;
use crate::stomp::settlement::put_id_before_tag;

/// What the broker says of a message; a publisher's header of the same name is left out.
const OWN: [&[u8]; 6] = [
    b"ack",
    b"content-length",
    b"destination",
    b"message-id",
    b"redelivered",
    b"subscription",
];

/// What all messages of one subscription have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub version: u8,
    /// As far as the destination.
    start: Vec<u8>,
    /// `message-id` as far as the tag.
    id_line: Vec<u8>,
    /// `ack` as far as the tag; empty: none.
    ack_line: Vec<u8>,
}

impl Subscription {
    /// `id`: None: SUBSCRIBE named none. Only 1.2 has `ack`.
    pub fn new(
        id: Option<&[u8]>,
        channel: u16,
        session: &[u8],
        version: u8,
        wants_ack: bool,
    ) -> Self {
        let mut start = b"MESSAGE\n".to_vec();
        if let Some(id) = id {
            put_line(&mut start, b"subscription", id, version);
        }
        let mut message_id = Vec::new();
        put_id_before_tag(&mut message_id, channel, session);
        let line = |name: &[u8]| {
            let mut line = Vec::new();
            put_line(&mut line, name, &message_id, version);
            line.pop();
            line
        };
        let acknowledged = version == 12 && wants_ack;
        Self {
            version,
            start,
            id_line: line(b"message-id"),
            ack_line: if acknowledged {
                line(b"ack")
            } else {
                Vec::new()
            },
        }
    }
}

/// MESSAGE for each, tags counted on from `first_tag`.
pub fn encode(run: &DeliveryRun, first_tag: u64, subscription: &Subscription) -> Vec<u8> {
    let mut writer = Writer {
        subscription,
        out: Vec::new(),
        tag: Decimal::of(first_tag),
        start: Vec::new(),
        after_id: Vec::new(),
        after_tags: Vec::new(),
    };
    for part in &run.parts {
        let (messages, range) = stomp_part(&part.messages, part.range());
        writer.put_all(&messages, &messages.entries[range], part.redelivered);
    }
    let mut out = writer.out;
    if out.capacity() > out.len() + out.len() / 4 {
        out.shrink_to_fit();
    }
    out
}

struct Writer<'a> {
    subscription: &'a Subscription,
    out: Vec<u8>,
    tag: Decimal,
    /// Of the frame, as far as the tag.
    start: Vec<u8>,
    /// Between the tag and its repetition; empty: it is not repeated.
    after_id: Vec<u8>,
    /// As far as the body.
    after_tags: Vec<u8>,
}

impl Writer<'_> {
    fn put_all(&mut self, run: &MessageRun, entries: &[Entry], redelivered: bool) {
        let (mut key, mut like): (Option<u32>, Option<&Entry>) = (None, None);
        for (number, entry) in entries.iter().enumerate() {
            if key != Some(entry.key) {
                self.prepare_start(run, entry.key);
                key = Some(entry.key);
            }
            if !like.is_some_and(|like| are_alike(run, like, entry)) {
                self.prepare_headers(run, entry, redelivered);
                like = Some(entry);
            }
            if number == 0 {
                self.reserve(entries);
            }
            self.put(entry.body.of(&run.buffer));
        }
    }

    /// Makes room for these, if they are like the one that is prepared.
    fn reserve(&mut self, entries: &[Entry]) {
        let fixed = self.start.len() + self.after_id.len() + self.after_tags.len();
        let tags = 2 * (self.tag.text().len() + 1);
        let per_message = fixed + tags + END.len();
        let bodies = entries.iter().map(|entry| entry.body.size as usize);
        self.out
            .reserve(bodies.sum::<usize>() + entries.len() * per_message);
    }

    #[inline]
    fn put(&mut self, body: &[u8]) {
        let out = &mut self.out;
        out.extend_from_slice(&self.start);
        out.extend_from_slice(self.tag.text());
        if !self.after_id.is_empty() {
            out.extend_from_slice(&self.after_id);
            out.extend_from_slice(self.tag.text());
        }
        out.extend_from_slice(&self.after_tags);
        out.extend_from_slice(body);
        out.extend_from_slice(END);
        self.tag.step();
    }

    fn prepare_start(&mut self, run: &MessageRun, key: u32) {
        let destination = destination::shown(run.exchange(key), run.routing_key(key));
        let of = self.subscription;
        self.start.clear();
        self.start.extend_from_slice(&of.start);
        put_line(&mut self.start, b"destination", &destination, of.version);
        self.start.extend_from_slice(&of.id_line);
        self.after_id.clear();
        if !of.ack_line.is_empty() {
            self.after_id.push(b'\n');
            self.after_id.extend_from_slice(&of.ack_line);
        }
    }

    fn prepare_headers(&mut self, run: &MessageRun, entry: &Entry, redelivered: bool) {
        let out = &mut self.after_tags;
        out.clear();
        let told: &[u8] = if redelivered {
            b"\nredelivered:true\n"
        } else {
            b"\nredelivered:false\n"
        };
        out.extend_from_slice(told);
        if entry.flags & flags::PERSISTENT != 0 {
            out.extend_from_slice(b"persistent:true\n");
        }
        if entry.expiration_ms != NO_EXPIRATION {
            out.extend_from_slice(format!("expiration:{}\n", entry.expiration_ms).as_bytes());
        }
        put_properties(
            out,
            entry.properties.of(&run.buffer),
            self.subscription.version,
        );
        out.extend_from_slice(format!("content-length:{}\n\n", entry.body.size).as_bytes());
    }
}

/// Whether all between tag and body is the same.
#[inline]
fn are_alike(run: &MessageRun, one: &Entry, other: &Entry) -> bool {
    one.body.size == other.body.size
        && one.expiration_ms == other.expiration_ms
        && (one.flags ^ other.flags) & flags::PERSISTENT == 0
        && one.properties.of(&run.buffer) == other.properties.of(&run.buffer)
}

/// Header lines of 1.2 by the version. One with NUL, which other protocols' texts may hold, would end the frame.
fn put_properties(out: &mut Vec<u8>, properties: &[u8], version: u8) {
    if version == 12 {
        for line in properties.split_inclusive(|byte| *byte == b'\n') {
            let Some(colon) = memchr(b':', line) else {
                continue;
            };
            if !OWN.contains(&&line[..colon]) && memchr(0, line).is_none() {
                out.extend_from_slice(line);
            }
        }
        return;
    }
    for (name, value) in header_lines::lines(properties) {
        let has_nul = memchr(0, &name).or(memchr(0, &value)).is_some();
        if !OWN.contains(&&*name) && !has_nul {
            put_line(out, &name, &value, version);
        }
    }
}

/// A number that is counted up as it is written.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    fn of(number: u64) -> Self {
        let text = number.to_string();
        let mut digits = [b'0'; 20];
        let start = digits.len() - text.len();
        digits[start..].copy_from_slice(text.as_bytes());
        Self { digits, start }
    }

    fn text(&self) -> &[u8] {
        &self.digits[self.start..]
    }

    #[inline]
    fn step(&mut self) {
        for (at, digit) in self.digits.iter_mut().enumerate().rev() {
            if *digit < b'9' {
                *digit += 1;
                self.start = self.start.min(at);
                return;
            }
            *digit = b'0';
        }
    }
}

const REPLY_TO: &[u8] = b"reply-to";

/// The same messages of STOMP's with this `reply-to` in place of theirs.
#[must_use]
pub fn replace_reply_to(run: &MessageRun, value: &[u8]) -> MessageRun {
    assert_eq!(
        run.origin,
        Origin::Stomp,
        "their properties are header lines"
    );
    let mut builder = RunBuilder::new(Origin::Stomp);
    let mut properties = Vec::new();
    for (index, entry) in run.entries.iter().enumerate() {
        properties.clear();
        let lines = run.properties(index);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if line
                .strip_prefix(REPLY_TO)
                .is_some_and(|rest| rest.starts_with(b":"))
            {
                put_line(&mut properties, REPLY_TO, value, 12);
            } else {
                properties.extend_from_slice(line);
            }
        }
        let facts = Facts {
            expiration_ms: entry.expiration_ms,
            priority: entry.priority,
            flags: entry.flags,
        };
        let key = builder.key(run.exchange(entry.key), run.routing_key(entry.key));
        builder.push(key, &properties, run.body(index), facts);
    }
    builder.finish()
}

#[cfg(test)]
mod tests;
