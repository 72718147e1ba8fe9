//! One header: its escapes, which are the version's, and the form the broker keeps it in, which is 1.2's.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::conversion::header_lines::{put_escaped, unescaped};
use crate::decoder::Violation;
use crate::stomp::frame::{shown, violation};

/// How a frame's header lines are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `\n`, `\r`, `\c` and `\\`; 1.1 does not have `\r`, but nothing else that it could mean.
    pub escapes: bool,
    /// Spaces around names and values are nobody's.
    pub trims: bool,
}

impl Rules {
    /// Of all frames but CONNECT.
    pub fn of(version: u8) -> Self {
        Self {
            escapes: version >= 11,
            trims: version < 11,
        }
    }
}

/// Name and value.
pub type Header<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A header line as it was meant.
#[inline]
pub fn split(line: &[u8], rules: Rules) -> Result<Header<'_>, Violation> {
    let Some(colon) = memchr(b':', line) else {
        let text = format!("the header line {} has no colon", shown(line));
        return Err(violation("Malformed frame", text));
    };
    let (mut name, mut value) = (&line[..colon], &line[colon + 1..]);
    if rules.trims {
        (name, value) = (name.trim_ascii(), value.trim_ascii());
    }
    if name.is_empty() {
        let text = format!("the header line {} has no name", shown(line));
        return Err(violation("Malformed frame", text));
    }
    if !rules.escapes || memchr(b'\\', line).is_none() {
        return Ok((Cow::Borrowed(name), Cow::Borrowed(value)));
    }
    let meant = |text| unescaped(text).ok_or_else(|| bad_escape(line));
    Ok((meant(name)?, meant(value)?))
}

fn bad_escape(line: &[u8]) -> Violation {
    let text = format!(
        "undefined escape in the header line {}, there are \\n, \\r, \\c and \\\\",
        shown(line)
    );
    violation("Malformed frame", text)
}

/// Writes a header line by a version's rules; one that it cannot write is left out: a line end in 1.0, or a colon in
/// its name. 1.1 has no escape for a carriage return, which ends no line there.
pub fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8], version: u8) {
    match version {
        12 => {
            put_escaped(out, name);
            out.push(b':');
            put_escaped(out, value);
        }
        11 => {
            for (text, end) in [(name, &b":"[..]), (value, b"")] {
                for piece in text.split_inclusive(|byte| *byte == b'\r') {
                    let cut = piece.len() - usize::from(piece.ends_with(b"\r"));
                    put_escaped(out, &piece[..cut]);
                    out.extend_from_slice(&piece[cut..]);
                }
                out.extend_from_slice(end);
            }
        }
        _ => {
            let whole = |text| memchr2(b'\n', b'\r', text).is_none();
            if !whole(name) || !whole(value) || memchr(b':', name).is_some() {
                return;
            }
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(value);
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rules = Rules {
        escapes: false,
        trims: false,
    };

    #[test]
    fn escapes_are_the_versions() {
        let line = b" a\\c :b\\\\\\n\\r:c ";
        let text = |version| {
            let (name, value) = split(line, Rules::of(version)).unwrap();
            (name.into_owned(), value.into_owned())
        };
        assert_eq!(text(12), (b" a: ".to_vec(), b"b\\\n\r:c ".to_vec()));
        assert_eq!(text(11), text(12));
        let verbatim = (b"a\\c".to_vec(), b"b\\\\\\n\\r:c".to_vec());
        assert_eq!(text(10), verbatim);
        let (name, _) = split(line, PLAIN).unwrap();
        assert_eq!(&*name, b" a\\c ");
    }

    #[test]
    fn what_is_no_header_is_a_violation() {
        for line in [&b"a"[..], b":b", b"a\\t:b", b"a:b\\", b"a:\\N"] {
            assert!(split(line, Rules::of(12)).is_err(), "{line:?}");
        }
        assert!(split(b"a:b\\", Rules::of(10)).is_ok());
        assert!(split(b"  :b", Rules::of(10)).is_err());
    }

    #[test]
    fn each_version_writes_what_it_reads() {
        let (name, value) = (b"a:\\\r\nb", b"\\:\r\nc\r");
        for version in [11, 12] {
            let mut out = Vec::new();
            put_line(&mut out, name, value, version);
            let line = out.strip_suffix(b"\n").unwrap();
            assert_eq!(line.contains(&b'\r'), version == 11);
            let (n, v) = split(line, Rules::of(version)).unwrap();
            assert_eq!((&*n, &*v), (&name[..], &value[..]));
        }
        let mut out = Vec::new();
        put_line(&mut out, b"a", b"b\nc", 10);
        put_line(&mut out, b"a:b", b"c", 10);
        put_line(&mut out, b"a", b"b:\\c", 10);
        assert_eq!(out, b"a:b:\\c\n");
    }
}
