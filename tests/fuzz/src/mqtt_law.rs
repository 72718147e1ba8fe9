//! What must hold for any bytes that should be MQTT: no panic, the same facts however they are cut, nothing held past
//! the limits, and whatever came through is encoded and read back the same.

use std::sync::Arc;

use crate::decoder::{Decoder, Frame};
use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::{flags, MessageRun};
use crate::mqtt::ack;
use crate::mqtt::decoder::MqttDecoder;
use crate::mqtt::encoder::{encode, Grants, Shape};
use crate::mqtt::grant::Grant;
use crate::mqtt::topic_aliases::TopicAliases;

const PACKET_SIZE_MAX: usize = 4096;
const TOPIC_ALIAS_MAX: u16 = 4;

/// One frame with runs undone, comparable.
#[derive(Debug, PartialEq)]
enum Fact {
    /// QoS and packet identifier, topic, properties, body, flags and expiration.
    Message([u16; 2], Vec<u8>, Vec<u8>, Vec<u8>, [u32; 2]),
    Ack(u8, u8, u16),
    Packet(u8, u8, Vec<u8>),
    Violation(u16, String),
}

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
}

fn decode(pieces: &[&[u8]]) -> Vec<Fact> {
    let mut decoder = MqttDecoder::new(PACKET_SIZE_MAX);
    decoder.set_topic_alias_max(TOPIC_ALIAS_MAX);
    let (mut facts, mut ended) = (Vec::new(), false);
    for piece in pieces {
        let mut frames = Vec::new();
        decoder.receive(piece, &mut frames);
        while decoder.stopped() {
            decoder.resume(&mut frames);
        }
        let held = decoder.buffered();
        assert!(held < PACKET_SIZE_MAX, "holds {held}");
        assert!(frames.is_empty() || !ended, "frames after the end");
        for frame in frames {
            ended = matches!(frame, Frame::Violation(_));
            take(frame, decoder.version(), &mut facts);
        }
    }
    facts
}

fn take(frame: Frame, version: u8, facts: &mut Vec<Fact>) {
    match frame {
        Frame::Publishes {
            qos,
            messages,
            packet_ids,
        } => {
            hand_on(&messages, qos, &packet_ids, version);
            facts.extend(facts_of(&messages, qos, &packet_ids));
        }
        Frame::Acks {
            kind,
            reason,
            packet_ids,
        } => {
            let wire = ack::encode(kind, &packet_ids, reason, 5);
            assert_eq!(read(5, &wire), acks_of(kind, reason, &packet_ids));
            facts.extend(acks_of(kind, reason, &packet_ids));
        }
        Frame::Packet { kind, flags, body } => facts.push(Fact::Packet(kind, flags, body.to_vec())),
        Frame::Violation(violation) => {
            assert!(violation.connection);
            facts.push(Fact::Violation(violation.code, violation.text));
        }
        other => panic!("{other:?}"),
    }
}

fn acks_of(kind: u8, reason: u8, packet_ids: &[u16]) -> Vec<Fact> {
    let ids = packet_ids.iter();
    ids.map(|id| Fact::Ack(kind, reason, *id)).collect()
}

fn facts_of(run: &MessageRun, qos: u8, packet_ids: &[u16]) -> Vec<Fact> {
    let fact_of = |index: usize| {
        let entry = &run.entries[index];
        Fact::Message(
            [qos.into(), packet_ids.get(index).copied().unwrap_or(0)],
            run.routing_key(entry.key).to_vec(),
            run.properties(index).to_vec(),
            run.body(index).to_vec(),
            [entry.flags.into(), entry.expiration_ms],
        )
    };
    (0..run.entries.len()).map(fact_of).collect()
}

/// What another connection reads in `wire`.
fn read(version: u8, wire: &[u8]) -> Vec<Fact> {
    let mut decoder = MqttDecoder::new(2 * PACKET_SIZE_MAX);
    let mut frames = Vec::new();
    decoder.receive(
        &[0x10, 7, 0, 4, b'M', b'Q', b'T', b'T', version],
        &mut frames,
    );
    decoder.set_topic_alias_max(TOPIC_ALIAS_MAX);
    decoder.resume(&mut frames);
    frames.clear();
    decoder.receive(wire, &mut frames);
    let mut facts = Vec::new();
    for frame in frames {
        match frame {
            Frame::Publishes {
                qos,
                messages,
                packet_ids,
            } => facts.extend(facts_of(&messages, qos, &packet_ids)),
            Frame::Acks {
                kind,
                reason,
                packet_ids,
            } => facts.extend(acks_of(kind, reason, &packet_ids)),
            other => panic!("{other:?}"),
        }
    }
    facts
}

/// Whatever was published is delivered as it was, with and without aliases.
fn hand_on(run: &MessageRun, qos: u8, packet_ids: &[u16], version: u8) {
    let version = if version == 5 { 5 } else { 4 };
    let deliveries = DeliveryRun {
        parts: vec![Part {
            messages: Arc::new(run.clone()),
            first: 0,
            count: run.entries.len() as u32,
            redelivered: false,
            expires_ms: 0,
        }],
    };
    let grant = Grant::new(2, true, Vec::new()).expect("a grant");
    let shape = Shape {
        version,
        packet_size_max: 2 * PACKET_SIZE_MAX,
    };
    let ids = (qos > 0).then_some(packet_ids);
    let mut aliases = TopicAliases::new(TOPIC_ALIAS_MAX);
    for aliases in [None, Some(&mut aliases)] {
        let encoded = encode(&deliveries, Grants::One(&grant), ids, shape, 0, aliases);
        assert!(encoded.left_out.is_empty());
        let mut expected = facts_of(run, qos, packet_ids);
        for fact in &mut expected {
            if let Fact::Message(_, _, _, _, [of_entry, expiration]) = fact {
                *expiration = crate::message_run::NO_EXPIRATION;
                *of_entry &= !u32::from(flags::REPLAYED);
            }
        }
        assert_eq!(read(version, &encoded.wire), expected);
    }
}
