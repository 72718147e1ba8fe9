//! Deliveries on their way to the front of another node.
//!
//! ```text
//! version u8 = 1 | part count u32 LE | per part:
//!   redelivered u8 | expires ms u64 LE | frame size u32 LE | frame (record_batch.rs)
//! ```
//!
//! What comes in is a peer's: every size is checked, and a frame that is damaged is refused.

use std::sync::Arc;

use bytes::Bytes;

use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::MessageRun;
use crate::record_batch;

const VERSION: u8 = 1;
const HEADER_SIZE: usize = 5;
const PART_HEADER_SIZE: usize = 13;

/// Appends the deliveries.
pub fn encode(run: &DeliveryRun, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&(run.parts.len() as u32).to_le_bytes());
    for part in &run.parts {
        out.push(u8::from(part.redelivered));
        out.extend_from_slice(&part.expires_ms.to_le_bytes());
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        let frame_start = out.len();
        let whole = part.count as usize == part.messages.entries.len();
        if whole {
            record_batch::encode(&part.messages, 0, out);
        } else {
            record_batch::encode(&cut(part), 0, out);
        }
        let size = (out.len() - frame_start) as u32;
        out[at..at + 4].copy_from_slice(&size.to_le_bytes());
    }
}

/// The part's messages with the keys they have.
fn cut(part: &Part) -> MessageRun {
    let messages = &part.messages;
    let mut numbers = vec![u32::MAX; messages.dictionary.len()];
    let mut dictionary = Vec::new();
    let mut entries = part.entries().to_vec();
    for entry in &mut entries {
        let number = &mut numbers[entry.key as usize];
        if *number == u32::MAX {
            *number = dictionary.len() as u32;
            dictionary.push(messages.dictionary[entry.key as usize]);
        }
        entry.key = *number;
    }
    MessageRun {
        origin: messages.origin,
        buffer: messages.buffer.clone(),
        entries,
        dictionary,
    }
}

/// Reads what [`encode`] wrote; an error says what is wrong.
pub fn decode(data: &Bytes) -> Result<DeliveryRun, String> {
    let head = data.get(..HEADER_SIZE).ok_or("deliveries cut short")?;
    if head[0] != VERSION {
        return Err(format!("deliveries of version {}", head[0]));
    }
    let count = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut at = HEADER_SIZE;
    if count > (data.len() - at) / PART_HEADER_SIZE {
        return Err(format!("{count} parts can't fit in {} bytes", data.len()));
    }
    let mut run = DeliveryRun::default();
    for _ in 0..count {
        let head = data.get(at..at + PART_HEADER_SIZE);
        let head = head.ok_or("a part is cut short")?;
        let mut expires = [0; 8];
        expires.copy_from_slice(&head[1..9]);
        let size = u32::from_le_bytes([head[9], head[10], head[11], head[12]]) as usize;
        at += PART_HEADER_SIZE;
        let messages = record_batch::decode_retained(data, at, size)?.run;
        at += size;
        run.parts.push(Part {
            first: 0,
            count: messages.entries.len() as u32,
            messages: Arc::new(messages),
            redelivered: head[0] != 0,
            expires_ms: u64::from_le_bytes(expires),
        });
    }
    if at != data.len() {
        return Err(format!("{} bytes after the deliveries", data.len() - at));
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_run::{Facts, Origin, NO_EXPIRATION};
    use crate::run_builder::RunBuilder;

    fn messages() -> Arc<MessageRun> {
        let mut builder = RunBuilder::new(Origin::Amqp091);
        for (number, key) in [b"a", b"b", b"a", b"c"].iter().enumerate() {
            let key = builder.key(b"exchange", *key);
            let facts = Facts {
                expiration_ms: NO_EXPIRATION,
                priority: 0,
                flags: 1,
            };
            builder.push(key, b"\0\0", format!("body {number}").as_bytes(), facts);
        }
        Arc::new(builder.finish())
    }

    fn run() -> DeliveryRun {
        let part = |first, count, redelivered, expires_ms| Part {
            messages: messages(),
            first,
            count,
            redelivered,
            expires_ms,
        };
        DeliveryRun {
            parts: vec![
                part(0, 4, false, 0),
                part(1, 2, true, 77),
                part(3, 1, false, 0),
            ],
        }
    }

    fn told(run: &DeliveryRun) -> Vec<(Vec<u8>, Vec<u8>, bool, u64)> {
        let mut told = Vec::new();
        for part in &run.parts {
            for index in part.range() {
                let key = part.messages.entries[index].key;
                told.push((
                    part.messages.routing_key(key).to_vec(),
                    part.messages.body(index).to_vec(),
                    part.redelivered,
                    part.expires_ms,
                ));
            }
        }
        told
    }

    #[test]
    fn deliveries_come_back_as_they_went() {
        let mut out = Vec::new();
        encode(&run(), &mut out);
        assert_eq!(told(&decode(&out.into()).unwrap()), told(&run()));
    }

    #[test]
    fn what_is_cut_or_flipped_is_refused() {
        let mut out = Vec::new();
        encode(&run(), &mut out);
        for size in 0..out.len() {
            assert!(decode(&Bytes::copy_from_slice(&out[..size])).is_err());
        }
        for at in (HEADER_SIZE + PART_HEADER_SIZE)..(HEADER_SIZE + PART_HEADER_SIZE + 40) {
            let mut flipped = out.clone();
            flipped[at] ^= 0x40;
            assert!(decode(&flipped.into()).is_err(), "byte {at}");
        }
    }
}
