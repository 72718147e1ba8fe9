//! What must hold for any bytes that should be WebSocket's, with MQTT inside: no panic, the same facts however they are
//! cut, nothing held past the limits, nothing after the end.

use std::sync::{Arc, Mutex};

use crate::decoder::{Decoder, Frame, SharedDecoder};
use crate::mqtt::decoder::MqttDecoder;
use crate::web::decoder::WebDecoder;
use crate::web::frame::CLOSE;
use crate::web::output;
use crate::web::utf8::Utf8;

const PACKET_SIZE_MAX: usize = 4096;
const MESSAGE_SIZE_MAX: u64 = 8192;
/// A control frame that has not come whole.
const CARRIED_MAX: usize = 131;

/// Panics where a law is broken.
pub fn check(input: &[u8]) {
    let whole = decode(&[input]);
    let seed = input.iter().fold(input.len(), |seed, &byte| {
        seed.wrapping_mul(31).wrapping_add(byte as usize)
    });
    let (first, second) = input.split_at(seed % (input.len() + 1));
    assert_eq!(decode(&[first, second]), whole, "cut in two");
    let size = 1 + seed % 40;
    let pieces: Vec<&[u8]> = input.chunks(size).collect();
    assert_eq!(decode(&pieces), whole, "cut into pieces of {size}");
    check_output(&pieces);
}

/// Text where the first byte says so, with MQTT inside from its first payload on.
fn decode(pieces: &[&[u8]]) -> Vec<String> {
    let inner: SharedDecoder = Arc::new(Mutex::new(MqttDecoder::new(PACKET_SIZE_MAX)));
    let mut decoder = WebDecoder::new();
    let text_allowed = pieces
        .iter()
        .find_map(|piece| piece.first())
        .is_some_and(|first| first & 1 == 1);
    decoder.upgrade(None, b"", text_allowed, MESSAGE_SIZE_MAX);
    let (mut facts, mut ended) = (Vec::new(), false);
    for piece in pieces {
        let mut frames = Vec::new();
        decoder.receive(piece, &mut frames);
        while decoder.stopped() {
            if let (false, Some(Frame::Data { data })) = (decoder.has_inner(), frames.last()) {
                let data = data.clone();
                frames.pop();
                decoder.choose(inner.clone(), &data, text_allowed);
            }
            decoder.resume(&mut frames);
        }
        let held = decoder.buffered();
        assert!(held < PACKET_SIZE_MAX + CARRIED_MAX, "holds {held}");
        assert!(frames.is_empty() || !ended, "frames after the end");
        for frame in frames {
            ended |= matches!(&frame, Frame::Violation(violation) if violation.code >= 1000);
            ended |= matches!(frame, Frame::Control { opcode: CLOSE, .. });
            take(frame, &mut facts);
        }
    }
    facts
}

/// One frame with runs undone, comparable.
fn take(frame: Frame, facts: &mut Vec<String>) {
    match frame {
        Frame::Publishes {
            qos,
            messages,
            packet_ids,
        } => {
            for (index, entry) in messages.entries.iter().enumerate() {
                let (topic, body) = (messages.routing_key(entry.key), messages.body(index));
                let id = packet_ids.get(index);
                facts.push(format!(
                    "{qos} {id:?} {topic:?} {:?} {body:?}",
                    messages.properties(index)
                ));
            }
        }
        Frame::Acks {
            kind,
            reason,
            packet_ids,
        } => facts.extend(packet_ids.iter().map(|id| format!("{kind} {reason} {id}"))),
        other => facts.push(format!("{other:?}")),
    }
}

/// What is said in messages is what was to be said, and a text is one.
fn check_output(pieces: &[&[u8]]) {
    for text in [false, true] {
        let mut said = Vec::new();
        for message in output::messages(pieces, text) {
            let mut utf8 = Utf8::default();
            for share in message.shares {
                let part = &pieces[share.piece][share.range];
                assert!(message.head[0] != 0x81 || utf8.receive(part).is_ok());
                said.extend_from_slice(part);
            }
            assert!(utf8.is_whole());
        }
        assert_eq!(said, pieces.concat());
    }
}
