//! The few frames of STOMP 1.2 that the generator says and understands, written apart from the broker's
//! codec so that a mistake there can't hide here. Headers are sent as they are: nobody gives one that
//! needs an escape.

/// A head is looked for in so many bytes.
const HEAD_SIZE_MAX: usize = 64 << 10;

/// A whole frame in a buffer.
#[derive(Debug)]
pub struct Frame<'a> {
    pub command: &'a [u8],
    /// The lines after the command, each with its end.
    headers: &'a [u8],
    pub body: &'a [u8],
    /// `redelivered:true` is among the headers.
    pub redelivered: bool,
    /// Bytes it takes in the buffer, with the line ends before it.
    pub size: usize,
}

impl Frame<'_> {
    /// The first header `name`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.split(|byte| *byte == b'\n').find_map(|line| {
            let rest = line.strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b":")
        })
    }

    /// What an error says of it.
    pub fn words(&self) -> String {
        let texts = [
            self.command,
            self.header("message").unwrap_or_default(),
            self.body,
        ];
        texts.map(String::from_utf8_lossy).join(" ")
    }
}

/// The first frame in `bytes`; None: not whole yet.
#[inline]
pub fn split(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let start = bytes.iter().take_while(|byte| **byte == b'\n').count();
    let (mut line, mut command, mut redelivered) = (start, None, false);
    let mut length = None;
    for end in memchr::memchr_iter(b'\n', &bytes[start..]) {
        let end = start + end;
        let said = &bytes[line..end];
        line = end + 1;
        match said {
            [] => {
                let (command, headers) = command.unwrap_or((&[][..], start));
                let body = match length {
                    Some(length) => bytes.get(line..).and_then(|rest| rest.get(..length)),
                    None => memchr::memchr(0, &bytes[line..]).map(|size| &bytes[line..line + size]),
                };
                let Some(body) = body else {
                    return Ok(None);
                };
                return match bytes.get(line + body.len()) {
                    None => Ok(None),
                    Some(0) => Ok(Some(Frame {
                        command,
                        headers: &bytes[headers..end],
                        body,
                        redelivered,
                        size: line + body.len() + 1,
                    })),
                    Some(_) => Err("a body that is longer than it says".into()),
                };
            }
            _ if command.is_none() => command = Some((said, line)),
            [b'c', ..] => {
                if let (None, Some(digits)) = (length, said.strip_prefix(b"content-length:")) {
                    length = Some(number(digits).ok_or("a content-length that is none")? as usize);
                }
            }
            [b'r', ..] => redelivered |= said == b"redelivered:true",
            _ => {}
        }
    }
    if bytes.len() > HEAD_SIZE_MAX && length.is_none() {
        return Err("a head without end".into());
    }
    Ok(None)
}

/// A decimal number of at most 18 digits.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = |number, digit: &u8| number * 10 + u64::from(digit - b'0');
    Some(digits.iter().fold(0, value))
}

/// A frame without a body.
pub fn frame(bytes: &mut Vec<u8>, command: &str, headers: &[(&str, &str)]) {
    head(bytes, command, headers);
    bytes.extend_from_slice(b"\n\0");
}

fn head(bytes: &mut Vec<u8>, command: &str, headers: &[(&str, &str)]) {
    bytes.extend_from_slice(command.as_bytes());
    bytes.push(b'\n');
    for (name, value) in headers {
        for part in [name, ":", value, "\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
    }
}

/// Digits of a SEND's receipt.
const RECEIPT_DIGITS: usize = 10;
/// What stands between these digits and the body.
const RECEIPT_END: usize = 2;

/// All of a SEND but its body of `size` bytes and the NUL behind it. With a receipt its number is 0, to be
/// overwritten.
pub fn send(bytes: &mut Vec<u8>, destination: &str, size: usize, persistent: bool, receipt: bool) {
    let length = size.to_string();
    let mut headers = vec![("destination", destination), ("content-length", &length)];
    if persistent {
        headers.push(("persistent", "true"));
    }
    if receipt {
        headers.push(("receipt", "0000000000"));
    }
    head(bytes, "SEND", &headers);
    bytes.push(b'\n');
}

/// Overwrites the number of the receipt that a SEND's head ends with.
#[inline]
pub fn number_send(head: &mut [u8], mut receipt: u64) {
    let end = head.len() - RECEIPT_END;
    for digit in head[end - RECEIPT_DIGITS..end].iter_mut().rev() {
        *digit = b'0' + (receipt % 10) as u8;
        receipt /= 10;
    }
    assert_eq!(receipt, 0, "more than ten digits of messages");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_at_any_cut() {
        let text = b"\n\nMESSAGE\nsubscription:0\ncontent-length:3\nredelivered:true\n\n\0\n\0\0";
        let bytes = [&text[..], b"RECEIPT\nreceipt-id:7\n\nsaid\0"].concat();
        for cut in 0..text.len() {
            assert!(split(&bytes[..cut]).unwrap().is_none(), "{cut}");
        }
        let message = split(&bytes).unwrap().unwrap();
        assert_eq!(
            (message.command, message.body),
            (&b"MESSAGE"[..], &b"\0\n\0"[..])
        );
        assert_eq!((message.size, message.redelivered), (text.len(), true));
        assert_eq!(message.header("subscription"), Some(&b"0"[..]));
        assert_eq!(message.header("sub"), None);
        let rest = &bytes[message.size..];
        let receipt = split(rest).unwrap().unwrap();
        assert_eq!((receipt.body, receipt.redelivered), (&b"said"[..], false));
        assert_eq!(
            (receipt.header("receipt-id"), receipt.size),
            (Some(&b"7"[..]), rest.len())
        );
        assert!(split(&rest[..rest.len() - 1]).unwrap().is_none());
        assert!(split(b"\n\n").unwrap().is_none());
    }

    #[test]
    fn what_is_said_is_as_the_specification_draws_it() {
        let mut bytes = Vec::new();
        frame(&mut bytes, "DISCONNECT", &[("receipt", "end")]);
        assert_eq!(bytes, b"DISCONNECT\nreceipt:end\n\n\0");
        bytes.clear();
        send(&mut bytes, "/queue/q", 16, false, false);
        assert_eq!(bytes, b"SEND\ndestination:/queue/q\ncontent-length:16\n\n");
        bytes.clear();
        send(&mut bytes, "/queue/q", 16, true, true);
        number_send(&mut bytes, 98_765);
        let told = b"SEND\ndestination:/queue/q\ncontent-length:16\npersistent:true\nreceipt:0000098765\n\n";
        assert_eq!(bytes, told);
    }

    #[test]
    fn a_frame_that_lies_is_told() {
        for bytes in [
            &b"MESSAGE\ncontent-length:1\n\nab\0"[..],
            b"MESSAGE\ncontent-length:-1\n\n\0",
            b"MESSAGE\ncontent-length:1234567890123456789\n\n\0",
            &vec![b'x'; HEAD_SIZE_MAX + 1],
        ] {
            assert!(split(bytes).is_err());
        }
        assert_eq!(
            (number(b"0012"), number(b""), number(b"1x")),
            (Some(12), None, None)
        );
    }

    #[test]
    fn garbage_is_an_error_or_a_frame_and_nothing_else() {
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..16)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"\n\n\0:cr9"[(state >> 24) as usize % 7]
                })
                .collect();
            if let Ok(Some(frame)) = split(&bytes) {
                assert!(frame.size <= bytes.len());
                let _ = frame.words();
            }
        }
    }
}
