//! Runs of messages: many messages that share one buffer, in the order they came.
//!
//! A message is kept in the form it came in. Its origin's encoded properties are opaque bytes; what
//! the broker itself needs stands beside them in the [`Entry`]. Python handles runs and never a
//! message.

use bytes::Bytes;

use crate::run_builder::RunBuilder;

/// The protocol a message's properties are encoded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    Amqp091 = 0,
    /// Properties as MQTT 5 encodes them, without those of one hop: topic alias, subscription identifiers and
    /// message expiry (which is the entry's). A routing key is a topic.
    Mqtt = 1,
    /// Properties as header lines of STOMP 1.2 (`conversion/header_lines.rs`), without those of one hop and those that
    /// the entry has: persistent, an expiration in ms. Exchange and routing key are AMQP's.
    Stomp = 2,
}

impl Origin {
    /// The log's number for it.
    pub fn of(number: u8) -> Option<Self> {
        [Self::Amqp091, Self::Mqtt, Self::Stomp]
            .into_iter()
            .find(|origin| *origin as u8 == number)
    }
}

/// What the broker must know of a message without reading its properties.
pub mod flags {
    pub const PERSISTENT: u8 = 1;
    pub const MANDATORY: u8 = 2;
    pub const HAS_USER_ID: u8 = 4;
    /// The expiration property is not a decimal number of milliseconds.
    pub const BAD_EXPIRATION: u8 = 8;
    /// Its record of deaths was written by the broker; a client may write one as well, which says nothing.
    pub const DEAD_LETTERED: u8 = 16;
    /// MQTT's QoS 2; with `PERSISTENT`, which is QoS 1 or 2.
    pub const EXACTLY_ONCE: u8 = 32;
    /// It is to be its topic's retained message.
    pub const RETAIN: u8 = 64;
    /// It comes from the retained messages, for a subscription that is new.
    pub const REPLAYED: u8 = 128;
}

/// `Entry::expiration_ms` of a message that does not expire by itself.
pub const NO_EXPIRATION: u32 = u32::MAX;

/// A record batch counts its keys in a u16.
pub const KEY_COUNT_MAX: usize = u16::MAX as usize;

/// A range of bytes in the run's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub size: u32,
}

impl Span {
    pub fn new(start: usize, size: usize) -> Self {
        Self {
            start: start as u32,
            size: size as u32,
        }
    }

    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.start as usize + self.size as usize]
    }
}

/// One message of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The origin's encoded properties (AMQP 0-9-1: the flag words and what follows them; STOMP: header lines).
    pub properties: Span,
    pub body: Span,
    /// Which (exchange, routing key) of the run's dictionary.
    pub key: u32,
    /// Milliseconds to live as the publisher asked; `NO_EXPIRATION`: none.
    pub expiration_ms: u32,
    pub priority: u8,
    pub flags: u8,
}

/// Where a message goes: a distinct (exchange, routing key) of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub exchange: Span,
    pub routing_key: Span,
}

/// Many messages in one buffer, in order.
///
/// Each key of the dictionary is distinct, is that of some entry, and stands where it was first seen.
#[derive(Clone, Debug)]
pub struct MessageRun {
    pub origin: Origin,
    pub buffer: Bytes,
    pub entries: Vec<Entry>,
    pub dictionary: Vec<Key>,
}

impl MessageRun {
    /// Bytes of properties, bodies and names: what the run itself is, whatever its buffer holds beside.
    pub fn payload_size(&self) -> usize {
        let entries: u64 = self
            .entries
            .iter()
            .map(|e| u64::from(e.properties.size) + u64::from(e.body.size))
            .sum();
        let names: u32 = self
            .dictionary
            .iter()
            .map(|k| k.exchange.size + k.routing_key.size)
            .sum();
        entries as usize + names as usize
    }

    /// The same messages in a buffer of their own, so that a survivor doesn't pin the read it came in.
    #[must_use]
    pub fn compacted(&self) -> Self {
        let mut buffer = Vec::with_capacity(self.payload_size());
        let mut moved = |span: Span| {
            let start = buffer.len();
            buffer.extend_from_slice(span.of(&self.buffer));
            Span::new(start, span.size as usize)
        };
        let dictionary = self
            .dictionary
            .iter()
            .map(|k| Key {
                exchange: moved(k.exchange),
                routing_key: moved(k.routing_key),
            })
            .collect();
        let entries = self
            .entries
            .iter()
            .map(|e| Entry {
                properties: moved(e.properties),
                body: moved(e.body),
                ..*e
            })
            .collect();
        Self {
            origin: self.origin,
            buffer: Bytes::from(buffer),
            entries,
            dictionary,
        }
    }

    pub fn body(&self, index: usize) -> &[u8] {
        self.entries[index].body.of(&self.buffer)
    }

    pub fn properties(&self, index: usize) -> &[u8] {
        self.entries[index].properties.of(&self.buffer)
    }

    pub fn exchange(&self, key: u32) -> &[u8] {
        self.dictionary[key as usize].exchange.of(&self.buffer)
    }

    pub fn routing_key(&self, key: u32) -> &[u8] {
        self.dictionary[key as usize].routing_key.of(&self.buffer)
    }

    /// Bytes of all bodies.
    pub fn body_size(&self) -> u64 {
        self.entries.iter().map(|e| u64::from(e.body.size)).sum()
    }

    /// All entries' flags together.
    pub fn any_flags(&self) -> u8 {
        self.entries.iter().fold(0, |flags, e| flags | e.flags)
    }

    /// The entries of these dictionary numbers only, in order; the dictionary shrinks with them.
    #[must_use]
    pub fn select(&self, keys: &[u32]) -> Self {
        const LEFT_OUT: u32 = u32::MAX;
        let mut number_of = vec![LEFT_OUT; self.dictionary.len()];
        let mut chosen = keys.to_vec();
        chosen.sort_unstable();
        chosen.dedup();
        for (number, &key) in chosen.iter().enumerate() {
            number_of[key as usize] = number as u32;
        }
        let renumbered = self.entries.iter().filter_map(|entry| {
            let key = number_of[entry.key as usize];
            (key != LEFT_OUT).then_some(Entry { key, ..*entry })
        });
        Self {
            origin: self.origin,
            buffer: self.buffer.clone(),
            entries: renumbered.collect(),
            dictionary: chosen
                .iter()
                .map(|&key| self.dictionary[key as usize])
                .collect(),
        }
    }

    /// Where the entries of [`Self::select`] stand in this run.
    pub fn places(&self, keys: &[u32]) -> Vec<u32> {
        let mut chosen = vec![false; self.dictionary.len()];
        for &key in keys {
            chosen[key as usize] = true;
        }
        let entries = self.entries.iter().enumerate();
        entries
            .filter(|(_, entry)| chosen[entry.key as usize])
            .map(|(place, _)| place as u32)
            .collect()
    }

    /// The entries that `wanted` says yes to, in order; the dictionary keeps all keys it needs.
    #[must_use]
    pub fn filter(&self, wanted: impl Fn(usize, &Entry) -> bool) -> Self {
        let kept = self
            .entries
            .iter()
            .enumerate()
            .filter(|(i, entry)| wanted(*i, entry));
        let entries: Vec<Entry> = kept.map(|(_, entry)| *entry).collect();
        let mut keys: Vec<u32> = entries.iter().map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let run = Self {
            origin: self.origin,
            buffer: self.buffer.clone(),
            entries,
            dictionary: self.dictionary.clone(),
        };
        run.select(&keys)
    }

    /// The first `count` entries.
    #[must_use]
    pub fn before(&self, count: usize) -> Self {
        let entries = self.entries[..count].to_vec();
        let key_count = entries.iter().map(|e| e.key + 1).max().unwrap_or(0);
        Self {
            origin: self.origin,
            buffer: self.buffer.clone(),
            entries,
            dictionary: self.dictionary[..key_count as usize].to_vec(),
        }
    }
}

/// What stands beside a message's properties and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `NO_EXPIRATION`: none.
    pub expiration_ms: u32,
    pub priority: u8,
    pub flags: u8,
}

impl MessageRun {
    /// Runs of the same origin, with whatever keys, as one run in memory of its own, in order.
    pub fn gathered(runs: &[std::sync::Arc<Self>]) -> Self {
        let mut builder = RunBuilder::new(runs[0].origin);
        let count = runs.iter().map(|run| run.entries.len()).sum();
        builder.reserve(count, runs.iter().map(|run| run.payload_size()).sum());
        for run in runs {
            debug_assert_eq!(run.origin, runs[0].origin);
            let names = (0..run.dictionary.len() as u32)
                .map(|key| builder.key(run.exchange(key), run.routing_key(key)));
            let keys: Vec<u32> = names.collect();
            for (index, entry) in run.entries.iter().enumerate() {
                let facts = Facts {
                    expiration_ms: entry.expiration_ms,
                    priority: entry.priority,
                    flags: entry.flags,
                };
                let key = keys[entry.key as usize];
                builder.push(key, run.properties(index), run.body(index), facts);
            }
        }
        builder.finish()
    }

    /// Runs of the same origin and with the same single key as one run, in order.
    pub fn joined(runs: &[std::sync::Arc<Self>]) -> Self {
        let first = &runs[0];
        let mut buffer = Vec::with_capacity(runs.iter().map(|run| run.payload_size()).sum());
        let mut entries = Vec::with_capacity(runs.iter().map(|run| run.entries.len()).sum());
        let copied = |span: Span, from: &[u8], buffer: &mut Vec<u8>| {
            let start = buffer.len();
            buffer.extend_from_slice(span.of(from));
            Span::new(start, span.size as usize)
        };
        let key = first.dictionary[0];
        let exchange = copied(key.exchange, &first.buffer, &mut buffer);
        let routing_key = copied(key.routing_key, &first.buffer, &mut buffer);
        for run in runs {
            for entry in &run.entries {
                let properties = copied(entry.properties, &run.buffer, &mut buffer);
                let body = copied(entry.body, &run.buffer, &mut buffer);
                entries.push(Entry {
                    properties,
                    body,
                    ..*entry
                });
            }
        }
        Self {
            origin: first.origin,
            buffer: Bytes::from(buffer),
            entries,
            dictionary: vec![Key {
                exchange,
                routing_key,
            }],
        }
    }
}
