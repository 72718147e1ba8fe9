//! The few packets of MQTT 3.1.1 that the generator says and understands, written apart from the
//! broker's codec so that a mistake there can't hide here.

/// Packet types, with the flags that their first byte must have.
pub const CONNECT: u8 = 0x10;
pub const CONNACK: u8 = 0x20;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;
pub const SUBSCRIBE: u8 = 0x82;
pub const SUBACK: u8 = 0x90;
pub const UNSUBSCRIBE: u8 = 0xA2;
pub const UNSUBACK: u8 = 0xB0;
pub const PINGREQ: u8 = 0xC0;
pub const PINGRESP: u8 = 0xD0;
pub const DISCONNECT: u8 = 0xE0;

const TYPE: u8 = 0xF0;
const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;
const CLEAN_SESSION: u8 = 0x02;

/// A whole packet in a buffer.
pub struct Packet<'a> {
    first: u8,
    pub body: &'a [u8],
    /// Bytes it takes in the buffer.
    pub size: usize,
}

/// A delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub qos: u8,
    pub dup: bool,
    pub retain: bool,
    /// 0 with QoS 0.
    pub id: u16,
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The type alone for PUBLISH, else with its flags.
    #[inline]
    pub fn kind(&self) -> u8 {
        if self.first & TYPE == PUBLISH {
            PUBLISH
        } else {
            self.first
        }
    }

    /// The packet identifier at the body's beginning.
    pub fn id(&self) -> Result<u16, String> {
        let id = self
            .body
            .get(..2)
            .ok_or("an acknowledgement without identifier")?;
        Ok(u16::from_be_bytes([id[0], id[1]]))
    }

    #[inline]
    pub fn publish(&self) -> Result<Publish<'a>, String> {
        let short = || "a publish shorter than it says".to_owned();
        let qos = self.first >> 1 & 3;
        let size = self.body.get(..2).ok_or_else(short)?;
        let topic_end = 2 + usize::from(u16::from_be_bytes([size[0], size[1]]));
        let rest = self.body.get(topic_end..).ok_or_else(short)?;
        let (id, payload) = match (qos, rest) {
            (0, payload) => (0, payload),
            (_, [high, low, payload @ ..]) => (u16::from_be_bytes([*high, *low]), payload),
            _ => return Err(short()),
        };
        if qos > 0 && id == 0 {
            return Err("a publish with identifier 0".into());
        }
        Ok(Publish {
            qos,
            dup: self.first & DUP != 0,
            retain: self.first & RETAIN != 0,
            id,
            payload,
        })
    }
}

/// The first packet in `bytes`; None: not whole yet.
#[inline]
pub fn split(bytes: &[u8]) -> Result<Option<Packet<'_>>, String> {
    let mut length = 0;
    // A length has at most four bytes, of 7 bits each (3.1.1, 2.2.3).
    for place in 0..4 {
        let Some(byte) = bytes.get(1 + place) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            let start = 2 + place;
            return Ok(bytes.get(start..start + length).map(|body| Packet {
                first: bytes[0],
                body,
                size: start + length,
            }));
        }
    }
    Err(format!(
        "a length of more than four bytes: {:?}",
        &bytes[..5]
    ))
}

/// A packet's first byte and length.
fn header(bytes: &mut Vec<u8>, first: u8, mut length: usize) {
    assert!(length < 1 << 28, "a packet of {length} bytes");
    bytes.push(first);
    loop {
        let more = length > 0x7F;
        bytes.push((length & 0x7F) as u8 | u8::from(more) << 7);
        length >>= 7;
        if !more {
            return;
        }
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 1 << 16, "a text of {} bytes", text.len());
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

pub fn connect(bytes: &mut Vec<u8>, client_id: &str, clean_session: bool, keep_alive_s: u16) {
    header(bytes, CONNECT, 12 + client_id.len());
    text(bytes, "MQTT");
    bytes.push(4); // 3.1.1
    bytes.push(if clean_session { CLEAN_SESSION } else { 0 });
    bytes.extend_from_slice(&keep_alive_s.to_be_bytes());
    text(bytes, client_id);
}

/// All of a PUBLISH but its payload of `size` bytes. With a QoS it ends with identifier 0, to be
/// overwritten by `number_publish`.
pub fn publish(bytes: &mut Vec<u8>, topic: &str, size: usize, qos: u8, retain: bool) {
    let id_size = if qos > 0 { 2 } else { 0 };
    let first = PUBLISH | qos << 1 | u8::from(retain);
    header(bytes, first, 2 + topic.len() + id_size + size);
    text(bytes, topic);
    bytes.extend_from_slice(&[0, 0][..id_size]);
}

/// Writes the identifier that a PUBLISH without its payload ends with.
#[inline]
pub fn number_publish(head: &mut [u8], id: u16) {
    let start = head.len() - 2;
    head[start..].copy_from_slice(&id.to_be_bytes());
}

pub fn subscribe(bytes: &mut Vec<u8>, id: u16, filter: &str, qos: u8) {
    header(bytes, SUBSCRIBE, 5 + filter.len());
    bytes.extend_from_slice(&id.to_be_bytes());
    text(bytes, filter);
    bytes.push(qos);
}

pub fn unsubscribe(bytes: &mut Vec<u8>, id: u16, filter: &str) {
    header(bytes, UNSUBSCRIBE, 4 + filter.len());
    bytes.extend_from_slice(&id.to_be_bytes());
    text(bytes, filter);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[inline]
pub fn acknowledge(bytes: &mut Vec<u8>, kind: u8, id: u16) {
    let [high, low] = id.to_be_bytes();
    bytes.extend_from_slice(&[kind, 2, high, low]);
}

/// PINGREQ or DISCONNECT.
pub fn bare(bytes: &mut Vec<u8>, kind: u8) {
    bytes.extend_from_slice(&[kind, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_split_at_any_cut() {
        for size in [0, 100, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut bytes = Vec::new();
            publish(&mut bytes, "t/1", size, 1, true);
            let id_at = bytes.len() - 2;
            number_publish(&mut bytes, 258);
            bytes.resize(bytes.len() + size, b'x');
            let whole = bytes.len();
            for cut in (0..20.min(whole)).chain([whole - 1]) {
                assert!(split(&bytes[..cut]).unwrap().is_none(), "{cut} of {whole}");
            }
            bytes.extend_from_slice(&[PINGRESP, 0]);
            let packet = split(&bytes).unwrap().unwrap();
            assert_eq!((packet.kind(), packet.size), (PUBLISH, whole));
            let expected = Publish {
                qos: 1,
                dup: false,
                retain: true,
                id: 258,
                payload: &bytes[id_at + 2..whole],
            };
            assert_eq!(packet.publish(), Ok(expected));
            let next = split(&bytes[whole..]).unwrap().unwrap();
            assert_eq!((next.kind(), next.body.len()), (PINGRESP, 0));
        }
    }

    #[test]
    fn what_is_said_is_as_the_specification_draws_it() {
        let said = |say: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            say(&mut bytes);
            bytes
        };
        assert_eq!(
            said(&|bytes| connect(bytes, "id", true, 60)),
            b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id"
        );
        assert_eq!(
            said(&|bytes| connect(bytes, "id", false, 60))[9],
            0,
            "the session stays"
        );
        assert_eq!(
            said(&|bytes| publish(bytes, "a/b", 4, 0, false)),
            b"\x30\x09\0\x03a/b"
        );
        assert_eq!(
            said(&|bytes| publish(bytes, "a/b", 4, 2, true)),
            b"\x35\x0b\0\x03a/b\0\0"
        );
        assert_eq!(
            said(&|bytes| subscribe(bytes, 10, "a/b", 1)),
            b"\x82\x08\0\x0a\0\x03a/b\x01"
        );
        assert_eq!(
            said(&|bytes| unsubscribe(bytes, 10, "a/b")),
            b"\xa2\x07\0\x0a\0\x03a/b"
        );
        assert_eq!(
            said(&|bytes| acknowledge(bytes, PUBREL, 258)),
            b"\x62\x02\x01\x02"
        );
        assert_eq!(said(&|bytes| bare(bytes, DISCONNECT)), b"\xe0\0");
    }

    #[test]
    fn a_packet_that_lies_is_told() {
        assert!(split(&[PUBLISH, 0x80, 0x80, 0x80, 0x80]).is_err());
        for bytes in [
            &b"\x30\0"[..],
            b"\x30\x03\0\x05a",
            b"\x32\x03\0\x01a",
            b"\x32\x05\0\x01a\0\0",
        ] {
            assert!(split(bytes).unwrap().unwrap().publish().is_err());
        }
        assert!(split(b"\x40\x01\0").unwrap().unwrap().id().is_err());
    }

    #[test]
    fn garbage_is_an_error_or_a_packet_and_nothing_else() {
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            if let Ok(Some(packet)) = split(&bytes) {
                assert!(packet.size <= bytes.len());
                let _ = (packet.publish(), packet.id());
            }
        }
    }
}
