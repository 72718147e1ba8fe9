//! The few frames of AMQP 0-9-1 that the generator says and understands, written apart from the
//! broker's codec so that a mistake there can't hide here.

pub const FRAME_END: u8 = 0xCE;
/// Frame header (kind u8, channel u16, size u32) and frame end.
pub const FRAME_OVERHEAD: usize = 8;

pub const METHOD: u8 = 1;
pub const HEADER: u8 = 2;
pub const BODY: u8 = 3;
pub const HEARTBEAT: u8 = 8;

/// Class and method numbers.
pub type MethodId = (u16, u16);
pub const CONNECTION_START: MethodId = (10, 10);
pub const CONNECTION_START_OK: MethodId = (10, 11);
pub const CONNECTION_TUNE: MethodId = (10, 30);
pub const CONNECTION_TUNE_OK: MethodId = (10, 31);
pub const CONNECTION_OPEN: MethodId = (10, 40);
pub const CONNECTION_OPEN_OK: MethodId = (10, 41);
pub const CONNECTION_CLOSE: MethodId = (10, 50);
pub const CHANNEL_OPEN: MethodId = (20, 10);
pub const CHANNEL_OPEN_OK: MethodId = (20, 11);
pub const CHANNEL_CLOSE: MethodId = (20, 40);
pub const CHANNEL_CLOSE_OK: MethodId = (20, 41);
pub const BASIC_QOS: MethodId = (60, 10);
pub const BASIC_QOS_OK: MethodId = (60, 11);
pub const BASIC_CONSUME: MethodId = (60, 20);
pub const BASIC_CONSUME_OK: MethodId = (60, 21);
pub const BASIC_PUBLISH: MethodId = (60, 40);
pub const BASIC_DELIVER: MethodId = (60, 60);
pub const BASIC_ACK: MethodId = (60, 80);
pub const BASIC_NACK: MethodId = (60, 120);
pub const CONFIRM_SELECT: MethodId = (85, 10);
pub const CONFIRM_SELECT_OK: MethodId = (85, 11);

/// A whole frame in a buffer.
pub struct Frame<'a> {
    pub kind: u8,
    pub payload: &'a [u8],
    /// Bytes it takes in the buffer.
    pub size: usize,
}

impl Frame<'_> {
    /// A method frame's class and method.
    pub fn method(&self) -> Option<MethodId> {
        let id = self.payload.get(..4)?;
        (self.kind == METHOD).then(|| {
            (
                u16::from_be_bytes([id[0], id[1]]),
                u16::from_be_bytes([id[2], id[3]]),
            )
        })
    }
}

/// The first frame in `bytes`; None: not whole yet.
#[inline]
pub fn split(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    if bytes.len() < FRAME_OVERHEAD {
        return Ok(None);
    }
    let payload = u32::from_be_bytes([bytes[3], bytes[4], bytes[5], bytes[6]]) as usize;
    let size = payload + FRAME_OVERHEAD;
    if bytes.len() < size {
        return Ok(None);
    }
    if bytes[size - 1] != FRAME_END {
        return Err(format!(
            "a frame that does not end: {:?}",
            &bytes[..FRAME_OVERHEAD]
        ));
    }
    Ok(Some(Frame {
        kind: bytes[0],
        payload: &bytes[7..size - 1],
        size,
    }))
}

fn short_string(bytes: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 256, "a name of {} bytes", text.len());
    bytes.push(text.len() as u8);
    bytes.extend_from_slice(text.as_bytes());
}

/// A method frame whose arguments `write` appends.
pub fn method(bytes: &mut Vec<u8>, channel: u16, id: MethodId, write: impl FnOnce(&mut Vec<u8>)) {
    bytes.push(METHOD);
    bytes.extend_from_slice(&channel.to_be_bytes());
    let size_at = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes.extend_from_slice(&id.1.to_be_bytes());
    write(bytes);
    let size = (bytes.len() - size_at - 4) as u32;
    bytes[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
    bytes.push(FRAME_END);
}

pub fn start_ok(bytes: &mut Vec<u8>, username: &str, password: &str) {
    method(bytes, 0, CONNECTION_START_OK, |bytes| {
        bytes.extend_from_slice(&[0; 4]); // client-properties: none
        short_string(bytes, "PLAIN");
        let response = format!("\0{username}\0{password}");
        bytes.extend_from_slice(&(response.len() as u32).to_be_bytes());
        bytes.extend_from_slice(response.as_bytes());
        short_string(bytes, "en_US");
    });
}

/// Takes what the server offers, without heartbeats.
pub fn tune_ok(bytes: &mut Vec<u8>, channel_max: u16, frame_size_max: u32) {
    method(bytes, 0, CONNECTION_TUNE_OK, |bytes| {
        bytes.extend_from_slice(&channel_max.to_be_bytes());
        bytes.extend_from_slice(&frame_size_max.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
    });
}

pub fn open(bytes: &mut Vec<u8>) {
    method(bytes, 0, CONNECTION_OPEN, |bytes| {
        short_string(bytes, "/");
        bytes.extend_from_slice(&[0; 2]);
    });
}

pub fn qos(bytes: &mut Vec<u8>, prefetch: u16) {
    method(bytes, 1, BASIC_QOS, |bytes| {
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&prefetch.to_be_bytes());
        bytes.push(0);
    });
}

pub fn consume(bytes: &mut Vec<u8>, queue: &str, no_ack: bool) {
    method(bytes, 1, BASIC_CONSUME, |bytes| {
        bytes.extend_from_slice(&[0; 2]);
        short_string(bytes, queue);
        short_string(bytes, "c");
        bytes.push(u8::from(no_ack) << 1);
        bytes.extend_from_slice(&[0; 4]);
    });
}

pub fn ack_through(bytes: &mut Vec<u8>, tag: u64) {
    method(bytes, 1, BASIC_ACK, |bytes| {
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.push(1);
    });
}

pub fn close_channel(bytes: &mut Vec<u8>) {
    method(bytes, 1, CHANNEL_CLOSE, |bytes| {
        bytes.extend_from_slice(&200_u16.to_be_bytes());
        short_string(bytes, "done");
        bytes.extend_from_slice(&[0; 4]);
    });
}

/// basic.publish, the header and the body frame's own header; the body and its end are to follow.
pub fn publish(bytes: &mut Vec<u8>, exchange: &str, key: &str, size: usize, persistent: bool) {
    method(bytes, 1, BASIC_PUBLISH, |bytes| {
        bytes.extend_from_slice(&[0; 2]);
        short_string(bytes, exchange);
        short_string(bytes, key);
        bytes.push(0);
    });
    bytes.extend_from_slice(&[HEADER, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0]);
    bytes.extend_from_slice(&(size as u64).to_be_bytes());
    bytes.extend_from_slice(&[0x10, 0, 1 + u8::from(persistent), FRAME_END]); // delivery-mode alone
    bytes.extend_from_slice(&[BODY, 0, 1]);
    bytes.extend_from_slice(&(size as u32).to_be_bytes());
}

/// Tag and `multiple` (or `redelivered`) that stand at `at` in a method's payload.
pub fn tag_and_bit(payload: &[u8], at: usize) -> Option<(u64, bool)> {
    let tag = payload.get(at..at + 8)?.try_into().ok()?;
    Some((u64::from_be_bytes(tag), payload.get(at + 8)? & 1 == 1))
}

/// Code and text of a close.
pub fn close_reason(payload: &[u8]) -> String {
    let code = payload
        .get(4..6)
        .map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
    let size = payload.get(6).map_or(0, |size| *size as usize);
    let text = payload.get(7..7 + size).unwrap_or_default();
    format!("{code} {}", String::from_utf8_lossy(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_at_any_cut() {
        let mut bytes = Vec::new();
        ack_through(&mut bytes, 258);
        for cut in 0..bytes.len() {
            assert!(split(&bytes[..cut]).unwrap().is_none());
        }
        bytes.extend_from_slice(&[HEARTBEAT, 0]);
        let frame = split(&bytes).unwrap().unwrap();
        assert_eq!(frame.method(), Some(BASIC_ACK));
        assert_eq!(tag_and_bit(frame.payload, 4), Some((258, true)));
        assert_eq!(frame.size, bytes.len() - 2);
        let end = frame.size - 1;
        bytes[end] = 0;
        assert!(split(&bytes).is_err());
    }

    #[test]
    fn a_publish_says_how_long_its_body_is() {
        let mut bytes = Vec::new();
        publish(&mut bytes, "x", "k", 3, true);
        bytes.extend_from_slice(b"abc\xCE");
        let method = split(&bytes).unwrap().unwrap();
        assert_eq!(method.method(), Some(BASIC_PUBLISH));
        let header = split(&bytes[method.size..]).unwrap().unwrap();
        assert_eq!(
            header.payload,
            [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x10, 0, 2]
        );
        let body = split(&bytes[method.size + header.size..]).unwrap().unwrap();
        assert_eq!((body.kind, body.payload), (BODY, &b"abc"[..]));
    }
}
