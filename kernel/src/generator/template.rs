//! Publishes made in advance: copies of the message's frames that are only stamped before each send.

use super::client::Publishing;

/// A body begins with sequence u64, producer u32, run u32, ...
pub const BODY_STAMPED: usize = 16;
/// ... and when it was due, u64 ns, if it is that long.
pub const BODY_TIMED: usize = 24;

/// About as much as one write takes.
const BYTES_MAX: usize = 128 << 10;

/// Copies of a whole message, one after another, for every routing key in turn.
pub struct Template {
    pub bytes: Vec<u8>,
    /// Where each copy begins, and the end of the last.
    pub starts: Vec<usize>,
    /// Where each copy's body begins.
    bodies: Vec<usize>,
    timed: bool,
}

/// What all messages of a publisher have in common.
pub struct Message<'a> {
    pub routing_keys: &'a [String],
    pub size: usize,
    pub producer: u32,
    pub nonce: u32,
}

impl Template {
    /// As many copies as fit, a multiple of the number of keys and of `together`, not more than needed for
    /// `window`.
    pub fn new(message: &Message, window: u64, together: u64, protocol: &dyn Publishing) -> Self {
        let keys = message.routing_keys.len();
        let mut template = Self {
            bytes: Vec::new(),
            starts: vec![0],
            bodies: Vec::new(),
            timed: message.size >= BODY_TIMED,
        };
        loop {
            for key in message.routing_keys {
                template.push(message, key, protocol);
            }
            let per_round = template.bytes.len() * keys / template.len();
            let full = template.bytes.len() + per_round > BYTES_MAX;
            let copies = template.len() as u64;
            if (full || copies >= window) && copies % together == 0 {
                return template;
            }
        }
    }

    fn push(&mut self, message: &Message, key: &str, protocol: &dyn Publishing) {
        protocol.frame(&mut self.bytes, key, message.size);
        let body = self.bytes.len();
        let mut stamp = vec![b'x'; message.size];
        stamp[8..12].copy_from_slice(&message.producer.to_be_bytes());
        stamp[12..16].copy_from_slice(&message.nonce.to_be_bytes());
        self.bytes.extend_from_slice(&stamp);
        self.bytes.extend_from_slice(protocol.end());
        self.bodies.push(body);
        self.starts.push(self.bytes.len());
    }

    /// How many copies there are.
    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Gives copy `copy` the identifier of message `tag`.
    pub fn number(&mut self, copy: usize, tag: u64, protocol: &dyn Publishing) {
        let head = self.starts[copy]..self.bodies[copy];
        protocol.number(&mut self.bytes[head], tag);
    }

    /// Stamps copy `copy` as message `sequence` that is due at `due` (ns).
    pub fn stamp(&mut self, copy: usize, sequence: u64, due: u64) {
        let body = self.bodies[copy];
        self.bytes[body..body + 8].copy_from_slice(&sequence.to_be_bytes());
        if self.timed {
            self.bytes[body + 16..body + 24].copy_from_slice(&due.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{Confirms, Ending};
    use super::*;

    /// The key, a place for an identifier, the body, an end.
    struct Framing;

    impl Publishing for Framing {
        fn frame(&self, bytes: &mut Vec<u8>, key: &str, size: usize) {
            assert_eq!(size, 24);
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(&[0, 0]);
        }

        fn end(&self) -> &'static [u8] {
            b"$"
        }

        fn is_numbered(&self) -> bool {
            true
        }

        fn number(&self, head: &mut [u8], tag: u64) {
            let start = head.len() - 2;
            head[start..].copy_from_slice(&(tag as u16).to_be_bytes());
        }

        fn take(&mut self, _: &[u8], _: &mut Confirms, _: &mut Vec<u8>) -> Result<usize, String> {
            Err("nothing is received here".into())
        }

        fn end_of_stream(&mut self) -> &mut dyn Ending {
            panic!("nothing ends here")
        }
    }

    #[test]
    fn copies_go_through_the_keys_in_turn() {
        let keys = ["k.1".to_owned(), "k.22".to_owned()];
        let message = Message {
            routing_keys: &keys,
            size: 24,
            producer: 3,
            nonce: 9,
        };
        let mut template = Template::new(&message, 5, 1, &Framing);
        assert_eq!(template.len(), 6);
        template.stamp(5, 77, 1234);
        template.number(5, 258, &Framing);
        let copy = &template.bytes[template.starts[5]..template.starts[6]];
        let mut expected = b"k.22\x01\x02".to_vec();
        expected.extend_from_slice(&77_u64.to_be_bytes());
        expected.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 9]);
        expected.extend_from_slice(&1234_u64.to_be_bytes());
        expected.push(b'$');
        assert_eq!(copy, expected);
        let longest = |together| Template::new(&message, u64::MAX, together, &Framing);
        assert!(longest(1).bytes.len() <= BYTES_MAX);
        assert_eq!(longest(64).len() % 64, 0);
    }
}
