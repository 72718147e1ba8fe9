//! Runs of deliveries: what one consumer is handed in one go, as pieces of message runs.

use std::sync::Arc;

use crate::message_run::{Entry, Facts, MessageRun};
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
        let first = self.first as usize;
        &self.messages.entries[first..first + self.count as usize]
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
    /// The same messages as one run, in a buffer of its own. All parts are of one origin.
    pub fn messages(&self) -> MessageRun {
        let mut all = self.parts.iter().flat_map(|part| {
            let first = part.first as usize;
            (first..first + part.count as usize).map(move |index| (&part.messages, index))
        });
        let origin = self.parts[0].messages.origin;
        let mut builder = RunBuilder::new(origin);
        builder.reserve(self.count(), self.size() as usize);
        all.by_ref().for_each(|(run, index)| {
            let entry = &run.entries[index];
            let key = builder.key(run.exchange(entry.key), run.routing_key(entry.key));
            let facts = Facts {
                expiration_ms: entry.expiration_ms,
                priority: entry.priority,
                flags: entry.flags,
            };
            builder.push(key, run.properties(index), run.body(index), facts);
        });
        builder.finish()
    }
}
