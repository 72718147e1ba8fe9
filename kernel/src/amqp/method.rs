//! The methods of AMQP 0-9-1 with RabbitMQ's additions, and whether a method's arguments are well-formed.
//!
//! A method a client may send has a signature, one letter for each argument: `s` short string (UTF-8),
//! `S` long string, `F` table, `b` octet (or up to eight bits), `h` u16, `l` u32, `L` u64.

use crate::amqp::table::{self, Fault, Reader};

/// Class and method.
pub type MethodId = (u16, u16);

pub const CONNECTION_CLASS: u16 = 10;

pub const START_OK: MethodId = (10, 11);
pub const SECURE_OK: MethodId = (10, 21);
pub const TUNE_OK: MethodId = (10, 31);
pub const CONNECTION_OPEN: MethodId = (10, 40);
pub const CHANNEL_CLOSE_OK: MethodId = (20, 41);
pub const PUBLISH: MethodId = (60, 40);
pub const RETURN: MethodId = (60, 50);
pub const DELIVER: MethodId = (60, 60);
pub const GET_OK: MethodId = (60, 71);
pub const ACK: MethodId = (60, 80);
pub const REJECT: MethodId = (60, 90);
pub const NACK: MethodId = (60, 120);

const FROM_CLIENTS: [(MethodId, &str); 36] = [
    (START_OK, "FsSs"),
    (SECURE_OK, "S"),
    (TUNE_OK, "hlh"),
    (CONNECTION_OPEN, "ssb"),
    ((10, 50), "hshh"), // close
    ((10, 51), ""),     // close-ok
    ((10, 70), "Ss"),   // update-secret
    ((20, 10), "s"),    // channel.open
    ((20, 20), "b"),    // flow
    ((20, 21), "b"),    // flow-ok
    ((20, 40), "hshh"), // close
    (CHANNEL_CLOSE_OK, ""),
    ((40, 10), "hssbF"),  // exchange.declare
    ((40, 20), "hsb"),    // delete
    ((40, 30), "hsssbF"), // bind
    ((40, 40), "hsssbF"), // unbind
    ((50, 10), "hsbF"),   // queue.declare
    ((50, 20), "hsssbF"), // bind
    ((50, 30), "hsb"),    // purge
    ((50, 40), "hsb"),    // delete
    ((50, 50), "hsssF"),  // unbind
    ((60, 10), "lhb"),    // basic.qos
    ((60, 20), "hssbF"),  // consume
    ((60, 30), "sb"),     // cancel
    ((60, 31), "s"),      // cancel-ok, to our cancel
    (PUBLISH, "hssb"),
    ((60, 70), "hsb"), // get
    (ACK, "Lb"),
    (REJECT, "Lb"),
    ((60, 100), "b"), // recover-async
    ((60, 110), "b"), // recover
    (NACK, "Lb"),
    ((85, 10), "b"), // confirm.select
    ((90, 10), ""),  // tx.select
    ((90, 20), ""),  // commit
    ((90, 30), ""),  // rollback
];

/// Known, but only a server sends them: whoever answers refuses them, so their arguments do not matter.
const FROM_SERVERS: [MethodId; 28] = [
    (10, 10),
    (10, 20),
    (10, 30),
    (10, 41),
    (10, 60),
    (10, 61),
    (10, 71),
    (20, 11),
    (40, 11),
    (40, 21),
    (40, 31),
    (40, 51),
    (50, 11),
    (50, 21),
    (50, 31),
    (50, 41),
    (50, 51),
    (60, 11),
    (60, 21),
    (60, 50),
    (60, 60),
    (60, 71),
    (60, 72),
    (60, 111),
    (85, 11),
    (90, 11),
    (90, 21),
    (90, 31),
];

/// What [`check`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    WellFormed,
    Unknown,
    Wrong(Fault),
}

/// Whether the arguments of a method fit its signature to the last byte.
pub fn check(method: MethodId, arguments: &[u8]) -> Checked {
    let Some((_, signature)) = FROM_CLIENTS.iter().find(|(id, _)| *id == method) else {
        return if FROM_SERVERS.contains(&method) {
            Checked::WellFormed
        } else {
            Checked::Unknown
        };
    };
    match check_arguments(signature, arguments) {
        Ok(()) => Checked::WellFormed,
        Err(fault) => Checked::Wrong(fault),
    }
}

fn check_arguments(signature: &str, arguments: &[u8]) -> Result<(), Fault> {
    const TOO_SHORT: Fault = "arguments too short";
    let mut reader = Reader::new(arguments);
    for kind in signature.bytes() {
        let value = match kind {
            b'b' => reader.bytes(1),
            b'h' => reader.bytes(2),
            b'l' => reader.bytes(4),
            b'L' => reader.bytes(8),
            b's' => reader.short_string(),
            _ => reader.long_string(),
        };
        let value = value.ok_or(TOO_SHORT)?;
        match kind {
            b's' => std::str::from_utf8(value)
                .map(drop)
                .map_err(|_| "short string is not UTF-8")?,
            b'F' => table::check(value)?,
            _ => {}
        }
    }
    if reader.is_empty() {
        Ok(())
    } else {
        Err("bytes after the arguments")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_method_is_listed_twice() {
        let clients = FROM_CLIENTS.iter().map(|(id, _)| *id);
        let mut all: Vec<_> = clients.chain(FROM_SERVERS).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn arguments_fit_to_the_last_byte() {
        let queue_declare = b"\0\0\x01q\x02\0\0\0\x04\x01at\x01";
        assert_eq!(check((50, 10), queue_declare), Checked::WellFormed);
        for size in 0..queue_declare.len() {
            let checked = check((50, 10), &queue_declare[..size]);
            assert!(matches!(checked, Checked::Wrong(_)), "{size}");
        }
        let longer = [&queue_declare[..], b"\0"].concat();
        assert_eq!(
            check((50, 10), &longer),
            Checked::Wrong("bytes after the arguments")
        );
        assert_eq!(
            check((20, 10), b"\x01\xFF"),
            Checked::Wrong("short string is not UTF-8")
        );
        assert_eq!(check((60, 61), b""), Checked::Unknown);
        assert_eq!(check((11, 10), b""), Checked::Unknown);
    }
}
