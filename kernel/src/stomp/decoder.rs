//! One STOMP connection's bytes to frames: SENDs in runs, ACKs and NACKs in ranges.
//!
//! The first frame is CONNECT (or STOMP); it stops after that until its owner has set the version and the limits. After a
//! violation it discards everything.
//!
//! Bytes that no frame ends in wait in `carry`, at most one frame of them (more while stopped). Each is copied there once,
//! limits are checked before it is, and none is looked at twice (`head`, `body`).

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::decoder::{Decoder, Frame, Violation};
use crate::message_run::Span;
use crate::stomp::frame::{shown, violation, Command};
use crate::stomp::head::{frame_too_large, Head};
use crate::stomp::header::{self, Rules};
use crate::stomp::run::{alone, Run};
use crate::stomp::send::{content_length, Send};
use crate::stomp::send_template::{Like, SendTemplate};
use crate::stomp::settlement::Settled;

/// A frame that came in parts and is larger than this becomes a run of its own, uncopied.
const COPIED_SIZE_MAX: usize = 64 << 10;
/// An input buffer larger than this is given back once it is empty.
const CARRY_KEPT_MAX: usize = 16 << 10;
/// The input buffer grows by at least so much.
const GROWTH_MIN: usize = 4 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// CONNECT is to come.
    Greeting,
    Open,
    /// A violation ended the connection.
    Ended,
}

/// A frame whose head is whole.
#[derive(Clone, Copy)]
struct Body {
    command: Command,
    start: usize,
    length: Option<usize>,
    /// Up to where no NUL is.
    seen: usize,
}

/// What a look at the front of some bytes led to.
enum Step {
    /// So many bytes are done with.
    Taken(usize),
    /// The frame goes on.
    Part,
    /// All of the carry is a SEND, whose body is there.
    Alone(Span),
}

pub struct StompDecoder {
    version: u8,
    frame_size_max: usize,
    session: Vec<u8>,
    phase: Phase,
    stopped: bool,
    carry: Vec<u8>,
    /// Of the frame that is not whole.
    head: Head,
    body: Option<Body>,
    /// The headers of the SEND that came last.
    send: Send,
    template: SendTemplate,
    run: Run,
    /// Line ends between frames in this read.
    eols: u32,
    /// The last byte was a frame's NUL: the line end that may come is its own.
    frame_ended: bool,
    /// Bytes kept in `carry`, for the law that none is kept twice.
    #[cfg(test)]
    copied: usize,
}

impl Decoder for StompDecoder {
    fn receive(&mut self, data: &[u8], frames: &mut Vec<Frame>) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.stopped {
            return self.keep(data);
        }
        let rest = self.complete_carry(data, frames);
        let taken = self.scan(rest, frames);
        if self.phase != Phase::Ended {
            self.keep(&rest[taken..]);
        }
        self.end_read(frames);
    }

    fn resume(&mut self, frames: &mut Vec<Frame>) {
        if self.phase == Phase::Ended {
            return;
        }
        self.stopped = false;
        let mut carry = std::mem::take(&mut self.carry);
        let taken = self.scan(&carry, frames);
        if self.phase != Phase::Ended {
            carry.drain(..taken);
            self.carry = carry;
        }
        self.end_read(frames);
    }

    fn stopped(&self) -> bool {
        self.stopped
    }

    fn buffered(&self) -> usize {
        self.carry.len()
    }
}

impl StompDecoder {
    /// `frame_size_max`: bytes from the command through the NUL.
    pub fn new(frame_size_max: usize) -> Self {
        Self {
            version: 0,
            frame_size_max,
            session: Vec::new(),
            phase: Phase::Greeting,
            stopped: false,
            carry: Vec::new(),
            head: Head::default(),
            body: None,
            send: Send::default(),
            template: SendTemplate::default(),
            run: Run::default(),
            eols: 0,
            frame_ended: false,
            #[cfg(test)]
            copied: 0,
        }
    }

    pub fn version(&self) -> u8 {
        self.version
    }

    /// Before it is resumed after CONNECT.
    pub fn set_version(&mut self, version: u8) {
        self.version = version;
        self.template.clear();
    }

    pub fn frame_size_max(&self) -> usize {
        self.frame_size_max
    }

    /// From the next frame on.
    pub fn set_frame_size_max(&mut self, size: usize) {
        self.frame_size_max = size;
    }

    pub fn session(&self) -> &[u8] {
        &self.session
    }

    /// What the ids of its messages must have.
    pub fn set_session(&mut self, session: Vec<u8>) {
        self.session = session;
    }

    fn keep(&mut self, data: &[u8]) {
        #[cfg(test)]
        {
            self.copied += data.len();
        }
        self.carry.extend_from_slice(data);
    }

    /// Tops the carried frame up from `data` and handles it; what remains of `data` is for `scan`.
    fn complete_carry<'a>(&mut self, mut data: &'a [u8], frames: &mut Vec<Frame>) -> &'a [u8] {
        while !self.carry.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            match self.guarded_step(&carry, true, frames) {
                Some(Step::Part) => {
                    let (size, missing) = self.piece(&carry, data);
                    if carry.capacity() - carry.len() < size {
                        // Doubles, and at the end fits.
                        let growth = carry.len().max(GROWTH_MIN).max(size);
                        carry.reserve_exact(growth.min(missing));
                    }
                    self.carry = carry;
                    if size == 0 {
                        break;
                    }
                    self.keep(&data[..size]);
                    data = &data[size..];
                }
                Some(Step::Taken(size)) => {
                    assert_eq!(size, carry.len(), "one frame is carried");
                    carry.clear();
                    carry.shrink_to(CARRY_KEPT_MAX);
                    self.carry = carry;
                    break;
                }
                Some(Step::Alone(body)) => self.push(alone(&self.send, body, carry), frames),
                None => {}
            }
        }
        data
    }

    /// How many bytes of `data` are the carried frame's or may be, and how many it can still take.
    fn piece(&self, carry: &[u8], data: &[u8]) -> (usize, usize) {
        let most = match self.body {
            Some(Body {
                start,
                length: Some(length),
                ..
            }) => start + length + 1,
            Some(_) => self.frame_size_max + 1,
            None => self.head.size_wanted(self.frame_size_max),
        };
        // A look at fewer bytes would have been a violation.
        let missing = most.saturating_sub(carry.len());
        let piece = &data[..missing.min(data.len())];
        let end = match self.body {
            Some(Body {
                length: Some(_), ..
            }) => None,
            Some(_) => memchr(0, piece),
            None => memchr2(b'\n', 0, piece),
        };
        (end.map_or(piece.len(), |at| at + 1), missing)
    }

    /// Handles all that is whole; how many bytes that was.
    fn scan(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        while !self.stopped && self.phase != Phase::Ended && taken < data.len() {
            match self.guarded_step(&data[taken..], false, frames) {
                Some(Step::Taken(size)) => taken += size,
                Some(Step::Part | Step::Alone(_)) => break,
                None => return data.len(),
            }
        }
        taken
    }

    fn end_run(&mut self, frames: &mut Vec<Frame>) {
        if !self.run.is_empty() {
            let run = std::mem::take(&mut self.run);
            frames.push(run.finish());
        }
    }

    fn end_read(&mut self, frames: &mut Vec<Frame>) {
        self.end_run(frames);
        if self.eols > 0 {
            frames.push(Frame::Eols { count: self.eols });
            self.eols = 0;
        }
    }

    fn push(&mut self, frame: Frame, frames: &mut Vec<Frame>) {
        self.end_run(frames);
        frames.push(frame);
    }

    /// `step`, with a violation turned into its frame; None: the connection is over.
    #[inline]
    fn guarded_step(
        &mut self,
        data: &[u8],
        carried: bool,
        frames: &mut Vec<Frame>,
    ) -> Option<Step> {
        match self.step(data, carried, frames) {
            Ok(step) => Some(step),
            Err(violation) => {
                let receipt_id = self.head.find(data, b"receipt", self.rules());
                self.end_read(frames);
                frames.push(Frame::Violation(Violation {
                    receipt_id: receipt_id.unwrap_or_default(),
                    ..violation
                }));
                self.phase = Phase::Ended;
                None
            }
        }
    }

    /// CONNECT has no escapes.
    fn rules(&self) -> Rules {
        Rules::of(if self.phase == Phase::Greeting {
            0
        } else {
            self.version
        })
    }

    /// Handles one frame, or line ends. `carried`: `data` is a carry and holds no more than that frame.
    #[inline]
    fn step(
        &mut self,
        data: &[u8],
        carried: bool,
        frames: &mut Vec<Frame>,
    ) -> Result<Step, Violation> {
        if self.body.is_none() {
            if self.head.is_fresh() {
                if data[0] == b'\n' || data[0] == b'\r' {
                    if let Some(step) = self.receive_eol(data) {
                        return Ok(step);
                    }
                }
                if let Some(size) = self.receive_like(data, frames) {
                    return Ok(Step::Taken(size));
                }
            }
            let any_crlf = self.phase == Phase::Greeting || self.version == 12;
            let scanned = self.head.scan(data, any_crlf, self.frame_size_max)?;
            let Some(start) = scanned else {
                return Ok(Step::Part);
            };
            self.body = Some(self.begin_body(data, start)?);
        }
        let mut body = self.body.expect("the head is whole");
        let Some(end) = self.find_end(data, &mut body)? else {
            self.body = Some(body);
            return Ok(Step::Part);
        };
        let size = end + 1;
        if body.command == Command::Send {
            if carried && size > COPIED_SIZE_MAX {
                self.end_frame();
                let body = Span::new(body.start, end - body.start);
                return Ok(Step::Alone(body));
            }
            self.run.forget();
            let receipt = self.send.receipt.take();
            let bytes = &data[body.start..end];
            self.receive_send(receipt.as_deref(), bytes, size, data.len(), frames);
            self.template.learn(data, &self.head, &self.send);
        } else {
            self.receive_other(body.command, data, frames)?;
        }
        self.end_frame();
        Ok(Step::Taken(size))
    }

    fn end_frame(&mut self) {
        self.head.clear();
        self.body = None;
        self.frame_ended = true;
    }

    /// A line end between frames; None: the carriage return is something else.
    fn receive_eol(&mut self, data: &[u8]) -> Option<Step> {
        let size = match data {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => return Some(Step::Part),
            _ => return None,
        };
        if !std::mem::take(&mut self.frame_ended) {
            self.eols = self.eols.saturating_add(1);
        }
        Some(Step::Taken(size))
    }

    /// A whole SEND with the headers of the one before, but for receipt and content-length; how many bytes it has.
    #[inline]
    fn receive_like(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> Option<usize> {
        let Like {
            body_at,
            receipt,
            content_length,
        } = self.template.like(data)?;
        let body_size = match content_length {
            Some(size) if data.get(body_at + size) == Some(&0) => size,
            Some(_) => return None,
            None => memchr(0, &data[body_at..])?,
        };
        let size = body_at + body_size + 1;
        if size > self.frame_size_max {
            return None;
        }
        let body = &data[body_at..body_at + body_size];
        self.receive_send(receipt, body, size, data.len(), frames);
        self.frame_ended = true;
        Some(size)
    }

    /// `left` bytes of its like may be there from it on.
    #[inline]
    fn receive_send(
        &mut self,
        receipt: Option<&[u8]>,
        body: &[u8],
        size: usize,
        left: usize,
        frames: &mut Vec<Frame>,
    ) {
        if !self.run.takes(&self.send, size) {
            self.end_run(frames);
        }
        self.run.push(&self.send, receipt, body, size, left);
    }

    /// The head is whole: what must be known before the body has come.
    fn begin_body(&mut self, data: &[u8], start: usize) -> Result<Body, Violation> {
        self.frame_ended = false;
        let word = self.head.command(data);
        let Some(command) = Command::of(word) else {
            let text = format!("{} is not a client's", shown(word));
            return Err(violation("Unknown command", text));
        };
        match (self.phase, command) {
            (Phase::Greeting, Command::Connect) => {}
            (Phase::Greeting, _) => {
                let text = format!("{} came before CONNECT", command.name());
                return Err(violation("Not connected", text));
            }
            (_, Command::Connect) => {
                let text = "a second CONNECT came";
                return Err(violation("Already connected", text));
            }
            (_, Command::Nack) if self.version < 11 => {
                let text = "there is no NACK in STOMP 1.0";
                return Err(violation("Unknown command", text));
            }
            _ => {}
        }
        if std::str::from_utf8(&data[..start]).is_err() {
            let text = format!("the headers of {} are not UTF-8", command.name());
            return Err(violation("Malformed frame", text));
        }
        let rules = self.rules();
        let length = if command == Command::Send {
            self.template.clear();
            self.send.read(data, &self.head, rules)?;
            self.send.content_length
        } else {
            let length = self.head.find(data, b"content-length", rules);
            length.map(|text| content_length(&text)).transpose()?
        };
        let nul = usize::from(self.head.cut_short());
        if nul > 0 && length.is_some_and(|length| length > 0) {
            let text = "NUL stands in place of the blank line after the headers";
            return Err(violation("Malformed frame", text));
        }
        // No sum can overflow, and none is made of what is too large.
        let room = self.frame_size_max.saturating_sub(start + 1);
        if length.is_some_and(|length| length > room) {
            return Err(frame_too_large(self.frame_size_max));
        }
        if length.is_some_and(|length| length > 0) && !self.may_have_body(command, data) {
            return Err(body_from(command));
        }
        Ok(Body {
            command,
            start,
            length,
            seen: start,
        })
    }

    /// In 1.0 a body that means nothing is passed over; who names no version speaks that.
    fn may_have_body(&self, command: Command, data: &[u8]) -> bool {
        match (command, self.phase) {
            (Command::Send, _) => true,
            (_, Phase::Greeting) => !self.names_versions(data),
            _ => self.version < 11,
        }
    }

    /// Of a CONNECT.
    fn names_versions(&self, data: &[u8]) -> bool {
        let versions = self.head.find(data, b"accept-version", Rules::of(0));
        versions.is_some()
    }

    /// Where the NUL behind the body is, once it is there.
    #[inline]
    fn find_end(&mut self, data: &[u8], body: &mut Body) -> Result<Option<usize>, Violation> {
        if let Some(length) = body.length {
            let end = body.start + length;
            return match data.get(end) {
                None => Ok(None),
                Some(0) => Ok(Some(end)),
                Some(_) => {
                    let text = format!("no NUL after the {length} bytes of content-length");
                    Err(violation("Malformed frame", text))
                }
            };
        }
        if body.command != Command::Send
            && data.get(body.start).is_some_and(|byte| *byte != 0)
            && !self.may_have_body(body.command, data)
        {
            return Err(body_from(body.command));
        }
        let most = data.len().min(self.frame_size_max);
        // The limit may have become smaller since the head was seen.
        let seen = body.seen.min(most);
        let Some(found) = memchr(0, &data[seen..most]) else {
            if data.len() > self.frame_size_max {
                return Err(frame_too_large(self.frame_size_max));
            }
            body.seen = most;
            return Ok(None);
        };
        Ok(Some(seen + found))
    }

    fn receive_other(
        &mut self,
        command: Command,
        data: &[u8],
        frames: &mut Vec<Frame>,
    ) -> Result<(), Violation> {
        let settled = match command {
            Command::Ack | Command::Nack => Some(Settled::read(
                data,
                &self.head,
                command,
                self.version,
                &self.session,
            )?),
            _ => None,
        };
        if let Some(settled) = settled.filter(|settled| settled.plain) {
            self.end_run(frames);
            settled.push(frames);
            return Ok(());
        }
        // A client that names versions is not one of 1.0, and its spaces are its own.
        let is_newer = command == Command::Connect && self.names_versions(data);
        let rules = Rules {
            trims: self.rules().trims && !is_newer,
            ..self.rules()
        };
        let mut headers: Vec<(Bytes, Bytes)> = Vec::with_capacity(self.head.headers().len());
        for line in self.head.headers() {
            let (name, value) = header::split(line.of(data), rules)?;
            if !headers.iter().any(|(known, _)| known == &*name) {
                let copied = |text: &[u8]| Bytes::copy_from_slice(text);
                headers.push((copied(&name), copied(&value)));
            }
        }
        if command == Command::Connect {
            self.phase = Phase::Open;
            self.stopped = true;
        }
        let frame = Frame::Stomp {
            command: command.name(),
            headers,
            settled: settled.map(|settled| (settled.channel, settled.tag, settled.kind)),
        };
        self.push(frame, frames);
        Ok(())
    }
}

fn body_from(command: Command) -> Violation {
    let text = format!("{} has a body, which only a SEND may", command.name());
    violation("Malformed frame", text)
}

#[cfg(test)]
mod tests;
