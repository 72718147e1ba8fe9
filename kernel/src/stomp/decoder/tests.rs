use super::*;
use crate::decoder::SettleKind;
use crate::message_run::{flags, NO_EXPIRATION};
use crate::stomp::destination::Kind;
use crate::stomp::head::LINE_SIZE_MAX;
use crate::stomp::run::Sends;

const CONNECT: &[u8] = b"CONNECT\naccept-version:1.2\nhost:/\n\n\0";

fn opened(version: u8) -> StompDecoder {
    let mut decoder = StompDecoder::new(4096);
    let mut frames = Vec::new();
    decoder.receive(CONNECT, &mut frames);
    assert!(decoder.stopped());
    decoder.set_version(version);
    decoder.set_session(b"s".to_vec());
    decoder.resume(&mut frames);
    assert_eq!(frames.len(), 1);
    decoder
}

fn decode(version: u8, stream: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    opened(version).receive(stream, &mut frames);
    frames
}

fn only_sends(frames: Vec<Frame>) -> Sends {
    match <[Frame; 1]>::try_from(frames) {
        Ok([Frame::Sends(sends)]) => *sends,
        other => panic!("{other:?}"),
    }
}

fn one_send(version: u8, stream: &[u8]) -> Sends {
    let sends = only_sends(decode(version, stream));
    assert_eq!(sends.messages.entries.len(), 1);
    sends
}

/// The one violation in `stream`, with nothing before or after it.
fn violation_of(version: u8, stream: &[u8]) -> Violation {
    match &decode(version, stream)[..] {
        [Frame::Violation(violation)] => violation.clone(),
        other => panic!("{other:?}"),
    }
}

fn text_of(version: u8, stream: &[u8]) -> String {
    violation_of(version, stream).text
}

fn headers_of(frame: &Frame) -> Vec<(&str, &str)> {
    let Frame::Stomp { headers, .. } = frame else {
        panic!("{frame:?}");
    };
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    headers.iter().map(|(n, v)| (text(n), text(v))).collect()
}

#[test]
fn it_stops_after_connect_and_goes_on_as_told() {
    let mut decoder = StompDecoder::new(4096);
    let mut frames = Vec::new();
    let rest = b"\nSEND\ndestination:/queue/q\n\nhi\0";
    let connect = b"\n\r\nSTOMP\r\nlogin:a\\b\r\nx:1\r\nx:2\r\n\r\n\0";
    decoder.receive(&[&connect[..], rest].concat(), &mut frames);
    assert!(decoder.stopped());
    assert_eq!(decoder.buffered(), rest.len());
    let [connect @ Frame::Stomp {
        command: "CONNECT",
        settled: None,
        ..
    }, Frame::Eols { count: 2 }] = &frames[..]
    else {
        panic!("{frames:?}");
    };
    // Never escaped, and the first wins.
    assert_eq!(headers_of(connect), [("login", "a\\b"), ("x", "1")]);
    frames.clear();
    decoder.receive(b"\n\n", &mut frames);
    assert!(frames.is_empty());
    decoder.set_version(12);
    decoder.resume(&mut frames);
    assert!(matches!(
        frames[..],
        [Frame::Sends(_), Frame::Eols { count: 1 }]
    ));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_send_as_it_is_kept() {
    let sends = one_send(
        12,
        b"SEND\ndestination:/topic/a.b\ncontent-type:text/plain\ncontent-length:3\nreceipt:r-1\npersistent:true\n\
          expiration:6000\npriority:7\nuser-id:me\nx:1:2\\\\\nx:3\ntransaction:t\\n\nreply-to:/temp-queue/a%2Fb\n\
          x-max-length:5\n\na\0b\0\n",
    );
    let run = &sends.messages;
    assert_eq!(
        (run.exchange(0), run.routing_key(0)),
        (&b"amq.topic"[..], &b"a.b"[..])
    );
    assert_eq!(
        run.properties(0),
        b"content-type:text/plain\npriority:7\nuser-id:me\nx:1\\c2\\\\\nreply-to:/temp-queue/a%2Fb\nx-max-length:5\n"
    );
    assert_eq!(run.body(0), b"a\0b");
    let entry = run.entries[0];
    assert_eq!((entry.priority, entry.expiration_ms), (7, 6000));
    assert_eq!(entry.flags, flags::PERSISTENT | flags::HAS_USER_ID);
    assert_eq!(sends.receipts.len(), 1);
    assert_eq!(
        (sends.receipts.index(0), sends.receipts.id(0)),
        (0, &b"r-1"[..])
    );
    assert_eq!(sends.likeness.kind, Kind::Topic);
    assert_eq!(sends.likeness.transaction, b"t\n");
    assert_eq!(sends.likeness.temp_queue, b"a/b");
    assert!(sends.likeness.parameters.is_empty());
}

#[test]
fn parameters_are_of_a_queue() {
    let sends = one_send(
        12,
        b"SEND\ndurable:true\ndurable:false\nx-message-ttl:5\ndestination:/queue/q\npersistent:false\npersistent:true\nexpiration:x\npriority:256\n\n\0",
    );
    let parameters = [
        (b"durable".to_vec(), b"true".to_vec()),
        (b"x-message-ttl".to_vec(), b"5".to_vec()),
    ];
    assert_eq!(sends.likeness.parameters, parameters);
    let entry = sends.messages.entries[0];
    assert_eq!(
        (entry.priority, entry.flags, entry.expiration_ms),
        (0, 0, NO_EXPIRATION)
    );
    assert_eq!(
        sends.messages.properties(0),
        b"durable:true\nx-message-ttl:5\nexpiration:x\npriority:256\n"
    );
}

#[test]
fn versions_read_headers_differently() {
    let stream = b"SEND\ndestination : /queue/q \na\\cb: c\\\\ \n\nhi\0";
    assert_eq!(
        one_send(10, stream).messages.properties(0),
        b"a\\\\cb:c\\\\\\\\\n"
    );
    assert!(text_of(12, stream).starts_with("Missing header: "));
    let stream = b"SEND\ndestination:/queue/q\na\\cb: c\\\\ \n\nhi\0";
    for version in [11, 12] {
        assert_eq!(
            one_send(version, stream).messages.properties(0),
            b"a\\cb: c\\\\ \n"
        );
    }
}

#[test]
fn line_ends_are_the_versions() {
    let crlf = b"SEND\r\ndestination:/queue/q\r\na:b\r\n\r\nhi\0\r\n";
    for version in [10, 11, 12] {
        assert_eq!(
            one_send(version, crlf).messages.properties(0),
            b"a:b\n",
            "{version}"
        );
    }
    // In 1.1 only LF ends a line of a frame whose command LF ended.
    let mixed = b"SEND\ndestination:/queue/q\na:b\r\n\nhi\0\n";
    assert_eq!(one_send(11, mixed).messages.properties(0), b"a:b\\r\n");
    assert_eq!(one_send(12, mixed).messages.properties(0), b"a:b\n");
}

#[test]
fn alike_sends_are_one_run_whatever_their_receipts_and_sizes() {
    let mut stream = Vec::new();
    for number in 0..20 {
        let body = "x".repeat(number % 12);
        let line = format!(
            "SEND\nreceipt:m{number}\ndestination:/queue/q\nk:v\ncontent-length:{}\n\n{body}\0{}",
            body.len(),
            if number % 2 == 0 { "\n" } else { "" }
        );
        stream.extend_from_slice(line.as_bytes());
    }
    let sends = only_sends(decode(12, &stream));
    assert_eq!(sends.messages.entries.len(), 20);
    for number in 0..20 {
        assert_eq!(sends.messages.body(number).len(), number % 12);
        assert_eq!(sends.messages.properties(number), b"k:v\n");
        assert_eq!(sends.receipts.index(number), number as u32);
        assert_eq!(sends.receipts.id(number), format!("m{number}").as_bytes());
    }
}

#[test]
fn what_is_not_alike_ends_a_run_and_another_destination_does_not() {
    let send = |headers: &str| format!("SEND\n{headers}\n\n\0");
    let stream = [
        send("destination:/queue/a"),
        send("destination:/queue/b"),
        send("destination:/queue/a\nreceipt:x\\c"),
        send("destination:/topic/a"),
        send("destination:/topic/a\ntransaction:t"),
        send("destination:/topic/a\nreply-to:/temp-queue/t"),
        send("destination:/queue/a\nx-expires:1"),
        send("destination:/queue/a\nx-expires:2"),
        send("destination:/queue/a\nx-expires:2\nreceipt:r\\\\"),
    ]
    .concat();
    let counts: Vec<usize> = decode(12, stream.as_bytes())
        .into_iter()
        .map(|frame| match frame {
            Frame::Sends(sends) => {
                assert!(sends.receipts.is_empty() || sends.receipts.index(0) > 0);
                sends.messages.entries.len()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [3, 1, 1, 1, 1, 2]);
}

#[test]
fn acknowledgements_are_ranges() {
    let ack = |command: &str, id: &str| format!("{command}\n{id}\n\n\0");
    let stream = [
        ack("ACK", "id:3@@s@@1"),
        ack("ACK", "id:3@@s@@2"),
        ack("ACK", "id:3@@s@@4"),
        ack("ACK", "id:4@@s@@5"),
        ack("NACK", "id:4@@s@@6"),
        ack("NACK", "id:4@@s@@7\nrequeue:true"),
        ack("NACK", "id:4@@s@@8\nrequeue:false"),
        ack("ACK", "id:4@@s@@9\nreceipt:r"),
    ]
    .concat();
    let frames = decode(12, stream.as_bytes());
    let told: Vec<_> = frames[..6]
        .iter()
        .map(|frame| match frame {
            Frame::Settlement {
                channel,
                first,
                last,
                kind,
            } => (*channel, *first, *last, *kind),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, 1, 2, SettleKind::Ack),
            (3, 4, 4, SettleKind::Ack),
            (4, 5, 5, SettleKind::Ack),
            (4, 6, 6, SettleKind::Nack),
            (4, 7, 7, SettleKind::NackRequeue),
            (4, 8, 8, SettleKind::Reject),
        ]
    );
    assert!(matches!(
        frames[6],
        Frame::Stomp {
            command: "ACK",
            settled: Some((4, 9, SettleKind::Ack)),
            ..
        }
    ));
    for version in [10, 11] {
        let frames = decode(version, b"ACK\nmessage-id:3@@s@@1\nsubscription:0\n\n\0");
        assert!(matches!(
            frames[..],
            [Frame::Settlement {
                channel: 3,
                first: 1,
                last: 1,
                ..
            }]
        ));
    }
}

/// `stream` gives one violation, whose text begins so; whatever comes later is discarded.
fn check_violation(stream: &str, told: &str) {
    let text = text_of(12, stream.as_bytes());
    assert!(text.starts_with(told), "{stream:?}: {text}");
    let later = [stream.as_bytes(), b"\n\n", b"BEGIN\n\n\0"].concat();
    assert_eq!(text_of(12, &later), text);
}

#[test]
fn a_frame_that_is_none_is_told_so() {
    let long = |size| "a".repeat(size);
    let headers = "a:b\n".repeat(101);
    for (stream, told) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Unknown command: "),
        ("MESSAGE\n\n\0", "Unknown command: "),
        ("send\n\n\0", "Unknown command: "),
        (&long(33), "Command too long: "),
        ("SEND\0", "Malformed frame: NUL after"),
        ("CONNECT\n\n\0", "Already connected: "),
        (&format!("SEND\n{headers}\n\0"), "Too many headers: "),
        ("BEGIN\n\nbody\0", "Malformed frame: BEGIN has a body"),
        (
            "BEGIN\ncontent-length:1\n\nb\0",
            "Malformed frame: BEGIN has a body",
        ),
        ("ACK\n\n\0", "Missing header: ACK has no id"),
        ("ACK\nid:3@@t@@1\n\n\0", "Message not found: "),
        ("NACK\nid:3@@s@@1\nrequeue:maybe\n\n\0", "Invalid header: "),
    ] {
        check_violation(stream, told);
    }
    assert!(text_of(10, b"NACK\nmessage-id:3@@s@@1\n\n\0").starts_with("Unknown command: "));
    let mut frames = Vec::new();
    StompDecoder::new(4096).receive(b"SEND\ndestination:/queue/q\n\n\0", &mut frames);
    let [Frame::Violation(violation)] = &frames[..] else {
        panic!("{frames:?}");
    };
    assert!(violation.text.starts_with("Not connected: "));
}

#[test]
fn a_send_that_is_none_is_told_so() {
    for (headers, told) in [
        ("destination:/nowhere/q\n\n\0", "Unknown destination: "),
        ("destination:/temp-queue/q\n\n\0", "Invalid destination: "),
        ("destination:/queue/a%2\n\n\0", "Invalid destination: "),
        ("\n\0", "Missing header: SEND has no destination"),
    ] {
        check_violation(&format!("SEND\n{headers}"), told);
    }
    let body = "a".repeat(4096);
    for (rest, told) in [
        ("reply-to:/temp-queue/\n\n\0", "Invalid reply-to: "),
        ("message-id:1\n\n\0", "Invalid header: "),
        ("transaction:\n\n\0", "Invalid header: "),
        ("content-length:-1\n\n\0", "Invalid header: "),
        ("content-length:\n\n\0", "Invalid header: "),
        ("content-length:0x1\n\n\0", "Invalid header: "),
        (
            "content-length:99999999999999999999999\n\n\0",
            "Frame too large: ",
        ),
        ("content-length:4096\n\n\0", "Frame too large: "),
        ("content-length:2\n\nabc\0", "Malformed frame: no NUL"),
        ("content-length:2\n\0ab\0", "Malformed frame: NUL stands"),
        (&format!("\n{body}"), "Frame too large: "),
        ("a\n\n\0", "Malformed frame: "),
        (":a\n\n\0", "Malformed frame: "),
        ("a\\t:a\n\n\0", "Malformed frame: "),
        ("a:\0\n\n\0", "Malformed frame: NUL after"),
    ] {
        check_violation(&format!("SEND\ndestination:/queue/q\n{rest}"), told);
    }
    assert!(text_of(12, b"SEND\ndestination:/queue/q\na:\xff\n\n\0").contains("UTF-8"));
}

#[test]
fn limits_are_reached_and_not_passed() {
    let headers = (0..99).map(|number| format!("h{number}:\n"));
    let headers = headers.collect::<Vec<_>>().concat();
    let stream = format!("SEND\ndestination:/queue/q\n{headers}\n\0");
    assert_eq!(one_send(12, stream.as_bytes()).messages.entries.len(), 1);
    let head = "SEND\ndestination:/queue/q\n\n";
    let stream = format!("{head}{}\0", "a".repeat(4096 - head.len() - 1));
    assert_eq!(one_send(12, stream.as_bytes()).messages.entries.len(), 1);
    let mut decoder = opened(12);
    decoder.set_frame_size_max(1 << 20);
    for (size, fits) in [(LINE_SIZE_MAX - 2, true), (LINE_SIZE_MAX - 1, false)] {
        let mut frames = Vec::new();
        let stream = format!("SEND\ndestination:/queue/q\na:{}\n\n\0", "a".repeat(size));
        decoder.receive(stream.as_bytes(), &mut frames);
        assert_eq!(matches!(frames[..], [Frame::Sends(_)]), fits);
    }
}

#[test]
fn a_violation_names_the_receipt_that_was_asked_for() {
    let asked = violation_of(12, b"SEND\nreceipt:a\\cb\nreceipt:c\n\n\0");
    assert_eq!(asked.receipt_id, b"a:b");
    assert_eq!(violation_of(12, b"SEND\n\n\0").receipt_id, b"");
    assert_eq!(violation_of(12, b"FOO\nreceipt:a\n\n\0").receipt_id, b"a");
    assert_eq!(
        violation_of(
            12,
            b"SEND\ndestination:/queue/q\ncontent-length:1\nreceipt:a\n\nab"
        )
        .receipt_id,
        b"a"
    );
}

#[test]
fn what_can_only_mean_one_thing_is_taken() {
    // stomper leaves the blank line out.
    let frames = decode(11, b"DISCONNECT\nreceipt:77\n\0\n");
    assert_eq!(headers_of(&frames[0]), [("receipt", "77")]);
    assert_eq!(frames.len(), 1);
    // In 1.0 a body that means nothing is passed over.
    let frames = decode(
        10,
        b"BEGIN\ntransaction:1\n\nbody\0COMMIT\ncontent-length:2\n\na\0\0",
    );
    assert_eq!(frames.len(), 2);
    // A length that is no more than right.
    assert_eq!(decode(12, b"BEGIN\ncontent-length:0\n\n\0").len(), 1);
}

#[test]
fn line_ends_are_counted_but_for_a_frames_own() {
    let count = |stream: &[u8]| match decode(12, stream).pop() {
        Some(Frame::Eols { count }) => count,
        _ => 0,
    };
    assert_eq!(count(b"\n\r\n\n"), 2);
    assert_eq!(count(b"BEGIN\n\n\0\n"), 0);
    assert_eq!(count(b"BEGIN\n\n\0\r\n\n\nBEGIN\n\n\0"), 2);
    assert!(text_of(12, b"\rBEGIN\n\n\0").starts_with("Unknown command: "));
}

/// All that was said, with runs undone.
fn facts(frames: Vec<Frame>) -> Vec<String> {
    let mut facts = Vec::new();
    for frame in frames {
        match frame {
            Frame::Sends(sends) => {
                let run = &sends.messages;
                let mut receipts = (0..sends.receipts.len()).peekable();
                for (index, entry) in run.entries.iter().enumerate() {
                    let receipt =
                        receipts.next_if(|number| sends.receipts.index(*number) as usize == index);
                    let receipt = receipt.map(|number| sends.receipts.id(number));
                    facts.push(format!(
                        "{:?} {:?} {receipt:?} {:?} {:?} {:?}",
                        sends.likeness,
                        run.routing_key(entry.key),
                        run.properties(index),
                        run.body(index),
                        (entry.expiration_ms, entry.priority, entry.flags)
                    ));
                }
                assert_eq!(receipts.next(), None);
            }
            Frame::Settlement {
                channel,
                first,
                last,
                kind,
            } => {
                facts.extend((first..=last).map(|tag| format!("{channel} {tag} {kind:?}")));
            }
            Frame::Eols { .. } => {}
            other => facts.push(format!("{other:?}")),
        }
    }
    facts
}

#[test]
fn however_it_is_cut_the_facts_are_the_same_and_no_byte_is_kept_twice() {
    let large = format!(
        "SEND\ndestination:/queue/big\nreceipt:big\n\n{}\0",
        "y".repeat(70_000)
    );
    let stream = [
        CONNECT,
        b"\n\nSEND\ndestination:/queue/q\na:b\n\nhi\0\nSEND\ndestination:/queue/q\na:b\n\nho\0",
        b"SEND\r\ndestination:/queue/q\r\ncontent-length:3\r\nreceipt:1\r\n\r\n\0\0\0\0\r\n",
        b"ACK\nid:1@@s@@1\n\n\0ACK\nid:1@@s@@2\n\n\0SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0\n",
        large.as_bytes(),
        b"SEND\ndestination:/queue/q\n\nlast\0\n\nSEND\ndestination:/queue/\nreceipt:2\n\n\0 rest",
    ]
    .concat();
    let fed = |size: usize| {
        let mut decoder = StompDecoder::new(1 << 20);
        decoder.set_session(b"s".to_vec());
        let mut frames = Vec::new();
        for piece in stream.chunks(size) {
            decoder.receive(piece, &mut frames);
            if decoder.stopped() {
                decoder.set_version(12);
                decoder.resume(&mut frames);
            }
        }
        assert!(size == stream.len() || decoder.copied <= stream.len() + size);
        facts(frames)
    };
    let whole = fed(stream.len());
    assert_eq!(whole.len(), 10);
    for size in [1, 2, 3, 7, 50, 1000, 65_000] {
        assert_eq!(fed(size), whole, "in pieces of {size}");
    }
}

#[test]
fn a_long_body_without_length_is_looked_at_once() {
    let mut decoder = opened(12);
    decoder.set_frame_size_max(8 << 20);
    let mut frames = Vec::new();
    decoder.receive(b"SEND\ndestination:/queue/q\n\n", &mut frames);
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        decoder.receive(&[b'x'; 40], &mut frames);
    }
    // A second look at each byte for each piece would be 200 GB.
    assert!(start.elapsed().as_secs() < 20);
    decoder.receive(b"\0", &mut frames);
    let sends = only_sends(frames);
    assert_eq!(sends.messages.body(0).len(), 4_000_000);
    assert_eq!(decoder.buffered(), 0);
}
