//! The head of a WebSocket frame (RFC 6455, 5.2), and a payload unmasked (5.3).

use crate::decoder::Violation;
use crate::web::close_code::PROTOCOL_ERROR;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Bytes of a control frame's payload.
pub const CONTROL_SIZE_MAX: usize = 125;
/// Bytes of a masked frame's head.
pub const HEAD_SIZE_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a client's frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub fin: bool,
    pub opcode: u8,
    /// Bytes of the payload.
    pub size: u64,
    pub mask: [u8; 4],
    /// Bytes of the head itself.
    pub head_size: usize,
}

pub fn is_control(opcode: u8) -> bool {
    opcode & 8 != 0
}

pub fn wrong(text: impl Into<String>) -> Violation {
    Violation::new(PROTOCOL_ERROR, text)
}

/// The head that `data` begins with, once all of it is there; what is wrong with it is told as soon as it is seen.
///
/// # Errors
/// It is none that a client may send.
pub fn head(data: &[u8]) -> Result<Option<Head>, Violation> {
    let [first, second, ..] = *data else {
        return Ok(None);
    };
    let (fin, opcode) = (first & FIN != 0, first & 0xF);
    if first & RESERVED != 0 {
        return Err(wrong("a reserved bit is set, and no extension was agreed"));
    }
    if !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
        return Err(wrong(format!("reserved opcode {opcode}")));
    }
    let short = second & !MASKED;
    if is_control(opcode) {
        if !fin {
            return Err(wrong("a control frame is fragmented"));
        }
        if usize::from(short) > CONTROL_SIZE_MAX {
            return Err(wrong("a control frame of more than 125 bytes"));
        }
    }
    if second & MASKED == 0 {
        return Err(wrong("a frame is not masked"));
    }
    let (least, extent) = match short {
        126 => (126, 2),
        127 => (1 << 16, 8),
        _ => (0, 0),
    };
    let Some(extended) = data.get(2..2 + extent) else {
        return Ok(None);
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let size = if extent == 0 {
        short.into()
    } else {
        number(extended)
    };
    if size < least || size >> 63 != 0 {
        return Err(wrong("a length that is not in its shortest form"));
    }
    let head_size = 2 + extent + 4;
    let Some(mask) = data.get(head_size - 4..head_size) else {
        return Ok(None);
    };
    Ok(Some(Head {
        fin,
        opcode,
        size,
        mask: mask.try_into().expect("four bytes"),
        head_size,
    }))
}

/// Appends `data` unmasked. In words: a byte at a time takes eight times as long.
pub fn unmask(out: &mut Vec<u8>, data: &[u8], mask: [u8; 4]) {
    let at = out.len();
    out.extend_from_slice(data);
    let word = u64::from(u32::from_ne_bytes(mask));
    let word = word << 32 | word;
    let mut words = out[at..].chunks_exact_mut(8);
    for bytes in &mut words {
        let masked = u64::from_ne_bytes((&*bytes).try_into().expect("eight bytes"));
        bytes.copy_from_slice(&(masked ^ word).to_ne_bytes());
    }
    let rest = words.into_remainder();
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The mask for what follows the first `size` bytes.
pub fn rotated(mask: [u8; 4], size: usize) -> [u8; 4] {
    let mut mask = mask;
    mask.rotate_left(size % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_unmasked_the_same_however_it_is_cut() {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let data: Vec<u8> = (0..100).collect();
        let slow: Vec<u8> = data
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        for cut in 0..=data.len() {
            let mut out = b"before".to_vec();
            unmask(&mut out, &data[..cut], mask);
            unmask(&mut out, &data[cut..], rotated(mask, cut));
            assert_eq!(out, [b"before", &slow[..]].concat(), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_is_whole_or_not_there() {
        let heads: [(&[u8], u64); 3] = [
            (b"\x82\x85abcd", 5),
            (b"\x82\xfe\x01\x00abcd", 256),
            (b"\x82\xff\0\0\0\0\0\x01\0\0abcd", 65_536),
        ];
        for (bytes, size) in heads {
            for cut in 0..bytes.len() {
                assert_eq!(head(&bytes[..cut]), Ok(None));
            }
            let expected = Head {
                fin: true,
                opcode: BINARY,
                size,
                mask: *b"abcd",
                head_size: bytes.len(),
            };
            assert_eq!(head(&[bytes, b"more"].concat()), Ok(Some(expected)));
        }
    }

    #[test]
    fn what_a_client_may_not_send_is_told_from_its_first_bytes() {
        let wrong: [&[u8]; 10] = [
            b"\xc2\x81",
            b"\xa2\x81",
            b"\x92\x81", // reserved bits
            b"\x83\x81",
            b"\x8b\x81", // reserved opcodes
            b"\x09\x81",
            b"\x89\xfe", // fragmented, long control frames
            b"\x82\x01", // not masked
            b"\x82\xfe\0\x7d",
            b"\x82\xff\x80\0\0\0\0\x01\0\0", // lengths
        ];
        for bytes in wrong {
            assert_eq!(
                head(bytes).expect_err("wrong").code,
                PROTOCOL_ERROR,
                "{bytes:x?}"
            );
        }
    }
}
