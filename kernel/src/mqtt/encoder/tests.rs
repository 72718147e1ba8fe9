use std::sync::Arc;

use super::*;
use crate::decoder::{Decoder, Frame};
use crate::message_run::Facts;
use crate::mqtt::decoder::MqttDecoder;
use crate::mqtt::fan_out::{FanOut, Made, Wanted};
use crate::run_builder::RunBuilder;

const PLAIN: Facts = Facts {
    expiration_ms: NO_EXPIRATION,
    priority: 0,
    flags: 0,
};

fn flagged(flags: u8) -> Facts {
    Facts { flags, ..PLAIN }
}

/// Topic, properties, body, facts of each.
fn part(rows: &[(&str, &[u8], &[u8], Facts)]) -> Part {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    for (topic, properties, body, facts) in rows {
        let key = builder.key(b"amq.topic", topic.as_bytes());
        builder.push(key, properties, body, *facts);
    }
    Part {
        messages: Arc::new(builder.finish()),
        first: 0,
        count: rows.len() as u32,
        redelivered: false,
        expires_ms: 0,
    }
}

fn one(part: Part) -> DeliveryRun {
    DeliveryRun { parts: vec![part] }
}

fn shape(version: u8) -> Shape {
    Shape {
        version,
        packet_size_max: 1 << 20,
    }
}

fn grant(qos: u8, retain_as_published: bool, ids: &[u32]) -> Grant {
    Grant::new(qos, retain_as_published, ids.to_vec()).unwrap()
}

/// `encode` for one grant, without aliases and expiry.
fn wire_of(run: &DeliveryRun, grant: &Grant, ids: Option<&[u16]>, version: u8) -> Vec<u8> {
    let encoded = encode(run, Grants::One(grant), ids, shape(version), 0, None);
    assert!(encoded.left_out.is_empty());
    encoded.wire
}

#[test]
fn a_publish_is_what_the_specification_shows() {
    let run = one(part(&[(
        "a/b",
        b"\x01\x01",
        b"hi",
        flagged(flags::PERSISTENT),
    )]));
    let grant = grant(1, false, &[5, 200]);
    assert_eq!(wire_of(&run, &grant, None, 4), b"\x30\x07\0\x03a/bhi");
    let with_id = wire_of(&run, &grant, Some(&[10]), 3);
    assert_eq!(with_id, b"\x32\x09\0\x03a/b\0\x0ahi");
    let five = wire_of(&run, &grant, Some(&[10]), 5);
    assert_eq!(
        five,
        b"\x32\x11\0\x03a/b\0\x0a\x07\x01\x01\x0b\x05\x0b\xc8\x01hi"
    );
}

#[test]
fn qos_dup_and_retain_are_the_entrys_and_the_grants() {
    let qos_2 = flags::PERSISTENT | flags::EXACTLY_ONCE;
    for (entry, granted, as_published, redelivered, with_id, first) in [
        (0, 2, false, false, true, 0x32),
        (flags::PERSISTENT, 2, false, false, true, 0x32),
        (qos_2, 2, false, false, true, 0x34),
        (qos_2, 1, false, false, true, 0x32),
        (qos_2, 0, false, false, true, 0x32),
        (qos_2, 2, false, true, true, 0x3C),
        (qos_2, 2, false, true, false, 0x30),
        (qos_2 | flags::RETAIN, 2, false, false, true, 0x34),
        (qos_2 | flags::RETAIN, 2, true, false, true, 0x35),
        (flags::REPLAYED, 2, false, false, false, 0x31),
        (flags::RETAIN, 0, true, false, false, 0x31),
    ] {
        let part = Part {
            redelivered,
            ..part(&[("t", b"", b"", flagged(entry))])
        };
        let ids: Option<&[u16]> = if with_id { Some(&[1]) } else { None };
        for version in [3, 4, 5] {
            let grant = grant(granted, as_published, &[]);
            assert_eq!(wire_of(&one(part.clone()), &grant, ids, version)[0], first);
        }
    }
}

#[test]
fn what_is_left_of_the_expiry_is_told_in_seconds_rounded_up() {
    let minute = Facts {
        expiration_ms: 60_000,
        ..PLAIN
    };
    let run = |expires_ms| {
        let part = part(&[("t", b"", b"", minute), ("t", b"", b"", PLAIN)]);
        one(Part { expires_ms, ..part })
    };
    let grant = grant(0, false, &[]);
    for (expires_ms, now_ms, left) in [
        (100_000, 40_000, 60),
        (100_000, 40_001, 60),
        (100_000, 41_000, 59),
        (100_000, 99_999, 1),
        (100_000, 100_001, 1),
        (u64::MAX, 0, u32::MAX),
    ] {
        let wire = encode(
            &run(expires_ms),
            Grants::One(&grant),
            None,
            shape(5),
            now_ms,
            None,
        )
        .wire;
        let with = [&b"\x30\x09\0\x01t\x05\x02"[..], &left.to_be_bytes()].concat();
        assert_eq!(wire, [&with[..], b"\x30\x04\0\x01t\0"].concat());
    }
    for (run, version) in [(run(0), 5), (run(100_000), 4)] {
        let wire = wire_of(&run, &grant, None, version);
        assert!(wire.len() <= 12, "no expiry");
    }
}

#[test]
fn a_packet_that_is_too_large_is_left_out_and_its_identifier_with_it() {
    let run = one(part(&[
        ("t", b"", &[1; 5], PLAIN),
        ("t", b"", &[2; 6], PLAIN),
        ("t", b"", &[3; 5], PLAIN),
    ]));
    let shape = Shape {
        version: 4,
        packet_size_max: 12,
    };
    let grant = grant(1, false, &[]);
    let encoded = encode(&run, Grants::One(&grant), Some(&[7, 8, 9]), shape, 0, None);
    assert_eq!(encoded.left_out, [1]);
    assert_eq!(
        encoded.wire,
        b"\x32\x0a\0\x01t\0\x07\x01\x01\x01\x01\x01\x32\x0a\0\x01t\0\x09\x03\x03\x03\x03\x03"
    );
}

/// Topics, as a decoder that allows aliases sees them, and bytes.
fn topics_of(wire: &[u8]) -> Vec<String> {
    let mut decoder = MqttDecoder::new(1 << 20);
    let mut frames = Vec::new();
    decoder.receive(b"\x10\x07\0\x04MQTT\x05", &mut frames);
    decoder.set_topic_alias_max(10);
    decoder.resume(&mut frames);
    frames.clear();
    decoder.receive(wire, &mut frames);
    let runs = frames.into_iter().map(|frame| match frame {
        Frame::Publishes { messages, .. } => messages,
        other => panic!("{other:?}"),
    });
    runs.flat_map(|run| {
        let topics = run.entries.iter().map(|entry| run.routing_key(entry.key));
        let topics: Vec<String> = topics
            .map(|t| String::from_utf8(t.to_vec()).unwrap())
            .collect();
        topics
    })
    .collect()
}

#[test]
fn the_first_topics_get_an_alias_and_are_told_once() {
    let names = ["one", "two", "one", "three", "two", "three"];
    let rows: Vec<_> = names
        .iter()
        .map(|name| (*name, &b""[..], &b"x"[..], PLAIN))
        .collect();
    let (run, grant) = (one(part(&rows)), grant(0, false, &[]));
    let mut aliases = TopicAliases::new(2);
    let wire = encode(
        &run,
        Grants::One(&grant),
        None,
        shape(5),
        0,
        Some(&mut aliases),
    )
    .wire;
    assert_eq!(topics_of(&wire), names);
    assert_eq!(aliases.len(), 2);
    let again = encode(
        &run,
        Grants::One(&grant),
        None,
        shape(5),
        0,
        Some(&mut aliases),
    )
    .wire;
    assert_eq!(again[..10], *b"\x30\x07\0\0\x03\x23\0\x01x\x30");
    assert_eq!(topics_of(&[wire, again].concat()), [names, names].concat());
}

#[test]
fn an_alias_that_was_not_told_is_not_used() {
    let rows = [
        ("long", &b""[..], &[0_u8; 9][..], PLAIN),
        ("long", b"", &[0; 6], PLAIN),
        ("long", b"", &[0; 9], PLAIN),
    ];
    let (run, grant) = (one(part(&rows)), grant(0, false, &[]));
    let small = Shape {
        version: 5,
        packet_size_max: 18,
    };
    let mut aliases = TopicAliases::new(1);
    let encoded = encode(
        &run,
        Grants::One(&grant),
        None,
        small,
        0,
        Some(&mut aliases),
    );
    // The first fits without an alias only, the second tells it, the third has it.
    assert!(encoded.left_out.is_empty());
    assert_eq!(topics_of(&encoded.wire), ["long"; 3]);
    assert_eq!(aliases.len(), 1);
    let tiny = Shape {
        version: 5,
        packet_size_max: 10,
    };
    let mut aliases = TopicAliases::new(1);
    let encoded = encode(&run, Grants::One(&grant), None, tiny, 0, Some(&mut aliases));
    assert_eq!((encoded.left_out, aliases.len()), (vec![0, 1, 2], 0));
}

#[test]
fn each_topic_has_its_own_grant() {
    let qos_2 = flagged(flags::PERSISTENT | flags::EXACTLY_ONCE);
    let parts = vec![
        part(&[("a", b"", b"", qos_2), ("b", b"", b"", qos_2)]),
        part(&[("b", b"", b"", qos_2), ("c", b"", b"", qos_2)]),
    ];
    let run = DeliveryRun { parts };
    let topics = DeliveryTopics::of(&run);
    let grants = [
        grant(2, false, &[]),
        grant(1, false, &[9]),
        grant(0, false, &[]),
    ];
    let grants: Vec<&Grant> = grants.iter().collect();
    let ids = [1, 2, 3, 4];
    let by_topic = Grants::ByTopic(&topics, &grants);
    let wire = encode(&run, by_topic, Some(&ids), shape(5), 0, None).wire;
    let expected: &[&[u8]] = &[
        b"\x34\x06\0\x01a\0\x01\0",
        b"\x32\x08\0\x01b\0\x02\x02\x0b\x09",
        b"\x32\x08\0\x01b\0\x03\x02\x0b\x09",
        b"\x32\x06\0\x01c\0\x04\0",
    ];
    assert_eq!(wire, expected.concat());
}

#[test]
fn a_fan_out_is_encoded_once_and_is_the_same_for_all_but_for_the_identifiers() {
    let facts = flagged(flags::PERSISTENT);
    let run = one(part(&[
        ("t", b"\x01\0", b"one", facts),
        ("u", b"", b"two", facts),
    ]));
    let (grant, other) = (grant(1, false, &[1]), grant(1, false, &[2]));
    let wanted = |ids, grant| Wanted {
        run: &run,
        grant,
        packet_ids: ids,
        shape: shape(5),
        now_ms: 0,
    };
    let mut fan_out = FanOut::default();
    let first = wanted(Some(&[1, 2]), &grant);
    assert!(fan_out.find(&first).is_none());
    let encoded = encode(&run, Grants::One(&grant), Some(&[1, 2]), shape(5), 0, None);
    fan_out.insert(first.class().unwrap(), Made::new(encoded));
    let made = fan_out.find(&wanted(Some(&[0x1234, 7]), &grant)).unwrap();
    let patched = made.with_ids(Some(&[0x1234, 7]));
    assert_eq!(patched, wire_of(&run, &grant, Some(&[0x1234, 7]), 5));
    assert!(fan_out.find(&wanted(None, &grant)).is_none());
    assert!(fan_out.find(&wanted(Some(&[1, 2]), &other)).is_none());
    // The same messages elsewhere are others.
    let twin = one(part(&[
        ("t", b"\x01\0", b"one", facts),
        ("u", b"", b"two", facts),
    ]));
    let twins = Wanted {
        run: &twin,
        ..first
    };
    assert!(fan_out.find(&twins).is_none());
    let later = Part {
        redelivered: true,
        ..run.parts[0].clone()
    };
    let later = one(later);
    assert!(fan_out
        .find(&Wanted {
            run: &later,
            ..first
        })
        .is_none());
}

#[test]
fn what_is_kept_for_a_fan_out_is_bounded() {
    let grant = grant(0, false, &[]);
    let mut fan_out = FanOut::default();
    for size in [1, 1 << 20, 17 << 20].into_iter().cycle().take(300) {
        let body = vec![0; size];
        let run = one(part(&[("t", b"", &body, PLAIN)]));
        let wanted = Wanted {
            run: &run,
            grant: &grant,
            packet_ids: None,
            shape: Shape {
                version: 4,
                packet_size_max: usize::MAX,
            },
            now_ms: 0,
        };
        let encoded = encode(&run, Grants::One(&grant), None, wanted.shape, 0, None);
        let weak = Arc::downgrade(&run.parts[0].messages);
        fan_out.insert(wanted.class().unwrap(), Made::new(encoded));
        assert!(fan_out.size() <= 16 << 20);
        assert_eq!(fan_out.find(&wanted).is_some(), size <= 16 << 20);
        drop(run);
        assert!(weak.upgrade().is_none(), "the messages are not kept");
    }
}
