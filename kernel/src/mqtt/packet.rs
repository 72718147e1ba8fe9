//! A control packet's fixed header (specification 2.1): type and flags, then how much follows.

use crate::decoder::Violation;
use crate::mqtt::reason_code::{MALFORMED_PACKET, PROTOCOL_ERROR};

pub const CONNECT: u8 = 1;
pub const PUBLISH: u8 = 3;
pub const PUBACK: u8 = 4;
pub const PUBREC: u8 = 5;
pub const PUBREL: u8 = 6;
pub const PUBCOMP: u8 = 7;
pub const SUBSCRIBE: u8 = 8;
pub const UNSUBSCRIBE: u8 = 10;
pub const PINGREQ: u8 = 12;
pub const DISCONNECT: u8 = 14;
pub const AUTH: u8 = 15;

/// The flags of a PUBLISH.
pub const DUP: u8 = 8;
pub const RETAIN: u8 = 1;
pub const QOS_MAX: u8 = 2;

/// A variable byte integer has at most so many bytes.
const VARINT_SIZE_MAX: usize = 4;
/// The largest remaining length.
pub const BODY_SIZE_MAX: usize = (1 << 28) - 1;

const NAMES: [&str; 16] = [
    "reserved packet type 0",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

pub fn name(kind: u8) -> &'static str {
    NAMES[usize::from(kind)]
}

/// The flags that a type's packets have; PUBLISH's have meanings instead.
pub fn flags_of(kind: u8) -> u8 {
    match kind {
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => 2,
        _ => 0,
    }
}

/// What bytes that should be a variable byte integer (1.5.5) are. A longer form than needed is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varint {
    /// Value and size.
    Whole(usize, usize),
    /// The bytes end before it does.
    Part,
    TooLong,
}

#[inline]
pub fn varint(data: &[u8]) -> Varint {
    let mut value = 0;
    for (at, byte) in data.iter().take(VARINT_SIZE_MAX).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Varint::Whole(value, at + 1);
        }
    }
    if data.len() < VARINT_SIZE_MAX {
        Varint::Part
    } else {
        Varint::TooLong
    }
}

/// Appends a variable byte integer in its shortest form; `value` is at most [`BODY_SIZE_MAX`].
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: usize) {
    assert!(value <= BODY_SIZE_MAX, "four bytes of seven bits");
    let mut rest = value;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// How many bytes [`put_varint`] appends.
#[inline]
pub fn varint_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Whether a client may send a packet that begins with this byte. `version`: 0, 3, 4 or 5.
///
/// # Errors
/// It may not.
#[inline]
pub fn check_first_byte(first: u8, version: u8) -> Result<(), Violation> {
    let (kind, flags) = (first >> 4, first & 0xF);
    if kind == PUBLISH {
        let qos = flags >> 1 & 3;
        if qos > QOS_MAX {
            return Err(malformed("PUBLISH with QoS 3"));
        }
        if qos == 0 && flags & DUP != 0 {
            return Err(malformed("PUBLISH of QoS 0 with DUP"));
        }
        return Ok(());
    }
    check_other_first_byte(kind, flags, version)
}

fn check_other_first_byte(kind: u8, flags: u8, version: u8) -> Result<(), Violation> {
    match kind {
        0 => return Err(malformed("packet type 0")),
        AUTH if version < 5 => return Err(malformed("packet type 15")),
        2 | 9 | 11 | 13 => {
            let text = format!("{} is sent by servers only", name(kind));
            return Err(Violation::new(PROTOCOL_ERROR, text));
        }
        _ => {}
    }
    let expected = flags_of(kind);
    // 3.1 has DUP on whatever may be sent again.
    let again = version == 3 && expected != 0 && flags == expected | DUP;
    if flags != expected && !again {
        let text = format!("{} with flags {flags:#x}, not {expected:#x}", name(kind));
        return Err(malformed(text));
    }
    Ok(())
}

pub fn malformed(text: impl Into<String>) -> Violation {
    Violation::new(MALFORMED_PACKET, text)
}

pub fn protocol_error(text: impl Into<String>) -> Violation {
    Violation::new(PROTOCOL_ERROR, text)
}

/// The two bytes at the front and what follows them.
#[inline]
pub fn split_u16(data: &[u8]) -> Option<(u16, &[u8])> {
    let (bytes, rest) = data.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*bytes), rest))
}

/// A string or binary data at the front (1.5.4, 1.5.6): its bytes, and what follows them.
#[inline]
pub fn split_string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = split_u16(data)?;
    rest.split_at_checked(usize::from(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_comes_back_and_is_as_long_as_was_said() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            268_435_455,
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_size(value));
            assert_eq!(varint(&out), Varint::Whole(value, out.len()));
            for size in 0..out.len() {
                assert_eq!(varint(&out[..size]), Varint::Part);
            }
        }
        assert_eq!(varint(&[0xFF; 4]), Varint::TooLong);
        assert_eq!(varint(&[0x80, 0]), Varint::Whole(0, 2));
    }

    #[test]
    fn each_first_byte_is_allowed_or_not() {
        let allowed = |version| -> Vec<u8> {
            (0..=255)
                .filter(|first| check_first_byte(*first, version).is_ok())
                .collect()
        };
        let publishes = [0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3A, 0x3B, 0x3C, 0x3D];
        let rest = [0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0];
        let v4 = [&[0x10][..], &publishes, &rest].concat();
        assert_eq!(allowed(4), v4);
        assert_eq!(allowed(5), [&v4[..], &[0xF0]].concat());
        let mut v3 = [&v4[..], &[0x6A, 0x8A, 0xAA]].concat();
        v3.sort_unstable();
        assert_eq!(allowed(3), v3);
    }
}
