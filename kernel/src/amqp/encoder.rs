//! Runs of deliveries and returns, and confirms, as bytes.
//!
//! All that is alike in consecutive messages (method frame, head of the content header frame) is
//! prepared once for each key and copied whole; tag and sizes are then written into it.

use crate::amqp::frame;
use crate::amqp::method::{self, MethodId};
use crate::conversion::{amqp_part, to_amqp};
use crate::delivery_run::DeliveryRun;
use crate::message_run::{Entry, MessageRun, Origin};

const CLASS_BASIC: u16 = 60;
/// Class, weight, body size.
const HEADER_FIXED_SIZE: usize = 12;
const SHORT_STRING_SIZE_MAX: usize = 255;

/// basic.deliver for each, delivery tags counted on from `first_tag`. Bodies are cut so that no frame is longer
/// than `frame_size_max`, which is more than a frame's overhead.
pub fn encode_deliveries(
    run: &DeliveryRun,
    channel: u16,
    consumer_tag: &[u8],
    first_tag: u64,
    frame_size_max: usize,
) -> Vec<u8> {
    let mut writer = Writer::new(channel, frame_size_max);
    let mut tag = first_tag;
    for part in &run.parts {
        let (messages, range) = amqp_part(&part.messages, part.range());
        let entries = &messages.entries[range];
        writer.reserve(&messages, entries, consumer_tag.len());
        let mut before = Vec::with_capacity(consumer_tag.len() + 10);
        put_short_string(&mut before, consumer_tag);
        let tag_at = before.len();
        before.extend_from_slice(&[0; 8]);
        before.push(u8::from(part.redelivered));
        let shape = Shape {
            id: method::DELIVER,
            before: &before,
            tag_at: Some(tag_at),
            after: &[],
        };
        writer.put_all(&messages, entries, &shape, tag);
        tag += u64::from(part.count);
    }
    writer.out
}

/// basic.get-ok for the first delivery; `message_count` more are in the queue.
pub fn encode_get_ok(
    run: &DeliveryRun,
    channel: u16,
    tag: u64,
    message_count: u32,
    frame_size_max: usize,
) -> Vec<u8> {
    let (part, index) = run.locate(0).expect("a get brings a message");
    let mut before = [0; 9];
    before[8] = u8::from(part.redelivered);
    let shape = Shape {
        id: method::GET_OK,
        before: &before,
        tag_at: Some(0),
        after: &message_count.to_be_bytes(),
    };
    let mut writer = Writer::new(channel, frame_size_max);
    let (messages, range) = amqp_part(&part.messages, index..index + 1);
    writer.put_all(&messages, &messages.entries[range], &shape, tag);
    writer.out
}

/// basic.return for each message.
pub fn encode_returns(
    run: &MessageRun,
    channel: u16,
    reply_code: u16,
    reply_text: &[u8],
    frame_size_max: usize,
) -> Vec<u8> {
    if run.origin != Origin::Amqp091 {
        let run = to_amqp(run);
        return encode_returns(&run, channel, reply_code, reply_text, frame_size_max);
    }
    let mut before = reply_code.to_be_bytes().to_vec();
    put_short_string(&mut before, reply_text);
    let shape = Shape {
        id: method::RETURN,
        before: &before,
        tag_at: None,
        after: &[],
    };
    let mut writer = Writer::new(channel, frame_size_max);
    writer.reserve(run, &run.entries, before.len());
    writer.put_all(run, &run.entries, &shape, 0);
    writer.out
}

/// basic.ack or basic.nack for ranges of tags (first and last), ascending. All tags through `settled_through` were settled
/// before: a range that goes on from there is one frame (`multiple`), any other a frame for each tag.
pub fn encode_confirms(
    channel: u16,
    ranges: &[(u64, u64)],
    settled_through: u64,
    nack: bool,
) -> Vec<u8> {
    const MULTIPLE_BIT: u8 = 1;
    let id = if nack { method::NACK } else { method::ACK };
    let mut settled = settled_through;
    let mut out = Vec::with_capacity(ranges.len() * 21);
    let mut put = |tag: u64, bits: u8| {
        put_method_head(&mut out, channel, id, 9);
        out.extend_from_slice(&tag.to_be_bytes());
        out.extend_from_slice(&[bits, frame::END]);
    };
    for &(first, last) in ranges {
        assert!(0 < first && first <= last, "a range of tags");
        if first > settled.saturating_add(1) {
            (first..=last).for_each(|tag| put(tag, 0));
        } else {
            put(last, if first == last { 0 } else { MULTIPLE_BIT });
            settled = settled.max(last);
        }
    }
    out
}

/// How a method that carries content is laid out around exchange and routing key.
struct Shape<'a> {
    id: MethodId,
    before: &'a [u8],
    /// Where in `before` the delivery tag stands.
    tag_at: Option<usize>,
    after: &'a [u8],
}

struct Writer {
    channel: u16,
    body_size_max: usize,
    out: Vec<u8>,
    /// A method frame and what of a header frame comes before the properties.
    template: Vec<u8>,
    /// Where in the template the header frame starts.
    header_at: usize,
}

impl Writer {
    fn new(channel: u16, frame_size_max: usize) -> Self {
        assert!(
            frame_size_max > frame::OVERHEAD,
            "a frame has room for a body"
        );
        Self {
            channel,
            body_size_max: frame_size_max - frame::OVERHEAD,
            out: Vec::new(),
            template: Vec::new(),
            header_at: 0,
        }
    }

    /// Makes room for these messages.
    fn reserve(&mut self, run: &MessageRun, entries: &[Entry], before_size: usize) {
        let names = run.dictionary.iter();
        let names_size_max = names
            .map(|key| key.exchange.size + key.routing_key.size)
            .max()
            .unwrap_or(0) as usize;
        let per_message = 64 + before_size + names_size_max;
        let contents = entries.iter().map(|entry| {
            let body_size = entry.body.size as usize;
            let frame_count = body_size / self.body_size_max;
            body_size + entry.properties.size as usize + frame_count * frame::OVERHEAD
        });
        let size = contents.sum::<usize>() + entries.len() * per_message;
        self.out.reserve(size);
    }

    fn put_all(&mut self, run: &MessageRun, entries: &[Entry], shape: &Shape, first_tag: u64) {
        let mut prepared = None;
        let tag_at = shape.tag_at.map(|at| frame::HEAD_SIZE + 4 + at);
        for (entry, tag) in entries.iter().zip(first_tag..) {
            if prepared != Some(entry.key) {
                self.prepare(run.exchange(entry.key), run.routing_key(entry.key), shape);
                prepared = Some(entry.key);
            }
            if let Some(at) = tag_at {
                self.template[at..at + 8].copy_from_slice(&tag.to_be_bytes());
            }
            let properties = entry.properties.of(&run.buffer);
            self.put(properties, entry.body.of(&run.buffer));
        }
    }

    fn prepare(&mut self, exchange: &[u8], routing_key: &[u8], shape: &Shape) {
        let names_size = exchange.len() + routing_key.len() + 2;
        let arguments_size = shape.before.len() + names_size + shape.after.len();
        let template = &mut self.template;
        template.clear();
        put_method_head(template, self.channel, shape.id, arguments_size);
        template.extend_from_slice(shape.before);
        put_short_string(template, exchange);
        put_short_string(template, routing_key);
        template.extend_from_slice(shape.after);
        template.push(frame::END);
        self.header_at = template.len();
        template.extend_from_slice(&frame_head(frame::HEADER, self.channel, 0));
        template.extend_from_slice(&CLASS_BASIC.to_be_bytes());
        template.extend_from_slice(&[0; HEADER_FIXED_SIZE - 2]);
    }

    #[inline]
    fn put(&mut self, properties: &[u8], body: &[u8]) {
        let header_size = (HEADER_FIXED_SIZE + properties.len()) as u32;
        let header = &mut self.template[self.header_at..];
        header[3..7].copy_from_slice(&header_size.to_be_bytes());
        header[11..19].copy_from_slice(&(body.len() as u64).to_be_bytes());
        self.out.extend_from_slice(&self.template);
        self.out.extend_from_slice(properties);
        let mut rest = body;
        while !rest.is_empty() {
            let (payload, after) = rest.split_at(rest.len().min(self.body_size_max));
            let mut between = [frame::END; 8];
            between[1..].copy_from_slice(&frame_head(frame::BODY, self.channel, payload.len()));
            self.out.extend_from_slice(&between);
            self.out.extend_from_slice(payload);
            rest = after;
        }
        self.out.push(frame::END);
    }
}

#[inline]
fn frame_head(kind: u8, channel: u16, size: usize) -> [u8; frame::HEAD_SIZE] {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (size as u32).to_be_bytes();
    [kind, c1, c0, s3, s2, s1, s0]
}

fn put_method_head(out: &mut Vec<u8>, channel: u16, id: MethodId, arguments_size: usize) {
    out.extend_from_slice(&frame_head(frame::METHOD, channel, 4 + arguments_size));
    out.extend_from_slice(&id.0.to_be_bytes());
    out.extend_from_slice(&id.1.to_be_bytes());
}

fn put_short_string(out: &mut Vec<u8>, text: &[u8]) {
    assert!(
        text.len() <= SHORT_STRING_SIZE_MAX,
        "a short string's size is u8"
    );
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}
