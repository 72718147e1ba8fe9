//! PUBACK, PUBREC, PUBREL and PUBCOMP (specification 3.4 to 3.7): a packet identifier, and in MQTT 5 a reason code
//! and properties, which may be left out.

use crate::decoder::{Frame, Violation};
use crate::mqtt::packet::{self, malformed, protocol_error};
use crate::mqtt::property::{self, Properties};

const REASONS_OF_RECEIPT: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const REASONS_OF_RELEASE: &[u8] = &[0, 0x92];

/// The reason codes that a kind of acknowledgement may have.
pub fn reasons_of(kind: u8) -> &'static [u8] {
    match kind {
        packet::PUBACK | packet::PUBREC => REASONS_OF_RECEIPT,
        _ => REASONS_OF_RELEASE,
    }
}

/// Packet identifier and reason code of an acknowledgement.
///
/// # Errors
/// It is cut short or too long, its packet identifier is 0, its reason code is none of its kind's, or a property is wrong.
#[inline]
pub fn parse(kind: u8, body: &[u8], version: u8) -> Result<(u16, u8), Violation> {
    let Some((packet_id, rest)) = packet::split_u16(body) else {
        return Err(malformed("packet identifier is cut short"));
    };
    if packet_id == 0 {
        return Err(protocol_error("packet identifier 0"));
    }
    if rest.is_empty() {
        return Ok((packet_id, 0));
    }
    if version < 5 {
        let text = format!("{} is longer than 2 bytes", packet::name(kind));
        return Err(malformed(text));
    }
    let reason = rest[0];
    if !reasons_of(kind).contains(&reason) {
        let text = format!("{} with reason code {reason:#04x}", packet::name(kind));
        return Err(protocol_error(text));
    }
    if rest.len() > 1 {
        check_properties(kind, &rest[1..])?;
    }
    Ok((packet_id, reason))
}

fn check_properties(kind: u8, data: &[u8]) -> Result<(), Violation> {
    let (wire, rest) = property::split(data)?;
    for property in Properties::new(wire, property::OF_ACK) {
        property?;
    }
    if !rest.is_empty() {
        let text = format!("{} goes on after its properties", packet::name(kind));
        return Err(malformed(text));
    }
    Ok(())
}

/// Adds an acknowledgement to the last frame if that is one of the same kind and reason, else after it.
pub fn receive(kind: u8, reason: u8, packet_id: u16, frames: &mut Vec<Frame>) {
    if let Some(Frame::Acks {
        kind: of,
        reason: with,
        packet_ids,
    }) = frames.last_mut()
    {
        if *of == kind && *with == reason {
            return packet_ids.push(packet_id);
        }
    }
    frames.push(Frame::Acks {
        kind,
        reason,
        packet_ids: vec![packet_id],
    });
}

/// Acknowledgements as bytes, in the short form where there is no reason to tell. 3.1 and 3.1.1 have no reason codes.
pub fn encode(kind: u8, packet_ids: &[u16], reason: u8, version: u8) -> Vec<u8> {
    let first = kind << 4 | packet::flags_of(kind);
    let told = version == 5 && reason != 0;
    let mut out = Vec::with_capacity(packet_ids.len() * if told { 5 } else { 4 });
    for packet_id in packet_ids {
        let [high, low] = packet_id.to_be_bytes();
        if told {
            out.extend_from_slice(&[first, 3, high, low, reason]);
        } else {
            out.extend_from_slice(&[first, 2, high, low]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_parsed() {
        for kind in packet::PUBACK..=packet::PUBCOMP {
            for &reason in reasons_of(kind) {
                let wire = encode(kind, &[1, 0xFFFE], reason, 5);
                let size = 2 + usize::from(wire[1]);
                assert_eq!(wire.len(), 2 * size);
                for (one, id) in wire.chunks(size).zip([1, 0xFFFE]) {
                    assert!(packet::check_first_byte(one[0], 5).is_ok());
                    assert_eq!(parse(kind, &one[2..], 5), Ok((id, reason)));
                }
            }
        }
        assert_eq!(encode(packet::PUBACK, &[7], 0x87, 4), b"\x40\x02\0\x07");
        assert_eq!(encode(packet::PUBREL, &[7], 0, 5), b"\x62\x02\0\x07");
    }
}
