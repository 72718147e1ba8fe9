//! What a message costs between the wire and the log, in ns: `cargo bench --no-default-features --bench wire`.
//!
//! Plain loops over whole reads of 256 KiB, as the poller hands them over; the best of many rounds, so
//! that a busy machine shows least. Targets stand beside (`docs/performance.md` has the whole path).

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use _kernel::amqp::decoder::AmqpDecoder;
use _kernel::amqp::encoder;
use _kernel::decoder::{Decoder, Frame};
use _kernel::delivery_run::{DeliveryRun, Part};
use _kernel::message_run::MessageRun;
use _kernel::record_batch;

const READ_SIZE: usize = 256 << 10;
const FRAME_SIZE_MAX: usize = 131_072;
const ROUNDS: usize = 400;

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xCE);
    out
}

/// A persistent publish to the default exchange, as pika writes it.
fn publish(routing_key: &str, body: &[u8]) -> Vec<u8> {
    let mut method = b"\0\x3c\0\x28\0\0\0".to_vec();
    method.push(routing_key.len() as u8);
    method.extend_from_slice(routing_key.as_bytes());
    method.push(0);
    let mut header = b"\0\x3c\0\0".to_vec();
    header.extend_from_slice(&(body.len() as u64).to_be_bytes());
    header.extend_from_slice(&[0x10, 0, 2]);
    [
        frame(1, 1, &method),
        frame(2, 1, &header),
        frame(3, 1, body),
    ]
    .concat()
}

fn opened() -> AmqpDecoder {
    let mut decoder = AmqpDecoder::new(FRAME_SIZE_MAX, 16 << 20);
    let mut frames = Vec::new();
    decoder.receive(b"AMQP\0\0\x09\x01", &mut frames);
    decoder.resume(&mut frames);
    decoder.receive(&frame(1, 0, b"\0\x0a\0\x28\x01/\0\0"), &mut frames);
    decoder.resume(&mut frames);
    decoder
}

fn only_run(frames: Vec<Frame>) -> MessageRun {
    let mut runs = frames.into_iter().map(|frame| match frame {
        Frame::Messages { run, .. } => run,
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

fn measure_size(body_size: usize, key_count: usize, message_count: usize) -> [f64; 4] {
    let body = vec![b'x'; body_size];
    let messages = (0..message_count).map(|i| publish(&format!("queue-{}", i % key_count), &body));
    let stream: Vec<u8> = messages.flatten().collect();
    let mut decoder = opened();
    let decode = measure(message_count, || {
        let mut frames = Vec::new();
        decoder.receive(black_box(&stream), &mut frames);
        black_box(frames);
    });
    let mut frames = Vec::new();
    decoder.receive(&stream, &mut frames);
    let run = Arc::new(only_run(frames));
    assert_eq!(run.entries.len(), message_count);
    let deliveries = DeliveryRun {
        parts: vec![Part {
            messages: run.clone(),
            first: 0,
            count: message_count as u32,
            redelivered: false,
            expires_ms: 0,
        }],
    };
    let encode = measure(message_count, || {
        let run = black_box(&deliveries);
        black_box(encoder::encode_deliveries(
            run,
            1,
            b"ctag",
            1,
            FRAME_SIZE_MAX,
        ));
    });
    let mut out = Vec::new();
    let batch = measure(message_count, || {
        out.clear();
        black_box(record_batch::encode(black_box(&run), 1, &mut out));
    });
    out.clear();
    record_batch::encode(&run, 1, &mut out);
    let frame = bytes::Bytes::from(out);
    let read = measure(message_count, || {
        black_box(record_batch::decode(black_box(&frame), 0, frame.len())).expect("whole");
    });
    [decode, encode, batch, read]
}

fn main() {
    if cfg!(debug_assertions) {
        println!("not a release build: no figures");
        return;
    }
    println!("build profile: release (bench)");
    println!("ns a message              decode  encode  batch  unbatch");
    let rows = [
        ("16 B, read of 256 KiB", 16, 1, READ_SIZE / 90, "30 22 53"),
        ("16 B, 100 keys", 16, 100, READ_SIZE / 90, ""),
        (
            "1 KiB, read of 256 KiB",
            1024,
            1,
            READ_SIZE / 1100,
            "60 45 246",
        ),
        ("16 B, one alone", 16, 1, 1, "1000 in all"),
        ("1 KiB, one alone", 1024, 1, 1, "1000 in all"),
    ];
    for (name, size, keys, count, target) in rows {
        let [decode, encode, batch, read] = measure_size(size, keys, count);
        println!("{name:24} {decode:7.1} {encode:7.1} {batch:6.1} {read:8.1}   (target {target})");
    }
}
