//! Any bytes convert, and what comes out is well-formed.

use std::collections::HashSet;

use super::*;
use crate::amqp::properties;
use crate::conversion::mqtt_properties::Property;
use crate::message_run::{Facts, NO_EXPIRATION};
use crate::run_builder::RunBuilder;

/// A small generator (splitmix64): the same bytes each time.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Bytes that often look like the beginning of something.
    fn bytes(&mut self, likely: &[u8]) -> Vec<u8> {
        (0..self.next() % 60)
            .map(|_| match self.next() % 4 {
                0 => self.next() as u8,
                1 => (self.next() % 4) as u8,
                _ => likely[self.next() as usize % likely.len()],
            })
            .collect()
    }
}

fn run_of(origin: Origin, routing_key: &[u8], properties: &[u8]) -> MessageRun {
    let mut builder = RunBuilder::new(origin);
    let key = builder.key(b"amq.topic", routing_key);
    let facts = Facts {
        expiration_ms: NO_EXPIRATION,
        priority: 0,
        flags: flags::PERSISTENT,
    };
    builder.push(key, properties, b"body", facts);
    builder.finish()
}

fn assert_mqtt(run: &MessageRun) {
    assert_eq!(run.origin, Origin::Mqtt);
    let mut size = 0;
    let mut again = Vec::new();
    for property in mqtt_properties::properties(run.properties(0)) {
        property.put(&mut again);
        size += 1;
    }
    assert_eq!(again, run.properties(0), "{size} properties, then none");
    assert!(mqtt_properties::is_topic(run.routing_key(0)));
}

fn assert_amqp(run: &MessageRun) {
    assert_eq!(run.origin, Origin::Amqp091);
    let facts = properties::read(run.properties(0)).expect("well-formed");
    assert_eq!(facts.flags, flags::PERSISTENT);
    assert!(run.routing_key(0).len() <= 255);
}

/// Each line is one that STOMP's frames can have, and has a name of its own.
fn assert_stomp(run: &MessageRun) {
    assert_eq!(run.origin, Origin::Stomp);
    let mut again = Vec::new();
    let mut names = HashSet::new();
    for (name, value) in header_lines::lines(run.properties(0)) {
        assert!(!name.is_empty() && text::is_text(&name) && text::is_lines(&value));
        header_lines::put(&mut again, &name, &value);
        assert!(!stomp_names::is_of_one_hop(&name));
        assert!(names.insert(name), "twice");
    }
    assert_eq!(again, run.properties(0));
    assert!(run.routing_key(0).len() <= 255);
}

#[test]
fn garbage_converts_to_something_well_formed() {
    let mut garbage = Garbage(1);
    for _ in 0..30_000 {
        let key = garbage.bytes(b"a./%25E$");
        let key = &key[..key.len().min(255)];
        let encoded = garbage.bytes(b"\x01\x03\x08\x09\x26\x00a");
        let amqp = to_amqp(&run_of(Origin::Mqtt, key, &encoded));
        assert_amqp(&amqp);
        assert_mqtt(&to_mqtt(&amqp));
        assert_stomp(&to_stomp(&run_of(Origin::Mqtt, key, &encoded)));
        let mut encoded = garbage.bytes(b"tbBsuIilfdDSATFVx\x00\x01a");
        // Often headers alone, so that the table is what is garbled.
        if garbage.next() % 2 == 0 && encoded.len() > 6 {
            let size = (encoded.len() - 6) as u32;
            encoded[..2].copy_from_slice(&[0x20, 0]);
            encoded[2..6].copy_from_slice(&size.to_be_bytes());
        }
        let amqp = run_of(Origin::Amqp091, key, &encoded);
        let mqtt = to_mqtt(&amqp);
        assert_mqtt(&mqtt);
        assert_amqp(&to_amqp(&mqtt));
        assert_stomp(&to_stomp(&mqtt));
        let stomp = to_stomp(&amqp);
        assert_stomp(&stomp);
        assert_amqp_of_stomp(&to_amqp(&stomp));
    }
}

#[test]
fn garbage_for_header_lines_converts_to_something_well_formed() {
    let mut garbage = Garbage(2);
    for _ in 0..30_000 {
        let key = garbage.bytes(b"a./%25E$");
        let encoded: Vec<u8> = (0..garbage.next() % 4)
            .flat_map(|_| {
                let name = PIECES[garbage.next() as usize % PIECES.len()];
                let end = PIECES[garbage.next() as usize % PIECES.len()];
                let value = garbage.bytes(b"a/%2F=\\\\cnr:\n");
                [name, end, b":", &value, b"\n"].concat()
            })
            .collect();
        let stomp = run_of(Origin::Stomp, &key, &encoded);
        let (amqp, mqtt) = (to_amqp(&stomp), to_mqtt(&stomp));
        assert_amqp_of_stomp(&amqp);
        assert_mqtt(&mqtt);
        assert_stomp(&to_stomp(&amqp));
        assert_stomp(&to_stomp(&mqtt));
        assert_eq!(mqtt.properties(0), to_mqtt(&amqp).properties(0));
        assert_eq!(mqtt.routing_key(0), to_mqtt(&amqp).routing_key(0));
    }
}

const PIECES: [&[u8]; 12] = [
    b"",
    b";base64",
    b";user",
    b"a",
    b"ack",
    b"content-type",
    b"correlation-id",
    b"mqtt-payload-format",
    b"mqtt-content-type",
    b"reply-to:/topic/a",
    b"timestamp:1",
    b"user-id",
];

/// A user id is STOMP's as it is AMQP's.
fn assert_amqp_of_stomp(run: &MessageRun) {
    let facts = properties::read(run.properties(0)).expect("well-formed");
    assert_eq!(facts.flags & !flags::HAS_USER_ID, flags::PERSISTENT);
}

#[test]
fn properties_cut_anywhere_convert() {
    let mut whole = Vec::new();
    for property in [
        Property::PayloadFormat(1),
        Property::ContentType(b"text/plain"),
        Property::ResponseTopic(b"a/b"),
        Property::CorrelationData(b"\xFF"),
        Property::User(b"a", b"b"),
        Property::User(b"a", b"c"),
    ] {
        property.put(&mut whole);
    }
    for size in 0..=whole.len() {
        assert_amqp(&to_amqp(&run_of(Origin::Mqtt, b"a/b", &whole[..size])));
    }
    let amqp = to_amqp(&run_of(Origin::Mqtt, b"a/b", &whole));
    for size in 0..=amqp.properties(0).len() {
        let cut = run_of(Origin::Amqp091, b"a.b", &amqp.properties(0)[..size]);
        assert_mqtt(&to_mqtt(&cut));
    }
    assert_eq!(to_mqtt(&amqp).properties(0), whole);
}

#[test]
fn keys_that_are_cut_alike_are_one() {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    let topics: Vec<Vec<u8>> = (0..3)
        .map(|i| format!("{}{i}", "l/".repeat(200)).into_bytes())
        .collect();
    for topic in &topics {
        let key = builder.key(b"amq.topic", topic);
        let facts = Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 0,
            flags: 0,
        };
        builder.push(key, b"", b"", facts);
    }
    let amqp = to_amqp(&builder.finish());
    assert_eq!(amqp.dictionary.len(), 1);
    let back = to_mqtt(&amqp);
    let again: Vec<&[u8]> = back
        .entries
        .iter()
        .map(|e| back.routing_key(e.key))
        .collect();
    assert_eq!(again, topics);
}

#[test]
fn a_part_of_amqp_is_not_copied() {
    let run = run_of(Origin::Amqp091, b"k", b"\0\0");
    let (part, range) = amqp_part(&run, 0..1);
    assert!(matches!(part, Cow::Borrowed(_)));
    assert_eq!(range, 0..1);
}
