//! A connection's bytes as they are while it speaks HTTP, and from its upgrade on WebSocket's frames around the bytes of
//! another decoder.
//!
//! While it speaks HTTP each read is one [`Frame::Data`], and it stops after each: the next may be an upgrade. From then
//! on payloads are unmasked and given to the inner decoder as they come, however messages are cut: its frames are given
//! as they are, and between them control frames. A read's payloads are given together, so that runs don't end with each
//! message. It is stopped when the inner is; what comes after a stop waits, and nothing that stands behind it (a control
//! frame, a violation) is told before it.
//!
//! Nothing is kept of a message but what the inner keeps: caps are checked on its heads.

use bytes::Bytes;

use crate::decoder::{Decoder, Frame, SharedDecoder, Violation};
use crate::web::close_code::{
    INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, UNSUPPORTED_DATA,
};
use crate::web::frame::{self, Head, CLOSE, CONTINUATION, TEXT};
use crate::web::utf8::Utf8;

/// Frames of one message. 10 MB in pieces of 1 KiB are less.
pub const FRAGMENT_COUNT_MAX: u32 = 1 << 14;
/// Data frames without a payload one after the other; a client has no reason to send any.
pub const EMPTY_COUNT_MAX: u32 = 32;
/// Pings and pongs until the adapter allows more; enough for a client that was not served for a while.
pub const CONTROL_COUNT_MAX: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Raw,
    Messages,
    /// A violation or a close frame ended it.
    Ended,
}

/// What a look at the front of some bytes led to.
enum Step {
    /// So many bytes are done with.
    Taken(usize),
    /// Nothing can be done with fewer bytes than this.
    Wants(usize),
    /// So many bytes are done with; what follows has to wait until the inner decoder goes on.
    Blocked(usize),
}

/// The message that is being received, and its frame.
#[derive(Default)]
struct Message {
    /// Its last frame has not begun, or not ended.
    open: bool,
    /// Of the last message that has begun.
    text: bool,
    /// Bytes of all its frames so far, the present one whole.
    size: u64,
    fragment_count: u32,
    /// The present frame is its last.
    fin: bool,
    /// Bytes of the present frame's payload that are to come.
    left: u64,
    mask: [u8; 4],
    utf8: Utf8,
}

pub struct WebDecoder {
    phase: Phase,
    inner: Option<SharedDecoder>,
    /// What the inner decoder gets first when it goes on.
    first: Vec<u8>,
    stopped: bool,
    carry: Vec<u8>,
    held: usize,
    text_allowed: bool,
    message_size_max: u64,
    control_room: u32,
    empty_count: u32,
    message: Message,
}

impl Decoder for WebDecoder {
    fn receive(&mut self, data: &[u8], frames: &mut Vec<Frame>) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.stopped() {
            return self.carry.extend_from_slice(data);
        }
        if self.phase == Phase::Raw {
            return self.give(Bytes::copy_from_slice(data), frames);
        }
        let mut payload = Vec::new();
        let rest = self.complete_carry(data, &mut payload, frames);
        let taken = self.scan(rest, &mut payload, frames);
        if self.phase != Phase::Ended {
            self.carry.extend_from_slice(&rest[taken..]);
        }
        self.flush(&mut payload, frames);
    }

    fn resume(&mut self, frames: &mut Vec<Frame>) {
        self.stopped = false;
        if self.phase == Phase::Ended {
            return;
        }
        let mut carry = std::mem::take(&mut self.carry);
        if self.phase == Phase::Raw {
            return self.give(carry.into(), frames);
        }
        self.resume_inner(frames);
        let mut payload = Vec::new();
        let taken = self.scan(&carry, &mut payload, frames);
        if self.phase != Phase::Ended {
            carry.drain(..taken);
            self.carry = carry;
        }
        self.flush(&mut payload, frames);
    }

    fn stopped(&self) -> bool {
        self.phase != Phase::Ended && (self.stopped || self.inner_stopped())
    }

    fn buffered(&self) -> usize {
        let inner = self
            .inner
            .as_ref()
            .map_or(0, |inner| locked(inner).buffered());
        self.carry.len() + self.first.len() + self.held + inner
    }
}

impl Default for WebDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl WebDecoder {
    pub fn new() -> Self {
        Self {
            phase: Phase::Raw,
            inner: None,
            first: Vec::new(),
            stopped: false,
            carry: Vec::new(),
            held: 0,
            text_allowed: true,
            message_size_max: 0,
            control_room: CONTROL_COUNT_MAX,
            empty_count: 0,
            message: Message::default(),
        }
    }

    /// Whether it takes WebSocket's frames.
    pub fn upgraded(&self) -> bool {
        self.phase != Phase::Raw
    }

    /// From now on WebSocket's frames come, the first of them in `leftover`; it goes on with `resume`. Without `inner`
    /// it stops with the first payload, which is one [`Frame::Data`].
    ///
    /// # Panics
    /// It was upgraded before.
    pub fn upgrade(
        &mut self,
        inner: Option<SharedDecoder>,
        leftover: &[u8],
        text_allowed: bool,
        message_size_max: u64,
    ) {
        assert!(self.phase == Phase::Raw, "a connection is upgraded once");
        self.phase = Phase::Messages;
        self.inner = inner;
        self.text_allowed = text_allowed;
        self.message_size_max = message_size_max;
        self.held = 0;
        self.stopped = true;
        self.carry.splice(..0, leftover.iter().copied());
    }

    /// Who gets the payloads, from those in `first` on.
    ///
    /// # Panics
    /// There is one already.
    pub fn choose(&mut self, inner: SharedDecoder, first: &[u8], text_allowed: bool) {
        assert!(self.inner.is_none(), "an inner decoder is chosen once");
        self.inner = Some(inner);
        self.first.extend_from_slice(first);
        self.text_allowed = text_allowed;
    }

    pub fn has_inner(&self) -> bool {
        self.inner.is_some()
    }

    /// Whether the client's last message is of text.
    pub fn text(&self) -> bool {
        self.message.text
    }

    /// Bytes of a message, of all its frames.
    pub fn message_size_max(&self) -> u64 {
        self.message_size_max
    }

    /// From the next frame on.
    pub fn set_message_size_max(&mut self, size: u64) {
        self.message_size_max = size;
    }

    /// How many pings and pongs may come before `set_control_room`.
    pub fn control_room(&self) -> u32 {
        self.control_room
    }

    pub fn set_control_room(&mut self, count: u32) {
        self.control_room = count;
    }

    /// Bytes that the adapter holds for this connection (an HTTP request that isn't complete), counted in `buffered`.
    pub fn held(&self) -> usize {
        self.held
    }

    pub fn set_held(&mut self, size: usize) {
        self.held = size;
    }

    fn give(&mut self, data: Bytes, frames: &mut Vec<Frame>) {
        if !data.is_empty() {
            self.stopped = true;
            frames.push(Frame::Data { data });
        }
    }

    fn inner_stopped(&self) -> bool {
        self.inner
            .as_ref()
            .is_some_and(|inner| locked(inner).stopped())
    }

    fn resume_inner(&mut self, frames: &mut Vec<Frame>) {
        let Some(inner) = &self.inner else {
            return;
        };
        let mut inner = locked(inner);
        if inner.stopped() {
            inner.resume(frames);
        }
        if !self.first.is_empty() {
            inner.receive(&std::mem::take(&mut self.first), frames);
        }
    }

    /// Gives the inner decoder what has come for it.
    fn flush(&mut self, payload: &mut Vec<u8>, frames: &mut Vec<Frame>) {
        if payload.is_empty() {
            return;
        }
        match &self.inner {
            Some(inner) => {
                locked(inner).receive(payload, frames);
                payload.clear();
            }
            None => self.give(std::mem::take(payload).into(), frames),
        }
    }

    /// Tops the head or control frame in the carry up from `data` and handles it; what remains of `data` is for `scan`.
    fn complete_carry<'a>(
        &mut self,
        mut data: &'a [u8],
        payload: &mut Vec<u8>,
        frames: &mut Vec<Frame>,
    ) -> &'a [u8] {
        while !self.carry.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            match self.guarded_step(&carry, payload, frames) {
                Step::Wants(size) if !data.is_empty() => {
                    let missing = (size - carry.len()).min(data.len());
                    carry.extend_from_slice(&data[..missing]);
                    data = &data[missing..];
                    self.carry = carry;
                }
                Step::Wants(_) | Step::Blocked(0) => {
                    self.carry = carry;
                    break;
                }
                Step::Taken(size) | Step::Blocked(size) => {
                    debug_assert_eq!(size, carry.len(), "one head is carried");
                }
            }
        }
        data
    }

    /// Handles what can be handled; how many bytes that was.
    fn scan(&mut self, data: &[u8], payload: &mut Vec<u8>, frames: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        while taken < data.len() && !self.stopped() && self.phase != Phase::Ended {
            match self.guarded_step(&data[taken..], payload, frames) {
                Step::Taken(size) => taken += size,
                Step::Wants(_) => break,
                Step::Blocked(size) => return taken + size,
            }
            if self.inner.is_none() {
                self.flush(payload, frames);
            }
        }
        taken
    }

    /// `step`, with a violation turned into its frame.
    fn guarded_step(
        &mut self,
        data: &[u8],
        payload: &mut Vec<u8>,
        frames: &mut Vec<Frame>,
    ) -> Step {
        let step = if self.message.left > 0 {
            self.take_payload(data, payload)
        } else {
            self.take_head(data, payload, frames)
        };
        step.unwrap_or_else(|(size, violation)| {
            self.flush(payload, frames);
            if self.stopped() {
                return Step::Blocked(size);
            }
            frames.push(Frame::Violation(violation));
            self.end();
            Step::Taken(data.len())
        })
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.carry = Vec::new();
    }

    /// Handles a frame's head, or a whole control frame. With a violation: how many bytes are good.
    fn take_head(
        &mut self,
        data: &[u8],
        payload: &mut Vec<u8>,
        frames: &mut Vec<Frame>,
    ) -> Result<Step, (usize, Violation)> {
        let at_front = |violation| (0, violation);
        let Some(head) = frame::head(data).map_err(at_front)? else {
            return Ok(Step::Wants(data.len() + 1));
        };
        if !frame::is_control(head.opcode) {
            self.begin_frame(&head).map_err(at_front)?;
            return Ok(Step::Taken(head.head_size));
        }
        let size = head.head_size + head.size as usize;
        if data.len() < size {
            return Ok(Step::Wants(size));
        }
        if head.opcode != CLOSE && self.control_room == 0 {
            let text = "pings and pongs without end";
            return Err(at_front(Violation::new(POLICY_VIOLATION, text)));
        }
        self.flush(payload, frames);
        if self.stopped() {
            return Ok(Step::Blocked(0));
        }
        let mut unmasked = Vec::new();
        frame::unmask(&mut unmasked, &data[head.head_size..size], head.mask);
        frames.push(Frame::Control {
            opcode: head.opcode,
            payload: unmasked.into(),
        });
        if head.opcode == CLOSE {
            self.end();
            return Ok(Step::Taken(data.len()));
        }
        self.control_room -= 1;
        Ok(Step::Taken(size))
    }

    /// A data frame begins; nothing is changed by one that may not.
    fn begin_frame(&mut self, head: &Head) -> Result<(), Violation> {
        let (message, first) = (&self.message, head.opcode != CONTINUATION);
        if first && message.open {
            return Err(frame::wrong("a message begins inside another"));
        }
        if !first && !message.open {
            return Err(frame::wrong("a continuation of nothing"));
        }
        if head.opcode == TEXT && !self.text_allowed {
            let text = "text where the protocol is of bytes";
            return Err(Violation::new(UNSUPPORTED_DATA, text));
        }
        let before = if first { 0 } else { message.size };
        let size = before.saturating_add(head.size);
        if size > self.message_size_max {
            let most = self.message_size_max;
            let text = format!("a message of {size} bytes or more, at most {most} are allowed");
            return Err(Violation::new(MESSAGE_TOO_BIG, text));
        }
        let fragment_count = if first { 1 } else { message.fragment_count + 1 };
        let empty_count = if head.size == 0 {
            self.empty_count + 1
        } else {
            0
        };
        if fragment_count > FRAGMENT_COUNT_MAX || empty_count > EMPTY_COUNT_MAX {
            let text = "too many fragments, or too many without a payload";
            return Err(Violation::new(POLICY_VIOLATION, text));
        }
        let text = if first {
            head.opcode == TEXT
        } else {
            message.text
        };
        let utf8 = if first { Utf8::default() } else { message.utf8 };
        if head.fin && head.size == 0 && !utf8.is_whole() {
            return Err(bad_text());
        }
        self.empty_count = empty_count;
        self.message = Message {
            open: !(head.fin && head.size == 0),
            text,
            size,
            fragment_count,
            fin: head.fin,
            left: head.size,
            mask: head.mask,
            utf8,
        };
        Ok(())
    }

    /// Unmasks what there is of the present payload. With a violation: how many bytes are good.
    fn take_payload(
        &mut self,
        data: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<Step, (usize, Violation)> {
        let at = payload.len();
        let size = data
            .len()
            .min(usize::try_from(self.message.left).unwrap_or(usize::MAX));
        frame::unmask(payload, &data[..size], self.message.mask);
        if let Err(good) = self.check_text(&payload[at..]) {
            payload.truncate(at + good);
            self.message.advance(good);
            return Err((good, bad_text()));
        }
        self.message.advance(size);
        Ok(Step::Taken(size))
    }

    /// Checks the next piece of a payload; after an error, whose place it gives, it stands before the bad byte.
    fn check_text(&mut self, piece: &[u8]) -> Result<(), usize> {
        let message = &mut self.message;
        if !message.text {
            return Ok(());
        }
        let mut utf8 = message.utf8;
        let ends = message.fin && message.left == piece.len() as u64;
        let bad = match utf8.receive(piece) {
            Ok(()) if ends && !utf8.is_whole() => piece.len() - 1,
            Ok(()) => {
                message.utf8 = utf8;
                return Ok(());
            }
            Err(at) => at,
        };
        message.utf8.receive(&piece[..bad]).expect("it was good");
        Err(bad)
    }
}

impl Message {
    /// So many bytes of the payload are done with.
    fn advance(&mut self, size: usize) {
        self.left -= size as u64;
        self.mask = frame::rotated(self.mask, size);
        if self.left == 0 && self.fin {
            self.open = false;
        }
    }
}

fn bad_text() -> Violation {
    Violation::new(INVALID_PAYLOAD, "a text is not UTF-8")
}

fn locked(inner: &SharedDecoder) -> std::sync::MutexGuard<'_, dyn Decoder + 'static> {
    inner
        .lock()
        .expect("a decoder panicked, which ends the broker")
}

#[cfg(test)]
mod tests;
