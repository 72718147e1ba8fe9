//! WebSocket's framing (RFC 6455) from a client's side: what is sent is masked, what comes is unwrapped.

/// The example of RFC 6455 (1.3): with its key a server must answer as it does there.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FIN: u8 = 0x80;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// The bit that tells control frames from data (5.2).
const CONTROL: u8 = 0x8;
const MASKED: u8 = 0x80;
/// Instead of a size up to 125: it follows in so many bytes (5.2).
const SIZE_OF_2: u8 = 126;
const SIZE_OF_8: u8 = 127;
/// Of a control frame's payload (5.5).
const CONTROL_SIZE_MAX: usize = 125;
const NORMAL: u16 = 1000;

/// Asks for `token` at `path`.
pub fn ask(output: &mut Vec<u8>, host: &str, path: &str, token: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {token}\r\n\r\n"
    );
    output.extend_from_slice(request.as_bytes());
}

/// The size of the answer in `bytes`, which agrees to `token`; None: it is not whole yet.
pub fn answered(bytes: &[u8], token: &str) -> Result<Option<usize>, String> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(format!("the upgrade was answered with {status:?}"));
    }
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let (mut accepted, mut agreed) = (false, false);
    for (name, value) in &mut fields {
        let value = value.trim();
        accepted |= name.eq_ignore_ascii_case("sec-websocket-accept") && value == ACCEPT;
        agreed |= name.eq_ignore_ascii_case("sec-websocket-protocol") && value == token;
    }
    if accepted && agreed {
        Ok(Some(end + 4))
    } else {
        Err(format!("not an upgrade to {token}: {head:?}"))
    }
}

/// One connection's frames.
pub struct WebSocket {
    /// The state of a xorshift that masks are drawn from, never 0.
    random: u32,
    /// What came of a frame's head, or of a whole control frame.
    head: Vec<u8>,
    /// Bytes of a data frame's payload that are still to come.
    left: u64,
    /// Why the server closed.
    closed: Option<String>,
}

impl WebSocket {
    pub fn new(seed: u32) -> Self {
        Self {
            random: seed | 1,
            head: Vec::new(),
            left: 0,
            closed: None,
        }
    }

    /// An error once the server has closed: what stood before its last frame was taken by then.
    pub fn check(&self) -> Result<(), String> {
        self.closed.clone().map_or(Ok(()), Err)
    }

    fn mask(&mut self) -> [u8; 4] {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random.to_be_bytes()
    }

    /// Appends one binary message.
    pub fn wrap(&mut self, output: &mut Vec<u8>, payload: &[u8]) {
        self.frame(output, BINARY, payload);
    }

    /// Appends the last frame.
    pub fn close(&mut self, output: &mut Vec<u8>) {
        self.frame(output, CLOSE, &NORMAL.to_be_bytes());
    }

    fn frame(&mut self, output: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
        output.push(FIN | opcode);
        match payload.len() {
            size @ ..=125 => output.push(MASKED | size as u8),
            size @ ..=0xFFFF => {
                output.push(MASKED | SIZE_OF_2);
                output.extend_from_slice(&(size as u16).to_be_bytes());
            }
            size => {
                output.push(MASKED | SIZE_OF_8);
                output.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        let mask = self.mask();
        output.extend_from_slice(&mask);
        let start = output.len();
        output.extend_from_slice(payload);
        let key = u64::from(u32::from_ne_bytes(mask));
        let mut words = output[start..].chunks_exact_mut(8);
        for word in &mut words {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            let masked = u64::from_ne_bytes(bytes) ^ (key << 32 | key);
            word.copy_from_slice(&masked.to_ne_bytes());
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
    }

    /// Takes the frames' heads out of `bytes` from `start` on; gives where the payload that is left there
    /// ends. Pings are answered in `answers`; after a close nothing is looked at.
    pub fn unwrap(
        &mut self,
        bytes: &mut [u8],
        start: usize,
        answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let (mut read, mut write) = (start, start);
        while read < bytes.len() && self.closed.is_none() {
            if self.left > 0 {
                let count = self.left.min((bytes.len() - read) as u64) as usize;
                bytes.copy_within(read..read + count, write);
                self.left -= count as u64;
                read += count;
                write += count;
            } else {
                self.head.push(bytes[read]);
                read += 1;
                if self.head.len() >= self.wanted()? {
                    self.begin(answers)?;
                    self.head.clear();
                }
            }
        }
        Ok(write)
    }

    /// The size of the head that began, of a control frame with its payload.
    fn wanted(&self) -> Result<usize, String> {
        let [first, second, ..] = self.head[..] else {
            return Ok(2);
        };
        let size = usize::from(second & !MASKED);
        if first & 0x70 != 0 || second & MASKED != 0 {
            return Err(format!(
                "a frame that begins with {first:#04x} {second:#04x}"
            ));
        }
        match (first & CONTROL != 0, size) {
            (true, ..=CONTROL_SIZE_MAX) if first & FIN != 0 => Ok(2 + size),
            (true, _) => Err("a control frame that is long or in pieces".into()),
            (false, 126) => Ok(4),
            (false, 127) => Ok(10),
            (false, _) => Ok(2),
        }
    }

    /// Does what the frame whose head is here says.
    fn begin(&mut self, answers: &mut Vec<u8>) -> Result<(), String> {
        let head = std::mem::take(&mut self.head);
        match head[0] & 0xF {
            0..=2 => {
                let extended = head[2..].iter();
                self.left = match head[1] {
                    size @ ..=125 => u64::from(size),
                    _ => extended.fold(0, |size, byte| size << 8 | u64::from(*byte)),
                };
            }
            PING => self.frame(answers, PONG, &head[2..]),
            PONG => {}
            CLOSE => {
                let code = head
                    .get(2..4)
                    .map(|code| u16::from_be_bytes([code[0], code[1]]));
                let reason = String::from_utf8_lossy(head.get(4..).unwrap_or_default());
                self.closed = Some(format!("closed: {code:?} {reason}"));
            }
            opcode => return Err(format!("a frame of kind {opcode}")),
        }
        self.head = head;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn served(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![FIN | opcode];
        match payload.len() {
            size @ ..=125 => bytes.push(size as u8),
            size @ ..=0xFFFF => bytes.extend_from_slice(&[126, (size >> 8) as u8, size as u8]),
            size => {
                bytes.push(127);
                bytes.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    /// What is left of `bytes` that came in pieces cut at `cut`, and what was answered.
    fn unwrapped(bytes: &[u8], cut: usize) -> Result<(Vec<u8>, Vec<u8>), String> {
        let mut websocket = WebSocket::new(7);
        let (mut payload, mut answers) = (Vec::new(), Vec::new());
        for piece in [&bytes[..cut], &bytes[cut..]] {
            let mut buffer = [b"kept", piece].concat();
            let end = websocket.unwrap(&mut buffer, 4, &mut answers)?;
            assert_eq!(&buffer[..4], b"kept");
            payload.extend_from_slice(&buffer[4..end]);
        }
        Ok((payload, answers))
    }

    #[test]
    fn what_a_client_says_is_masked() {
        for size in [0, 1, 7, 8, 125, 126, 0xFFFF, 0x1_0000] {
            let payload: Vec<u8> = (0..size).map(|place| place as u8).collect();
            let mut bytes = b"before".to_vec();
            WebSocket::new(9).wrap(&mut bytes, &payload);
            let head = match size {
                0..=125 => 2,
                126..=0xFFFF => 4,
                _ => 10,
            };
            let frame = &bytes[6..];
            let plain = served(BINARY, &payload);
            assert_eq!((frame[0], frame[1] & MASKED), (plain[0], MASKED));
            assert_eq!(
                (frame[1] & !MASKED, &frame[2..head]),
                (plain[1], &plain[2..head])
            );
            let mask = &frame[head..head + 4];
            assert_ne!(mask, [0; 4]);
            let masked = frame[head + 4..].iter().zip(mask.iter().cycle());
            assert_eq!(
                masked.map(|(byte, key)| byte ^ key).collect::<Vec<_>>(),
                payload
            );
        }
    }

    #[test]
    fn what_a_server_says_is_the_same_however_it_is_cut() {
        let long = vec![b'z'; 300];
        let bytes = [
            served(BINARY, b"one"),
            served(PING, b"hm"),
            served(BINARY, b""),
            served(0, &long),
            served(PONG, b""),
            served(1, b"two"),
        ]
        .concat();
        let payload = [b"one", &long[..], b"two"].concat();
        let mut pong = Vec::new();
        WebSocket::new(7).frame(&mut pong, PONG, b"hm");
        for cut in 0..bytes.len() {
            let (left, answers) = unwrapped(&bytes, cut).unwrap();
            assert_eq!((left, answers), (payload.clone(), pong.clone()), "{cut}");
        }
        let huge = served(BINARY, &vec![b'y'; 70_000]);
        assert_eq!(unwrapped(&huge, 5).unwrap().0.len(), 70_000);
    }

    #[test]
    fn a_close_and_what_no_server_may_send_are_told() {
        let mut websocket = WebSocket::new(7);
        let mut bytes = [
            served(BINARY, b"last"),
            served(CLOSE, b"\x03\xf0why"),
            vec![9],
        ]
        .concat();
        assert_eq!(websocket.check(), Ok(()));
        let end = websocket.unwrap(&mut bytes, 0, &mut Vec::new()).unwrap();
        assert_eq!(&bytes[..end], b"last");
        let told = websocket.check().unwrap_err();
        assert!(told.contains("1008") && told.contains("why"), "{told}");
        for bytes in [
            &[FIN | BINARY, MASKED | 1, 1, 2, 3, 4, 5][..],
            &[FIN | PING, 126, 0, 126],
            &[PING, 0],
            &[FIN | 0x40 | BINARY, 0],
            &[FIN | 3, 0],
        ] {
            assert!(unwrapped(bytes, 0).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn only_the_answer_to_our_key_is_an_upgrade() {
        let mut asked = Vec::new();
        ask(&mut asked, "h:1", "/ws", "mqtt");
        assert!(asked.starts_with(b"GET /ws HTTP/1.1\r\nHost: h:1\r\n"));
        let answer = |status: &str, accept: &str, token: &str| {
            format!(
                "HTTP/1.1 {status}\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\
                 Sec-WebSocket-Protocol: {token}\r\n\r\n"
            )
        };
        let good = answer("101 Switching Protocols", ACCEPT, "mqtt");
        let size = good.len();
        assert_eq!(
            answered(format!("{good}more").as_bytes(), "mqtt"),
            Ok(Some(size))
        );
        for cut in 0..size {
            assert_eq!(answered(&good.as_bytes()[..cut], "mqtt"), Ok(None));
        }
        for bad in [
            answer("403 Forbidden", ACCEPT, "mqtt"),
            answer("101 Switching Protocols", KEY, "mqtt"),
            answer("101 Switching Protocols", ACCEPT, "amqp"),
        ] {
            assert!(answered(bad.as_bytes(), "mqtt").is_err(), "{bad}");
        }
    }
}
