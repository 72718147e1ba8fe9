//! One socket of the poller: its descriptor, its decoder with what it holds, its output, its interest.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::MutexGuard;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{recv, sendmsg, shutdown, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use crate::decoder::{Decoder, Frame, SharedDecoder};
use crate::input_progress::InputProgress;
use crate::output::Output;

/// Enough for 512 KiB in pieces that are worth an iovec each; more take another call.
const SLICE_COUNT: usize = 64;

/// What a read came to.
#[derive(Debug)]
pub enum Reading {
    /// This many bytes, and the frames they completed (there may be none).
    Frames(usize, Vec<Frame>),
    /// Bytes nobody wants any more.
    Discarded(usize),
    Nothing,
    /// End of stream, or the connection is broken.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Output goes out, then our side is shut; input is discarded until the peer's end.
    HangingUp,
    /// Our side is shut.
    Shut,
    /// Neither read nor written any more; waits to be removed.
    Ended,
}

/// One socket.
pub struct Connection {
    pub fd: OwnedFd,
    decoder: SharedDecoder,
    output: Output,
    /// Python asked not to read.
    pub paused: bool,
    state: State,
    /// What epoll is told to look for.
    pub interest: EventFlags,
    /// Waits for its turn in the next round.
    pub deferred: bool,
    /// The last round in which it was read.
    pub round_read: u64,
    /// Bytes of the decoder charged to the input account.
    pub input_charged: usize,
    progress: InputProgress,
}

impl Connection {
    pub fn new(fd: OwnedFd, decoder: SharedDecoder) -> Self {
        Self {
            fd,
            decoder,
            output: Output::new(),
            paused: false,
            state: State::Open,
            interest: EventFlags::IN,
            deferred: false,
            round_read: 0,
            input_charged: 0,
            progress: InputProgress::default(),
        }
    }

    pub fn decoder(&self) -> MutexGuard<'_, dyn Decoder + 'static> {
        self.decoder
            .lock()
            .expect("a decoder panicked, which ends the broker")
    }

    /// Whether bytes that come are wanted at present.
    pub fn reads(&self) -> bool {
        match self.state {
            State::Open => !self.paused && !self.decoder().stopped(),
            State::HangingUp | State::Shut => true,
            State::Ended => false,
        }
    }

    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    pub fn output_size(&self) -> usize {
        self.output.size()
    }

    /// The output to add to; what is added after the end or a hang-up is nobody's.
    pub fn output(&mut self) -> Option<&mut Output> {
        (self.state == State::Open).then_some(&mut self.output)
    }

    /// Receives once into `scratch` and decodes.
    pub fn read(&mut self, scratch: &mut [u8]) -> Reading {
        let size = match recv(&self.fd, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Reading::End,
            Ok((_, size)) => size,
            Err(Errno::AGAIN | Errno::INTR) => return Reading::Nothing,
            Err(_) => return Reading::End,
        };
        if self.state != State::Open {
            return Reading::Discarded(size);
        }
        let mut frames = Vec::new();
        self.decoder().receive(&scratch[..size], &mut frames);
        self.progress.receive(size, !frames.is_empty());
        Reading::Frames(size, frames)
    }

    /// Whether what it has begun has grown by less than `least` bytes since this was last asked.
    pub fn is_slow(&mut self, least: u64) -> bool {
        let unfinished = self.state == State::Open && self.reads() && self.input_charged > 0;
        self.progress.is_slow(unfinished, least)
    }

    pub fn resume_decoder(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.decoder().resume(&mut frames);
        frames
    }

    /// Writes as much as the socket takes, and shuts our side once nothing is left to say. Says how
    /// many bytes went.
    ///
    /// # Errors
    /// The connection is broken; its output is gone.
    pub fn write(&mut self) -> Result<usize, Errno> {
        let before = self.output.size();
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICE_COUNT];
            let count = self.output.fill(&mut slices);
            let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = sendmsg(
                &self.fd,
                &slices[..count],
                &mut SendAncillaryBuffer::default(),
                flags,
            );
            match sent {
                Ok(size) => {
                    self.output.advance(size);
                    // A short write means that the socket is full: asking again would only say so.
                    if size < offered {
                        break;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => {
                    self.output.clear();
                    return Err(error);
                }
            }
        }
        if self.state == State::HangingUp && self.output.is_empty() {
            self.state = State::Shut;
            shutdown(&self.fd, Shutdown::Write)?;
        }
        Ok(before - self.output.size())
    }

    /// From now on: what is queued goes out, our side is shut, what comes is discarded.
    pub fn hang_up(&mut self) {
        if self.state == State::Open {
            self.state = State::HangingUp;
        }
    }

    pub fn end(&mut self) {
        self.state = State::Ended;
        self.output.clear();
    }
}
