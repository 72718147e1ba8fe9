//! What may be a topic name (specification 4.7).

use crate::decoder::Violation;
use crate::mqtt::packet::{malformed, protocol_error};
use crate::mqtt::reason_code::TOPIC_NAME_INVALID;

/// Levels of a topic; deeper ones cost the trie more than they are worth to anybody.
pub const LEVEL_COUNT_MAX: usize = 128;

/// # Errors
/// It is empty, not UTF-8, holds a wildcard or a control character, or has too many levels. Control characters but U+0000
/// may be refused (1.5.4), and are: other protocols will write the topic.
pub fn check(topic: &[u8]) -> Result<(), Violation> {
    if topic.is_empty() {
        return Err(protocol_error("empty topic"));
    }
    let Ok(text) = std::str::from_utf8(topic) else {
        return Err(malformed("topic is not UTF-8"));
    };
    if text.chars().any(char::is_control) {
        return Err(malformed("topic with a control character"));
    }
    if memchr::memchr2(b'+', b'#', topic).is_some() {
        let text = "topic with a wildcard";
        return Err(Violation::new(TOPIC_NAME_INVALID, text));
    }
    if memchr::memchr_iter(b'/', topic).count() >= LEVEL_COUNT_MAX {
        let text = format!("topic of more than {LEVEL_COUNT_MAX} levels");
        return Err(Violation::new(TOPIC_NAME_INVALID, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::reason_code::{MALFORMED_PACKET, PROTOCOL_ERROR};

    #[test]
    fn a_topic_is_refused_by_what_is_wrong_with_it() {
        let code = |topic: &[u8]| check(topic).map_err(|violation| violation.code);
        for topic in [
            "a",
            "/",
            "a//b",
            "$SYS/x",
            "caf\u{e9} au lait",
            "\u{10ffff}",
            "\u{feff}",
        ] {
            assert_eq!(code(topic.as_bytes()), Ok(()), "{topic:?}");
        }
        assert_eq!(code("/".repeat(127).as_bytes()), Ok(()));
        assert_eq!(code("/".repeat(128).as_bytes()), Err(TOPIC_NAME_INVALID));
        for topic in ["+", "a/#", "a+", "#a"] {
            assert_eq!(code(topic.as_bytes()), Err(TOPIC_NAME_INVALID), "{topic:?}");
        }
        for topic in [
            "a\0", "\u{1}", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}", "a\n",
        ] {
            assert_eq!(code(topic.as_bytes()), Err(MALFORMED_PACKET), "{topic:?}");
        }
        assert_eq!(code(b"\xed\xa0\x80"), Err(MALFORMED_PACKET), "a surrogate");
        assert_eq!(code(b"\xc0\x80"), Err(MALFORMED_PACKET), "an overlong form");
        assert_eq!(code(b""), Err(PROTOCOL_ERROR));
    }
}
