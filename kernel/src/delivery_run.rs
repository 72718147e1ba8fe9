//! Runs of deliveries: what one consumer is handed in one go, as pieces of message runs.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::conversion::amqp_part;
use crate::message_run::{Entry, Facts, MessageRun, Origin};
use crate::run_builder::RunBuilder;

/// Consecutive messages of one run.
#[derive(Clone, Debug)]
pub struct Part {
    pub messages: Arc<MessageRun>,
    pub first: u32,
    pub count: u32,
    pub redelivered: bool,
    /// Wall time in ms after which they are dead; 0: never.
    pub expires_ms: u64,
}

impl Part {
    pub fn entries(&self) -> &[Entry] {
        &self.messages.entries[self.range()]
    }

    pub fn range(&self) -> Range<usize> {
        let first = self.first as usize;
        first..first + self.count as usize
    }
}

/// Deliveries in order.
#[derive(Clone, Debug, Default)]
pub struct DeliveryRun {
    pub parts: Vec<Part>,
}

impl DeliveryRun {
    pub fn count(&self) -> usize {
        self.parts.iter().map(|part| part.count as usize).sum()
    }

    /// Bytes of bodies and properties.
    pub fn size(&self) -> u64 {
        let entries = self.parts.iter().flat_map(Part::entries);
        entries
            .map(|entry| u64::from(entry.body.size) + u64::from(entry.properties.size))
            .sum()
    }

    /// Part and index in that part's run of the delivery `index`; None past the end.
    pub fn locate(&self, index: usize) -> Option<(&Part, usize)> {
        let mut left = index;
        for part in &self.parts {
            if left < part.count as usize {
                return Some((part, part.first as usize + left));
            }
            left -= part.count as usize;
        }
        None
    }
}

impl DeliveryRun {
    /// The same messages as one run, in a buffer of its own: in their form, or in AMQP's if they have several.
    pub fn messages(&self) -> MessageRun {
        let mut origins = self.parts.iter().map(|part| part.messages.origin);
        let first = origins.next().unwrap_or(Origin::Amqp091);
        let alike = origins.all(|origin| origin == first);
        let origin = if alike { first } else { Origin::Amqp091 };
        let mut builder = RunBuilder::new(origin);
        builder.reserve(self.count(), self.size() as usize);
        for part in &self.parts {
            let (run, range) = if alike {
                (Cow::Borrowed(&*part.messages), part.range())
            } else {
                amqp_part(&part.messages, part.range())
            };
            for index in range {
                let entry = &run.entries[index];
                let key = builder.key(run.exchange(entry.key), run.routing_key(entry.key));
                let facts = Facts {
                    expiration_ms: entry.expiration_ms,
                    priority: entry.priority,
                    flags: entry.flags,
                };
                builder.push(key, run.properties(index), run.body(index), facts);
            }
        }
        builder.finish()
    }
}
