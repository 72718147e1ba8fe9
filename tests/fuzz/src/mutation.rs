//! Changes to inputs, most of them to whole frames, so that what lies behind the framing is reached.

use crate::mqtt::packet::{self, Varint};
use crate::web::frame as web_frame;

/// xorshift64*: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end.max(1)
    }
}

const SIZE_MAX: usize = 16 << 10;
const HEADER_SIZE: usize = 8;
const TELLING: [u8; 16] = [
    0, 1, 2, 3, 4, 8, 10, 20, 40, 50, 60, 0x7F, 0x80, 0xCE, 0xFE, 0xFF,
];

/// How a stream is made of frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A protocol header, then frames that end in 0xCE.
    Amqp,
    /// Packets.
    Mqtt,
    /// Frames that end in NUL, bodies with more of them aside.
    Stomp,
    /// WebSocket's frames.
    Web,
}

/// A changed copy of `input`; `other` lends frames.
pub fn mutate(input: &[u8], other: &[u8], framing: Framing, random: &mut Random) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..1 + random.below(4) {
        if random.below(4) == 0 {
            change_bytes(&mut out, random);
        } else {
            out = change_frames(&out, other, framing, random);
        }
    }
    out.truncate(SIZE_MAX);
    out
}

/// Each frame; the last may be cut short.
fn frames(stream: &[u8], framing: Framing) -> Vec<Vec<u8>> {
    match framing {
        Framing::Amqp => amqp_frames(stream),
        Framing::Mqtt => mqtt_packets(stream),
        Framing::Stomp => stomp_frames(stream),
        Framing::Web => web_frames(stream),
    }
}

fn stomp_frames(stream: &[u8]) -> Vec<Vec<u8>> {
    let frames = stream.split_inclusive(|byte| *byte == 0);
    let mut frames: Vec<Vec<u8>> = frames.map(<[u8]>::to_vec).collect();
    if frames.is_empty() {
        frames.push(Vec::new());
    }
    frames
}

fn mqtt_packets(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut rest) = (Vec::new(), stream);
    while packets.is_empty() || !rest.is_empty() {
        let size = match packet::varint(rest.get(1..).unwrap_or_default()) {
            Varint::Whole(size, head) => 1 + head + size,
            _ => rest.len(),
        };
        let (packet, after) = rest.split_at(size.min(rest.len()));
        packets.push(packet.to_vec());
        rest = after;
    }
    packets
}

/// The protocol header, and each frame.
/// A violation ends the frames: what follows it is of the last.
fn web_frames(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut frames, mut rest) = (Vec::new(), stream);
    while let Ok(Some(head)) = web_frame::head(rest) {
        let size = head.head_size.saturating_add(head.size as usize);
        let (frame, after) = rest.split_at(size.min(rest.len()));
        frames.push(frame.to_vec());
        rest = after;
    }
    if frames.is_empty() || !rest.is_empty() {
        frames.push(rest.to_vec());
    }
    frames
}

fn amqp_frames(stream: &[u8]) -> Vec<Vec<u8>> {
    let (header, mut rest) = stream.split_at(stream.len().min(HEADER_SIZE));
    let mut frames = vec![header.to_vec()];
    while !rest.is_empty() {
        let size = match rest {
            [_, _, _, 0, 0, s1, s0, ..] => 8 + usize::from(u16::from_be_bytes([*s1, *s0])),
            _ => rest.len(),
        };
        let (frame, after) = rest.split_at(size.min(rest.len()));
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

fn change_frames(stream: &[u8], other: &[u8], framing: Framing, random: &mut Random) -> Vec<u8> {
    let mut all = frames(stream, framing);
    let at = random.below(all.len());
    match random.below(7) {
        0 => {
            let copy = all[at].clone();
            all.insert(at + random.below(all.len() - at) + 1, copy);
        }
        1 => {
            all.remove(at);
        }
        2 => {
            let with = random.below(all.len());
            all.swap(at, with);
        }
        3 => {
            let lent = frames(other, framing);
            let from = random.below(lent.len());
            let to = from + random.below(lent.len() - from) + 1;
            let after = all.split_off(at);
            all.extend_from_slice(&lent[from..to]);
            all.extend(after);
        }
        4 => match (framing, &mut all[at][..]) {
            (Framing::Amqp, [_, c1, c0, ..]) => (*c1, *c0) = (0, random.below(4) as u8),
            (Framing::Mqtt | Framing::Web, [first, ..]) => *first ^= 1 << random.below(8),
            _ => {}
        },
        _ if framing == Framing::Mqtt => change_body(&mut all[at], random),
        _ if framing == Framing::Stomp => change_lines(&mut all[at], random),
        _ if framing == Framing::Web => change_bytes(&mut all[at], random),
        _ => change_payload(&mut all[at], random),
    }
    all.concat()
}

/// Puts a line that means something behind one of a frame's, or changes bytes.
fn change_lines(frame: &mut Vec<u8>, random: &mut Random) {
    const LINES: [&[u8]; 20] = [
        b"receipt:r\n",
        b"receipt:a\\c\n",
        b"destination:/queue/a\n",
        b"destination:/topic/a%2Fb\n",
        b"content-length:2\n",
        b"content-length:0\n",
        b"transaction:t\n",
        b"persistent:true\n",
        b"expiration:10\n",
        b"priority:4\n",
        b"reply-to:/temp-queue/t\n",
        b"x-max-length:1\n",
        b"requeue:false\n",
        b"id:1@@s-1@@2\n",
        b"message-id:1@@s-1@@3\n",
        b"a\\n:b\\r\n",
        b"user-id:u\r\n",
        b"\r\n",
        b"SEND\n",
        b"ACK\n",
    ];
    let ends = frame.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let places: Vec<usize> = ends.map(|(at, _)| at + 1).collect();
    if places.is_empty() || random.below(3) == 0 {
        return change_bytes(frame, random);
    }
    let at = places[random.below(places.len())];
    let line = LINES[random.below(LINES.len())];
    frame.splice(at..at, line.iter().copied());
}

/// Changes what a packet holds and makes its size right again.
fn change_body(packet: &mut Vec<u8>, random: &mut Random) {
    let Varint::Whole(_, head) = packet::varint(packet.get(1..).unwrap_or_default()) else {
        return;
    };
    let mut body = packet[1 + head..].to_vec();
    change_bytes(&mut body, random);
    packet.truncate(1);
    packet::put_varint(packet, body.len());
    packet.extend_from_slice(&body);
}

/// Changes what a frame holds and makes its size and end right again.
fn change_payload(frame: &mut Vec<u8>, random: &mut Random) {
    if frame.len() < 8 {
        return;
    }
    let mut payload = frame[7..frame.len() - 1].to_vec();
    change_bytes(&mut payload, random);
    frame.truncate(3);
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    frame.extend_from_slice(&payload);
    frame.push(0xCE);
}

fn change_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(TELLING[random.below(TELLING.len())]);
        return;
    }
    let at = random.below(bytes.len());
    match random.below(7) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = TELLING[random.below(TELLING.len())],
        2 => {
            bytes[at] = bytes[at]
                .wrapping_add(random.below(5) as u8)
                .wrapping_sub(2)
        }
        3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
        4 => {
            let end = (at + 1 + random.below(8)).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let end = (at + 1 + random.below(32)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => {
            // A field of a table, or its start.
            let kinds = b"tbBsuIilfdDSATFVx";
            let field = [
                1,
                b'k',
                kinds[random.below(kinds.len())],
                0,
                0,
                0,
                random.below(9) as u8,
            ];
            bytes.splice(at..at, field);
        }
    }
}
