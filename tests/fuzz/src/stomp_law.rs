//! What must hold for any bytes that should be STOMP: no panic, the same facts however they are cut, nothing held past
//! the limits, and whatever came through is sent again and read the same.

use std::sync::Arc;

use crate::decoder::{Decoder, Frame, SettleKind};
use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::{flags, NO_EXPIRATION};
use crate::stomp::decoder::StompDecoder;
use crate::stomp::destination;
use crate::stomp::header::put_line;
use crate::stomp::message::{encode, Subscription};
use crate::stomp::receipt::Receipts;
use crate::stomp::run::Sends;
use crate::stomp::send::Likeness;

const FRAME_SIZE_MAX: usize = 2048;
const SESSION: &[u8] = b"s-1";

/// One frame with runs undone, comparable.
#[derive(Debug, PartialEq)]
enum Fact {
    Send(Box<Message>),
    Settled(u16, u64, SettleKind),
    Frame(String),
    Violation(String, Vec<u8>),
}

#[derive(Debug, PartialEq)]
struct Message {
    likeness: Likeness,
    names: [Vec<u8>; 2],
    properties: Vec<u8>,
    body: Vec<u8>,
    /// Flags, expiration, priority.
    entry: (u8, u32, u8),
    receipt: Option<Vec<u8>>,
}

/// Panics where a law is broken.
pub fn check(input: &[u8]) {
    let version = 10 + (input.len() % 3) as u8;
    let whole = decode(&[input], version);
    let seed = input.iter().fold(input.len(), |seed, &byte| {
        seed.wrapping_mul(31).wrapping_add(byte as usize)
    });
    let (first, second) = input.split_at(seed % (input.len() + 1));
    assert_eq!(decode(&[first, second], version), whole, "cut in two");
    let size = 1 + seed % 40;
    let pieces: Vec<&[u8]> = input.chunks(size).collect();
    let cut = decode(&pieces, version);
    assert_eq!(cut, whole, "cut into pieces of {size}");
}

/// Facts, and how many line ends there were.
fn decode(pieces: &[&[u8]], version: u8) -> (Vec<Fact>, u32) {
    let mut decoder = StompDecoder::new(FRAME_SIZE_MAX);
    decoder.set_session(SESSION.to_vec());
    let (mut facts, mut eols, mut ended) = (Vec::new(), 0, false);
    for piece in pieces {
        let mut frames = Vec::new();
        decoder.receive(piece, &mut frames);
        while decoder.stopped() {
            decoder.set_version(version);
            decoder.resume(&mut frames);
        }
        let held = decoder.buffered();
        assert!(held <= FRAME_SIZE_MAX, "holds {held}");
        assert!(frames.is_empty() || !ended, "frames after the end");
        for frame in frames {
            assert!(!ended, "frames after the end");
            ended = matches!(frame, Frame::Violation(_));
            match frame {
                Frame::Eols { count } => eols += count,
                other => take(other, &mut facts),
            }
        }
    }
    (facts, eols)
}

fn take(frame: Frame, facts: &mut Vec<Fact>) {
    match frame {
        Frame::Sends(sends) => {
            let messages = messages_of(&sends);
            for message in &messages {
                send_again(message);
            }
            hand_on(*sends);
            let sends = messages.into_iter().map(Box::new);
            facts.extend(sends.map(Fact::Send));
        }
        Frame::Settlement {
            channel,
            first,
            last,
            kind,
        } => facts.extend((first..=last).map(|tag| Fact::Settled(channel, tag, kind))),
        Frame::Stomp { .. } => facts.push(Fact::Frame(format!("{frame:?}"))),
        Frame::Violation(violation) => {
            assert!(violation.connection);
            assert!(violation.text.contains(": "));
            facts.push(Fact::Violation(violation.text, violation.receipt_id));
        }
        other => panic!("{other:?}"),
    }
}

fn messages_of(sends: &Sends) -> Vec<Message> {
    let run = &sends.messages;
    let mut receipts = (0..sends.receipts.len()).peekable();
    let messages = run.entries.iter().enumerate().map(|(index, entry)| {
        let receipt = receipts.next_if(|number| sends.receipts.index(*number) as usize == index);
        Message {
            likeness: sends.likeness.clone(),
            names: [
                run.exchange(entry.key).to_vec(),
                run.routing_key(entry.key).to_vec(),
            ],
            properties: run.properties(index).to_vec(),
            body: run.body(index).to_vec(),
            entry: (entry.flags, entry.expiration_ms, entry.priority),
            receipt: receipt.map(|number| sends.receipts.id(number).to_vec()),
        }
    });
    let messages = messages.collect();
    assert_eq!(receipts.next(), None);
    messages
}

/// What was understood is understood again when it is written by the rules of 1.2.
fn send_again(message: &Message) {
    let (of_entry, expiration_ms, _) = message.entry;
    let mut wire = b"SEND\n".to_vec();
    let mut put = |name: &[u8], value: &[u8]| put_line(&mut wire, name, value, 12);
    put(
        b"destination",
        &destination::shown(&message.names[0], &message.names[1]),
    );
    if let Some(receipt) = &message.receipt {
        put(b"receipt", receipt);
    }
    if !message.likeness.transaction.is_empty() {
        put(b"transaction", &message.likeness.transaction);
    }
    if of_entry & flags::PERSISTENT != 0 {
        put(b"persistent", b"true");
    }
    if expiration_ms != NO_EXPIRATION {
        put(b"expiration", expiration_ms.to_string().as_bytes());
    }
    // Without need it could be a header too many.
    if message.body.contains(&0) {
        put(b"content-length", message.body.len().to_string().as_bytes());
    }
    wire.extend_from_slice(&message.properties);
    wire.push(b'\n');
    wire.extend_from_slice(&message.body);
    wire.push(0);
    let mut decoder = StompDecoder::new(16 * FRAME_SIZE_MAX);
    let mut frames = Vec::new();
    decoder.receive(b"CONNECT\naccept-version:1.2\n\n\0", &mut frames);
    decoder.set_version(12);
    decoder.resume(&mut frames);
    frames.clear();
    decoder.receive(&wire, &mut frames);
    let [Frame::Sends(sends)] = &frames[..] else {
        panic!("{frames:?}");
    };
    let mut again = messages_of(sends);
    let mut again = again.pop().expect("one");
    // Some destinations have two names.
    again.likeness.kind = message.likeness.kind;
    if again.likeness.parameters != message.likeness.parameters {
        assert!(again.likeness.parameters.is_empty() != message.likeness.parameters.is_empty());
        again.likeness.parameters = message.likeness.parameters.clone();
    }
    assert_eq!(again, *message);
}

/// Whatever was sent is delivered in each version, a frame for each, and receipts come in order.
fn hand_on(sends: Sends) {
    let count = sends.messages.entries.len();
    let mut receipts = Receipts::new(12);
    let owed = Arc::new(sends.receipts);
    receipts.add_sends(&owed, Some(7)).expect("tags ascend");
    receipts.confirm(0, 6 + count as u64);
    assert!(receipts.is_empty() || !receipts.take().is_empty());
    assert!(receipts.is_empty());
    let deliveries = DeliveryRun {
        parts: vec![Part {
            messages: Arc::new(sends.messages),
            first: 0,
            count: count as u32,
            redelivered: true,
            expires_ms: 0,
        }],
    };
    for version in 10..=12 {
        let subscription = Subscription::new(Some(b"a:1"), 1, SESSION, version, true);
        let wire = encode(&deliveries, 95, &subscription);
        assert!(wire.starts_with(b"MESSAGE\nsubscription:a"));
        assert!(wire.ends_with(b"\0\n"));
        let bodies = deliveries.parts[0].entries().iter();
        let bodies: usize = bodies.map(|entry| entry.body.size as usize).sum();
        assert!(wire.len() > bodies + count * 80);
    }
}
