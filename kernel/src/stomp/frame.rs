//! The words of STOMP's frames: commands a client may send, frames the server does, and what is said of wrong ones.

use crate::decoder::Violation;
use crate::stomp::header::put_line;

/// What a client may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Connect,
    Send,
    Subscribe,
    Unsubscribe,
    Ack,
    Nack,
    Begin,
    Commit,
    Abort,
    Disconnect,
}

impl Command {
    const ALL: [(&'static [u8], Self); 11] = [
        (b"SEND", Self::Send),
        (b"ACK", Self::Ack),
        (b"NACK", Self::Nack),
        (b"CONNECT", Self::Connect),
        (b"STOMP", Self::Connect),
        (b"SUBSCRIBE", Self::Subscribe),
        (b"UNSUBSCRIBE", Self::Unsubscribe),
        (b"BEGIN", Self::Begin),
        (b"COMMIT", Self::Commit),
        (b"ABORT", Self::Abort),
        (b"DISCONNECT", Self::Disconnect),
    ];

    pub fn of(word: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(name, _)| *name == word)
            .map(|(_, command)| *command)
    }

    /// STOMP is CONNECT.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
        }
    }
}

/// What ends a frame. Some clients wait for the line end (`stomper`), and nobody minds it.
pub const END: &[u8] = b"\0\n";

/// A frame of the server's: its headers by the version (CONNECTED's never escaped), content-length if there is a body.
pub fn encode(command: &[u8], headers: &[(&[u8], &[u8])], body: &[u8], version: u8) -> Vec<u8> {
    let version = if command == b"CONNECTED" { 10 } else { version };
    let mut out = Vec::with_capacity(128 + body.len());
    out.extend_from_slice(command);
    out.push(b'\n');
    for (name, value) in headers {
        put_line(&mut out, name, value, version);
    }
    if !body.is_empty() {
        let size = body.len().to_string();
        put_line(&mut out, b"content-length", size.as_bytes(), version);
    }
    out.push(b'\n');
    out.extend_from_slice(body);
    out.extend_from_slice(END);
    out
}

/// `message` becomes ERROR's header, `detail` its body.
pub fn violation(message: &str, detail: impl std::fmt::Display) -> Violation {
    Violation::new(0, format!("{message}: {detail}"))
}

const SHOWN_SIZE_MAX: usize = 64;

/// A client's bytes in a text for its developer.
pub fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_SIZE_MAX)];
    let more = if cut.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{more}", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name() {
        for (name, command) in Command::ALL {
            assert_eq!(Command::of(name), Some(command));
            assert!(name == b"STOMP" || command.name().as_bytes() == name);
        }
        assert_eq!(Command::of(b"send"), None);
    }

    #[test]
    fn a_frame_of_the_server() {
        let headers: [(&[u8], &[u8]); 2] = [(b"message", b"a:b"), (b"x", b"1\n2")];
        let error = encode(b"ERROR", &headers, b"why", 12);
        assert_eq!(
            error,
            b"ERROR\nmessage:a\\cb\nx:1\\n2\ncontent-length:3\n\nwhy\0\n"
        );
        let connected = encode(b"CONNECTED", &headers, b"", 12);
        assert_eq!(connected, b"CONNECTED\nmessage:a:b\n\n\0\n");
    }

    #[test]
    fn what_is_shown_is_short_and_plain() {
        assert_eq!(shown(b"a\n\xff"), "\"a\\n\\xff\"");
        assert_eq!(shown(&[b'a'; 65]).len(), 64 + 5);
    }
}
