//! basic.ack, basic.nack and basic.reject to settlements, single tags that follow one another merged.

use crate::amqp::method::{self, MethodId};
use crate::amqp::reply_code;
use crate::amqp::table::Reader;
use crate::decoder::{Frame, SettleKind, Violation};

const MULTIPLE_BIT: u8 = 1;
const NACK_REQUEUE_BIT: u8 = 2;
const REJECT_REQUEUE_BIT: u8 = 1;

/// Adds a settlement to the last frame if it goes on from it, else after it. Only single tags are
/// merged: whether the earlier of two "all so far" names a known tag must still be seen.
pub fn settle(channel: u16, id: MethodId, arguments: &[u8], frames: &mut Vec<Frame>) {
    let mut reader = Reader::new(arguments);
    let tag = reader.u64().expect("the arguments were checked");
    let bits = reader.u8().expect("the arguments were checked");
    let (kind, multiple) = kind(id, bits);
    if tag == 0 && !multiple {
        // In a settlement 0 means "all so far".
        let text = "unknown delivery tag 0";
        let violation = Violation::new(reply_code::PRECONDITION_FAILED, text);
        let violation = violation.on(channel).of(id).of_channel();
        frames.push(Frame::Violation(violation));
        return;
    }
    if let Some(Frame::Settlement {
        channel: of,
        first,
        last,
        kind: before,
    }) = frames.last_mut()
    {
        let same = *of == channel && *before == kind && *first > 0 && !multiple;
        if same && last.checked_add(1) == Some(tag) {
            *last = tag;
            return;
        }
    }
    frames.push(Frame::Settlement {
        channel,
        first: if multiple { 0 } else { tag },
        last: tag,
        kind,
    });
}

fn kind(id: MethodId, bits: u8) -> (SettleKind, bool) {
    let multiple = bits & MULTIPLE_BIT != 0;
    match id {
        method::ACK => (SettleKind::Ack, multiple),
        method::NACK if bits & NACK_REQUEUE_BIT != 0 => (SettleKind::NackRequeue, multiple),
        method::NACK => (SettleKind::Nack, multiple),
        _ if bits & REJECT_REQUEUE_BIT != 0 => (SettleKind::RejectRequeue, false),
        _ => (SettleKind::Reject, false),
    }
}
