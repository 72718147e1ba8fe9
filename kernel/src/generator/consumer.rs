//! One consumer on one connection, in whatever protocol.

use super::checker::Checker;
use super::client::{open_consumer, Arrivals, Consuming};
use super::socket::Socket;
use super::LoadSpec;
use crate::histogram::Histogram;

pub struct Consumer {
    pub socket: Socket,
    protocol: Box<dyn Consuming>,
    first_at: Option<u64>,
    /// The epoll was asked to say when the socket takes more.
    pub awaits_writable: bool,
}

impl Consumer {
    /// Starts consuming: deliveries may come from here on.
    pub fn open(spec: &LoadSpec, place: usize) -> Result<Self, String> {
        let (socket, protocol) = open_consumer(spec, place)?;
        Ok(Self {
            socket,
            protocol,
            first_at: None,
            awaits_writable: false,
        })
    }

    pub fn redelivered(&self) -> u64 {
        self.protocol.redelivered()
    }

    /// When the first delivery came (ns).
    pub fn first_at(&self) -> Option<u64> {
        self.first_at
    }

    /// Reads deliveries; says whether everything that is to be answered is with the operating system.
    pub fn receive(
        &mut self,
        scratch: &mut Vec<u8>,
        now: impl Fn() -> u64,
        (checker, member): (&mut Checker, usize),
        latencies: &mut Histogram,
    ) -> Result<bool, String> {
        let (protocol, first_at) = (&mut self.protocol, &mut self.first_at);
        self.socket.receive(scratch, |bytes, answers| {
            let at = now();
            let mut arrivals = Arrivals::new(checker, member, at, latencies);
            let taken = protocol.take(bytes, &mut arrivals, answers)?;
            if arrivals.count > 0 {
                first_at.get_or_insert(at);
            }
            Ok(taken)
        })?;
        self.socket.flush()
    }

    /// Takes the deliveries that came in the same read as the answer to consume.
    pub fn receive_left(
        &mut self,
        now: u64,
        (checker, member): (&mut Checker, usize),
        latencies: &mut Histogram,
    ) -> Result<bool, String> {
        let (protocol, first_at) = (&mut self.protocol, &mut self.first_at);
        self.socket.receive_left(|bytes, answers| {
            let mut arrivals = Arrivals::new(checker, member, now, latencies);
            let taken = protocol.take(bytes, &mut arrivals, answers)?;
            if arrivals.count > 0 {
                first_at.get_or_insert(now);
            }
            Ok(taken)
        })?;
        self.socket.flush()
    }

    /// Acknowledges the rest and hangs up; what comes until then is looked at too.
    pub fn close(
        mut self,
        spec: &LoadSpec,
        scratch: &mut Vec<u8>,
        (checker, member): (&mut Checker, usize),
    ) -> Result<(), String> {
        let protocol = &mut self.protocol;
        protocol.end_of_stream().ask(self.socket.output());
        self.socket.finish(scratch, |bytes, answers| {
            let mut ignored = Histogram::new();
            let mut arrivals = Arrivals::new(checker, member, 0, &mut ignored);
            let taken = protocol.take(bytes, &mut arrivals, answers)?;
            Ok((taken, protocol.end_of_stream().is_answered()))
        })?;
        let ending = protocol.end_of_stream();
        ending.last_words(self.socket.output());
        self.socket.hang_up();
        ending.forget(&spec.consuming)
    }
}
