//! What must hold for any bytes: no panic, the same facts however they are cut, nothing held past the
//! limits, and whatever came through can be handed on.

use std::sync::Arc;

use crate::amqp::death::{self, Death};
use crate::amqp::decoder::AmqpDecoder;
use crate::amqp::{encoder, properties};
use crate::decoder::{Decoder, Frame};
use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::MessageRun;

const FRAME_SIZE_MAX: usize = 4096;
const MESSAGE_SIZE_MAX: u64 = 10_000;
/// Channels that the inputs can reach with less than this are few.
const HELD_MAX: usize = FRAME_SIZE_MAX + 8 * MESSAGE_SIZE_MAX as usize + (1 << 20) + 65_536;

/// One frame with runs undone, comparable.
#[derive(Debug, PartialEq)]
enum Fact {
    Message(u16, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, [u32; 3]),
    Settled(u16, u64, u64, String),
    Other(String),
}

/// Panics where a law is broken.
pub fn check(input: &[u8]) {
    let whole = decode(&[input], hand_on);
    let seed = input.iter().fold(input.len(), |seed, &byte| {
        seed.wrapping_mul(31).wrapping_add(byte as usize)
    });
    let (first, second) = input.split_at(seed % (input.len() + 1));
    assert_eq!(decode(&[first, second], |_| ()), whole, "cut in two");
    let size = 1 + seed % 40;
    let pieces: Vec<&[u8]> = input.chunks(size).collect();
    assert_eq!(decode(&pieces, |_| ()), whole, "cut into pieces of {size}");
}

fn decode(pieces: &[&[u8]], receive_run: fn(&MessageRun)) -> Vec<Fact> {
    let mut decoder = AmqpDecoder::new(FRAME_SIZE_MAX, MESSAGE_SIZE_MAX);
    let (mut facts, mut ended) = (Vec::new(), false);
    for piece in pieces {
        let mut frames = Vec::new();
        decoder.receive(piece, &mut frames);
        while decoder.stopped() {
            decoder.resume(&mut frames);
        }
        assert!(
            decoder.buffered() <= HELD_MAX,
            "holds {}",
            decoder.buffered()
        );
        assert!(frames.is_empty() || !ended, "frames after the end");
        for frame in frames {
            ended = matches!(&frame, Frame::Violation(violation) if violation.connection);
            take(frame, &mut facts, receive_run);
        }
    }
    facts
}

fn take(frame: Frame, facts: &mut Vec<Fact>, receive_run: fn(&MessageRun)) {
    match frame {
        Frame::Messages { channel, run } => {
            receive_run(&run);
            facts.extend(run.entries.iter().map(|entry| {
                Fact::Message(
                    channel,
                    run.exchange(entry.key).to_vec(),
                    run.routing_key(entry.key).to_vec(),
                    entry.properties.of(&run.buffer).to_vec(),
                    entry.body.of(&run.buffer).to_vec(),
                    [
                        entry.expiration_ms,
                        entry.priority.into(),
                        entry.flags.into(),
                    ],
                )
            }));
        }
        Frame::Settlement {
            channel,
            first,
            last,
            kind,
        } => {
            let kind = format!("{kind:?}");
            match facts.last_mut() {
                // Undone by joining: a cut between two tags leaves two settlements.
                Some(Fact::Settled(of, begin, end, before))
                    if *of == channel
                        && *before == kind
                        && *begin > 0
                        && first > 0
                        && end.checked_add(1) == Some(first) =>
                {
                    *end = last;
                }
                _ => facts.push(Fact::Settled(channel, first, last, kind)),
            }
        }
        Frame::Method { arguments, .. } if arguments.len() > FRAME_SIZE_MAX => panic!("too long"),
        other => facts.push(Fact::Other(format!("{other:?}"))),
    }
}

/// Whatever was decoded is dead-lettered and encoded, twice.
fn hand_on(run: &MessageRun) {
    let death = Death {
        queue: b"q",
        reason: b"expired",
        exchange: b"dlx",
        routing_key: None,
        time_s: 1,
    };
    let dead = death::dead_letter(&deliveries(run), &death);
    let again = death::dead_letter(&deliveries(&dead), &death);
    for run in [run, &dead, &again] {
        for index in 0..run.entries.len() {
            assert!(
                properties::read(run.properties(index)).is_ok()
                    || run.properties(index).len() > 65_536
            );
        }
        let encoded = encoder::encode_deliveries(&deliveries(run), 1, b"tag", 1, FRAME_SIZE_MAX);
        assert!(encoded.len() > run.buffer.len().min(64));
    }
    assert_eq!(death::cycling(&again, b"q").len(), again.entries.len());
    assert!(death::cycling(run, b"q").is_empty());
}

fn deliveries(run: &MessageRun) -> DeliveryRun {
    let whole = Part {
        messages: Arc::new(run.clone()),
        first: 0,
        count: run.entries.len() as u32,
        redelivered: false,
        expires_ms: 0,
    };
    DeliveryRun { parts: vec![whole] }
}
