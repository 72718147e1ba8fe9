//! What a STOMP message costs on its way in and out, in ns: `cargo bench --no-default-features --bench stomp_wire`.
//!
//! As `mqtt_wire.rs` measures MQTT.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use _kernel::decoder::{Decoder, Frame};
use _kernel::delivery_run::{DeliveryRun, Part};
use _kernel::stomp::decoder::StompDecoder;
use _kernel::stomp::message::{encode, Subscription};
use _kernel::stomp::receipt::Receipts;
use _kernel::stomp::run::Sends;

const READ_SIZE: usize = 256 << 10;
const ROUNDS: usize = 400;

struct Row {
    name: &'static str,
    headers: &'static str,
    /// Each message asks for a receipt of its own.
    receipts: bool,
    /// A header that is each message's own.
    numbered: bool,
    with_length: bool,
    body_size: usize,
    destination_count: usize,
}

fn send(row: &Row, number: usize) -> Vec<u8> {
    let mut out = b"SEND\n".to_vec();
    if row.with_length {
        out.extend_from_slice(format!("content-length:{}\n", row.body_size).as_bytes());
    }
    let destination = number % row.destination_count;
    out.extend_from_slice(format!("destination:/queue/bench-{destination}\n").as_bytes());
    out.extend_from_slice(row.headers.as_bytes());
    if row.receipts {
        out.extend_from_slice(format!("receipt:message-{number}\n").as_bytes());
    }
    if row.numbered {
        out.extend_from_slice(format!("correlation-id:{number}\n").as_bytes());
    }
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b'x', row.body_size));
    out.push(0);
    out
}

fn opened() -> StompDecoder {
    let mut decoder = StompDecoder::new(4 << 20);
    let mut frames = Vec::new();
    decoder.receive(b"CONNECT\naccept-version:1.2\n\n\0", &mut frames);
    decoder.set_version(12);
    decoder.set_session(b"session-1".to_vec());
    decoder.resume(&mut frames);
    decoder
}

fn only_run(frames: Vec<Frame>) -> Sends {
    let mut runs = frames.into_iter().map(|frame| match frame {
        Frame::Sends(sends) => *sends,
        other => panic!("{other:?}"),
    });
    let run = runs.next().expect("a run");
    assert!(runs.next().is_none());
    run
}

/// The best round's ns for each message; `work` does one round.
fn measure(message_count: usize, mut work: impl FnMut()) -> f64 {
    let mut best_s = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        best_s = best_s.min(start.elapsed().as_secs_f64());
    }
    best_s * 1e9 / f64::from(message_count as u32)
}

/// Decode, encode with and without `ack`, receipts.
fn measure_row(row: &Row) -> [f64; 4] {
    let size = send(row, 1000).len();
    let count = (READ_SIZE / size).min(8000);
    let stream: Vec<u8> = (0..count).flat_map(|number| send(row, number)).collect();
    let mut decoder = opened();
    let decode = measure(count, || {
        let mut frames = Vec::new();
        decoder.receive(black_box(&stream), &mut frames);
        black_box(frames);
    });
    let mut frames = Vec::new();
    decoder.receive(&stream, &mut frames);
    let sends = only_run(frames);
    assert_eq!(sends.messages.entries.len(), count);
    let receipts = Arc::new(sends.receipts);
    let answering = measure(count, || {
        let mut owed = Receipts::new(12);
        owed.add_sends(&receipts, Some(1)).expect("tags ascend");
        owed.confirm(1, count as u64);
        black_box(owed.take());
    });
    let part = Part {
        messages: Arc::new(sends.messages),
        first: 0,
        count: count as u32,
        redelivered: false,
        expires_ms: 0,
    };
    let run = DeliveryRun { parts: vec![part] };
    let encoding = |wants_ack| {
        let subscription = Subscription::new(Some(b"0"), 1, b"session-1", 12, wants_ack);
        measure(count, || {
            black_box(encode(black_box(&run), 1_000_000, &subscription));
        })
    };
    [decode, encoding(false), encoding(true), answering]
}

/// Of ACK frames in a row.
fn measure_acks() -> f64 {
    let ack = |tag: u64| format!("ACK\nid:1@@session-1@@{tag}\n\n\0").into_bytes();
    let stream: Vec<u8> = (1_000_000..1_004_000).flat_map(ack).collect();
    let mut decoder = opened();
    measure(4000, || {
        let mut frames = Vec::new();
        decoder.receive(black_box(&stream), &mut frames);
        assert_eq!(frames.len(), 1);
    })
}

fn main() {
    if cfg!(debug_assertions) {
        println!("not a release build: no figures");
        return;
    }
    println!("build profile: release (bench)");
    println!("ns a message                       decode  encode  and ack  receipts");
    let plain = Row {
        name: "16 B",
        headers: "",
        receipts: false,
        numbered: false,
        with_length: true,
        body_size: 16,
        destination_count: 1,
    };
    let few = "content-type:text/plain\npersistent:true\nx-site:turbin\n";
    for row in [
        Row {
            with_length: false,
            name: "16 B, no content-length",
            ..plain
        },
        Row { ..plain },
        Row {
            name: "16 B, receipts",
            receipts: true,
            ..plain
        },
        Row {
            name: "16 B, three headers",
            headers: few,
            ..plain
        },
        Row {
            name: "16 B, three headers, receipts",
            headers: few,
            receipts: true,
            ..plain
        },
        Row {
            name: "16 B, a header of its own",
            numbered: true,
            ..plain
        },
        Row {
            name: "16 B, 100 destinations",
            destination_count: 100,
            ..plain
        },
        Row {
            name: "1 KiB",
            body_size: 1024,
            ..plain
        },
        Row {
            name: "1 KiB, no content-length",
            body_size: 1024,
            with_length: false,
            ..plain
        },
        Row {
            name: "1 KiB, receipts",
            body_size: 1024,
            receipts: true,
            ..plain
        },
    ] {
        let [decode, encode, with_ack, receipts] = measure_row(&row);
        println!(
            "{:33} {decode:7.1} {encode:7.1} {with_ack:8.1} {receipts:9.1}",
            row.name
        );
    }
    println!("{:33} {:7.1}", "ACK", measure_acks());
}
