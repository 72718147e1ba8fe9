//! A server's WebSocket frames around output that may be shared with other connections.

use std::ops::Range;

use crate::web::frame::{BINARY, TEXT};
use crate::web::utf8::{begins_character, Utf8};

/// Bytes of one message that we send. Clients have limits of their own (Python's `websockets` 1 MiB, Node's `ws` 100
/// MiB); all three protocols may be cut anywhere.
pub const MESSAGE_SIZE_MAX: usize = 256 << 10;

/// A part of the output's piece of that number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub piece: usize,
    pub range: Range<usize>,
}

/// One message: its head and, in order, what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub head: Vec<u8>,
    pub shares: Vec<Share>,
}

/// The head of an unfragmented frame; a server's is not masked (5.1).
pub fn head(opcode: u8, size: usize) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match size {
        0..=125 => out.push(size as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    out
}

/// As few messages as `pieces` fit in, of text if that is wanted and they are UTF-8, else of bytes.
pub fn messages(pieces: &[&[u8]], text: bool) -> Vec<Message> {
    let text = text && is_text(pieces);
    let opcode = if text { TEXT } else { BINARY };
    let mut messages = Vec::new();
    let (mut shares, mut size) = (Vec::new(), 0);
    for (number, piece) in pieces.iter().enumerate() {
        let mut at = 0;
        while at < piece.len() {
            let room = MESSAGE_SIZE_MAX - size;
            let end = if piece.len() - at <= room {
                piece.len()
            } else if text {
                boundary_before(piece, at, at + room)
            } else {
                at + room
            };
            if end > at {
                let range = at..end;
                shares.push(Share {
                    piece: number,
                    range,
                });
                size += end - at;
                at = end;
            }
            if at < piece.len() {
                let shares = std::mem::take(&mut shares);
                messages.push(Message {
                    head: head(opcode, size),
                    shares,
                });
                size = 0;
            }
        }
    }
    if size > 0 {
        messages.push(Message {
            head: head(opcode, size),
            shares,
        });
    }
    messages
}

/// Every piece a text of its own, which those of STOMP are: a frame is never in two.
fn is_text(pieces: &[&[u8]]) -> bool {
    let whole = |piece: &&[u8]| {
        let mut utf8 = Utf8::default();
        utf8.receive(piece).is_ok() && utf8.is_whole()
    };
    pieces.iter().all(whole)
}

/// The last place from `least` to `most` where no character is in the middle.
fn boundary_before(text: &[u8], least: usize, most: usize) -> usize {
    let mut places = (least..=most).rev();
    let found = places.find(|at| begins_character(text[*at]));
    found.expect("a text begins with a character")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pieces: &[&[u8]], messages: &[Message]) -> Vec<u8> {
        let shares = messages.iter().flat_map(|message| &message.shares);
        shares
            .flat_map(|share| pieces[share.piece][share.range.clone()].to_vec())
            .collect()
    }

    fn sizes(messages: &[Message]) -> Vec<usize> {
        let size_of =
            |message: &Message| message.shares.iter().map(|share| share.range.len()).sum();
        messages.iter().map(size_of).collect()
    }

    #[test]
    fn a_head_has_the_shortest_length_that_does() {
        assert_eq!(head(BINARY, 125), b"\x82\x7d");
        assert_eq!(head(TEXT, 126), b"\x81\x7e\0\x7e");
        assert_eq!(head(BINARY, 65_535), b"\x82\x7e\xff\xff");
        assert_eq!(head(BINARY, 65_536), b"\x82\x7f\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn small_output_is_one_message_and_large_output_is_cut() {
        let large = vec![7; 2 * MESSAGE_SIZE_MAX];
        let pieces: [&[u8]; 4] = [b"ab", b"", &large, b"c"];
        let made = messages(&pieces, false);
        assert_eq!(sizes(&made), [MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX, 3]);
        assert_eq!(whole(&pieces, &made), pieces.concat());
        let made = messages(&pieces[..2], false);
        assert_eq!((made.len(), &made[0].head[..]), (1, &b"\x82\x02"[..]));
        assert!(messages(&[b"", b""], true).is_empty());
    }

    #[test]
    fn a_text_is_cut_between_characters_only() {
        let euros = "\u{20AC}".repeat(MESSAGE_SIZE_MAX);
        for before in ["", "a", "ab", "abc"] {
            let pieces = [before.as_bytes(), euros.as_bytes()];
            let made = messages(&pieces, true);
            assert!(made.len() > 3);
            assert_eq!(whole(&pieces, &made), pieces.concat());
            for message in &made {
                assert_eq!(message.head[0], 0x81);
                let text = whole(&pieces, std::slice::from_ref(message));
                assert!(text.len() <= MESSAGE_SIZE_MAX);
                assert!(std::str::from_utf8(&text).is_ok());
            }
        }
    }

    #[test]
    fn what_is_not_utf8_goes_as_bytes() {
        assert_eq!(messages(&[b"good", b"\xff"], true)[0].head, b"\x82\x05");
        assert_eq!(messages(&[b"good", b"\xc3"], true)[0].head, b"\x82\x05");
        assert_eq!(messages(&[b"good", b"\xc3\xa4"], true)[0].head, b"\x81\x06");
    }
}
