//! Collects messages into a run, and numbers their keys.

use std::collections::hash_map::RandomState;
use std::collections::HashMap;

use crate::message_run::{Entry, Facts, Key, MessageRun, Origin, Span};

/// Collects messages into a run, copying what is kept of them and nothing else.
pub struct RunBuilder {
    origin: Origin,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    keys: KeyTable,
}

impl RunBuilder {
    /// Reserves for `count` messages that keep `size` bytes together; guesses may be wrong.
    pub fn new(origin: Origin, count: usize, size: usize) -> Self {
        Self {
            origin,
            buffer: Vec::with_capacity(size),
            entries: Vec::with_capacity(count),
            keys: KeyTable::default(),
        }
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

    /// The dictionary number of a key, which the caller puts into entries with `push`.
    #[inline]
    pub fn key(&mut self, exchange: &[u8], routing_key: &[u8]) -> u32 {
        self.keys.number(&mut self.buffer, exchange, routing_key)
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
    fn number(&mut self, buffer: &mut Vec<u8>, exchange: &[u8], routing_key: &[u8]) -> u32 {
        if let Some(&key) = self.keys.get(self.last as usize) {
            if Self::is(key, buffer, exchange, routing_key) {
                return self.last;
            }
            let follower = self.followers[self.last as usize];
            if Self::is(self.keys[follower as usize], buffer, exchange, routing_key) {
                self.last = follower;
                return follower;
            }
        }
        let number = self.find_or_add(buffer, exchange, routing_key);
        if let Some(follower) = self.followers.get_mut(self.last as usize) {
            *follower = number;
        }
        if number as usize == self.followers.len() {
            self.followers.push(0);
        }
        self.last = number;
        number
    }

    #[inline]
    fn is(key: Key, buffer: &[u8], exchange: &[u8], routing_key: &[u8]) -> bool {
        key.routing_key.of(buffer) == routing_key && key.exchange.of(buffer) == exchange
    }

    fn find_or_add(&mut self, buffer: &mut Vec<u8>, exchange: &[u8], routing_key: &[u8]) -> u32 {
        let next = self.keys.len() as u32;
        if self.keys.len() < Self::SEARCHED_MAX {
            let same = |key: &Key| Self::is(*key, buffer, exchange, routing_key);
            if let Some(number) = self.keys.iter().position(same) {
                return number as u32;
            }
        } else {
            let keys = &self.keys;
            let by_bytes = self.by_bytes.get_or_insert_with(|| {
                let bytes_of =
                    |key: &Key| hashed_bytes(key.exchange.of(buffer), key.routing_key.of(buffer));
                keys.iter().map(bytes_of).zip(0..).collect()
            });
            let number = *by_bytes
                .entry(hashed_bytes(exchange, routing_key))
                .or_insert(next);
            if number != next {
                return number;
            }
        }
        let start = buffer.len();
        buffer.extend_from_slice(exchange);
        buffer.extend_from_slice(routing_key);
        self.keys.push(Key {
            exchange: Span::new(start, exchange.len()),
            routing_key: Span::new(start + exchange.len(), routing_key.len()),
        });
        next
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
        let mut builder = RunBuilder::new(Origin::Amqp091, 0, 0);
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
