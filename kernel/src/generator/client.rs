//! What the roles of the generator ask of a protocol: a publisher's and a consumer's side of one
//! connection. Bytes in, bytes out; the roles do the rest.

use super::checker::Checker;
use super::ledger::Ledger;
use super::socket::Socket;
use super::{LoadSpec, ProtocolSpec, Side};
use crate::histogram::Histogram;

/// A publisher's side: how messages are framed, and what the broker's answers mean.
pub trait Publishing {
    /// What stands before a message's body, with a place for its identifier.
    fn frame(&self, bytes: &mut Vec<u8>, key: &str, size: usize);

    /// What stands behind a message's body.
    fn end(&self) -> &'static [u8];

    /// Messages carry the identifier their confirm will name.
    fn is_numbered(&self) -> bool;

    /// Writes the identifier of message `tag` where `frame` left a place for it.
    fn number(&self, _head: &mut [u8], _tag: u64) {}

    /// Takes whole frames; gives how many bytes they were.
    fn take(
        &mut self,
        bytes: &[u8],
        confirms: &mut Confirms,
        answers: &mut Vec<u8>,
    ) -> Result<usize, String>;

    fn end_of_stream(&mut self) -> &mut dyn Ending;
}

/// A consumer's side: what the broker delivers, and how that is acknowledged.
pub trait Consuming {
    /// Takes whole frames; gives how many bytes they were.
    fn take(
        &mut self,
        bytes: &[u8],
        arrivals: &mut Arrivals,
        answers: &mut Vec<u8>,
    ) -> Result<usize, String>;

    /// Deliveries flagged as sent again.
    fn redelivered(&self) -> u64;

    fn end_of_stream(&mut self) -> &mut dyn Ending;
}

/// How a connection ends so that everything before took effect and was seen.
pub trait Ending {
    /// Asks for an answer that comes after all else.
    fn ask(&mut self, output: &mut Vec<u8>);

    /// The answer was taken.
    fn is_answered(&self) -> bool;

    /// The last words, before hanging up.
    fn last_words(&self, output: &mut Vec<u8>);

    /// After hanging up: nothing is to be left of it at the broker.
    fn forget(&self, side: &Side) -> Result<(), String>;
}

pub type Opened<T> = Result<(Socket, T), String>;

/// Connects producer `producer`.
pub fn open_publisher(spec: &LoadSpec, producer: u32) -> Opened<Box<dyn Publishing>> {
    let side = &spec.publishing;
    match &side.protocol {
        ProtocolSpec::Amqp(amqp) => super::amqp::open_publisher(side, amqp, spec.size),
        ProtocolSpec::Mqtt(mqtt) => super::mqtt::open_publisher(spec, mqtt, producer),
        ProtocolSpec::Stomp(stomp) => super::stomp::open_publisher(side, stomp),
    }
}

/// Connects consumer `place` of `spec.queues`: deliveries may come from here on.
pub fn open_consumer(spec: &LoadSpec, place: usize) -> Opened<Box<dyn Consuming>> {
    match &spec.consuming.protocol {
        ProtocolSpec::Amqp(amqp) => super::amqp::open_consumer(spec, amqp, place),
        ProtocolSpec::Mqtt(mqtt) => super::mqtt::open_consumer(spec, mqtt, place),
        ProtocolSpec::Stomp(stomp) => super::stomp::open_consumer(spec, stomp, place),
    }
}

/// Where confirms go.
pub struct Confirms<'a> {
    ledger: Option<&'a mut Ledger>,
    now: u64,
    latencies: &'a mut Histogram,
    /// How many messages were confirmed.
    pub count: u64,
}

impl<'a> Confirms<'a> {
    pub fn new(ledger: Option<&'a mut Ledger>, now: u64, latencies: &'a mut Histogram) -> Self {
        Self {
            ledger,
            now,
            latencies,
            count: 0,
        }
    }

    /// Message `tag` is confirmed, or all through it.
    pub fn take(&mut self, tag: u64, multiple: bool) -> Result<(), String> {
        let ledger = self.ledger.as_mut().ok_or("a confirm nobody asked for")?;
        self.count += ledger.confirm(tag, multiple, self.now, self.latencies)?;
        Ok(())
    }

    /// Message with MQTT's packet identifier `id` is confirmed.
    pub fn take_id(&mut self, id: u16) -> Result<(), String> {
        let tag = self.ledger.as_ref().map_or(0, |ledger| ledger.tag_of(id));
        self.take(tag, false)
    }
}

/// Where deliveries go.
pub struct Arrivals<'a> {
    checker: &'a mut Checker,
    /// The consumer's place in a group that shares the checker.
    member: usize,
    now: u64,
    latencies: &'a mut Histogram,
    /// How many messages came.
    pub count: u64,
}

impl<'a> Arrivals<'a> {
    pub fn new(
        checker: &'a mut Checker,
        member: usize,
        now: u64,
        latencies: &'a mut Histogram,
    ) -> Self {
        Self {
            checker,
            member,
            now,
            latencies,
            count: 0,
        }
    }

    /// A body of `size` bytes came, of which `start` is the beginning.
    #[inline]
    pub fn take(&mut self, start: &[u8], size: usize) -> Result<(), String> {
        if let Some(due) = self.checker.take(self.member, start, size)? {
            self.latencies.record(self.now.saturating_sub(due), 1);
        }
        self.count += 1;
        Ok(())
    }
}
