//! A client's connection: opened while it blocks, used while it doesn't.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::websocket::{self, WebSocket};
use super::Side;

/// For each answer of a broker while a connection is opened or closed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const READ_SIZE: usize = 256 << 10;

/// What was understood: bytes, and the answer if it is among them.
pub type Taken<T> = Result<(usize, Option<T>), String>;

/// One connection.
pub struct Socket {
    stream: TcpStream,
    /// Received and not understood yet.
    input: Vec<u8>,
    /// Accepted from the caller.
    output: Vec<u8>,
    /// What output became on the wire, not written yet.
    unwritten: Vec<u8>,
    websocket: Option<WebSocket>,
    pub reads: u64,
    pub writes: u64,
}

impl Socket {
    pub fn connect(host: &str, port: u16) -> Result<Self, String> {
        let stream =
            TcpStream::connect((host, port)).map_err(|error| format!("{host}:{port}: {error}"))?;
        let lost = |error: std::io::Error| error.to_string();
        stream.set_nodelay(true).map_err(lost)?;
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(lost)?;
        stream
            .set_write_timeout(Some(ANSWER_TIMEOUT))
            .map_err(lost)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            unwritten: Vec::new(),
            websocket: None,
            reads: 0,
            writes: 0,
        })
    }

    /// Connects, and has the connection upgraded if `side` says so.
    pub fn open(side: &Side) -> Result<Self, String> {
        let mut socket = Self::connect(&side.host, side.port)?;
        if let Some(spec) = &side.websocket {
            let token = side.protocol.subprotocol();
            let host = format!("{}:{}", side.host, side.port);
            websocket::ask(&mut socket.output, &host, &spec.path, token);
            socket.call(|bytes| match websocket::answered(bytes, token)? {
                Some(size) => Ok((size, Some(()))),
                None => Ok((0, None)),
            })?;
            let seed = socket
                .stream
                .local_addr()
                .map_or(1, |address| address.port());
            socket.websocket = Some(WebSocket::new(u32::from(seed)));
            let left = std::mem::take(&mut socket.input);
            socket.unwrap(&left)?;
        }
        Ok(socket)
    }

    pub fn is_wrapping(&self) -> bool {
        self.websocket.is_some()
    }

    /// Appends `payload` to `output` as a message of the WebSocket.
    pub fn wrap(&mut self, output: &mut Vec<u8>, payload: &[u8]) {
        if let Some(websocket) = &mut self.websocket {
            websocket.wrap(output, payload);
        }
    }

    fn check(&self) -> Result<(), String> {
        self.websocket.as_ref().map_or(Ok(()), WebSocket::check)
    }

    /// Takes what came in as input.
    fn unwrap(&mut self, bytes: &[u8]) -> Result<(), String> {
        let start = self.input.len();
        self.input.extend_from_slice(bytes);
        if let Some(websocket) = &mut self.websocket {
            let end = websocket.unwrap(&mut self.input, start, &mut self.unwritten)?;
            self.input.truncate(end);
        }
        Ok(())
    }

    /// Makes the output ready for the wire.
    fn seal(&mut self) {
        match &mut self.websocket {
            _ if self.output.is_empty() => {}
            Some(websocket) => {
                websocket.wrap(&mut self.unwritten, &self.output);
                self.output.clear();
            }
            None => self.unwritten.append(&mut self.output),
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What is to be written next.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends the output and waits for the answer that `take` finds in what came. What comes after it is
    /// kept.
    pub fn call<T>(&mut self, take: impl Fn(&[u8]) -> Taken<T>) -> Result<T, String> {
        self.seal();
        let unwritten = std::mem::take(&mut self.unwritten);
        self.stream
            .write_all(&unwritten)
            .map_err(|error| format!("the broker does not read: {error}"))?;
        loop {
            let (taken, answer) = take(&self.input)?;
            self.input.drain(..taken);
            if let Some(answer) = answer {
                return Ok(answer);
            }
            self.check()?;
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err("the broker hung up".into()),
                Ok(count) => self.unwrap(&bytes[..count])?,
                Err(error) => return Err(format!("no answer: {error}")),
            }
        }
    }

    pub fn set_blocking(&mut self, blocking: bool) -> Result<(), String> {
        self.stream
            .set_nonblocking(!blocking)
            .map_err(|error| error.to_string())
    }

    /// Reads once and hands everything unread to `take`, which says how much it understood and may
    /// answer. What was left is put before what is read, so that a frame is never looked at in two
    /// pieces.
    pub fn receive(
        &mut self,
        scratch: &mut Vec<u8>,
        take: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, String>,
    ) -> Result<(), String> {
        self.check()?;
        let left = self.input.len();
        if scratch.len() < left + READ_SIZE {
            scratch.resize(left + READ_SIZE, 0);
        }
        scratch[..left].copy_from_slice(&self.input);
        let count = match self.stream.read(&mut scratch[left..left + READ_SIZE]) {
            Ok(0) => return Err("the broker hung up".into()),
            Ok(count) => count,
            Err(error) if is_later(&error) => return Ok(()),
            Err(error) => return Err(format!("the connection broke: {error}")),
        };
        self.reads += 1;
        self.input.clear();
        let mut end = left + count;
        if let Some(websocket) = &mut self.websocket {
            end = websocket.unwrap(&mut scratch[..end], left, &mut self.unwritten)?;
        }
        self.understand(&scratch[..end], take)
    }

    /// Hands what was read while the connection was opened to `take`: deliveries may stand behind the
    /// answer to consume.
    pub fn receive_left(
        &mut self,
        take: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, String>,
    ) -> Result<(), String> {
        let left = std::mem::take(&mut self.input);
        self.understand(&left, take)
    }

    fn understand(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, String>,
    ) -> Result<(), String> {
        let taken = take(bytes, &mut self.output)?;
        self.input.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Writes as much of `bytes` as the socket takes now; gives how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(format!("the connection broke: {error}")),
            }
            self.writes += 1;
        }
        Ok(written)
    }

    /// Writes as much of the output as the socket takes now; says whether that was all.
    pub fn flush(&mut self) -> Result<bool, String> {
        self.seal();
        if self.unwritten.is_empty() {
            return Ok(true);
        }
        let mut unwritten = std::mem::take(&mut self.unwritten);
        let written = self.write(&unwritten)?;
        unwritten.drain(..written);
        self.unwritten = unwritten;
        Ok(self.unwritten.is_empty())
    }

    /// Sends the output and receives until `take` says that it has the last answer.
    pub fn finish(
        &mut self,
        scratch: &mut Vec<u8>,
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(usize, bool), String>,
    ) -> Result<(), String> {
        self.set_blocking(true)?;
        self.flush()?;
        let mut finished = false;
        while !finished {
            let reads = self.reads;
            self.receive(scratch, |bytes, answers| {
                let (taken, now_finished) = take(bytes, answers)?;
                finished |= now_finished;
                Ok(taken)
            })?;
            if self.reads == reads {
                return Err("no answer to the close".into());
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Hangs up, after what is left of the output.
    pub fn hang_up(mut self) {
        self.seal();
        if let Some(websocket) = &mut self.websocket {
            websocket.close(&mut self.unwritten);
        }
        // The broker may have hung up first.
        let _ = self.flush();
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn is_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
