//! From one protocol's form of a message to another's, by the tables of `docs/conversions.md`.
//!
//! Total: every property has an answer (mapped, carried under a name, or left out by a written rule), and bytes that
//! no decoder let in end the properties early. Nothing is changed that the other form can hold as it is.

use std::borrow::Cow;
use std::ops::Range;

use crate::message_run::{flags, MessageRun, Origin};

mod amqp_to_mqtt;
mod carried;
mod json_text;
pub mod mqtt_properties;
mod mqtt_to_amqp;
mod text;
pub mod topic;

/// What flags say of AMQP's properties, which MQTT's don't hold: nobody vouches for a user id or a record of deaths
/// that has been a user property.
const FLAGS_OF_AMQP: u8 = flags::HAS_USER_ID | flags::BAD_EXPIRATION | flags::DEAD_LETTERED;

/// The same messages in MQTT's form.
#[must_use]
pub fn to_mqtt(run: &MessageRun) -> MessageRun {
    match run.origin {
        Origin::Amqp091 => amqp_to_mqtt::convert(run, &run.entries),
        Origin::Mqtt => run.clone(),
    }
}

/// The same messages in AMQP 0-9-1's form.
#[must_use]
pub fn to_amqp(run: &MessageRun) -> MessageRun {
    match run.origin {
        Origin::Amqp091 => run.clone(),
        Origin::Mqtt => mqtt_to_amqp::convert(run, &run.entries),
    }
}

/// These messages of a run in AMQP 0-9-1's form, and where they stand in what is given: the run itself, not copied,
/// if that is its form.
pub fn amqp_part(run: &MessageRun, part: Range<usize>) -> (Cow<'_, MessageRun>, Range<usize>) {
    match run.origin {
        Origin::Amqp091 => (Cow::Borrowed(run), part),
        Origin::Mqtt => {
            let converted = mqtt_to_amqp::convert(run, &run.entries[part]);
            let all = 0..converted.entries.len();
            (Cow::Owned(converted), all)
        }
    }
}

#[cfg(test)]
mod tests;
