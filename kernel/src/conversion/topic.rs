//! MQTT topics and AMQP routing keys: the same levels, written two ways.
//!
//! A bijection between topics (levels behind `/`, no `+` or `#`) and routing keys (words behind `.`). A character that is
//! plain on one side and a separator or a wildcard on the other is written there as `%` and its code: the level `x.y` is
//! the word `x%2Ey`, the word `p/q` is the level `p%2Fq`. What looks like such an escape and is none gets one more `25`
//! behind its `%` on the way out, and loses it on the way back; all other bytes stay. The empty routing key, which is
//! no topic, is `%00`.

use std::borrow::Cow;

const TOPIC_SEPARATOR: u8 = b'/';
const WORD_SEPARATOR: u8 = b'.';
/// Plain in a word, and not in a level.
const LEVEL_ESCAPES: [(u8, &[u8; 2]); 3] = [(b'/', b"2F"), (b'+', b"2B"), (b'#', b"23")];
/// Plain in a level, and not in a word.
const WORD_ESCAPES: [(u8, &[u8; 2]); 1] = [(b'.', b"2E")];
/// Of these a queue's name can't be written in a topic.
const WILDCARD_ESCAPES: &[(u8, &[u8; 2])] = LEVEL_ESCAPES.split_at(1).1;
/// What stands for the empty routing key.
const NOTHING: &[u8; 2] = b"00";

/// A routing key of the same levels.
pub fn routing_key_of(topic: &[u8]) -> Vec<u8> {
    match nothing(topic) {
        Some(0) => return Vec::new(),
        Some(depth) => return escape(depth - 1, NOTHING),
        None => {}
    }
    let side = Side {
        separators: (TOPIC_SEPARATOR, WORD_SEPARATOR),
        made: &WORD_ESCAPES,
        undone: &LEVEL_ESCAPES,
    };
    side.rewrite(topic)
}

/// A topic of the same levels; one of `%00` for none.
pub fn topic_of(routing_key: &[u8]) -> Vec<u8> {
    if routing_key.is_empty() {
        return escape(0, NOTHING);
    }
    if let Some(depth) = nothing(routing_key) {
        return escape(depth + 1, NOTHING);
    }
    let side = Side {
        separators: (WORD_SEPARATOR, TOPIC_SEPARATOR),
        made: &LEVEL_ESCAPES,
        undone: &WORD_ESCAPES,
    };
    side.rewrite(routing_key)
}

/// An MQTT topic that leads to the queue it names, past all exchanges.
const QUEUE_PREFIX: &[u8] = b"$queue/";

/// The topic that leads to a queue. The name stays as it is, but for `+` and `#`, which no topic may hold.
pub fn queue_topic(queue: &[u8]) -> Vec<u8> {
    let side = Side {
        separators: (TOPIC_SEPARATOR, TOPIC_SEPARATOR),
        made: WILDCARD_ESCAPES,
        undone: &[],
    };
    [QUEUE_PREFIX, &side.rewrite(queue)].concat()
}

/// The topic that a message of AMQP's shows.
pub fn topic_shown(exchange: &[u8], routing_key: &[u8]) -> Vec<u8> {
    if exchange.is_empty() {
        queue_topic(routing_key)
    } else {
        topic_of(routing_key)
    }
}

/// The queue that a topic leads to; None of a topic that is no queue's.
pub fn queue_of(topic: &[u8]) -> Option<Vec<u8>> {
    let side = Side {
        separators: (TOPIC_SEPARATOR, TOPIC_SEPARATOR),
        made: &[],
        undone: WILDCARD_ESCAPES,
    };
    Some(side.rewrite(topic.strip_prefix(QUEUE_PREFIX)?))
}

/// A level of a topic filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterLevel {
    One,
    Many,
    Word(Vec<u8>),
}

/// A topic filter's levels, spelled out as words of routing keys.
pub fn filter_levels(filter: &[u8]) -> Vec<FilterLevel> {
    let whole: Cow<[u8]> = match nothing(filter) {
        Some(_) => return vec![FilterLevel::Word(routing_key_of(filter))],
        None => Cow::Borrowed(filter),
    };
    whole
        .split(|byte| *byte == TOPIC_SEPARATOR)
        .map(|level| match level {
            b"+" => FilterLevel::One,
            b"#" => FilterLevel::Many,
            // A level of its own is never taken for the whole name: a separator stands beside it.
            level if nothing(level).is_some() => FilterLevel::Word(level.to_vec()),
            level => FilterLevel::Word(routing_key_of(level)),
        })
        .collect()
}

struct Side {
    separators: (u8, u8),
    /// Characters that become escapes.
    made: &'static [(u8, &'static [u8; 2])],
    /// Escapes that become characters.
    undone: &'static [(u8, &'static [u8; 2])],
}

impl Side {
    fn rewrite(&self, name: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(name.len() + 8);
        let mut at = 0;
        while at < name.len() {
            let byte = name[at];
            if byte == self.separators.0 {
                out.push(self.separators.1);
            } else if let Some((_, code)) = self.made.iter().find(|(plain, _)| *plain == byte) {
                out.extend_from_slice(&escape(0, *code));
            } else if let Some((depth, code)) =
                (byte == b'%').then(|| read_escape(&name[at..])).flatten()
            {
                let size = 3 + 2 * depth;
                if self.made.iter().any(|(_, made)| *made == code) {
                    out.extend_from_slice(&escape(depth + 1, code));
                    at += size;
                    continue;
                }
                if let Some((plain, _)) = self.undone.iter().find(|(_, undone)| *undone == code) {
                    if depth == 0 {
                        out.push(*plain);
                    } else {
                        out.extend_from_slice(&escape(depth - 1, code));
                    }
                    at += size;
                    continue;
                }
                out.push(byte);
            } else {
                out.push(byte);
            }
            at += 1;
        }
        out
    }
}

/// The escape at the front: how many `25` it has, and its code. All codes of both sides are known here.
fn read_escape(text: &[u8]) -> Option<(usize, &[u8; 2])> {
    let mut pairs = text[1..].chunks_exact(2);
    let depth = pairs.clone().take_while(|pair| *pair == b"25").count();
    let code: &[u8; 2] = pairs.nth(depth)?.try_into().expect("chunks of two");
    let known = LEVEL_ESCAPES.iter().chain(&WORD_ESCAPES);
    known
        .into_iter()
        .any(|(_, known)| *known == code)
        .then_some((depth, code))
}

/// How many `25` a name has that is all `%00`.
fn nothing(name: &[u8]) -> Option<usize> {
    let rest = name.strip_prefix(b"%")?.strip_suffix(NOTHING)?;
    let mut pairs = rest.chunks(2);
    pairs.all(|pair| pair == b"25").then_some(rest.len() / 2)
}

fn escape(depth: usize, code: &[u8]) -> Vec<u8> {
    [b"%", &b"25".repeat(depth)[..], code].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_people_expect() {
        for (topic, key) in [
            ("a/b/c", "a.b.c"),
            ("a/x.y", "a.x%2Ey"),
            ("a/p%2Fq", "a.p/q"),
            ("%2B/%23", "+.#"),
            ("/a//b/", ".a..b."),
            ("$SYS/x", "$SYS.x"),
            ("caf\u{e9} au lait/100%", "caf\u{e9} au lait.100%"),
            ("%2E", "%252E"),
            ("%252F", "%2F"),
            ("%25", "%25"),
            ("%41", "%41"),
            ("%00", ""),
            ("%2500", "%00"),
            ("a/%00", "a.%00"),
        ] {
            assert_eq!(
                String::from_utf8(routing_key_of(topic.as_bytes())).unwrap(),
                key
            );
            assert_eq!(String::from_utf8(topic_of(key.as_bytes())).unwrap(), topic);
        }
    }

    /// All names of `alphabet` up to `size` pieces.
    fn names(alphabet: &[&str], size: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..size {
            last = last
                .iter()
                .flat_map(|name| alphabet.iter().map(move |piece| format!("{name}{piece}")))
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn every_topic_and_every_routing_key_comes_back() {
        let pieces = ["%", "25", "2", "5", "2E", "2F", "23", "00", "a"];
        for topic in names(&[&pieces[..], &[".", "/"]].concat(), 4)
            .into_iter()
            .filter(|name| !name.is_empty())
        {
            let key = routing_key_of(topic.as_bytes());
            assert_eq!(topic_of(&key), topic.as_bytes(), "{topic}");
            assert_eq!(
                key.split(|b| *b == b'.').count().max(1),
                topic.split('/').count().max(1)
            );
        }
        for key in names(&[&pieces[..], &[".", "/", "+", "#"]].concat(), 4) {
            let topic = topic_of(key.as_bytes());
            assert!(!topic.is_empty() && !topic.contains(&b'+') && !topic.contains(&b'#'));
            assert_eq!(routing_key_of(&topic), key.as_bytes(), "{key}");
        }
    }

    #[test]
    fn every_queue_has_a_topic() {
        for (queue, topic) in [
            ("q", "$queue/q"),
            ("", "$queue/"),
            ("a.b/c", "$queue/a.b/c"),
            ("a+#", "$queue/a%2B%23"),
            ("%2B", "$queue/%252B"),
            ("%2F%2E", "$queue/%2F%2E"),
        ] {
            let found = queue_topic(queue.as_bytes());
            assert_eq!(String::from_utf8(found).unwrap(), topic);
        }
        for name in names(&["%", "25", "2B", "23", "+", "#", "/", "."], 4) {
            let topic = queue_topic(name.as_bytes());
            assert!(!topic.contains(&b'+') && !topic.contains(&b'#'));
            assert_eq!(queue_of(&topic).as_deref(), Some(name.as_bytes()));
            let topic = format!("$queue/{}", name.replace(['+', '#'], ""));
            let queue = queue_of(topic.as_bytes()).unwrap();
            assert_eq!(queue_topic(&queue), topic.as_bytes());
        }
        assert_eq!(queue_of(b"queue/q"), None);
    }

    #[test]
    fn a_filter_without_wildcards_matches_just_its_topic() {
        for topic in names(&["%", "25", "00", "2E", "/", ".", "a"], 4)
            .into_iter()
            .filter(|name| !name.is_empty())
        {
            let words: Vec<Vec<u8>> = filter_levels(topic.as_bytes())
                .into_iter()
                .map(|level| match level {
                    FilterLevel::Word(word) => word,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(
                words.join(&b'.'),
                routing_key_of(topic.as_bytes()),
                "{topic}"
            );
        }
        let levels = filter_levels(b"a/+/x.y/#");
        assert_eq!(levels[1], FilterLevel::One);
        assert_eq!(levels[2], FilterLevel::Word(b"x%2Ey".to_vec()));
        assert_eq!(levels[3], FilterLevel::Many);
    }
}
