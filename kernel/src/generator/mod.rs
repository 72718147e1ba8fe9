//! The load generator: publishers and consumers of one broker in one thread over one epoll.
//!
//! It speaks just enough AMQP 0-9-1, MQTT 3.1.1 and STOMP 1.2, each over TCP or WebSocket, to publish,
//! confirm, consume and acknowledge; publishers and consumers need not speak the same. Topology is its
//! caller's business. The roles, the loop and the checks know neither: what a protocol says and
//! hears is behind the traits of `client.rs`. Every message carries its run, its producer and its sequence, and every consumer
//! must see each producer's sequence without a gap, a repeat or a step back: a run that does not is an
//! error, not a figure.
//!
//! *Closed loop* (`rate` 0): a publisher keeps `window` messages unconfirmed, and all of them keep at
//! most `backlog_max` beyond the slowest consumer; that measures throughput. *Open loop*: messages
//! are due at `rate` a second whatever the broker does, and latency counts from when a message was
//! due, so that a broker that stands still is not asked less (coordinated omission).

mod amqp;
mod audience;
mod checker;
mod client;
mod clock;
mod consumer;
mod ledger;
mod mqtt;
mod process;
mod publisher;
mod run;
mod socket;
mod stomp;
mod template;
mod websocket;

use crate::histogram::Histogram;

pub use mqtt::{look_up, LookUpResult, LookUpSpec, Subscribers};
pub use run::run;

/// Who receives what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every consumer, all messages of all producers.
    Everyone,
    /// Consumer n, those of producer n alone, which publishes with routing key n alone.
    Pairs,
    /// All consumers together, each message once.
    Group,
}

impl Pattern {
    /// By the names that callers use.
    pub const ALL: [(&'static str, Self); 3] = [
        ("everyone", Self::Everyone),
        ("pairs", Self::Pairs),
        ("group", Self::Group),
    ];
}

/// What AMQP needs to know.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct AmqpSpec {
    pub username: String,
    pub password: String,
    pub exchange: String,
    pub persistent: bool,
    pub confirms: bool,
    /// Deliveries between acknowledgements; 0: consumed without acknowledgement.
    pub ack_every: u64,
    /// 0: without limit.
    pub prefetch: u16,
}

/// What MQTT needs to know. Routing keys are topics, queues topic filters; a publish is confirmed by
/// PUBACK or PUBCOMP.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct MqttSpec {
    /// 0 to 2, of publishes and of subscriptions.
    pub qos: u8,
    /// Sessions end with their connections; else they are durable, and ended once all is over.
    pub clean_session: bool,
    pub retain: bool,
}

/// What STOMP needs to know. Routing keys and queues are destinations; a publish is confirmed by its
/// RECEIPT.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct StompSpec {
    pub login: String,
    pub passcode: String,
    pub persistent: bool,
    pub receipts: bool,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
pub enum ProtocolSpec {
    #[cfg_attr(feature = "python", pyo3(transparent))]
    Amqp(AmqpSpec),
    #[cfg_attr(feature = "python", pyo3(transparent))]
    Mqtt(MqttSpec),
    #[cfg_attr(feature = "python", pyo3(transparent))]
    Stomp(StompSpec),
}

impl ProtocolSpec {
    /// The broker answers for each publish.
    pub fn is_confirmed(&self) -> bool {
        match self {
            Self::Amqp(amqp) => amqp.confirms,
            Self::Mqtt(mqtt) => mqtt.qos > 0,
            Self::Stomp(stomp) => stomp.receipts,
        }
    }

    /// Messages that may be unconfirmed at once, a power of two.
    pub fn unconfirmed_max(&self) -> u64 {
        match self {
            Self::Amqp(_) | Self::Stomp(_) => 1 << 32,
            Self::Mqtt(_) => mqtt::UNCONFIRMED_MAX,
        }
    }

    /// 0 for what has none.
    fn qos(&self) -> u8 {
        match self {
            Self::Amqp(_) | Self::Stomp(_) => 0,
            Self::Mqtt(mqtt) => mqtt.qos,
        }
    }

    /// What WebSocket calls it.
    fn subprotocol(&self) -> &'static str {
        match self {
            Self::Amqp(_) => "amqp",
            Self::Mqtt(_) => "mqtt",
            Self::Stomp(_) => "v12.stomp",
        }
    }
}

/// A WebSocket between a client and the broker.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct WebSocketSpec {
    pub path: String,
    /// Published messages in one message of the WebSocket; fewer only at the end of a counted load, and
    /// in open loop, where nothing waits.
    pub together: u64,
}

/// Where all publishers, or all consumers, connect, and what they speak there.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct Side {
    pub host: String,
    pub port: u16,
    pub protocol: ProtocolSpec,
    pub websocket: Option<WebSocketSpec>,
}

impl Side {
    /// Published messages that are sent together.
    fn together(&self) -> u64 {
        self.websocket
            .as_ref()
            .map_or(1, |websocket| websocket.together)
    }
}

/// What is to be done. Times in seconds, sizes in bytes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject))]
#[cfg_attr(feature = "python", pyo3(from_item_all))]
pub struct LoadSpec {
    pub publishing: Side,
    pub consuming: Side,
    pub pattern: Pattern,
    /// Taken in turn by each publisher; with pairs, one for each.
    pub routing_keys: Vec<String>,
    pub publishers: u32,
    /// Of a body, at least 16; from 24 on deliveries are timed.
    pub size: usize,
    /// Unconfirmed messages a publisher may have; without confirms not looked at.
    pub window: u64,
    /// Messages a second over all publishers; 0: closed loop.
    pub rate: f64,
    /// One consumer, on a connection of its own, for each.
    pub queues: Vec<String>,
    /// Messages that may be on their way to the slowest consumer, with pairs in each pair; 0: without
    /// limit.
    pub backlog_max: u64,
    pub warmup_s: f64,
    pub duration_s: f64,
    /// For each publisher to send, instead of `duration_s`; 0: as many as there is time for.
    pub messages: u64,
    /// Messages of each producer that were sent already, by a run with the same `nonce`: sequences go
    /// on from there, and consumers must see these too.
    pub queued: u64,
    /// How long after the last publish the last delivery may come.
    pub drain_s: f64,
    /// Names the run: deliveries of others are errors.
    pub nonce: u32,
    /// The broker's processes, whose CPU time is measured beside ours.
    pub broker_pids: Vec<u32>,
}

impl LoadSpec {
    /// What is published ends when the time is over, and nothing is due.
    fn is_for_a_time(&self) -> bool {
        self.rate == 0.0 && self.messages == 0
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "python", derive(pyo3::IntoPyObject))]
pub struct Latency {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    #[allow(clippy::cast_precision_loss)] // a latency of 2^53 ns is three months
    fn of(histogram: &Histogram) -> Self {
        let micros = |percent| histogram.percentile(percent) as f64 / 1000.0;
        Self {
            count: histogram.count(),
            p50: micros(50.0),
            p90: micros(90.0),
            p99: micros(99.0),
            p999: micros(99.9),
            max: histogram.max() as f64 / 1000.0,
        }
    }
}

/// What happened between the end of the warm-up and the last publish (with `messages` or `queued`:
/// and the last confirm and delivery).
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "python", derive(pyo3::IntoPyObject))]
pub struct LoadResult {
    pub seconds: f64,
    pub published: u64,
    pub confirmed: u64,
    pub received: u64,
    /// From a publish to its confirm.
    pub confirm_latency: Latency,
    /// From when a message was due to its delivery.
    pub delivery_latency: Latency,
    /// From the first consumer's start to the first delivery of all; 0 without one.
    pub first_delivery_s: f64,
    /// Of this thread, in the same time.
    pub cpu_seconds: f64,
    /// Of the broker's processes, in the same time.
    pub broker_cpu_seconds: f64,
    pub reads: u64,
    pub writes: u64,
    /// Deliveries flagged redelivered.
    pub redelivered: u64,
}
