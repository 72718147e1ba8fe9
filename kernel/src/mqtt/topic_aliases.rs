//! The topic aliases that we gave to one connection's subscriber (specification 3.3.2.3.4).

use std::collections::HashMap;

/// The first topics to come get one each, for as long as the connection lasts. Keyed hashes: publishers choose topics.
#[derive(Debug)]
pub struct TopicAliases {
    maximum: u16,
    by_topic: HashMap<Box<[u8]>, u16>,
}

/// The alias that a topic is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    pub number: u16,
    /// The subscriber knows it, and the topic need not be told.
    pub known: bool,
}

impl TopicAliases {
    /// `maximum`: what the subscriber allows, or fewer.
    pub fn new(maximum: u16) -> Self {
        Self {
            maximum,
            by_topic: HashMap::new(),
        }
    }

    /// None: all are given to others.
    pub fn find(&self, topic: &[u8]) -> Option<Alias> {
        if let Some(&number) = self.by_topic.get(topic) {
            return Some(Alias {
                number,
                known: true,
            });
        }
        (self.by_topic.len() < usize::from(self.maximum)).then(|| Alias {
            number: self.by_topic.len() as u16 + 1,
            known: false,
        })
    }

    /// The alias found for the topic was told.
    pub fn tell(&mut self, topic: &[u8]) {
        let number = self.by_topic.len() as u16 + 1;
        self.by_topic.insert(topic.into(), number);
    }

    pub fn len(&self) -> usize {
        self.by_topic.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }
}
