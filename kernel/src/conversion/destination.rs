//! STOMP destinations, as RabbitMQ writes them: `/queue/q`, `/topic/a.b`.
//!
//! A name's `/`, `%`, and whatever is not printable ASCII stand there as `%` and two hexadecimal digits.

use std::borrow::Cow;

pub const QUEUE: &[u8] = b"/queue/";
pub const TOPIC: &[u8] = b"/topic/";
pub const AMQ_QUEUE: &[u8] = b"/amq/queue/";
/// What follows is the queue's name as it is.
pub const REPLY_QUEUE: &[u8] = b"/reply-queue/";

/// A destination of this prefix and name.
pub fn of(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(prefix.len() + name.len());
    out.extend_from_slice(prefix);
    for &byte in name {
        if matches!(byte, b'/' | b'%') || !(b' '..0x7F).contains(&byte) {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        } else {
            out.push(byte);
        }
    }
    out
}

/// One name without its escapes; None if it is not one: `%` without two digits behind it, `/`.
pub fn name_of(escaped: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !escaped.iter().any(|byte| matches!(byte, b'/' | b'%')) {
        return Some(Cow::Borrowed(escaped));
    }
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'/' => return None,
            b'%' => {
                let high = digit(bytes.next())?;
                out.push(high << 4 | digit(bytes.next())?);
            }
            _ => out.push(byte),
        }
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let destination = of(QUEUE, &all);
        assert!(destination.iter().all(|byte| (b' '..0x7F).contains(byte)));
        let escaped = destination.strip_prefix(QUEUE).unwrap();
        assert_eq!(name_of(escaped).as_deref(), Some(&all[..]));
        assert_eq!(of(TOPIC, b"a.*.#"), b"/topic/a.*.#");
        assert_eq!(
            of(QUEUE, "caf\u{e9}/%".as_bytes()),
            b"/queue/caf%C3%A9%2F%25"
        );
    }

    #[test]
    fn what_is_no_name_is_none() {
        assert_eq!(name_of(b"a%2fb").as_deref(), Some(&b"a/b"[..]));
        for other in [&b"a/b"[..], b"%", b"%2", b"%2G", b"%+1"] {
            assert_eq!(name_of(other), None);
        }
    }
}
