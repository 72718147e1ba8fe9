//! A message's id, which ACK and NACK name it by: `<channel>@@<session>@@<tag>`, numbers in decimal.

use std::borrow::Cow;

use crate::decoder::{Frame, SettleKind, Violation};
use crate::stomp::frame::{shown, violation, Command};
use crate::stomp::head::Head;
use crate::stomp::header::{self, Rules};

const SEPARATOR: &[u8] = b"@@";

/// The id but for its tag.
pub fn put_id_before_tag(out: &mut Vec<u8>, channel: u16, session: &[u8]) {
    out.extend_from_slice(channel.to_string().as_bytes());
    out.extend_from_slice(SEPARATOR);
    out.extend_from_slice(session);
    out.extend_from_slice(SEPARATOR);
}

/// Channel and tag; None: no message of this session can have it.
pub fn parse_id(id: &[u8], session: &[u8]) -> Option<(u16, u64)> {
    let at = id.iter().position(|byte| *byte == b'@')?;
    let (channel, rest) = id.split_at(at);
    let tag = rest
        .strip_prefix(SEPARATOR)?
        .strip_prefix(session)?
        .strip_prefix(SEPARATOR)?;
    let (channel, tag) = (number(channel)?, number(tag)?);
    Some((u16::try_from(channel).ok()?, tag)).filter(|_| tag > 0)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What one ACK or NACK settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub channel: u16,
    pub tag: u64,
    pub kind: SettleKind,
    /// No receipt and no transaction: nobody need see the frame itself.
    pub plain: bool,
}

impl Settled {
    /// Reads an ACK or NACK whose head is whole. 1.1 has `subscription` beside `message-id`, which says it all.
    pub fn read(
        data: &[u8],
        head: &Head,
        command: Command,
        version: u8,
        session: &[u8],
    ) -> Result<Self, Violation> {
        let id_name: &[u8] = if version == 12 { b"id" } else { b"message-id" };
        let (mut id, mut requeue, mut plain) = (None, None, true);
        for line in head.headers() {
            let (name, value) = header::split(line.of(data), Rules::of(version))?;
            match &*name {
                b"receipt" | b"transaction" => plain = false,
                b"requeue" if requeue.is_none() => requeue = Some(value),
                name if name == id_name && id.is_none() => id = Some(value),
                _ => {}
            }
        }
        let Some(id) = id else {
            let name = String::from_utf8_lossy(id_name);
            let text = format!("{} has no {name}", command.name());
            return Err(violation("Missing header", text));
        };
        let Some((channel, tag)) = parse_id(&id, session) else {
            let text = format!(
                "{} of {}, which no message of this session has",
                command.name(),
                shown(&id)
            );
            return Err(violation("Message not found", text));
        };
        Ok(Self {
            channel,
            tag,
            kind: kind(command, requeue)?,
            plain,
        })
    }

    pub fn into_frame(self) -> Frame {
        Frame::Settlement {
            channel: self.channel,
            first: self.tag,
            last: self.tag,
            kind: self.kind,
        }
    }

    /// Adds it to the last frame if it goes on from it, else after it.
    pub fn push(self, frames: &mut Vec<Frame>) {
        if let Some(Frame::Settlement {
            channel,
            last,
            kind,
            ..
        }) = frames.last_mut()
        {
            if (*channel, *kind) == (self.channel, self.kind)
                && last.checked_add(1) == Some(self.tag)
            {
                *last = self.tag;
                return;
            }
        }
        frames.push(self.into_frame());
    }
}

fn kind(command: Command, requeue: Option<Cow<[u8]>>) -> Result<SettleKind, Violation> {
    if command == Command::Ack {
        return Ok(SettleKind::Ack);
    }
    match requeue.as_deref() {
        None => Ok(SettleKind::Nack),
        Some(b"true") => Ok(SettleKind::NackRequeue),
        Some(b"false") => Ok(SettleKind::Reject),
        Some(other) => {
            let text = format!("requeue is {}, not true or false", shown(other));
            Err(violation("Invalid header", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_sessions() {
        let mut id = Vec::new();
        put_id_before_tag(&mut id, 7, b"s-1@@x");
        id.extend_from_slice(b"42");
        assert_eq!(id, b"7@@s-1@@x@@42");
        assert_eq!(parse_id(&id, b"s-1@@x"), Some((7, 42)));
        assert_eq!(parse_id(&id, b"s-1"), None);
        let max = b"65535@@s@@18446744073709551615";
        assert_eq!(parse_id(max, b"s"), Some((65535, u64::MAX)));
        for wrong in [
            &b""[..],
            b"7",
            b"7@@s@@",
            b"@@s@@1",
            b"7@@s@@0",
            b"7@@s@@-1",
            b"7@@s@@+1",
            b"7@s@@1",
            b"65536@@s@@1",
            b"7@@s@@18446744073709551616",
            b"7@@s@@1 ",
            b"7@@t@@1",
            b"x@@s@@1",
        ] {
            assert_eq!(parse_id(wrong, b"s"), None, "{wrong:?}");
        }
    }
}
