//! The retained messages of a vhost: which message of their queue is each topic's last one.
//!
//! The messages lie in a queue of a shard like any other, all of them checked out; the index is the leader's memory and
//! is made again from the queue at the start. It is a sorted map whose keys are topics with their separators as NUL (no
//! topic holds one), so that topics come level by level; a lookup by filter seeks from match to match, as it would walk a
//! trie, goes on where the last page ended, and costs no node per level. 1 M topics of 20 bytes: `bench` has the figure.

use std::collections::BTreeMap;
use std::ops::Bound;

const SEPARATOR: u8 = 0;

/// One level of a topic filter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    One,
    /// The last one.
    Many,
    Word(Box<[u8]>),
}

/// A filter taken apart.
#[derive(Clone, Debug)]
pub struct Filter {
    levels: Vec<Level>,
}

impl Filter {
    /// Of a valid filter, without `$share`.
    pub fn new(filter: &[u8]) -> Self {
        let level = |level: &[u8]| match level {
            b"+" => Level::One,
            b"#" => Level::Many,
            word => Level::Word(word.into()),
        };
        Self {
            levels: filter.split(|b| *b == b'/').map(level).collect(),
        }
    }

    fn begins_wild(&self) -> bool {
        !matches!(self.levels[0], Level::Word(_))
    }
}

/// What a key is to a filter.
enum Look {
    Matches,
    /// The next match is not before this key.
    Seek(Vec<u8>),
    /// There is none after it.
    Over,
}

/// A message of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    sequence: u64,
    /// Wall time in ms; 0: never.
    expires_ms: u64,
}

/// Topics and their last messages.
#[derive(Debug, Default)]
pub struct RetainedIndex {
    topics: BTreeMap<Box<[u8]>, Last>,
    /// Those that expire, by when and sequence.
    expiring: BTreeMap<(u64, u64), Box<[u8]>>,
}

/// Part of a lookup's answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub sequences: Vec<u64>,
    /// Where to go on; None: that was all.
    pub next: Option<Vec<u8>>,
}

impl RetainedIndex {
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub fn contains(&self, topic: &[u8]) -> bool {
        self.topics.contains_key(&key_of(topic)[..])
    }

    /// A topic's new last message; the sequence of the one it replaces.
    pub fn put(&mut self, topic: &[u8], sequence: u64, expires_ms: u64) -> Option<u64> {
        let key = key_of(topic);
        if expires_ms != 0 {
            self.expiring.insert((expires_ms, sequence), key.clone());
        }
        let last = Last {
            sequence,
            expires_ms,
        };
        let before = self.topics.insert(key, last)?;
        self.forget_expiry(before);
        Some(before.sequence)
    }

    /// The topic has none any more; the sequence of the one it had.
    pub fn remove(&mut self, topic: &[u8]) -> Option<u64> {
        let before = self.topics.remove(&key_of(topic)[..])?;
        self.forget_expiry(before);
        Some(before.sequence)
    }

    fn forget_expiry(&mut self, last: Last) {
        if last.expires_ms != 0 {
            self.expiring.remove(&(last.expires_ms, last.sequence));
        }
    }

    /// Takes out what has expired by `now_ms`, at most `count`; their sequences.
    pub fn expire(&mut self, now_ms: u64, count: usize) -> Vec<u64> {
        let mut out = Vec::new();
        while out.len() < count {
            let Some(entry) = self.expiring.first_entry() else {
                break;
            };
            if entry.key().0 > now_ms {
                break;
            }
            let ((_, sequence), topic) = entry.remove_entry();
            self.topics.remove(&topic);
            out.push(sequence);
        }
        out
    }

    /// When the next one expires, wall time in ms; 0: none does.
    pub fn expires_ms(&self) -> u64 {
        self.expiring
            .first_key_value()
            .map_or(0, |((at, _), _)| *at)
    }

    /// The sequences of up to `count` topics that match, from where `from` says (a page's `next`; empty: the
    /// beginning). Looks at no more than some times as many topics, so that a page may have fewer and not be the last.
    pub fn page(&self, filter: &Filter, from: &[u8], count: usize) -> Page {
        const LOOKS_PER_MATCH: usize = 8;
        let mut page = Page::default();
        let mut at = from.to_vec();
        let mut looks = count * LOOKS_PER_MATCH;
        'seek: loop {
            let range = (Bound::Included(&at[..]), Bound::Unbounded);
            for (key, last) in self.topics.range::<[u8], _>(range) {
                if looks == 0 || page.sequences.len() == count {
                    page.next = Some(key.to_vec());
                    return page;
                }
                looks -= 1;
                match look(filter, key) {
                    Look::Matches => page.sequences.push(last.sequence),
                    Look::Seek(next) => {
                        debug_assert!(next[..] > key[..]);
                        at = next;
                        continue 'seek;
                    }
                    Look::Over => return page,
                }
            }
            return page;
        }
    }
}

fn key_of(topic: &[u8]) -> Box<[u8]> {
    topic
        .iter()
        .map(|b| if *b == b'/' { SEPARATOR } else { *b })
        .collect()
}

fn look(filter: &Filter, key: &[u8]) -> Look {
    if filter.begins_wild() && key.starts_with(b"$") {
        return Look::Seek(vec![b'$' + 1]);
    }
    let mut start = 0; // of the level in the key
    let mut ended = false; // the key has no more levels
    let mut last_wild = None; // the end of the last level that `+` stood for
    for level in &filter.levels {
        if *level == Level::Many {
            return Look::Matches;
        }
        if ended {
            // The filter is longer: a match may follow below this very topic.
            return Look::Seek(below(key));
        }
        let end = key[start..]
            .iter()
            .position(|b| *b == SEPARATOR)
            .map_or(key.len(), |size| start + size);
        match level {
            Level::Word(word) if key[start..end] < word[..] => {
                return Look::Seek([&key[..start], word].concat());
            }
            Level::Word(word) if key[start..end] > word[..] => return after(key, last_wild),
            Level::Word(_) => {}
            Level::One | Level::Many => last_wild = Some(end),
        }
        ended = end == key.len();
        start = end + 1;
    }
    if ended {
        Look::Matches
    } else {
        // The key is longer: all that begins like it is, too.
        after_level(key, start - 1, last_wild)
    }
}

/// The first key that can come under a topic.
fn below(key: &[u8]) -> Vec<u8> {
    [key, &[SEPARATOR]].concat()
}

/// Past all keys whose last wildcard level is this one's.
fn after(key: &[u8], last_wild: Option<usize>) -> Look {
    match last_wild {
        Some(end) => Look::Seek([&key[..end], &[SEPARATOR + 1]].concat()),
        None => Look::Over,
    }
}

/// Past all keys that go on below the level that ends at `end`.
fn after_level(key: &[u8], end: usize, last_wild: Option<usize>) -> Look {
    match last_wild {
        // A level with a longer name may follow it.
        Some(wild) if wild == end => Look::Seek([&key[..end], &[SEPARATOR + 1]].concat()),
        Some(_) | None => after(key, last_wild),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MQTT 5 section 4.7, the slow way.
    fn matches(filter: &str, topic: &str) -> bool {
        if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
            return false;
        }
        let (filter, topic): (Vec<_>, Vec<_>) =
            (filter.split('/').collect(), topic.split('/').collect());
        for (number, level) in filter.iter().enumerate() {
            if *level == "#" {
                return true;
            }
            match topic.get(number) {
                Some(name) if *level == "+" || level == name => {}
                _ => return false,
            }
        }
        filter.len() == topic.len()
    }

    #[test]
    fn random_changes_and_lookups_by_pages_agree_with_a_dict() {
        let mut seed = 7u64;
        let mut draw = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % n
        };
        let names = ["", "a", "b", "ab", "a b", "$", "$S", "\u{1}x", "%"];
        for _ in 0..400 {
            let mut index = RetainedIndex::default();
            let mut model: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            for sequence in 0..60 {
                let topic = (0..=draw(4))
                    .map(|_| names[draw(names.len())])
                    .collect::<Vec<_>>()
                    .join("/");
                if draw(5) == 0 {
                    let before = model.remove(&topic).map(|(sequence, _)| sequence);
                    assert_eq!(index.remove(topic.as_bytes()), before);
                } else {
                    let expires_ms = if draw(4) == 0 { 1 + draw(50) as u64 } else { 0 };
                    let before = model.insert(topic.clone(), (sequence, expires_ms));
                    assert_eq!(
                        index.put(topic.as_bytes(), sequence, expires_ms),
                        before.map(|x| x.0)
                    );
                }
            }
            for _ in 0..30 {
                let mut filter: Vec<&str> = (0..=draw(4))
                    .map(|_| {
                        if draw(3) == 0 {
                            "+"
                        } else {
                            names[draw(names.len())]
                        }
                    })
                    .collect();
                if draw(3) == 0 {
                    filter.push("#");
                }
                let filter = filter.join("/");
                let (mut found, mut from) = (Vec::new(), Some(Vec::new()));
                while let Some(at) = from {
                    let page = index.page(&Filter::new(filter.as_bytes()), &at, 1 + draw(3));
                    found.extend(page.sequences);
                    from = page.next;
                }
                found.sort_unstable();
                let mut expected: Vec<u64> = model
                    .iter()
                    .filter(|(topic, _)| matches(&filter, topic))
                    .map(|(_, x)| x.0)
                    .collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "{filter:?} in {:?}", model.keys());
            }
            let mut gone = index.expire(25, 1000);
            gone.sort_unstable();
            let dead = |x: &(u64, u64)| x.1 != 0 && x.1 <= 25;
            let mut expected: Vec<u64> = model.values().filter(|x| dead(x)).map(|x| x.0).collect();
            expected.sort_unstable();
            assert_eq!(gone, expected);
            model.retain(|_, x| !dead(x));
            assert_eq!(index.len(), model.len());
            let next = model.values().map(|x| x.1).filter(|at| *at != 0).min();
            assert_eq!(index.expires_ms(), next.unwrap_or(0));
        }
    }

    #[test]
    fn a_lookup_of_one_topic_among_many_takes_few_looks() {
        let mut index = RetainedIndex::default();
        for number in 0..10_000u64 {
            index.put(
                format!("site/{}/device/{number}", number % 100).as_bytes(),
                number,
                0,
            );
        }
        let one = index.page(&Filter::new(b"site/7/device/107"), b"", 2);
        assert_eq!((one.sequences, one.next), (vec![107], None));
        // Each site is one seek or two: far less than a look at each topic.
        let across = index.page(&Filter::new(b"site/+/device/107"), b"", 60);
        assert_eq!((across.sequences, across.next), (vec![107], None));
    }
}
