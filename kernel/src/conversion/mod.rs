//! From one protocol's form of a message to another's, by the tables of `docs/conversions.md`.
//!
//! Total: every property has an answer (mapped, carried under a name, or left out by a written rule), and bytes that
//! no decoder let in end the properties early. Nothing is changed that the other form can hold as it is.

use std::borrow::Cow;
use std::ops::Range;

use crate::message_run::{flags, Entry, Facts, MessageRun, Origin};

mod amqp_form;
mod amqp_to_mqtt;
mod amqp_to_stomp;
mod carried;
pub mod destination;
pub mod header_lines;
mod json_text;
pub mod mqtt_properties;
mod mqtt_to_amqp;
mod mqtt_to_stomp;
mod stomp_names;
mod stomp_to_amqp;
mod stomp_to_mqtt;
mod text;
pub mod topic;

/// What flags say of AMQP's properties that no other form does: nobody vouches for a record of deaths that has been
/// a text, and an expiration that is no number is left out.
const FLAGS_OF_AMQP_ALONE: u8 = flags::BAD_EXPIRATION | flags::DEAD_LETTERED;
/// And what they say of AMQP's and STOMP's, but not of MQTT's: nobody vouches for a user id that has been a user
/// property.
const FLAGS_OF_AMQP: u8 = FLAGS_OF_AMQP_ALONE | flags::HAS_USER_ID;

/// Properties beyond this are left out. An array repeats its header's name in MQTT, so that a header frame of 128 KiB
/// could become fifty times that.
const PROPERTIES_SIZE_MAX: usize = 1 << 20;

type Convert = fn(&MessageRun, &[Entry]) -> MessageRun;

/// How messages of one form become those of another; None: they are.
fn conversion(from: Origin, to: Origin) -> Option<Convert> {
    Some(match (from, to) {
        (Origin::Amqp091, Origin::Mqtt) => amqp_to_mqtt::convert,
        (Origin::Amqp091, Origin::Stomp) => amqp_to_stomp::convert,
        (Origin::Mqtt, Origin::Amqp091) => mqtt_to_amqp::convert,
        (Origin::Mqtt, Origin::Stomp) => mqtt_to_stomp::convert,
        (Origin::Stomp, Origin::Amqp091) => stomp_to_amqp::convert,
        (Origin::Stomp, Origin::Mqtt) => stomp_to_mqtt::convert,
        (Origin::Amqp091, Origin::Amqp091)
        | (Origin::Mqtt, Origin::Mqtt)
        | (Origin::Stomp, Origin::Stomp) => return None,
    })
}

/// The same messages in MQTT's form.
#[must_use]
pub fn to_mqtt(run: &MessageRun) -> MessageRun {
    converted(run, Origin::Mqtt)
}

/// The same messages in AMQP 0-9-1's form.
#[must_use]
pub fn to_amqp(run: &MessageRun) -> MessageRun {
    converted(run, Origin::Amqp091)
}

/// The same messages in STOMP's form.
#[must_use]
pub fn to_stomp(run: &MessageRun) -> MessageRun {
    converted(run, Origin::Stomp)
}

fn converted(run: &MessageRun, to: Origin) -> MessageRun {
    match conversion(run.origin, to) {
        None => run.clone(),
        Some(convert) => convert(run, &run.entries),
    }
}

/// These messages of a run in AMQP 0-9-1's form, and where they stand in what is given: the run itself, not copied,
/// if that is its form.
pub fn amqp_part(run: &MessageRun, part: Range<usize>) -> (Cow<'_, MessageRun>, Range<usize>) {
    converted_part(run, part, Origin::Amqp091)
}

/// The same in STOMP's form.
pub fn stomp_part(run: &MessageRun, part: Range<usize>) -> (Cow<'_, MessageRun>, Range<usize>) {
    converted_part(run, part, Origin::Stomp)
}

fn converted_part(
    run: &MessageRun,
    part: Range<usize>,
    to: Origin,
) -> (Cow<'_, MessageRun>, Range<usize>) {
    match conversion(run.origin, to) {
        None => (Cow::Borrowed(run), part),
        Some(convert) => {
            let converted = convert(run, &run.entries[part]);
            let all = 0..converted.entries.len();
            (Cow::Owned(converted), all)
        }
    }
}

/// What stands beside an entry, without these flags.
fn facts(entry: &Entry, flags_left_out: u8) -> Facts {
    Facts {
        expiration_ms: entry.expiration_ms,
        priority: entry.priority,
        flags: entry.flags & !flags_left_out,
    }
}

/// Numbers of keys in the new run, by those in the old: each key is looked at once.
struct KeyNumbers(Vec<u32>);

impl KeyNumbers {
    const UNKNOWN: u32 = u32::MAX;

    fn of(run: &MessageRun) -> Self {
        Self(vec![Self::UNKNOWN; run.dictionary.len()])
    }

    #[inline]
    fn get(&mut self, key: u32, find: impl FnOnce() -> u32) -> u32 {
        let number = &mut self.0[key as usize];
        if *number == Self::UNKNOWN {
            *number = find();
        }
        *number
    }
}

#[cfg(test)]
mod tests;
