//! The last SEND's headers, by which the next is known: most are the same bytes but for receipt and content-length.

use memchr::memchr;

use crate::stomp::head::Head;
use crate::stomp::send::Send;

/// Longer heads are read anew.
const SIZE_MAX: usize = 2 << 10;
/// A longer receipt is read as any header is.
const VALUE_SIZE_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    Receipt,
    ContentLength,
}

/// A head in pieces around the values that may differ; none: nothing is like it.
#[derive(Debug, Default)]
pub struct SendTemplate {
    head: Vec<u8>,
    /// Where in `head` such a value begins and ends.
    holes: Vec<(Hole, usize, usize)>,
}

/// A SEND that is like the last one but for these.
#[derive(Clone, Copy, Debug)]
pub struct Like<'a> {
    /// Where the body begins.
    pub body_at: usize,
    pub receipt: Option<&'a [u8]>,
    pub content_length: Option<usize>,
}

impl SendTemplate {
    pub fn clear(&mut self) {
        self.head.clear();
    }

    /// `send` was read from `data`.
    pub fn learn(&mut self, data: &[u8], head: &Head, send: &Send) {
        self.clear();
        let Some(end) = head.end() else { return };
        if head.crlf() || head.cut_short() || end > SIZE_MAX {
            return;
        }
        self.holes.clear();
        let lines = [
            (Hole::Receipt, send.receipt_line),
            (Hole::ContentLength, send.content_length_line),
        ];
        for (hole, line) in lines {
            let Some(line) = line else { continue };
            let text = line.of(data);
            let Some(colon) = memchr(b':', text) else {
                return;
            };
            let start = line.start() + colon + 1;
            self.holes.push((hole, start, line.start() + text.len()));
        }
        self.holes.sort_unstable_by_key(|(_, start, _)| *start);
        self.head.extend_from_slice(&data[..end]);
    }

    #[inline]
    pub fn like<'a>(&self, data: &'a [u8]) -> Option<Like<'a>> {
        if self.head.is_empty() {
            return None;
        }
        let mut like = Like {
            body_at: 0,
            receipt: None,
            content_length: None,
        };
        let (mut rest, mut from) = (data, 0);
        for &(hole, start, end) in &self.holes {
            rest = rest.strip_prefix(&self.head[from..start])?;
            from = end;
            let value = match hole {
                Hole::Receipt => {
                    let size = memchr(b'\n', &rest[..rest.len().min(VALUE_SIZE_MAX)])?;
                    let value = &rest[..size];
                    if !value
                        .iter()
                        .all(|byte| byte.is_ascii_graphic() && *byte != b'\\')
                    {
                        return None;
                    }
                    like.receipt = Some(value);
                    value
                }
                Hole::ContentLength => {
                    let (value, size) = number(rest)?;
                    like.content_length = Some(value);
                    &rest[..size]
                }
            };
            rest = &rest[value.len()..];
        }
        rest = rest.strip_prefix(&self.head[from..])?;
        like.body_at = data.len() - rest.len();
        Some(like)
    }
}

/// A number at the front, and of how many digits: few enough.
#[inline]
fn number(text: &[u8]) -> Option<(usize, usize)> {
    const SIZE_MAX: usize = 9;
    let (mut value, mut size) = (0, 0);
    while let Some(digit) = text.get(size).filter(|byte| byte.is_ascii_digit()) {
        value = value * 10 + usize::from(digit - b'0');
        size += 1;
        if size > SIZE_MAX {
            return None;
        }
    }
    (size > 0).then_some((value, size))
}
