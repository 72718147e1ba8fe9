//! A STOMP message's properties as a run keeps them: header lines of STOMP 1.2, `name:value` and a line feed each.

use std::borrow::Cow;

/// What may not stand as it is in a name or a value, and the letter behind `\` that stands for it.
const ESCAPES: [(u8, u8); 4] = [(b'\n', b'n'), (b'\r', b'r'), (b':', b'c'), (b'\\', b'\\')];

/// Names and values in order. What is no line ends them; a line with an escape that is none is passed over.
pub fn lines(encoded: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    wire_lines(encoded).filter_map(|(name, value)| Some((unescaped(name)?, unescaped(value)?)))
}

/// The value of the first line of this name, which has nothing to escape.
pub fn get<'a>(encoded: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let (_, value) = wire_lines(encoded).find(|(found, _)| *found == name)?;
    unescaped(value)
}

/// As they are written.
fn wire_lines(encoded: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], &line[colon + 1..]))
    })
}

/// None: an escape that is none.
pub fn unescaped(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', text).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' {
            let letter = bytes.next()?;
            let (plain, _) = ESCAPES.iter().find(|(_, known)| known == letter)?;
            out.push(*plain);
        } else {
            out.push(byte);
        }
    }
    Some(Cow::Owned(out))
}

/// Appends a line.
pub fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 2);
    put_escaped(out, name);
    out.push(b':');
    put_escaped(out, value);
    out.push(b'\n');
}

/// Appends a name or a value.
#[inline]
pub fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let plain = memchr::memchr3(b'\\', b':', b'\n', text).is_none();
    if plain && memchr::memchr(b'\r', text).is_none() {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        match ESCAPES.iter().find(|(plain, _)| *plain == byte) {
            Some((_, letter)) => out.extend_from_slice(&[b'\\', *letter]),
            None => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        put(&mut out, &all, b"a:b\\");
        put(&mut out, b"", b"");
        assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 2);
        assert!(!out.contains(&b'\r'));
        let found: Vec<_> = lines(&out).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[0].0, &*found[0].1), (&all[..], &b"a:b\\"[..]));
        assert_eq!((&*found[1].0, &*found[1].1), (&b""[..], &b""[..]));
    }

    #[test]
    fn what_no_decoder_lets_in_is_no_line() {
        let read = |encoded| lines(encoded).map(|(name, _)| name[0]).collect::<Vec<_>>();
        assert_eq!(read(b"a:\\t\nb:\\\nc:1:2\n"), b"c");
        assert_eq!(read(b"a:1\nno line\nb:2\n"), b"a");
        assert_eq!(read(b"a:1\nb:2"), b"a");
        assert_eq!(
            get(b"a:1\nb:2\\c\nb:3\n", b"b").as_deref(),
            Some(&b"2:"[..])
        );
        assert_eq!(get(b"a:1\n", b"b"), None);
    }
}
