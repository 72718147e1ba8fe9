use super::*;
use crate::message_run::{flags, NO_EXPIRATION};
use crate::mqtt::reason_code::{
    MALFORMED_PACKET, PAYLOAD_FORMAT_INVALID, PROTOCOL_ERROR, TOPIC_NAME_INVALID,
};

/// One frame with runs undone.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    /// QoS, packet identifier, topic, properties, body, flags, expiration.
    Message(u8, u16, Vec<u8>, Vec<u8>, Vec<u8>, u8, u32),
    Ack(u8, u8, u16),
    Packet(u8, u8, Vec<u8>),
    Violation(u16),
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    packet::put_varint(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text].concat()
}

fn connect(version: u8) -> Vec<u8> {
    let name: &[u8] = if version == 3 { b"MQIsdp" } else { b"MQTT" };
    packet(0x10, &[&string(name), &[version][..]].concat())
}

fn publish(first: u8, topic: &str, rest: &[u8]) -> Vec<u8> {
    packet(first, &[&string(topic.as_bytes()), rest].concat())
}

/// Undoes runs, which a cut may shorten.
fn facts_of(frames: Vec<Frame>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for frame in frames {
        match frame {
            Frame::Publishes {
                qos,
                messages: run,
                packet_ids,
            } => {
                assert!(!run.entries.is_empty());
                let ids = if qos == 0 { 0 } else { run.entries.len() };
                assert_eq!(packet_ids.len(), ids);
                for (index, entry) in run.entries.iter().enumerate() {
                    assert_eq!(run.exchange(entry.key), EXCHANGE);
                    facts.push(Fact::Message(
                        qos,
                        packet_ids.get(index).copied().unwrap_or(0),
                        run.routing_key(entry.key).to_vec(),
                        run.properties(index).to_vec(),
                        run.body(index).to_vec(),
                        entry.flags,
                        entry.expiration_ms,
                    ));
                }
            }
            Frame::Acks {
                kind,
                reason,
                packet_ids,
            } => facts.extend(packet_ids.iter().map(|id| Fact::Ack(kind, reason, *id))),
            Frame::Packet { kind, flags, body } => {
                facts.push(Fact::Packet(kind, flags, body.to_vec()));
            }
            Frame::Violation(violation) => {
                assert!(violation.connection && !violation.text.is_empty());
                facts.push(Fact::Violation(violation.code));
            }
            other => panic!("{other:?}"),
        }
    }
    facts
}

fn decode_all<'a>(decoder: &mut MqttDecoder, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Fact> {
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.receive(piece, &mut frames);
        while decoder.stopped() {
            decoder.resume(&mut frames);
        }
    }
    facts_of(frames)
}

fn opened(version: u8) -> MqttDecoder {
    let mut decoder = MqttDecoder::new(1 << 20);
    decoder.set_topic_alias_max(3);
    let facts = decode_all(&mut decoder, [&connect(version)[..]].into_iter());
    assert!(matches!(facts[..], [Fact::Packet(1, 0, _)]));
    assert_eq!(decoder.version(), version);
    decoder
}

/// What a connection of `version` makes of `stream`, which every way to cut it must agree on.
fn decode(version: u8, stream: &[u8]) -> Vec<Fact> {
    let whole = decode_all(&mut opened(version), [stream].into_iter());
    for size in [1, 2, 3, 5, 7, 64] {
        let facts = decode_all(&mut opened(version), stream.chunks(size));
        assert_eq!(facts, whole, "cut into pieces of {size}");
    }
    for at in 0..stream.len() {
        let (first, second) = stream.split_at(at);
        let facts = decode_all(&mut opened(version), [first, second].into_iter());
        assert_eq!(facts, whole, "cut at {at}");
    }
    whole
}

fn message(qos: u8, id: u16, topic: &str, properties: &[u8], body: &[u8]) -> Fact {
    let flags = [
        0,
        flags::PERSISTENT,
        flags::PERSISTENT | flags::EXACTLY_ONCE,
    ];
    let (topic, properties) = (topic.as_bytes().to_vec(), properties.to_vec());
    let flags = flags[usize::from(qos)];
    Fact::Message(
        qos,
        id,
        topic,
        properties,
        body.to_vec(),
        flags,
        NO_EXPIRATION,
    )
}

#[test]
fn publishes_of_each_qos_and_version() {
    for (version, none) in [(3, &b""[..]), (4, b""), (5, b"\0")] {
        let stream = [
            publish(0x30, "a", &[none, b"x"].concat()),
            publish(0x31, "a", &[none, b""].concat()),
            publish(0x32, "a/b", &[b"\0\x01", none, b"one"].concat()),
            publish(0x3C, "a/b", &[b"\0\x02", none, b"two"].concat()),
            packet(0xC0, b""),
            publish(0x34, "b", &[b"\xff\xff", none, b"end"].concat()),
        ]
        .concat();
        let Fact::Message(_, _, topic, properties, body, _, _) = message(0, 0, "a", b"", b"")
        else {
            unreachable!()
        };
        let retained = Fact::Message(0, 0, topic, properties, body, flags::RETAIN, NO_EXPIRATION);
        let expected = [
            message(0, 0, "a", b"", b"x"),
            retained,
            message(1, 1, "a/b", b"", b"one"),
            message(2, 2, "a/b", b"", b"two"),
            Fact::Packet(12, 0, vec![]),
            message(2, 65_535, "b", b"", b"end"),
        ];
        assert_eq!(decode(version, &stream), expected);
    }
}

/// A PUBLISH of version 5 to `t` with these properties.
fn with_properties(properties: &[u8], body: &[u8]) -> Vec<u8> {
    let size = [properties.len() as u8];
    publish(0x30, "t", &[&size, properties, body].concat())
}

#[test]
fn the_properties_of_the_message_are_kept_and_the_hops_are_not() {
    let (expiry, alias) = (b"\x02\0\0\0\x3c", b"\x23\0\x01");
    let (one, two) = (
        b"\x01\x01\x26\0\x01a\0\x01b",
        b"\x09\0\x02\xff\0\x03\0\x01c",
    );
    let kept = [&one[..], two].concat();
    for wire in [
        [&one[..], expiry, alias, two].concat(),
        [&expiry[..], one, alias, two].concat(),
        [&one[..], alias, two, expiry].concat(),
        [&alias[..], expiry, one, two].concat(),
    ] {
        let [Fact::Message(0, 0, topic, properties, body, 0, 60_000)] =
            &decode(5, &with_properties(&wire, b"text"))[..]
        else {
            panic!("a message that expires in a minute");
        };
        assert_eq!(
            (&topic[..], &properties[..], &body[..]),
            (&b"t"[..], &kept[..], &b"text"[..])
        );
    }
    let late = with_properties(b"\x02\xff\xff\xff\xff", b"");
    let facts = decode(5, &late);
    assert!(
        matches!(facts[..], [Fact::Message(_, _, _, _, _, _, last)] if last == NO_EXPIRATION - 1)
    );
}

#[test]
fn an_alias_stands_for_the_topic_it_was_given() {
    let with = |topic: &str, alias: u8, body: &[u8]| {
        publish(0x30, topic, &[&[3, 0x23, 0, alias], body].concat())
    };
    let stream = [
        with("one", 1, b"a"),
        with("two", 3, b"b"),
        with("", 1, b"c"),
        with("", 3, b"d"),
        with("other", 1, b"e"),
        with("", 1, b"f"),
    ]
    .concat();
    let topics = ["one", "two", "one", "two", "other", "other"];
    let expected: Vec<Fact> = topics
        .iter()
        .zip(b"abcdef")
        .map(|(topic, body)| message(0, 0, topic, b"", &[*body]))
        .collect();
    assert_eq!(decode(5, &stream), expected);
    for (wrong, code) in [
        (with("t", 0, b""), TOPIC_ALIAS_INVALID),
        (with("t", 4, b""), TOPIC_ALIAS_INVALID),
        (with("", 2, b""), PROTOCOL_ERROR),
        (with("+", 2, b""), TOPIC_NAME_INVALID),
    ] {
        assert_eq!(decode(5, &wrong), [Fact::Violation(code)]);
    }
}

#[test]
fn acknowledgements_of_one_kind_and_reason_are_merged() {
    let stream = b"\x40\x02\0\x01\x40\x02\0\x02\x40\x03\0\x03\0\x40\x04\0\x04\0\0\x40\x03\0\x05\x10\x50\x02\0\x06";
    let mut frames = Vec::new();
    opened(5).receive(stream, &mut frames);
    let got: Vec<_> = frames
        .into_iter()
        .map(|frame| match frame {
            Frame::Acks {
                kind,
                reason,
                packet_ids,
            } => (kind, reason, packet_ids),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (4, 0, vec![1, 2, 3, 4]),
        (4, 0x10, vec![5]),
        (5, 0, vec![6]),
    ];
    assert_eq!(got, expected);
}

#[test]
fn acknowledgements_are_refused_by_what_is_wrong_with_them() {
    let reason_string = b"\x1f\0\x02no";
    let with = |first: u8, reason: u8, properties: &[u8]| {
        let head = [0, 9, reason, properties.len() as u8];
        packet(first, &[&head, properties].concat())
    };
    let both = [&reason_string[..], b"\x26\0\x01a\0\0"].concat();
    assert_eq!(decode(5, &with(0x40, 0x87, &both)), [Fact::Ack(4, 0x87, 9)]);
    assert_eq!(decode(5, &with(0x62, 0x92, &both)), [Fact::Ack(6, 0x92, 9)]);
    for version in [3, 4] {
        assert_eq!(decode(version, b"\x62\x02\0\x09"), [Fact::Ack(6, 0, 9)]);
        assert_eq!(
            decode(version, b"\x40\x03\0\x09\0"),
            [Fact::Violation(MALFORMED_PACKET)]
        );
    }
    for (wrong, code) in [
        (packet(0x40, b""), MALFORMED_PACKET),
        (packet(0x40, b"\0"), MALFORMED_PACKET),
        (packet(0x40, b"\0\0"), PROTOCOL_ERROR),
        (packet(0x40, b"\0\x09\0\x05"), MALFORMED_PACKET),
        (packet(0x40, b"\0\x09\0\0\0"), MALFORMED_PACKET),
        (packet(0x40, b"\0\x09\0\xff\xff"), MALFORMED_PACKET),
        (with(0x40, 0x92, b""), PROTOCOL_ERROR),
        (with(0x70, 0x10, b""), PROTOCOL_ERROR),
        (with(0x50, 0, b"\x02\0\0\0\x01"), MALFORMED_PACKET),
        (with(0x50, 0, b"\x1f\0\x01\xff"), MALFORMED_PACKET),
        (with(0x50, 0, &reason_string.repeat(2)), PROTOCOL_ERROR),
    ] {
        assert_eq!(decode(5, &wrong), [Fact::Violation(code)], "{wrong:x?}");
    }
}

#[test]
fn publishes_are_refused_by_what_is_wrong_with_them() {
    let id_0 = publish(0x32, "t", b"\0\0\0");
    let rows = [
        (publish(0x36, "t", b"\0\x01\0"), MALFORMED_PACKET),
        (publish(0x38, "t", b"\0"), MALFORMED_PACKET),
        (id_0, PROTOCOL_ERROR),
        (publish(0x30, "", b"\0"), PROTOCOL_ERROR),
        (publish(0x30, "a/+", b"\0"), TOPIC_NAME_INVALID),
        (publish(0x30, "a\0", b"\0"), MALFORMED_PACKET),
        (packet(0x30, b""), MALFORMED_PACKET),
        (packet(0x30, b"\0\x02t"), MALFORMED_PACKET),
        (publish(0x32, "t", b"\x01"), MALFORMED_PACKET),
        (publish(0x30, "t", b""), MALFORMED_PACKET),
        (publish(0x30, "t", b"\x05\x01\0"), MALFORMED_PACKET),
        (
            publish(0x30, "t", b"\xff\xff\xff\xff\x01"),
            MALFORMED_PACKET,
        ),
        (with_properties(b"\x01\x02", b""), PROTOCOL_ERROR),
        (with_properties(b"\x01\0\x01\0", b""), PROTOCOL_ERROR),
        (
            with_properties(b"\x01\x01", b"\xff"),
            PAYLOAD_FORMAT_INVALID,
        ),
        (with_properties(b"\x02\0\0\0", b""), MALFORMED_PACKET),
        (with_properties(b"\x03\0\x01\xff", b""), MALFORMED_PACKET),
        (with_properties(b"\x03\0\x01\0", b""), MALFORMED_PACKET),
        (with_properties(b"\x08\0\x01+", b""), PROTOCOL_ERROR),
        (with_properties(b"\x08\0\0", b""), PROTOCOL_ERROR),
        (with_properties(b"\x08\0\x01\xff", b""), MALFORMED_PACKET),
        (with_properties(b"\x0b\x01", b""), PROTOCOL_ERROR),
        (with_properties(b"\x11\0\0\0\0", b""), MALFORMED_PACKET),
        (with_properties(b"\xa6\0", b""), MALFORMED_PACKET),
        (with_properties(b"\x23\0", b""), MALFORMED_PACKET),
        (
            with_properties(b"\x26\0\x01a\0\x01\xff", b""),
            MALFORMED_PACKET,
        ),
        (with_properties(b"\x26\0\x01a", b""), MALFORMED_PACKET),
    ];
    for (wrong, code) in rows {
        let stream = [&wrong[..], &packet(0xC0, b"")].concat();
        assert_eq!(decode(5, &stream), [Fact::Violation(code)], "{wrong:x?}");
    }
}

#[test]
fn a_publish_cut_short_anywhere_gives_at_most_a_violation() {
    let properties =
        b"\x01\x01\x02\0\0\0\x05\x03\0\x01c\x08\0\x01r\x09\0\x01\xff\x26\0\x01a\0\x01b\x23\0\x01";
    let size = [properties.len() as u8];
    let body = [&string(b"topic"), &b"\0\x07"[..], &size, properties].concat();
    for size in 0..body.len() {
        let facts = decode(5, &packet(0x32, &body[..size]));
        assert_eq!(facts, [Fact::Violation(MALFORMED_PACKET)], "{size}");
    }
    assert!(matches!(
        decode(5, &packet(0x32, &body))[..],
        [Fact::Message(1, 7, ..)]
    ));
}

#[test]
fn only_a_clients_packets_pass_and_connect_is_the_first() {
    for (version, stream, code) in [
        (5, connect(5), PROTOCOL_ERROR),
        (5, packet(0x20, b"\0\0"), PROTOCOL_ERROR),
        (4, packet(0x90, b"\0\x01\0"), PROTOCOL_ERROR),
        (4, packet(0xB0, b"\0\x01"), PROTOCOL_ERROR),
        (5, packet(0xD0, b""), PROTOCOL_ERROR),
        (4, packet(0xF0, b""), MALFORMED_PACKET),
        (4, packet(0x00, b""), MALFORMED_PACKET),
        (4, packet(0x80, b"\0\x01"), MALFORMED_PACKET),
        (4, packet(0xC0, b"x"), MALFORMED_PACKET),
        (4, packet(0xE0, b"\0"), MALFORMED_PACKET),
        (4, b"\xc0\x80\x80\x80\x80\0".to_vec(), MALFORMED_PACKET),
        (4, b"\x30\xff\xff\xff\x7f".to_vec(), PACKET_TOO_LARGE),
    ] {
        assert_eq!(
            decode(version, &stream),
            [Fact::Violation(code)],
            "{stream:x?}"
        );
    }
    let mut decoder = MqttDecoder::new(100);
    let facts = decode_all(&mut decoder, [&b"GET / HTTP/1.1"[..]].into_iter());
    assert_eq!(facts, [Fact::Violation(PROTOCOL_ERROR)]);
    assert_eq!(decoder.version(), 0);
    assert_eq!(
        decode(5, &packet(0xE0, b"\x04")),
        [Fact::Packet(14, 0, vec![4])]
    );
}

#[test]
fn it_stops_after_connect_and_auth() {
    let stream = [connect(5), packet(0xF0, b"\x18"), packet(0xC0, b"")].concat();
    let (mut decoder, mut frames) = (MqttDecoder::new(100), Vec::new());
    decoder.receive(&stream, &mut frames);
    assert!(decoder.stopped() && decoder.version() == 5);
    assert_eq!(decoder.buffered(), 5);
    decoder.resume(&mut frames);
    assert!(decoder.stopped() && frames.len() == 2);
    decoder.receive(&packet(0xC0, b""), &mut frames);
    decoder.resume(&mut frames);
    assert!(!decoder.stopped() && frames.len() == 4);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_connect_names_a_version_we_know_or_none() {
    for (name, level, version) in [
        ("MQIsdp", 3, 3),
        ("MQTT", 4, 4),
        ("MQTT", 5, 5),
        ("MQTT", 0x84, 4),
        ("MQIsdp", 0x83, 3),
        ("MQTT", 3, 0),
        ("MQTT", 6, 0),
        ("mqtt", 4, 0),
    ] {
        let body = [&string(name.as_bytes()), &[level][..]].concat();
        assert_eq!(version_of(&body), version, "{name} {level}");
        assert_eq!(version_of(&body[..body.len() - 1]), 0);
    }
}

#[test]
fn a_large_packet_is_kept_once_however_it_is_cut() {
    const SIZE: usize = 10_000_000;
    let body: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let rest = [b"\0\x07\x08\x02\0\0\0\x01\x09\0\0", &body[..]].concat();
    let stream = publish(0x33, "large", &rest);
    for cut in [1, 1000, 4096, 256 << 10, SIZE * 2] {
        let mut decoder = opened(5);
        decoder.set_packet_size_max(SIZE + 100);
        let (mut frames, mut capacity) = (Vec::new(), 0);
        for (number, piece) in stream.chunks(cut).enumerate() {
            decoder.receive(piece, &mut frames);
            capacity = capacity.max(decoder.carry.capacity());
            assert!(decoder.carry.capacity() <= 2 * (number + 1) * cut + (8 << 10));
        }
        assert!(decoder.copied <= stream.len() + connect(5).len());
        assert!(capacity <= stream.len() + (256 << 10));
        assert_eq!(decoder.buffered(), 0);
        let Frame::Publishes { messages, .. } = &frames[0] else {
            panic!("a message");
        };
        assert!(messages.buffer.len() <= stream.len() + 64);
        let expected = Fact::Message(
            1,
            7,
            b"large".to_vec(),
            b"\x09\0\0".to_vec(),
            body.clone(),
            flags::PERSISTENT | flags::RETAIN,
            1000,
        );
        assert!(facts_of(frames) == [expected]);
    }
}

#[test]
fn runs_are_bounded() {
    let one = publish(0x32, "t", &[&b"\0\x01\0"[..], &[0; 1000]].concat());
    let (mut decoder, mut frames) = (opened(5), Vec::new());
    decoder.receive(&one.repeat(2000), &mut frames);
    let tiny = publish(0x32, "t", b"\0\x01\0");
    decoder.receive(&tiny.repeat(20_000), &mut frames);
    for frame in &frames {
        let Frame::Publishes { messages, .. } = frame else {
            panic!("messages only");
        };
        assert!(messages.payload_size() <= RUN_SIZE_MAX + 100);
        assert!(messages.entries.len() <= RUN_COUNT_MAX);
    }
    assert_eq!(facts_of(frames).len(), 22_000);
}
