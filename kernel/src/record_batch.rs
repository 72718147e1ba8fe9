//! A frame of the log: origin, dictionary, and the run's messages as one Kafka record batch v2.
//!
//! ```text
//! origin u8 | key count u16 LE | per key: u8 size, exchange, size, routing key |
//!   CRC32C u32 LE of all that | record batch
//! record batch (big endian, Kafka's magic 2):
//!   base offset i64 | batch length i32 | leader epoch i32 | magic i8 = 2 | CRC32C u32 of what follows |
//!   attributes i16 | last offset delta i32 | base timestamp i64 | max timestamp i64 |
//!   producer id i64 | producer epoch i16 | base sequence i32 (-1 each) | record count i32 | records
//! record (zigzag varints):
//!   length | attributes i8 | timestamp delta | offset delta | key length = -1 | value length | value = body |
//!   header count = 1 | key length = 1 | "\0" | value length | value
//! header value: key number u16 LE | flags u8 | priority u8 | expiration ms u32 LE | properties
//! ```
//!
//! The size of a routing key is a u8 for origin 0 (AMQP 0-9-1) and a u16 LE for origin 1 (MQTT, a topic);
//! origin 2 (STOMP) has it as AMQP does.
//!
//! A record's *number* is its offset delta: slices of queues name records by it, so it stays when
//! others are left out ([`retain`]). Compressed batches and foreign records (other origins) come with
//! the protocols that bring them.

use std::ops::Range;

use bytes::Bytes;

use crate::message_run::{Entry, Key, MessageRun, Origin, Span, KEY_COUNT_MAX};

mod parts;

pub use parts::{FrameParts, Part};

/// Where [`encode`] put things: spans count from the start of `out`.
#[derive(Clone, Debug)]
pub struct FrameLayout {
    pub entries: Vec<Entry>,
    pub dictionary: Vec<Key>,
}

/// A frame read back, perhaps one that lost records.
#[derive(Clone, Debug)]
pub struct Retained {
    pub run: MessageRun,
    /// Each entry's record number, ascending.
    pub numbers: Vec<u32>,
}

const HEADER_SIZE: usize = 61;
/// The batch length counts from here.
const LENGTH_END: usize = 12;
const MAGIC: u8 = 2;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// The CRC covers from here to the end.
const ATTRIBUTES_AT: usize = 21;
/// What stands before the properties in the header's value.
const ANNOTATIONS_SIZE: usize = 8;
/// Length of the longest zigzag varint of 32 bits.
const VARINT_SIZE_MAX: usize = 5;
/// The smallest record: ten bytes of its own fields with empty body and properties, and the annotations.
const RECORD_SIZE_MIN: usize = 10 + ANNOTATIONS_SIZE;
const TOO_SHORT: &str = "frame too short";

/// Appends the run's frame. A run has at least one message and at most 65,535 keys.
pub fn encode(run: &MessageRun, now_ms: i64, out: &mut Vec<u8>) -> FrameLayout {
    assert!(!run.entries.is_empty(), "a batch has a record");
    let kept: usize = run
        .entries
        .iter()
        .map(|entry| (entry.body.size + entry.properties.size) as usize + RECORD_SIZE_MIN + 8)
        .sum();
    out.reserve(kept + HEADER_SIZE + 3 + run.dictionary.len() * 32);
    let dictionary = encode_dictionary(run, out);
    let start = out.len();
    let count = run.entries.len() as u32;
    out.extend_from_slice(&[0; HEADER_SIZE]);
    let entries = run
        .entries
        .iter()
        .zip(0..)
        .map(|(entry, number)| encode_record(entry, number, &run.buffer, out))
        .collect();
    seal(&mut out[start..], now_ms, count - 1, count);
    FrameLayout {
        entries,
        dictionary,
    }
}

fn encode_dictionary(run: &MessageRun, out: &mut Vec<u8>) -> Vec<Key> {
    let start = out.len();
    assert!(run.dictionary.len() <= KEY_COUNT_MAX, "keys are u16");
    out.push(run.origin as u8);
    out.extend_from_slice(&(run.dictionary.len() as u16).to_le_bytes());
    let mut put_name = |name: Span, wide: bool| {
        if wide {
            assert!(name.size <= 65_535, "a topic's size is u16");
            out.extend_from_slice(&(name.size as u16).to_le_bytes());
        } else {
            assert!(name.size <= 255, "a name's size is u8");
            out.push(name.size as u8);
        }
        let start = out.len();
        out.extend_from_slice(name.of(&run.buffer));
        Span::new(start, name.size as usize)
    };
    let dictionary = run
        .dictionary
        .iter()
        .map(|key| Key {
            exchange: put_name(key.exchange, false),
            routing_key: put_name(key.routing_key, run.origin == Origin::Mqtt),
        })
        .collect();
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    dictionary
}

#[inline]
fn encode_record(entry: &Entry, number: u32, buffer: &[u8], out: &mut Vec<u8>) -> Entry {
    let (body, properties) = (entry.body.of(buffer), entry.properties.of(buffer));
    let header_value_size = ANNOTATIONS_SIZE + properties.len();
    // attributes, timestamp delta, null key, header count, header key length and "\0".
    let fixed = 6;
    let length = fixed
        + varint_size(number)
        + varint_size(body.len() as u32)
        + body.len()
        + varint_size(header_value_size as u32)
        + header_value_size;
    let mut head = [0; 3 * VARINT_SIZE_MAX + 3];
    let mut at = put_varint(&mut head, 0, length as u32);
    at = put_varint(&mut head, at + 2, number);
    head[at] = 1; // -1: no key
    at = put_varint(&mut head, at + 1, body.len() as u32);
    out.extend_from_slice(&head[..at]);
    let body_start = out.len();
    out.extend_from_slice(body);

    let mut tail = [0; 3 + VARINT_SIZE_MAX + ANNOTATIONS_SIZE];
    tail[..2].copy_from_slice(&[2, 2]); // one header, whose key has one byte: 0
    at = put_varint(&mut tail, 3, header_value_size as u32);
    tail[at..at + 2].copy_from_slice(&(entry.key as u16).to_le_bytes());
    tail[at + 2] = entry.flags;
    tail[at + 3] = entry.priority;
    tail[at + 4..at + 8].copy_from_slice(&entry.expiration_ms.to_le_bytes());
    out.extend_from_slice(&tail[..at + ANNOTATIONS_SIZE]);
    let properties_start = out.len();
    out.extend_from_slice(properties);
    Entry {
        properties: Span::new(properties_start, properties.len()),
        body: Span::new(body_start, body.len()),
        ..*entry
    }
}

/// Fills the header of a batch whose records are in place.
fn seal(batch: &mut [u8], time_ms: i64, last_number: u32, count: u32) {
    let length = (batch.len() - LENGTH_END) as u32;
    batch[8..LENGTH_END].copy_from_slice(&length.to_be_bytes());
    batch[MAGIC_AT] = MAGIC;
    batch[23..27].copy_from_slice(&last_number.to_be_bytes());
    batch[27..35].copy_from_slice(&time_ms.to_be_bytes());
    batch[35..43].copy_from_slice(&time_ms.to_be_bytes());
    batch[43..57].fill(0xFF);
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Reads a whole frame; an error says what is wrong. Spans count from the frame's first byte, and the
/// run's buffer is the frame.
pub fn decode(buffer: &Bytes, at: usize, size: usize) -> Result<MessageRun, String> {
    let retained = decode_retained(buffer, at, size)?;
    let dense = retained
        .numbers
        .last()
        .is_some_and(|&last| last as usize + 1 == retained.numbers.len());
    if dense {
        Ok(retained.run)
    } else {
        Err("records are missing from a frame that should be whole".into())
    }
}

/// Reads a frame that may have lost records by [`retain`].
pub fn decode_retained(buffer: &Bytes, at: usize, size: usize) -> Result<Retained, String> {
    let end = at.checked_add(size).filter(|&end| end <= buffer.len());
    let end = end.ok_or("frame beyond its buffer")?;
    let frame = buffer.slice(at..end);
    let opened = open(&frame)?;
    let mut entries = Vec::with_capacity(opened.record_count);
    let mut numbers = Vec::with_capacity(opened.record_count);
    read_records(&opened, |_, record| {
        entries.push(record.entry);
        numbers.push(record.number);
    })?;
    let run = MessageRun {
        origin: opened.origin,
        dictionary: opened.dictionary,
        entries,
        buffer: frame.clone(),
    };
    Ok(Retained { run, numbers })
}

/// The frame again with only the records numbered in `ranges` (each first, past last; ascending); numbers, times and dictionary stay.
/// None if no record is left.
pub fn retain(frame: &[u8], ranges: &[Range<u32>]) -> Result<Option<Vec<u8>>, String> {
    let mut parts = FrameParts::new(frame, open(frame)?)?;
    let part = parts.part(ranges)?;
    Ok((part.record_count > 0).then(|| {
        let mut out = Vec::with_capacity(part.size);
        parts.append(&part, &mut out);
        out
    }))
}

/// The numbers of a frame's records, ascending; cheap if none is missing.
pub fn record_numbers(frame: &[u8]) -> Result<Vec<u32>, String> {
    let parts = FrameParts::new(frame, open(frame)?)?;
    Ok(parts.numbers().to_vec())
}

/// When the frame was written (the leader's wall time, ms).
pub fn time_ms(frame: &[u8]) -> Result<i64, String> {
    Ok(open(frame)?.time_ms)
}

/// A frame's dictionary and its batch's header.
struct Opened<'a> {
    origin: Origin,
    dictionary: Vec<Key>,
    batch_at: usize,
    last_number: u32,
    time_ms: i64,
    record_count: usize,
    records: Reader<'a>,
}

/// A frame whose checksums are right.
fn open(frame: &[u8]) -> Result<Opened<'_>, String> {
    let opened = open_summed(frame)?;
    let batch = &frame[opened.batch_at..];
    if field(batch, CRC_AT) != crc32c::crc32c(&batch[ATTRIBUTES_AT..]) {
        return Err("checksum of the record batch is wrong".into());
    }
    Ok(opened)
}

fn field(batch: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([batch[at], batch[at + 1], batch[at + 2], batch[at + 3]])
}

/// The same of one that was summed as a part of something else: its records are not summed again.
fn open_summed(frame: &[u8]) -> Result<Opened<'_>, String> {
    let mut reader = Reader { frame, at: 0 };
    let [number] = reader.array()?;
    let origin = Origin::of(number).ok_or_else(|| format!("unknown origin {number}"))?;
    let key_count = u16::from_le_bytes(reader.array()?);
    let mut dictionary = Vec::with_capacity(usize::from(key_count).min(frame.len() / 2));
    for _ in 0..key_count {
        let exchange = reader.name()?;
        let routing_key = match origin {
            Origin::Amqp091 | Origin::Stomp => reader.name()?,
            Origin::Mqtt => reader.topic()?,
        };
        dictionary.push(Key {
            exchange,
            routing_key,
        });
    }
    let dictionary_end = reader.at;
    if u32::from_le_bytes(reader.array()?) != crc32c::crc32c(&frame[..dictionary_end]) {
        return Err("checksum of the dictionary is wrong".into());
    }
    let batch_at = reader.at;
    let header: [u8; HEADER_SIZE] = reader.array()?;
    // The checksum covers none of these; of our own batches base offset and leader epoch are 0.
    if header[MAGIC_AT] != MAGIC || header[..8] != [0; 8] || header[LENGTH_END..MAGIC_AT] != [0; 4]
    {
        return Err("not the header of a record batch".into());
    }
    if field(&header, 8) as usize != frame.len() - batch_at - LENGTH_END {
        return Err("record batch is not as long as it says".into());
    }
    let record_count = field(&header, 57) as usize;
    if record_count > (frame.len() - reader.at) / RECORD_SIZE_MIN {
        return Err("more records than there is room for".into());
    }
    Ok(Opened {
        origin,
        dictionary,
        batch_at,
        last_number: field(&header, 23),
        time_ms: i64::from(field(&header, 27)) << 32 | i64::from(field(&header, 31)),
        record_count,
        records: reader,
    })
}

struct Record {
    number: u32,
    entry: Entry,
}

/// Shows where each record begins, and the record; an error says what is wrong with them.
fn read_records(opened: &Opened, mut see: impl FnMut(usize, Record)) -> Result<(), String> {
    let mut reader = opened.records;
    let (mut count, mut last) = (0, None);
    while !reader.is_empty() {
        let start = reader.at;
        let record = read_record(&mut reader, opened.dictionary.len())?;
        if last.is_some_and(|last| last >= record.number) {
            return Err("record numbers do not ascend".into());
        }
        last = Some(record.number);
        count += 1;
        see(start, record);
    }
    if count != opened.record_count || count == 0 {
        return Err(format!(
            "{count} records where the batch's header says {}",
            opened.record_count
        ));
    }
    if last.is_some_and(|last| last > opened.last_number) {
        return Err("a record is numbered past the batch's last".into());
    }
    Ok(())
}

fn read_record(reader: &mut Reader, key_count: usize) -> Result<Record, String> {
    let length = reader.varint()?;
    let end = reader.at + length as usize;
    let [0, 0] = reader.array()? else {
        return Err("a record has attributes or a time of its own".into());
    };
    let number = reader.varint()?;
    let [1] = reader.array()? else {
        return Err("a record has a key".into());
    };
    let body = reader.sized()?;
    let [2, 2, 0] = reader.array()? else {
        return Err("a record has not our one header".into());
    };
    let mut properties = reader.sized()?;
    if (properties.size as usize) < ANNOTATIONS_SIZE {
        return Err("a record's header is too short".into());
    }
    let annotations = &reader.frame[properties.start as usize..];
    let key = u16::from_le_bytes([annotations[0], annotations[1]]);
    let expiration = [
        annotations[4],
        annotations[5],
        annotations[6],
        annotations[7],
    ];
    properties.start += ANNOTATIONS_SIZE as u32;
    properties.size -= ANNOTATIONS_SIZE as u32;
    if usize::from(key) >= key_count {
        return Err(format!("record {number} has key {key} of {key_count}"));
    }
    if reader.at != end {
        return Err(format!("record {number} is not as long as it says"));
    }
    let entry = Entry {
        properties,
        body,
        key: u32::from(key),
        expiration_ms: u32::from_le_bytes(expiration),
        priority: annotations[3],
        flags: annotations[2],
    };
    Ok(Record { number, entry })
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn is_empty(&self) -> bool {
        self.at == self.frame.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let rest = &self.frame[self.at..];
        let array = rest.first_chunk::<N>().ok_or(TOO_SHORT)?;
        self.at += N;
        Ok(*array)
    }

    fn span(&mut self, size: usize) -> Result<Span, String> {
        if size > self.frame.len() - self.at {
            return Err(TOO_SHORT.into());
        }
        let span = Span::new(self.at, size);
        self.at += size;
        Ok(span)
    }

    fn name(&mut self) -> Result<Span, String> {
        let [size] = self.array()?;
        self.span(usize::from(size))
    }

    fn topic(&mut self) -> Result<Span, String> {
        let size = u16::from_le_bytes(self.array()?);
        self.span(usize::from(size))
    }

    fn sized(&mut self) -> Result<Span, String> {
        let size = self.varint()?;
        self.span(size as usize)
    }

    /// A zigzag varint of 32 bits that is not negative.
    fn varint(&mut self) -> Result<u32, String> {
        let mut value = 0u64;
        for shift in (0..VARINT_SIZE_MAX * 7).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let Ok(zigzag) = u32::try_from(value) else {
                    break;
                };
                let positive = zigzag & 1 == 0;
                return positive
                    .then_some(zigzag >> 1)
                    .ok_or_else(|| "a number is negative".into());
            }
        }
        Err("a varint is too long".into())
    }
}

/// Bytes of a number as a zigzag varint; a number has 31 bits.
#[inline]
fn varint_size(number: u32) -> usize {
    let significant_bits = 32 - (number << 1 | 1).leading_zeros() as usize;
    significant_bits.div_ceil(7)
}

#[inline]
fn put_varint(out: &mut [u8], mut at: usize, number: u32) -> usize {
    let mut left = number << 1;
    while left >= 0x80 {
        out[at] = left as u8 | 0x80;
        left >>= 7;
        at += 1;
    }
    out[at] = left as u8;
    at + 1
}

#[cfg(test)]
mod tests;
