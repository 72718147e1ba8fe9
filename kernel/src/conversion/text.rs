//! What may be shown to another protocol as text.

use base64::prelude::{Engine as _, BASE64_STANDARD};

/// A name of a property whose value stands in base64 ends so.
pub const BASE64_SUFFIX: &[u8] = b";base64";

/// UTF-8 without control characters and Unicode's non-characters. MQTT allows a receiver to hang up on the others
/// (1.5.4), and Mosquitto's clients do.
pub fn is_text(bytes: &[u8]) -> bool {
    if bytes.iter().all(|byte| (0x20..0x7F).contains(byte)) {
        return true;
    }
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_plain))
}

pub fn is_plain(character: char) -> bool {
    let code = character as u32;
    let non_character = (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE;
    !character.is_control() && !non_character
}

/// Text that may have several lines and columns: STOMP escapes their ends.
pub fn is_lines(bytes: &[u8]) -> bool {
    let plain = |c: char| is_plain(c) || matches!(c, '\n' | '\r' | '\t');
    is_text(bytes) || std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(plain))
}

pub fn to_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// None of what [`to_base64`] would not write.
pub fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

/// The longest front of whole characters with at most `size_max` bytes.
pub fn cut(text: &[u8], size_max: usize) -> &[u8] {
    let Some(mut size) = text.len().checked_sub(1).map(|_| size_max.min(text.len())) else {
        return text;
    };
    // The first byte left out must not go on with a character.
    while size > 0 && text.get(size).is_some_and(|byte| byte & 0xC0 == 0x80) {
        size -= 1;
    }
    &text[..size]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_every_client_takes() {
        for text in ["", "a b", "caf\u{e9}", "\u{1F600}", "\u{FFFD}"] {
            assert!(is_text(text.as_bytes()), "{text:?}");
        }
        for other in [
            &b"\xFF"[..],
            b"a\0",
            b"a\nb",
            b"\x7F",
            b"\xC2\x80",
            "\u{FDD0}".as_bytes(),
            "\u{FFFF}".as_bytes(),
            "\u{1FFFE}".as_bytes(),
            b"\xED\xA0\x80",
        ] {
            assert!(!is_text(other), "{other:?}");
        }
        for (lines, expected) in [(&b"a\r\n\tb"[..], true), (b"\0", false), (b"\x1B", false)] {
            assert_eq!(is_lines(lines), expected);
        }
    }

    #[test]
    fn a_cut_leaves_whole_characters() {
        let text = "a\u{e9}\u{1F600}z".as_bytes();
        let sizes: Vec<usize> = (0..=9).map(|size| cut(text, size).len()).collect();
        assert_eq!(sizes, [0, 1, 1, 3, 3, 3, 3, 7, 8, 8]);
        assert_eq!(cut(b"\x80\x80\x80", 2), b"");
        assert_eq!(cut(b"", 2), b"");
    }

    #[test]
    fn base64_has_one_way_to_be_written() {
        assert_eq!(from_base64(b"AQ=="), Some(vec![1]));
        for other in [&b"AQ"[..], b"AQ=", b"AR==", b"A Q==", b"AQ==\n", b"-_=="] {
            assert_eq!(from_base64(other), None);
        }
    }
}
