//! Names under which one protocol's form carries what only the other has a place for.

use crate::amqp::properties::flag;
use crate::conversion::text::{from_base64, is_text, BASE64_SUFFIX};

/// Headers that hold what MQTT has and AMQP has no place for.
pub const TOPIC: &[u8] = b"mqtt-topic";
pub const CONTENT_TYPE: &[u8] = b"mqtt-content-type";
pub const CORRELATION_DATA: &[u8] = b"mqtt-correlation-data";
pub const PAYLOAD_FORMAT: &[u8] = b"mqtt-payload-format";
pub const RESPONSE_EXCHANGE: &[u8] = b"mqtt-response-exchange";
pub const RESPONSE_TOPIC: &[u8] = b"mqtt-response-topic";
pub const USER_PROPERTIES: &[u8] = b"mqtt-user-properties";
const HEADERS: [&[u8]; 7] = [
    TOPIC,
    CONTENT_TYPE,
    CORRELATION_DATA,
    PAYLOAD_FORMAT,
    RESPONSE_EXCHANGE,
    RESPONSE_TOPIC,
    USER_PROPERTIES,
];

/// The exchange that MQTT's topics are routing keys of.
pub const TOPIC_EXCHANGE: &[u8] = b"amq.topic";

/// A user property with such a header's name gets one more of these behind it as a header, and loses it on the way back.
pub const USER_SUFFIX: &[u8] = b";user";

/// Whether a header with this name is for what MQTT has, and no user property.
pub fn is_header(name: &[u8]) -> bool {
    HEADERS.contains(&name)
}

pub fn without_user_suffixes(name: &[u8]) -> &[u8] {
    let mut rest = name;
    while let Some(before) = rest.strip_suffix(USER_SUFFIX) {
        rest = before;
    }
    rest
}

fn is_escaped(name: &[u8]) -> bool {
    is_header(without_user_suffixes(name))
}

/// The header name of a user property.
pub fn header_name(user_property: &[u8]) -> Vec<u8> {
    let suffix = if is_escaped(user_property) {
        USER_SUFFIX
    } else {
        b""
    };
    [user_property, suffix].concat()
}

/// The user property of a header that [`is_header`] says no to.
pub fn user_property_name(header: &[u8]) -> &[u8] {
    match header.strip_suffix(USER_SUFFIX) {
        Some(before) if is_escaped(before) => before,
        _ => header,
    }
}

/// How the text of a user property is an AMQP property.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// Text has a property of its own in MQTT; what is none is carried in base64.
    OtherThanText,
    U8,
    U64,
    /// Never taken from a user property: the broker vouches for it.
    Shown,
}

/// AMQP properties that are user properties in MQTT, in the order they are written.
const PROPERTIES: [(u16, &[u8], Form); 10] = [
    (
        flag::CONTENT_TYPE,
        b"amqp-content-type",
        Form::OtherThanText,
    ),
    (flag::CONTENT_ENCODING, b"amqp-content-encoding", Form::Text),
    (flag::PRIORITY, b"amqp-priority", Form::U8),
    (flag::REPLY_TO, b"amqp-reply-to", Form::OtherThanText),
    (flag::MESSAGE_ID, b"amqp-message-id", Form::Text),
    (flag::TIMESTAMP, b"amqp-timestamp", Form::U64),
    (flag::TYPE, b"amqp-type", Form::Text),
    (flag::USER_ID, b"amqp-user-id", Form::Shown),
    (flag::APP_ID, b"amqp-app-id", Form::Text),
    (flag::CLUSTER_ID, b"amqp-cluster-id", Form::Text),
];
/// The end of the year 9999, which is the last that many AMQP clients can read.
const TIME_S_MAX: u64 = 253_402_300_799;
const SHORT_STRING_SIZE_MAX: usize = 255;

/// A property's user property, as name and what would be its value if that is text; `value` as AMQP encodes it.
pub fn user_property(property: u16, value: &[u8]) -> Option<(&'static [u8], Vec<u8>)> {
    let (_, name, form) = PROPERTIES.iter().find(|(flag, ..)| *flag == property)?;
    let shown = match form {
        Form::U8 => value.first()?.to_string().into_bytes(),
        Form::U64 => u64::from_be_bytes(value.try_into().ok()?)
            .to_string()
            .into_bytes(),
        Form::OtherThanText if is_text(value) => return None,
        _ => value.to_vec(),
    };
    Some((name, shown))
}

/// The property that a user property's name asks for.
pub fn property_of(name: &[u8]) -> Option<u16> {
    let plain = name.strip_suffix(BASE64_SUFFIX).unwrap_or(name);
    let (flag, _, form) = PROPERTIES.iter().find(|(_, known, _)| *known == plain)?;
    (*form != Form::Shown).then_some(*flag)
}

/// The property's value as AMQP encodes it, if `name` and `shown` are just what would be written for it.
pub fn property_value(name: &[u8], shown: &[u8]) -> Option<Vec<u8>> {
    let plain = name.strip_suffix(BASE64_SUFFIX).unwrap_or(name);
    let in_base64 = plain.len() < name.len();
    let (.., form) = PROPERTIES.iter().find(|(_, known, _)| *known == plain)?;
    match (form, in_base64) {
        (Form::U8, false) => priority(shown),
        (Form::U64, false) => timestamp(shown),
        (Form::Text, false) => {
            (shown.len() <= SHORT_STRING_SIZE_MAX && is_text(shown)).then(|| shown.to_vec())
        }
        (Form::Text | Form::OtherThanText, true) => {
            let value = from_base64(shown)?;
            // Many AMQP clients end at a short string that is not UTF-8.
            let fits = value.len() <= SHORT_STRING_SIZE_MAX && std::str::from_utf8(&value).is_ok();
            (fits && !is_text(&value)).then_some(value)
        }
        _ => None,
    }
}

/// A priority as AMQP encodes it.
pub fn priority(shown: &[u8]) -> Option<Vec<u8>> {
    Some(vec![u8::try_from(number(shown)?).ok()?])
}

/// A timestamp as AMQP encodes it.
pub fn timestamp(shown: &[u8]) -> Option<Vec<u8>> {
    let time_s = number(shown)?;
    (time_s <= TIME_S_MAX).then(|| time_s.to_be_bytes().to_vec())
}

/// Of a decimal that is written as numbers are.
fn number(shown: &[u8]) -> Option<u64> {
    let number: u64 = std::str::from_utf8(shown).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == shown).then_some(number)
}
