//! The names of STOMP's headers, and what a header of a message is called so as not to be taken for one of them.

use std::borrow::Cow;

use crate::amqp::properties::flag;
use crate::conversion::carried;

/// AMQP properties that are STOMP headers, in the order they are written.
pub const PROPERTIES: [(u16, &[u8]); 11] = [
    (flag::CONTENT_TYPE, b"content-type"),
    (flag::CONTENT_ENCODING, b"content-encoding"),
    (flag::PRIORITY, b"priority"),
    (flag::CORRELATION_ID, b"correlation-id"),
    (flag::REPLY_TO, b"reply-to"),
    (flag::MESSAGE_ID, b"amqp-message-id"),
    (flag::TIMESTAMP, b"timestamp"),
    (flag::TYPE, b"type"),
    (flag::USER_ID, b"user-id"),
    (flag::APP_ID, b"app-id"),
    (flag::CLUSTER_ID, b"cluster-id"),
];

/// Headers that say something of one hop, or of what stands beside the properties.
const OF_ONE_HOP: [&[u8]; 10] = [
    b"ack",
    b"content-length",
    b"destination",
    b"expiration",
    b"message-id",
    b"persistent",
    b"receipt",
    b"redelivered",
    b"subscription",
    b"transaction",
];

/// The property that a header's name asks for.
pub fn property_of(name: &[u8]) -> Option<u16> {
    let found = PROPERTIES.iter().find(|(_, known)| *known == name);
    found.map(|(flag, _)| *flag)
}

pub fn is_of_one_hop(name: &[u8]) -> bool {
    OF_ONE_HOP.contains(&name)
}

/// Whether a name, be it with `;user` behind it, is taken: by one hop, by the user id that the broker vouches for, or
/// by a property that is there (`present`, by flag).
fn is_taken(name: &[u8], present: u16) -> bool {
    let plain = carried::without_user_suffixes(name);
    is_of_one_hop(plain)
        || property_of(plain).is_some_and(|flag| (present | flag::USER_ID) & flag != 0)
}

/// What a message's own header is called among STOMP's.
pub fn shown_name(name: &[u8], present: u16) -> Cow<'_, [u8]> {
    if is_taken(name, present) {
        Cow::Owned([name, carried::USER_SUFFIX].concat())
    } else {
        Cow::Borrowed(name)
    }
}

/// Undoes [`shown_name`].
pub fn own_name(shown: &[u8], present: u16) -> &[u8] {
    match shown.strip_suffix(carried::USER_SUFFIX) {
        Some(before) if is_taken(before, present) => before,
        _ => shown,
    }
}

/// MQTT's payload format and whole topic: STOMP has no place for them, so that they are headers there as in AMQP. The
/// other headers that carry MQTT's have one.
pub fn is_carried_on(name: &[u8]) -> bool {
    let plain = carried::without_user_suffixes(name);
    plain == carried::PAYLOAD_FORMAT || plain == carried::TOPIC
}
