//! The distinct topics of deliveries, whatever the messages' origins.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::conversion::topic::topic_shown;
use crate::delivery_run::{DeliveryRun, Part};
use crate::message_run::Origin;

/// Topics in the order they are first seen.
#[derive(Debug, Default)]
pub struct DeliveryTopics {
    pub topics: Vec<Vec<u8>>,
    /// Of each part, for each key of its run: which topic. [`Self::NONE`]: no delivery has it.
    pub numbers: Vec<Vec<u32>>,
}

impl DeliveryTopics {
    pub const NONE: u32 = u32::MAX;

    pub fn of(run: &DeliveryRun) -> Self {
        let mut all = Self::default();
        let mut by_topic: HashMap<Cow<[u8]>, u32> = HashMap::new();
        for part in &run.parts {
            let mut numbers = vec![Self::NONE; part.messages.dictionary.len()];
            for entry in part.entries() {
                let number = &mut numbers[entry.key as usize];
                if *number == Self::NONE {
                    let next = by_topic.len() as u32;
                    let topic = topic(part, entry.key);
                    *number = *by_topic.entry(topic).or_insert_with_key(|topic| {
                        all.topics.push(topic.to_vec());
                        next
                    });
                }
            }
            all.numbers.push(numbers);
        }
        all
    }
}

fn topic(part: &Part, key: u32) -> Cow<'_, [u8]> {
    let name = part.messages.routing_key(key);
    match part.messages.origin {
        Origin::Mqtt => Cow::Borrowed(name),
        Origin::Amqp091 | Origin::Stomp => {
            Cow::Owned(topic_shown(part.messages.exchange(key), name))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message_run::{Facts, NO_EXPIRATION};
    use crate::run_builder::RunBuilder;

    fn part(origin: Origin, names: &[&str], first: u32) -> Part {
        let mut builder = RunBuilder::new(origin);
        for name in names {
            let key = builder.key(b"amq.topic", name.as_bytes());
            let facts = Facts {
                expiration_ms: NO_EXPIRATION,
                priority: 0,
                flags: 0,
            };
            builder.push(key, b"", b"", facts);
        }
        Part {
            messages: Arc::new(builder.finish()),
            first,
            count: names.len() as u32 - first,
            redelivered: false,
            expires_ms: 0,
        }
    }

    #[test]
    fn a_topic_is_the_same_from_either_origin_and_only_what_is_delivered_counts() {
        let parts = vec![
            part(Origin::Mqtt, &["gone", "b/c", "a", "b/c"], 1),
            part(Origin::Amqp091, &["x.y", "b.c"], 0),
            part(Origin::Stomp, &["a", "z.y"], 0),
        ];
        let all = DeliveryTopics::of(&DeliveryRun { parts });
        assert_eq!(all.topics, [&b"b/c"[..], b"a", b"x/y", b"z/y"]);
        assert_eq!(all.numbers, [vec![u32::MAX, 0, 1], vec![2, 0], vec![1, 3]]);
    }
}
