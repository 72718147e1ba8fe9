//! A client's connection: opened while it blocks, used while it doesn't.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::wire::{self, MethodId};
use super::LoadSpec;

/// For each answer of a broker while a connection is opened or closed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const READ_SIZE: usize = 256 << 10;

/// One channel (1) on one connection.
pub struct Socket {
    stream: TcpStream,
    /// Received and not understood yet.
    input: Vec<u8>,
    /// Accepted from the caller and not written yet.
    output: Vec<u8>,
    pub reads: u64,
    pub writes: u64,
}

impl Socket {
    /// Connects, logs in, and opens channel 1.
    pub fn open(spec: &LoadSpec) -> Result<Self, String> {
        let address = (spec.host.as_str(), spec.port);
        let stream = TcpStream::connect(address)
            .map_err(|error| format!("{}:{}: {error}", spec.host, spec.port))?;
        let mut socket = Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            reads: 0,
            writes: 0,
        };
        let lost = |error: std::io::Error| error.to_string();
        socket.stream.set_nodelay(true).map_err(lost)?;
        socket
            .stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(lost)?;
        socket
            .stream
            .set_write_timeout(Some(ANSWER_TIMEOUT))
            .map_err(lost)?;
        socket.output.extend_from_slice(b"AMQP\0\0\x09\x01");
        socket.call(wire::CONNECTION_START)?;
        wire::start_ok(&mut socket.output, &spec.username, &spec.password);
        let tune = socket.call(wire::CONNECTION_TUNE)?;
        let (channels, frames) = match tune.get(4..10) {
            Some(t) => (
                u16::from_be_bytes([t[0], t[1]]),
                u32::from_be_bytes([t[2], t[3], t[4], t[5]]),
            ),
            None => return Err("a tune that offers nothing".into()),
        };
        if frames != 0 && (spec.size + wire::FRAME_OVERHEAD) as u64 > u64::from(frames) {
            return Err(format!(
                "a body of {} bytes is more than a frame of {frames}",
                spec.size
            ));
        }
        wire::tune_ok(&mut socket.output, channels, frames);
        wire::open(&mut socket.output);
        socket.call(wire::CONNECTION_OPEN_OK)?;
        wire::method(&mut socket.output, 1, wire::CHANNEL_OPEN, |bytes| {
            bytes.push(0);
        });
        socket.call(wire::CHANNEL_OPEN_OK)?;
        Ok(socket)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What is to be written next.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends the output and waits for `answer`; gives its payload. What came in before it is dropped,
    /// what comes after it is kept.
    pub fn call(&mut self, answer: MethodId) -> Result<Vec<u8>, String> {
        let output = std::mem::take(&mut self.output);
        self.stream
            .write_all(&output)
            .map_err(|error| format!("the broker does not read: {error}"))?;
        loop {
            while let Some(frame) = wire::split(&self.input)? {
                let method = frame.method();
                let payload = frame.payload.to_vec();
                let size = frame.size;
                self.input.drain(..size);
                if method == Some(answer) {
                    return Ok(payload);
                }
                if matches!(method, Some(wire::CONNECTION_CLOSE | wire::CHANNEL_CLOSE)) {
                    return Err(format!("refused: {}", wire::close_reason(&payload)));
                }
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err("the broker hung up".into()),
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) => return Err(format!("no answer: {error}")),
            }
        }
    }

    pub fn set_blocking(&mut self, blocking: bool) -> Result<(), String> {
        self.stream
            .set_nonblocking(!blocking)
            .map_err(|error| error.to_string())
    }

    /// Reads once and hands everything unread to `take`, which says how much it understood. What was
    /// left is put before what is read, so that a frame is never looked at in two pieces.
    pub fn receive(
        &mut self,
        scratch: &mut Vec<u8>,
        take: impl FnMut(&[u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
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
        self.understand(&scratch[..left + count], take)
    }

    /// Hands what was read while the connection was opened to `take`: deliveries may stand behind the
    /// answer to consume.
    pub fn receive_left(
        &mut self,
        take: impl FnMut(&[u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
        let left = std::mem::take(&mut self.input);
        self.understand(&left, take)
    }

    fn understand(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
        let taken = take(bytes)?;
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
        if self.output.is_empty() {
            return Ok(true);
        }
        let output = std::mem::take(&mut self.output);
        let written = self.write(&output)?;
        self.output.extend_from_slice(&output[written..]);
        Ok(self.output.is_empty())
    }

    /// Closes the channel, so that everything before it took effect, and hangs up. `take` sees what
    /// still comes in.
    pub fn close(
        &mut self,
        scratch: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]) -> Result<(usize, bool), String>,
    ) -> Result<(), String> {
        self.set_blocking(true)?;
        wire::close_channel(&mut self.output);
        self.flush()?;
        let mut closed = false;
        while !closed {
            let reads = self.reads;
            self.receive(scratch, |bytes| {
                let (taken, now_closed) = take(bytes)?;
                closed |= now_closed;
                Ok(taken)
            })?;
            if self.reads == reads {
                return Err("no answer to the close".into());
            }
        }
        // The broker may have hung up first.
        let _ = self.stream.shutdown(Shutdown::Both);
        Ok(())
    }
}

fn is_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
