//! Collects messages into a run, and numbers their keys.

use std::collections::hash_map::RandomState;
use std::collections::HashMap;

use crate::message_run::{Entry, Facts, Key, MessageRun, Origin, Span, KEY_COUNT_MAX};

/// A decoder's run ends before it grows past these, so that its record batch stays under 1 MiB.
pub const RUN_SIZE_MAX: usize = 512 << 10;
pub const RUN_COUNT_MAX: usize = 8192;

/// Collects messages into a run, copying what is kept of them and nothing else.
pub struct RunBuilder {
    origin: Origin,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    keys: KeyTable,
}

impl RunBuilder {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            buffer: Vec::new(),
            entries: Vec::new(),
            keys: KeyTable::default(),
        }
    }

    /// Makes room for `count` messages that keep `size` bytes together; guesses may be wrong.
    pub fn reserve(&mut self, count: usize, size: usize) {
        self.entries.reserve(count);
        self.buffer.reserve(size);
    }

    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes kept so far.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    pub fn key_count(&self) -> usize {
        self.keys.keys.len()
    }

    /// Whether a message of `size` may join a decoder's run; any may be the first.
    #[inline]
    pub fn has_room(&self, size: usize) -> bool {
        self.count() == 0
            || (self.count() < RUN_COUNT_MAX
                && self.size() + size <= RUN_SIZE_MAX
                && self.key_count() < KEY_COUNT_MAX)
    }

    /// The dictionary number of a key, for `push`; None if it is new.
    #[inline]
    pub fn find_key(&mut self, exchange: &[u8], routing_key: &[u8]) -> Option<u32> {
        self.keys.find(&self.buffer, exchange, routing_key)
    }

    /// Takes in a key that was not found; a message with it follows.
    pub fn add_key(&mut self, exchange: &[u8], routing_key: &[u8]) -> u32 {
        self.keys.add(&mut self.buffer, exchange, routing_key)
    }

    pub fn key(&mut self, exchange: &[u8], routing_key: &[u8]) -> u32 {
        self.find_key(exchange, routing_key)
            .unwrap_or_else(|| self.add_key(exchange, routing_key))
    }

    #[inline]
    pub fn push(&mut self, key: u32, properties: &[u8], body: &[u8], facts: Facts) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(properties);
        self.buffer.extend_from_slice(body);
        self.entries.push(Entry {
            properties: Span::new(start, properties.len()),
            body: Span::new(start + properties.len(), body.len()),
            key,
            expiration_ms: facts.expiration_ms,
            priority: facts.priority,
            flags: facts.flags,
        });
    }

    /// `push`, with the properties in pieces.
    #[inline]
    pub fn push_pieces(&mut self, key: u32, properties: &[&[u8]], body: &[u8], facts: Facts) {
        let start = self.buffer.len();
        for piece in properties {
            self.buffer.extend_from_slice(piece);
        }
        let body_start = self.buffer.len();
        self.buffer.extend_from_slice(body);
        self.entries.push(Entry {
            properties: Span::new(start, body_start - start),
            body: Span::new(body_start, body.len()),
            key,
            expiration_ms: facts.expiration_ms,
            priority: facts.priority,
            flags: facts.flags,
        });
    }

    /// The run, in memory of its size.
    pub fn finish(mut self) -> MessageRun {
        self.buffer.shrink_to_fit();
        self.entries.shrink_to_fit();
        MessageRun {
            origin: self.origin,
            buffer: self.buffer.into(),
            entries: self.entries,
            dictionary: self.keys.keys,
        }
    }
}

/// Numbers distinct keys. Few are searched, many are hashed (keyed: publishers choose them), and
/// publishers that go round their keys are guessed right.
#[derive(Default)]
struct KeyTable {
    keys: Vec<Key>,
    /// The key that came after each the last time.
    followers: Vec<u32>,
    last: u32,
    by_bytes: Option<HashMap<Box<[u8]>, u32, RandomState>>,
}

impl KeyTable {
    /// More keys than this are hashed.
    const SEARCHED_MAX: usize = 8;

    #[inline]
    fn find(&mut self, buffer: &[u8], exchange: &[u8], routing_key: &[u8]) -> Option<u32> {
        let last = *self.keys.get(self.last as usize)?;
        if Self::is(last, buffer, exchange, routing_key) {
            return Some(self.last);
        }
        let follower = self.followers[self.last as usize];
        let guessed = self.keys[follower as usize];
        let number = if Self::is(guessed, buffer, exchange, routing_key) {
            follower
        } else {
            self.search(buffer, exchange, routing_key)?
        };
        self.follow(number);
        Some(number)
    }

    fn search(&self, buffer: &[u8], exchange: &[u8], routing_key: &[u8]) -> Option<u32> {
        if let Some(by_bytes) = &self.by_bytes {
            return by_bytes.get(&hashed_bytes(exchange, routing_key)).copied();
        }
        let same = |key: &Key| Self::is(*key, buffer, exchange, routing_key);
        self.keys.iter().position(same).map(|number| number as u32)
    }

    fn add(&mut self, buffer: &mut Vec<u8>, exchange: &[u8], routing_key: &[u8]) -> u32 {
        let number = self.keys.len() as u32;
        let start = buffer.len();
        buffer.extend_from_slice(exchange);
        buffer.extend_from_slice(routing_key);
        self.keys.push(Key {
            exchange: Span::new(start, exchange.len()),
            routing_key: Span::new(start + exchange.len(), routing_key.len()),
        });
        if let Some(by_bytes) = &mut self.by_bytes {
            by_bytes.insert(hashed_bytes(exchange, routing_key), number);
        } else if self.keys.len() > Self::SEARCHED_MAX {
            let bytes_of =
                |key: &Key| hashed_bytes(key.exchange.of(buffer), key.routing_key.of(buffer));
            self.by_bytes = Some(self.keys.iter().map(bytes_of).zip(0..).collect());
        }
        self.followers.push(0);
        self.follow(number);
        number
    }

    #[inline]
    fn follow(&mut self, number: u32) {
        self.followers[self.last as usize] = number;
        self.last = number;
    }

    #[inline]
    fn is(key: Key, buffer: &[u8], exchange: &[u8], routing_key: &[u8]) -> bool {
        key.routing_key.of(buffer) == routing_key && key.exchange.of(buffer) == exchange
    }
}

/// Exchange and routing key as one string; the length keeps ("a", "bc") from ("ab", "c").
fn hashed_bytes(exchange: &[u8], routing_key: &[u8]) -> Box<[u8]> {
    [&[exchange.len() as u8], exchange, routing_key]
        .concat()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_run::NO_EXPIRATION;

    const PLAIN: Facts = Facts {
        expiration_ms: NO_EXPIRATION,
        priority: 0,
        flags: 0,
    };

    fn run_of_keys(keys: &[(&str, &str)]) -> MessageRun {
        let mut builder = RunBuilder::new(Origin::Amqp091);
        for (number, (exchange, routing_key)) in keys.iter().enumerate() {
            let key = builder.key(exchange.as_bytes(), routing_key.as_bytes());
            builder.push(key, b"", number.to_string().as_bytes(), PLAIN);
        }
        builder.finish()
    }

    #[test]
    fn equal_keys_have_one_number_however_many_there_are() {
        let names: Vec<String> = (0..100).map(|i| format!("key-{}", i % 23)).collect();
        let keys: Vec<_> = names.iter().map(|name| ("x", name.as_str())).collect();
        let run = run_of_keys(&keys);
        assert_eq!(run.dictionary.len(), 23);
        for (entry, name) in run.entries.iter().zip(&names) {
            assert_eq!(run.routing_key(entry.key), name.as_bytes());
            assert_eq!(run.exchange(entry.key), b"x");
        }
    }

    #[test]
    fn a_key_is_not_its_neighbour_cut_elsewhere() {
        let run = run_of_keys(&[("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", "")]);
        assert_eq!(run.dictionary.len(), 4);
    }

    #[test]
    fn a_selection_keeps_order_and_only_its_keys() {
        let run = run_of_keys(&[("", "a"), ("", "b"), ("", "c"), ("", "b"), ("", "a")]);
        let selected = run.select(&[2, 1, 1]);
        let bodies: Vec<_> = (0..selected.entries.len())
            .map(|i| selected.body(i))
            .collect();
        assert_eq!(bodies, [b"1", b"2", b"3"]);
        assert_eq!(selected.dictionary.len(), 2);
        assert_eq!(selected.routing_key(selected.entries[0].key), b"b");
        assert_eq!(run.before(1).dictionary.len(), 1);
        assert_eq!(run.before(0).dictionary.len(), 0);
    }
}
