use super::*;
use crate::message_run::{flags, Facts, NO_EXPIRATION};
use crate::run_builder::RunBuilder;

fn sample(count: usize) -> MessageRun {
    sample_of(Origin::Amqp091, count)
}

fn sample_of(origin: Origin, count: usize) -> MessageRun {
    let mut builder = RunBuilder::new(origin);
    for number in 0..count {
        let key = builder.key(b"orders", format!("a.{}", number % 3).as_bytes());
        let facts = Facts {
            expiration_ms: if number % 2 == 0 {
                NO_EXPIRATION
            } else {
                number as u32
            },
            priority: number as u8,
            flags: flags::PERSISTENT,
        };
        builder.push(key, &[0x10, 0, 2], &vec![number as u8; number * 50], facts);
    }
    builder.finish()
}

type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u32, u8, u8);

fn rows(run: &MessageRun) -> Vec<Row> {
    (0..run.entries.len())
        .map(|index| {
            let entry = run.entries[index];
            (
                run.exchange(entry.key).to_vec(),
                run.routing_key(entry.key).to_vec(),
                run.properties(index).to_vec(),
                run.body(index).to_vec(),
                entry.expiration_ms,
                entry.priority,
                entry.flags,
            )
        })
        .collect()
}

#[test]
fn a_run_comes_back_from_its_frame_and_from_its_layout() {
    let run = sample(40);
    let mut out = b"WAVE".to_vec();
    let layout = encode(&run, 1_700_000_000_123, &mut out);
    let buffer = Bytes::from(out);
    let moved = MessageRun {
        origin: run.origin,
        buffer: buffer.clone(),
        entries: layout.entries,
        dictionary: layout.dictionary,
    };
    let decoded = decode(&buffer, 4, buffer.len() - 4).unwrap();
    assert_eq!(rows(&moved), rows(&run));
    assert_eq!(rows(&decoded), rows(&run));
    assert_eq!(time_ms(&buffer[4..]), Ok(1_700_000_000_123));
}

#[test]
fn a_stomp_message_comes_back() {
    let run = sample_of(Origin::Stomp, 5);
    let mut out = Vec::new();
    encode(&run, 7, &mut out);
    assert_eq!(out[0], 2);
    let buffer = Bytes::from(out);
    let decoded = decode(&buffer, 0, buffer.len()).unwrap();
    assert_eq!(rows(&decoded), rows(&run));
    assert_eq!(decoded.origin, Origin::Stomp);
}

#[test]
fn a_topic_is_as_long_as_mqtt_allows() {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    let topic = vec![b't'; 65_535];
    let key = builder.key(b"amq.topic", &topic);
    builder.push(
        key,
        b"",
        b"body",
        Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 0,
            flags: 0,
        },
    );
    for run in [builder.finish(), sample_of(Origin::Mqtt, 5)] {
        let mut out = Vec::new();
        encode(&run, 7, &mut out);
        let buffer = Bytes::from(out);
        let decoded = decode(&buffer, 0, buffer.len()).unwrap();
        assert_eq!(rows(&decoded), rows(&run));
        assert_eq!(decoded.origin, Origin::Mqtt);
    }
}

#[test]
fn any_flipped_bit_and_any_missing_byte_is_found() {
    let mut out = Vec::new();
    encode(&sample(3), 7, &mut out);
    for bit in 0..out.len() * 8 {
        let mut damaged = out.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let size = damaged.len();
        assert!(decode(&damaged.into(), 0, size).is_err(), "bit {bit}");
    }
    let whole = Bytes::from(out);
    for size in 0..whole.len() {
        assert!(decode(&whole, 0, size).is_err());
    }
    assert!(decode(&whole, 1, whole.len()).is_err());
    assert!(decode(&whole, usize::MAX, 2).is_err());
}

#[test]
fn a_frame_with_a_right_checksum_and_wrong_bytes_is_refused_or_read_but_never_panics() {
    let mut out = Vec::new();
    encode(&sample(5), 7, &mut out);
    let batch_at = open(&out).unwrap().batch_at;
    let mut refused = 0;
    for at in batch_at + HEADER_SIZE..out.len() {
        for value in [0, 1, 2, 0x7F, 0x80, 0xFF] {
            let mut hostile = out.clone();
            hostile[at] = value;
            seal(&mut hostile[batch_at..], 7, 4, 5);
            let buffer = Bytes::from(hostile);
            refused += usize::from(decode(&buffer, 0, buffer.len()).is_err());
            let _ = retain(&buffer, &[1..2, 3..4]);
        }
    }
    assert!(refused > 200);
}

#[test]
fn retained_records_keep_their_numbers_also_when_retained_again() {
    let run = sample(20);
    let mut out = Vec::new();
    encode(&run, 7, &mut out);
    let once = retain(&out, &[0..2, 5..6, 9..15, 19..40]).unwrap().unwrap();
    let twice = retain(&once, &[1..10, 14..19]).unwrap().unwrap();
    let all = rows(&run);
    for (frame, numbers) in [
        (once, vec![0, 1, 5, 9, 10, 11, 12, 13, 14, 19]),
        (twice, vec![1, 5, 9, 14]),
    ] {
        let buffer = Bytes::from(frame);
        let retained = decode_retained(&buffer, 0, buffer.len()).unwrap();
        assert_eq!(retained.numbers, numbers);
        assert_eq!(record_numbers(&buffer).unwrap(), numbers);
        let kept: Vec<_> = numbers.iter().map(|&n| all[n as usize].clone()).collect();
        assert_eq!(rows(&retained.run), kept);
        assert!(decode(&buffer, 0, buffer.len()).is_err());
    }
    assert_eq!(retain(&out, &[30..40, 50..60]), Ok(None));
}

#[test]
fn varints_are_as_long_as_reckoned() {
    for number in [
        0,
        1,
        63,
        64,
        8191,
        8192,
        (1 << 20) - 1,
        1 << 20,
        i32::MAX as u32,
    ] {
        let mut out = [0; VARINT_SIZE_MAX];
        let size = put_varint(&mut out, 0, number);
        assert_eq!(size, varint_size(number));
        let mut reader = Reader {
            frame: &out[..size],
            at: 0,
        };
        assert_eq!(reader.varint(), Ok(number));
        assert!(reader.is_empty());
    }
}
