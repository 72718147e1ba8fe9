//! A message's properties: checked once when they come in, and read for what the broker must know.
//!
//! Encoded: a word of flags, then the value of each flag that is set, from bit 15 down
//! (specification 4.2.6.1). Whatever stands in a run of AMQP origin has passed [`read`].

use crate::amqp::table::{self, Fault, Reader};
use crate::message_run::{flags, Facts, NO_EXPIRATION};

/// Each property's flag.
pub mod flag {
    pub const CONTENT_TYPE: u16 = 1 << 15;
    pub const CONTENT_ENCODING: u16 = 1 << 14;
    pub const HEADERS: u16 = 1 << 13;
    pub const DELIVERY_MODE: u16 = 1 << 12;
    pub const PRIORITY: u16 = 1 << 11;
    pub const CORRELATION_ID: u16 = 1 << 10;
    pub const REPLY_TO: u16 = 1 << 9;
    pub const EXPIRATION: u16 = 1 << 8;
    pub const MESSAGE_ID: u16 = 1 << 7;
    pub const TIMESTAMP: u16 = 1 << 6;
    pub const TYPE: u16 = 1 << 5;
    pub const USER_ID: u16 = 1 << 4;
    pub const APP_ID: u16 = 1 << 3;
    pub const CLUSTER_ID: u16 = 1 << 2;
    /// Bit 1 is no property; bit 0 announces a second word, of which there is none.
    pub const NONE: u16 = 3;
}

const PERSISTENT_MODE: u8 = 2;

/// Checks properties and says what the broker needs of them (not `MANDATORY`, which is the publish's).
#[inline]
pub fn read(properties: &[u8]) -> Result<Facts, Fault> {
    let mut facts = Facts {
        expiration_ms: NO_EXPIRATION,
        priority: 0,
        flags: 0,
    };
    // The commonest by far: nothing but a delivery mode.
    if let [0x10, 0, mode] = *properties {
        if mode == PERSISTENT_MODE {
            facts.flags = flags::PERSISTENT;
        }
        return Ok(facts);
    }
    read_all(properties, &mut facts)?;
    Ok(facts)
}

fn read_all(properties: &[u8], facts: &mut Facts) -> Result<(), Fault> {
    visit(properties, |property, value| {
        match property {
            flag::HEADERS => table::check(value)?,
            flag::DELIVERY_MODE if value[0] == PERSISTENT_MODE => facts.flags |= flags::PERSISTENT,
            flag::PRIORITY => facts.priority = value[0],
            flag::USER_ID => facts.flags |= flags::HAS_USER_ID,
            flag::EXPIRATION => match parse_expiration(value) {
                Some(expiration_ms) => facts.expiration_ms = expiration_ms,
                None => facts.flags |= flags::BAD_EXPIRATION,
            },
            _ => {}
        }
        Ok(())
    })
}

/// Calls `receive(flag, value)` for each property that is there, in their order. A value is given without its length.
pub fn visit<'a>(
    properties: &'a [u8],
    mut receive: impl FnMut(u16, &'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    const TOO_SHORT: Fault = "properties too short";
    let mut reader = Reader::new(properties);
    let mut present = reader.u16().ok_or(TOO_SHORT)?;
    if present & flag::NONE != 0 {
        return Err("unknown property");
    }
    while present != 0 {
        let property = 1 << present.ilog2();
        present &= !property;
        let value = match property {
            flag::HEADERS => reader.long_string(),
            flag::DELIVERY_MODE | flag::PRIORITY => reader.bytes(1),
            flag::TIMESTAMP => reader.bytes(8),
            _ => reader.short_string(),
        };
        receive(property, value.ok_or(TOO_SHORT)?)?;
    }
    if reader.is_empty() {
        Ok(())
    } else {
        Err("bytes after the properties")
    }
}

/// One property's value without its length; None if it is not there, or not to be found.
pub fn get(properties: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut found = None;
    visit(properties, |property, value| {
        if property == wanted {
            found = Some(value);
        }
        Ok(())
    })
    .ok()?;
    found
}

/// Appends one property's value as it stands in the encoding; `value` as [`visit`] gives it.
pub fn put_value(out: &mut Vec<u8>, property: u16, value: &[u8]) {
    match property {
        flag::HEADERS => out.extend_from_slice(&(value.len() as u32).to_be_bytes()),
        flag::DELIVERY_MODE | flag::PRIORITY | flag::TIMESTAMP => {}
        _ => out.push(value.len() as u8),
    }
    out.extend_from_slice(value);
}

/// Milliseconds from a decimal string, nothing else, at most `u32::MAX` (as RabbitMQ bounds it).
/// The greatest is read as one less, since it stands for "none" in an entry.
fn parse_expiration(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(value.min(NO_EXPIRATION - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_are_decimal_milliseconds() {
        assert_eq!(parse_expiration(b"0"), Some(0));
        assert_eq!(parse_expiration(b"0060000"), Some(60_000));
        assert_eq!(parse_expiration(b"4294967295"), Some(4_294_967_294));
        for bad in [&b""[..], b"4294967296", b"-1", b"+1", b"1.5", b" 1", b"x"] {
            assert_eq!(parse_expiration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn all_fourteen_properties_are_found() {
        let mut all = vec![0xFF, 0xFC];
        all.extend_from_slice(b"\x01a\x01b\x00\x00\x00\x03\x01hV\x02\x07\x01c\x01r\x041234\x01m");
        all.extend_from_slice(&9u64.to_be_bytes());
        all.extend_from_slice(b"\x01t\x02me\x01p\x01l");
        let facts = Facts {
            expiration_ms: 1234,
            priority: 7,
            flags: flags::PERSISTENT | flags::HAS_USER_ID,
        };
        assert_eq!(read(&all), Ok(facts));
        assert_eq!(get(&all, flag::USER_ID), Some(&b"me"[..]));
        assert_eq!(get(&all, flag::HEADERS), Some(&b"\x01hV"[..]));
        for size in 0..all.len() {
            assert!(read(&all[..size]).is_err(), "{size}");
        }
        all.push(0);
        assert!(read(&all).is_err());
        assert!(read(&[0, 1]).is_err());
    }
}
