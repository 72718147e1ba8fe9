//! What a subscription is entitled to, as far as it shows in a PUBLISH.

use crate::mqtt::packet::{self, BODY_SIZE_MAX};
use crate::mqtt::property::SUBSCRIPTION_IDENTIFIER;

/// One subscription's, or of several that overlap all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub qos: u8,
    /// The retain flag is the publisher's; else it is set for retained messages at subscribe only.
    pub retain_as_published: bool,
    pub subscription_ids: Vec<u32>,
    /// The subscription identifiers as properties.
    pub(super) properties: Vec<u8>,
}

impl Grant {
    /// # Errors
    /// A QoS is 0 to 2, a subscription identifier 1 to 268,435,455.
    pub fn new(
        qos: u8,
        retain_as_published: bool,
        subscription_ids: Vec<u32>,
    ) -> Result<Self, &'static str> {
        if qos > packet::QOS_MAX {
            return Err("a QoS is 0, 1 or 2");
        }
        let mut properties = Vec::new();
        for &id in &subscription_ids {
            if id == 0 || id as usize > BODY_SIZE_MAX {
                return Err("a subscription identifier is 1 to 268435455");
            }
            properties.push(SUBSCRIPTION_IDENTIFIER);
            packet::put_varint(&mut properties, id as usize);
        }
        Ok(Self {
            qos,
            retain_as_published,
            subscription_ids,
            properties,
        })
    }
}
