use std::sync::{Arc, Mutex};

use super::*;
use crate::mqtt::decoder::MqttDecoder;
use crate::web::close_code::PROTOCOL_ERROR;
use crate::web::frame::{BINARY, PING, PONG};

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0";
const PUBLISH: &[u8] = b"\x30\x07\0\x02ab\0xy";
const MESSAGE_SIZE_MAX: u64 = 1000;

/// One frame, with runs undone.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    Message(Vec<u8>),
    Packet(u8),
    Byte(u8),
    Control(u8, Vec<u8>),
    Violation(u16),
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = crate::web::output::head(0, payload.len());
    (out[0], out[1]) = (first, out[1] | 0x80);
    out.extend_from_slice(&MASK);
    frame::unmask(&mut out, payload, MASK);
    out
}

fn binary(payload: &[u8]) -> Vec<u8> {
    masked(0x80 | BINARY, payload)
}

fn control(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(0x80 | opcode, payload)
}

fn facts_of(frames: Vec<Frame>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for frame in frames {
        match frame {
            Frame::Publishes { messages: run, .. } => {
                facts.extend((0..run.entries.len()).map(|at| Fact::Message(run.body(at).to_vec())));
            }
            Frame::Packet { kind, .. } => facts.push(Fact::Packet(kind)),
            Frame::Data { data } => facts.extend(data.iter().map(|byte| Fact::Byte(*byte))),
            Frame::Control { opcode, payload } => {
                facts.push(Fact::Control(opcode, payload.to_vec()));
            }
            Frame::Violation(violation) => facts.push(Fact::Violation(violation.code)),
            other => panic!("{other:?}"),
        }
    }
    facts
}

/// Around MQTT, or around nothing yet, where text is allowed.
fn upgraded(with_mqtt: bool) -> WebDecoder {
    let inner: SharedDecoder = Arc::new(Mutex::new(MqttDecoder::new(500)));
    let mut decoder = WebDecoder::new();
    decoder.upgrade(
        with_mqtt.then_some(inner),
        b"",
        !with_mqtt,
        MESSAGE_SIZE_MAX,
    );
    decoder.resume(&mut Vec::new());
    decoder
}

fn decode(with_mqtt: bool, pieces: &[&[u8]]) -> Vec<Fact> {
    let (mut decoder, mut frames) = (upgraded(with_mqtt), Vec::new());
    for piece in pieces {
        decoder.receive(piece, &mut frames);
        while decoder.stopped() {
            decoder.resume(&mut frames);
        }
    }
    facts_of(frames)
}

fn check_cuts(with_mqtt: bool, stream: &[u8]) -> Vec<Fact> {
    let whole = decode(with_mqtt, &[stream]);
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(decode(with_mqtt, &[first, second]), whole, "cut at {cut}");
    }
    for size in 1..20 {
        let pieces: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(decode(with_mqtt, &pieces), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn http_comes_read_by_read_and_nothing_is_read_between() {
    let (mut decoder, mut frames) = (WebDecoder::new(), Vec::new());
    decoder.receive(b"GET", &mut frames);
    assert!(decoder.stopped());
    decoder.receive(b" /", &mut frames);
    decoder.receive(b" ", &mut frames);
    assert_eq!((frames.len(), decoder.buffered()), (1, 3));
    decoder.resume(&mut frames);
    assert!(decoder.stopped());
    decoder.resume(&mut frames);
    assert!(!decoder.stopped());
    assert_eq!(facts_of(frames), b"GET / ".map(Fact::Byte));
    decoder.set_held(10);
    assert_eq!(decoder.buffered(), 10);
}

#[test]
fn an_upgrade_goes_on_with_what_came_with_it() {
    let stream = [&b"GET"[..], &binary(CONNECT), &binary(PUBLISH)].concat();
    for cut in 3..stream.len() {
        let (mut decoder, mut frames) = (WebDecoder::new(), Vec::new());
        decoder.receive(&stream[..cut], &mut frames);
        decoder.receive(&stream[cut..], &mut frames);
        let inner: SharedDecoder = Arc::new(Mutex::new(MqttDecoder::new(500)));
        frames.clear();
        decoder.upgrade(Some(inner), &stream[3..cut], false, MESSAGE_SIZE_MAX);
        assert!(decoder.stopped());
        while decoder.stopped() {
            decoder.resume(&mut frames);
        }
        assert_eq!(
            facts_of(frames),
            [Fact::Packet(1), Fact::Message(b"xy".to_vec())]
        );
    }
}

#[test]
fn messages_may_hold_parts_and_many_and_be_fragmented() {
    let packets = [CONNECT, PUBLISH, PUBLISH, PUBLISH, PUBLISH].concat();
    let (first, rest) = packets.split_at(5);
    let stream = [
        masked(BINARY, first),
        control(PING, b"now"),
        masked(CONTINUATION, b""),
        masked(CONTINUATION, &rest[..20]),
        control(PONG, b""),
        masked(0x80 | CONTINUATION, &rest[20..21]),
        binary(&rest[21..22]),
        binary(&rest[22..]),
        control(CLOSE, b"\x03\xe8bye"),
        binary(PUBLISH),
    ]
    .concat();
    let message = || Fact::Message(b"xy".to_vec());
    let expected = [
        Fact::Control(PING, b"now".to_vec()),
        Fact::Packet(1),
        message(),
        Fact::Control(PONG, Vec::new()),
        message(),
        message(),
        message(),
        Fact::Control(CLOSE, b"\x03\xe8bye".to_vec()),
    ];
    assert_eq!(check_cuts(true, &stream), expected);
}

#[test]
fn what_a_read_brings_in_many_messages_is_one_run() {
    let mut decoder = upgraded(true);
    let mut frames = Vec::new();
    decoder.receive(&binary(CONNECT), &mut frames);
    decoder.resume(&mut frames);
    frames.clear();
    decoder.receive(&binary(PUBLISH).repeat(100), &mut frames);
    let [Frame::Publishes { messages, .. }] = &frames[..] else {
        panic!("one run");
    };
    assert_eq!(messages.entries.len(), 100);
}

#[test]
fn nothing_overtakes_what_a_stopped_inner_decoder_holds() {
    let stream = [
        binary(&[CONNECT, PUBLISH].concat()),
        control(PING, b""),
        masked(0xC0 | BINARY, b""),
    ]
    .concat();
    let mut decoder = upgraded(true);
    let mut frames = Vec::new();
    decoder.receive(&stream, &mut frames);
    assert_eq!(facts_of(std::mem::take(&mut frames)), [Fact::Packet(1)]);
    assert!(decoder.stopped() && decoder.buffered() > PUBLISH.len());
    decoder.resume(&mut frames);
    let expected = [
        Fact::Message(b"xy".to_vec()),
        Fact::Control(PING, Vec::new()),
        Fact::Violation(PROTOCOL_ERROR),
    ];
    assert_eq!(facts_of(frames), expected);
    assert_eq!(decoder.buffered(), 0);
    check_cuts(true, &stream);
}

#[test]
fn a_text_is_checked_as_it_comes() {
    let text = "a\u{20AC}\u{1F600}b".as_bytes();
    let good = [
        masked(TEXT, &text[..3]),
        masked(CONTINUATION, &text[3..6]),
        masked(0x80 | CONTINUATION, &text[6..]),
    ]
    .concat();
    let bytes: Vec<Fact> = text.iter().map(|byte| Fact::Byte(*byte)).collect();
    assert_eq!(check_cuts(false, &good), bytes);
    let ended = [masked(TEXT, &text[..3]), masked(0x80 | CONTINUATION, b"")].concat();
    let expected = [&bytes[..3], &[Fact::Violation(INVALID_PAYLOAD)]].concat();
    assert_eq!(check_cuts(false, &ended), expected);
    let cut_short = masked(0x80 | TEXT, &text[..3]);
    let expected = [&bytes[..2], &[Fact::Violation(INVALID_PAYLOAD)]].concat();
    assert_eq!(check_cuts(false, &cut_short), expected);
    let bad = masked(0x80 | TEXT, b"ab\xE2\x82cd");
    let facts = check_cuts(false, &bad);
    assert_eq!(facts.len(), 5);
    assert_eq!(facts[4], Fact::Violation(INVALID_PAYLOAD));
}

#[test]
fn caps_are_checked_before_anything_is_kept() {
    let declared = b"\x82\xff\0\0\0\x7f\0\0\0\0abcd";
    let mut decoder = upgraded(true);
    let mut frames = Vec::new();
    decoder.receive(declared, &mut frames);
    assert_eq!(facts_of(frames), [Fact::Violation(MESSAGE_TOO_BIG)]);
    assert_eq!(decoder.buffered(), 0);
    let piece = masked(CONTINUATION, &[0; 400]);
    let stream = [masked(BINARY, &[0; 400]), piece.clone(), piece].concat();
    let facts = decode(false, &[&stream]);
    assert_eq!(facts.len(), 801);
    assert_eq!(facts[800], Fact::Violation(MESSAGE_TOO_BIG));
}

#[test]
fn what_may_not_be_has_its_code() {
    let rows: [(&str, u16, Vec<u8>); 10] = [
        ("no mask", PROTOCOL_ERROR, b"\x82\x01x".to_vec()),
        ("reserved bit", PROTOCOL_ERROR, masked(0xC2, b"x")),
        ("reserved opcode", PROTOCOL_ERROR, masked(0x83, b"x")),
        ("long control", PROTOCOL_ERROR, control(PING, &[0; 126])),
        ("fragmented control", PROTOCOL_ERROR, masked(PING, b"")),
        (
            "continuation of nothing",
            PROTOCOL_ERROR,
            masked(0x80, b"x"),
        ),
        (
            "a message in a message",
            PROTOCOL_ERROR,
            [masked(BINARY, b""), binary(b"x")].concat(),
        ),
        ("text for MQTT", UNSUPPORTED_DATA, masked(0x81, b"x")),
        (
            "empty fragments",
            POLICY_VIOLATION,
            [masked(BINARY, b""), masked(CONTINUATION, b"").repeat(32)].concat(),
        ),
        (
            "ping flood",
            POLICY_VIOLATION,
            control(PING, b"").repeat(CONTROL_COUNT_MAX as usize + 1),
        ),
    ];
    for (what, code, bytes) in rows {
        let facts = check_cuts(true, &bytes);
        assert_eq!(facts.last(), Some(&Fact::Violation(code)), "{what}");
        let more = decode(true, &[&bytes, &binary(CONNECT)]);
        assert_eq!(more, facts, "{what}: nothing follows");
    }
}

#[test]
fn fragments_without_end_are_refused() {
    let mut decoder = upgraded(false);
    decoder.set_message_size_max(1 << 40);
    let (mut frames, mut facts) = (Vec::new(), 0);
    let inner: SharedDecoder = Arc::new(Mutex::new(MqttDecoder::new(1 << 30)));
    decoder.choose(inner, CONNECT, true);
    decoder.resume(&mut frames);
    decoder.resume(&mut frames);
    decoder.receive(&masked(BINARY, b"\x30\xff\xff\xff\x7f"), &mut frames);
    while frames.len() == 1 {
        decoder.receive(&masked(CONTINUATION, b"x"), &mut frames);
        facts += 1;
    }
    assert_eq!(facts, FRAGMENT_COUNT_MAX);
    assert_eq!(facts_of(frames)[1], Fact::Violation(POLICY_VIOLATION));
}

#[test]
fn pings_go_on_where_there_is_room_for_them() {
    let mut decoder = upgraded(true);
    for _ in 0..3 {
        let mut frames = Vec::new();
        decoder.receive(&control(PING, b"x").repeat(64), &mut frames);
        assert_eq!((frames.len(), decoder.control_room()), (64, 0));
        decoder.set_control_room(64);
    }
}

#[test]
fn the_inner_decoder_may_be_chosen_by_the_first_bytes() {
    let packets = [CONNECT, PUBLISH].concat();
    for cut in 1..packets.len() {
        let (first, rest) = packets.split_at(cut);
        let mut decoder = upgraded(false);
        let mut frames = Vec::new();
        decoder.receive(&[binary(first), binary(rest)].concat(), &mut frames);
        let [Frame::Data { data }] = &frames[..] else {
            panic!("the first payload");
        };
        assert_eq!(data, first);
        assert!(decoder.stopped() && !decoder.text());
        let inner: SharedDecoder = Arc::new(Mutex::new(MqttDecoder::new(500)));
        decoder.choose(inner, first, false);
        frames.clear();
        while decoder.stopped() {
            decoder.resume(&mut frames);
        }
        assert_eq!(
            facts_of(frames),
            [Fact::Packet(1), Fact::Message(b"xy".to_vec())]
        );
    }
}
