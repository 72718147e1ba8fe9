//! A message to many subscribers is encoded once: those of one class share the bytes, or copies of them that differ in
//! the packet identifiers only.

use std::collections::VecDeque;
use std::sync::Weak;

use bytes::Bytes;

use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::MessageRun;
use crate::mqtt::encoder::{seconds_left, Encoded, Shape};
use crate::mqtt::grant::Grant;

const ENTRY_COUNT_MAX: usize = 64;
/// Bytes of all entries.
const SIZE_MAX: usize = 16 << 20;
/// Deliveries in more parts than this are not alike anyway.
const PART_COUNT_MAX: usize = 16;

/// Whatever shows in the bytes but for the packet identifiers.
#[derive(Debug)]
pub struct Class {
    parts: Vec<PartClass>,
    shape: Shape,
    grant: Grant,
    with_ids: bool,
}

/// A weak reference keeps the run's address from being another's, and its bytes from nobody.
#[derive(Debug)]
struct PartClass {
    messages: Weak<MessageRun>,
    first: u32,
    count: u32,
    redelivered: bool,
    left_s: u32,
}

impl PartClass {
    fn of(part: &Part, now_ms: u64) -> Self {
        Self {
            messages: std::sync::Arc::downgrade(&part.messages),
            first: part.first,
            count: part.count,
            redelivered: part.redelivered,
            left_s: seconds_left(part, now_ms),
        }
    }

    fn is(&self, part: &Part, now_ms: u64) -> bool {
        std::ptr::eq(self.messages.as_ptr(), &raw const *part.messages)
            && (self.first, self.count) == (part.first, part.count)
            && self.redelivered == part.redelivered
            && self.left_s == seconds_left(part, now_ms)
    }
}

/// What a subscriber is to be sent.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub run: &'a DeliveryRun,
    pub grant: &'a Grant,
    pub packet_ids: Option<&'a [u16]>,
    pub shape: Shape,
    pub now_ms: u64,
}

impl Wanted<'_> {
    /// None: not worth remembering.
    pub fn class(&self) -> Option<Class> {
        let parts = &self.run.parts;
        (parts.len() <= PART_COUNT_MAX).then(|| Class {
            parts: parts
                .iter()
                .map(|part| PartClass::of(part, self.now_ms))
                .collect(),
            shape: self.shape,
            grant: self.grant.clone(),
            with_ids: self.packet_ids.is_some(),
        })
    }

    fn is_of(&self, class: &Class) -> bool {
        let parts = &self.run.parts;
        class.parts.len() == parts.len()
            && class
                .parts
                .iter()
                .zip(parts)
                .all(|(known, part)| known.is(part, self.now_ms))
            && class.with_ids == self.packet_ids.is_some()
            && class.shape == self.shape
            && class.grant == *self.grant
    }
}

/// Bytes that were made for one subscriber.
#[derive(Clone, Debug)]
pub struct Made {
    pub wire: Bytes,
    ids_at: std::sync::Arc<[(usize, u32)]>,
    pub left_out: std::sync::Arc<[u32]>,
}

impl Made {
    pub fn new(encoded: Encoded) -> Self {
        Self {
            wire: encoded.wire.into(),
            ids_at: encoded.ids_at.into(),
            left_out: encoded.left_out.into(),
        }
    }

    /// The same for another of its class.
    pub fn with_ids(&self, packet_ids: Option<&[u16]>) -> Bytes {
        let Some(packet_ids) = packet_ids else {
            return self.wire.clone();
        };
        let mut wire = self.wire.to_vec();
        for &(at, position) in self.ids_at.iter() {
            let id = packet_ids[position as usize];
            wire[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        wire.into()
    }

    fn size(&self) -> usize {
        self.wire.len() + std::mem::size_of_val(&*self.ids_at)
    }
}

/// What was made last, newest first.
#[derive(Debug, Default)]
pub struct FanOut {
    made: VecDeque<(Class, Made)>,
    size: usize,
}

impl FanOut {
    pub fn find(&self, wanted: &Wanted) -> Option<&Made> {
        let mut made = self.made.iter();
        let found = made.find(|(class, _)| wanted.is_of(class));
        found.map(|(_, made)| made)
    }

    pub fn insert(&mut self, class: Class, made: Made) {
        let size = made.size();
        if size > SIZE_MAX {
            return;
        }
        self.size += size;
        self.made.push_front((class, made));
        while self.size > SIZE_MAX || self.made.len() > ENTRY_COUNT_MAX {
            let (_, oldest) = self.made.pop_back().expect("there is one");
            self.size -= oldest.size();
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }
}
