//! What an MQTT message costs on its way in and out, in ns: `cargo bench --no-default-features --bench mqtt_wire`.
//!
//! As `wire.rs` measures AMQP. `fan-out` is what each subscriber after the first costs.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use _kernel::decoder::{Decoder, Frame};
use _kernel::delivery_run::{DeliveryRun, Part};
use _kernel::message_run::MessageRun;
use _kernel::mqtt::decoder::MqttDecoder;
use _kernel::mqtt::encoder::{encode, Grants, Shape};
use _kernel::mqtt::fan_out::{FanOut, Made, Wanted};
use _kernel::mqtt::grant::Grant;

const READ_SIZE: usize = 256 << 10;
const ROUNDS: usize = 400;

struct Row {
    name: &'static str,
    version: u8,
    qos: u8,
    properties: &'static [u8],
    body_size: usize,
    topic_count: usize,
    alone: bool,
}

fn publish(row: &Row, number: usize) -> Vec<u8> {
    let topic = format!("sensors/{}/temperature", number % row.topic_count);
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if row.qos > 0 {
        body.extend_from_slice(&(1 + (number % 65_535) as u16).to_be_bytes());
    }
    if row.version == 5 {
        body.push(row.properties.len() as u8);
        body.extend_from_slice(row.properties);
    }
    body.extend(std::iter::repeat_n(b'x', row.body_size));
    let mut out = vec![0x30 | row.qos << 1];
    _kernel::mqtt::packet::put_varint(&mut out, body.len());
    out.extend_from_slice(&body);
    out
}

fn opened(version: u8) -> MqttDecoder {
    let mut decoder = MqttDecoder::new(1 << 20);
    let mut frames = Vec::new();
    decoder.receive(b"\x10\x07\0\x04MQTT", &mut frames);
    decoder.receive(&[version], &mut frames);
    decoder.resume(&mut frames);
    decoder
}

fn only_run(frames: Vec<Frame>) -> (MessageRun, Vec<u16>) {
    let mut runs = frames.into_iter().map(|frame| match frame {
        Frame::Publishes {
            messages,
            packet_ids,
            ..
        } => (messages, packet_ids),
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

/// Decode, encode, fan-out.
fn measure_row(row: &Row) -> [f64; 3] {
    let size = publish(row, 0).len();
    let count = if row.alone {
        1
    } else {
        (READ_SIZE / size).min(8000)
    };
    let stream: Vec<u8> = (0..count).flat_map(|number| publish(row, number)).collect();
    let mut decoder = opened(row.version);
    let decode = measure(count, || {
        let mut frames = Vec::new();
        decoder.receive(black_box(&stream), &mut frames);
        black_box(frames);
    });
    let mut frames = Vec::new();
    decoder.receive(&stream, &mut frames);
    let (run, ids) = only_run(frames);
    assert_eq!(run.entries.len(), count);
    let part = Part {
        messages: Arc::new(run),
        first: 0,
        count: count as u32,
        redelivered: false,
        expires_ms: 0,
    };
    let run = DeliveryRun { parts: vec![part] };
    let grant = Grant::new(row.qos, false, Vec::new()).expect("a grant");
    let ids = (row.qos > 0).then_some(&ids[..]);
    let shape = Shape {
        version: row.version,
        packet_size_max: 1 << 20,
    };
    let made = || encode(black_box(&run), Grants::One(&grant), ids, shape, 0, None);
    let encoding = measure(count, || {
        black_box(made());
    });
    assert_eq!(made().wire, stream);
    let wanted = Wanted {
        run: &run,
        grant: &grant,
        packet_ids: ids,
        shape,
        now_ms: 0,
    };
    let mut fan_out = FanOut::default();
    fan_out.insert(wanted.class().expect("few parts"), Made::new(made()));
    let sharing = measure(count, || {
        let made = fan_out.find(black_box(&wanted)).expect("it was made");
        black_box(made.with_ids(ids));
    });
    [decode, encoding, sharing]
}

fn main() {
    if cfg!(debug_assertions) {
        println!("not a release build: no figures");
        return;
    }
    println!("build profile: release (bench)");
    println!("ns a message                  decode  encode  fan-out");
    let row = |name, version, qos, properties, body_size, topic_count, alone| Row {
        name,
        version,
        qos,
        properties,
        body_size,
        topic_count,
        alone,
    };
    let user: &[u8] = b"\x26\0\x04site\0\x06turbin";
    for row in [
        row("3.1.1 QoS 0 16 B", 4, 0, b"", 16, 1, false),
        row("3.1.1 QoS 0 16 B, 100 topics", 4, 0, b"", 16, 100, false),
        row("5 QoS 0 16 B", 5, 0, b"", 16, 1, false),
        row("5 QoS 0 16 B, user property", 5, 0, user, 16, 1, false),
        row("3.1.1 QoS 1 16 B", 4, 1, b"", 16, 1, false),
        row("5 QoS 2 16 B", 5, 2, b"", 16, 1, false),
        row("3.1.1 QoS 0 1 KiB", 4, 0, b"", 1024, 1, false),
        row("3.1.1 QoS 0 16 B, one alone", 4, 0, b"", 16, 1, true),
    ] {
        let [decode, encode, sharing] = measure_row(&row);
        println!("{:28} {decode:7.1} {encode:7.1} {sharing:8.1}", row.name);
    }
}
