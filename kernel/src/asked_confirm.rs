//! `x-confirm` of a message: which level of confirm its publisher asks for.
//!
//! A header of AMQP, a header line of STOMP, a user property of MQTT 5.

use crate::amqp::properties::{self, flag};
use crate::amqp::table;
use crate::conversion::header_lines;
use crate::message_run::{MessageRun, Origin};
use crate::mqtt::property::{Properties, OF_PUBLISH, USER_PROPERTY};

const NAME: &[u8] = b"x-confirm";
/// The levels by their numbers.
const LEVELS: [&[u8]; 3] = [b"none", b"leader", b"quorum"];
/// Of a message that asks for nothing.
pub const NOT_ASKED: i8 = -1;
/// Of a message that asks for what is no level.
pub const UNKNOWN: i8 = -2;
/// Properties with the name in them are no smaller.
const SIZE_MIN: u32 = NAME.len() as u32;

/// How many messages in turn ask for the same, and for what; None, at little cost: nobody asks.
pub fn asked(run: &MessageRun) -> Option<Vec<(usize, i8)>> {
    let sizes = || run.entries.iter().map(|entry| entry.properties.size);
    if !sizes().any(|size| size >= SIZE_MIN) {
        return None;
    }
    let mut turns: Vec<(usize, i8)> = Vec::new();
    for (index, entry) in run.entries.iter().enumerate() {
        let level = if entry.properties.size < SIZE_MIN {
            NOT_ASKED
        } else {
            level_of(run.origin, run.properties(index))
        };
        match turns.last_mut() {
            Some((count, last)) if *last == level => *count += 1,
            _ => turns.push((1, level)),
        }
    }
    turns
        .iter()
        .any(|(_, level)| *level != NOT_ASKED)
        .then_some(turns)
}

fn level_of(origin: Origin, encoded: &[u8]) -> i8 {
    match origin {
        Origin::Amqp091 => of_headers(encoded),
        Origin::Stomp => header_lines::get(encoded, NAME).map_or(NOT_ASKED, |text| named(&text)),
        Origin::Mqtt => of_user_properties(encoded),
    }
}

fn of_headers(encoded: &[u8]) -> i8 {
    let (high, of_headers) = (encoded.first(), (flag::HEADERS >> 8) as u8);
    if high.is_none_or(|high| high & of_headers == 0) {
        return NOT_ASKED;
    }
    let headers = properties::get(encoded, flag::HEADERS).unwrap_or_default();
    let found = table::fields(headers).find(|field| field.name == NAME);
    found.map_or(NOT_ASKED, |field| match field.kind {
        b'S' => named(field.value),
        _ => UNKNOWN,
    })
}

fn of_user_properties(encoded: &[u8]) -> i8 {
    let pairs = Properties::new(encoded, OF_PUBLISH)
        .map_while(Result::ok)
        .filter(|property| property.id == USER_PROPERTY);
    let mut values = pairs.filter_map(|pair| {
        let (name, value) = split(pair.value)?;
        (name == NAME).then_some(value)
    });
    values.next().map_or(NOT_ASKED, named)
}

/// Two strings, each behind its length.
fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = string(pair)?;
    Some((name, string(rest)?.0))
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))
}

fn named(text: &[u8]) -> i8 {
    let level = LEVELS.iter().position(|level| *level == text);
    level.map_or(UNKNOWN, |level| level as i8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_run::{Facts, NO_EXPIRATION};
    use crate::run_builder::RunBuilder;

    fn run(origin: Origin, all: &[Vec<u8>]) -> MessageRun {
        let mut builder = RunBuilder::new(origin);
        let facts = Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 0,
            flags: 0,
        };
        for encoded in all {
            let key = builder.key(b"", b"q");
            builder.push(key, encoded, b"body", facts);
        }
        builder.finish()
    }

    fn amqp(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
        let mut headers = Vec::new();
        table::put_field(&mut headers, b"first", b'S', b"x-confirm");
        table::put_field(&mut headers, name, kind, value);
        let mut out = (flag::HEADERS | flag::DELIVERY_MODE).to_be_bytes().to_vec();
        properties::put_value(&mut out, flag::HEADERS, &headers);
        out.push(2);
        out
    }

    fn mqtt(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![USER_PROPERTY];
        for text in [name, value] {
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
            out.extend_from_slice(text);
        }
        out
    }

    #[test]
    fn what_amqp_messages_ask_for_comes_in_turns() {
        let plain = vec![0x10, 0, 2];
        let all = [
            plain.clone(),
            amqp(NAME, b'S', b"none"),
            amqp(NAME, b'S', b"none"),
            amqp(NAME, b'S', b"leader"),
            amqp(b"x-confirms", b'S', b"none"),
            plain,
            amqp(NAME, b'S', b"quorum"),
            amqp(NAME, b'S', b"most"),
            amqp(NAME, b't', &[1]),
        ];
        let turns = vec![(1, -1), (2, 0), (1, 1), (2, -1), (1, 2), (2, -2)];
        assert_eq!(asked(&run(Origin::Amqp091, &all)), Some(turns));
    }

    #[test]
    fn nobody_asks() {
        let all = [vec![0x10, 0, 2], amqp(b"other", b'S', b"none")];
        assert_eq!(asked(&run(Origin::Amqp091, &all)), None);
        assert_eq!(asked(&run(Origin::Amqp091, &all[..1])), None);
        assert_eq!(
            asked(&run(Origin::Mqtt, &[mqtt(b"other", b"x-confirm")])),
            None
        );
        assert_eq!(
            asked(&run(Origin::Stomp, &[b"other:x-confirm\n".to_vec()])),
            None
        );
    }

    #[test]
    fn the_other_protocols_ask_alike() {
        let all = [mqtt(NAME, b"leader"), mqtt(NAME, b"Leader")];
        assert_eq!(asked(&run(Origin::Mqtt, &all)), Some(vec![(1, 1), (1, -2)]));
        let all = [b"a:b\nx-confirm:none\n".to_vec(), b"x-confirm:\n".to_vec()];
        assert_eq!(
            asked(&run(Origin::Stomp, &all)),
            Some(vec![(1, 0), (1, -2)])
        );
    }
}
