//! What every protocol's decoder gives: frames, and publishes and settlements in runs.
//!
//! Law: however the bytes are cut, the frames are the same but for the lengths of runs; and no
//! bytes whatever give more than a [`Frame::Violation`].

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::message_run::MessageRun;
use crate::stomp::run::Sends;

/// How a consumer settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettleKind {
    Ack,
    /// Nack without requeue: dead-letter or drop.
    Nack,
    NackRequeue,
    Reject,
    RejectRequeue,
}

/// One thing a peer said.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Consecutive publishes of one channel.
    Messages {
        channel: u16,
        run: MessageRun,
    },
    /// Delivery tags `first` to `last`; `first` 0: all so far through `last`; both 0: all so far.
    Settlement {
        channel: u16,
        first: u64,
        last: u64,
        kind: SettleKind,
    },
    /// A well-formed method; `arguments` follow its two ids.
    Method {
        channel: u16,
        class: u16,
        method: u16,
        arguments: Bytes,
    },
    ProtocolHeader {
        bytes: [u8; 8],
    },
    Heartbeat,
    /// Consecutive PUBLISH packets of one QoS; QoS 0 has no packet identifiers.
    Publishes {
        qos: u8,
        messages: MessageRun,
        packet_ids: Vec<u16>,
    },
    /// Consecutive acknowledgements of one kind (packet types 4 to 7) and one reason code.
    Acks {
        kind: u8,
        reason: u8,
        packet_ids: Vec<u16>,
    },
    /// Any other packet of MQTT, whose body nobody has looked at.
    Packet {
        kind: u8,
        flags: u8,
        body: Bytes,
    },
    /// Bytes as they came, of a protocol that Python reads (HTTP) or that isn't known yet.
    Data {
        data: Bytes,
    },
    /// WebSocket's ping, pong or close.
    Control {
        opcode: u8,
        payload: Bytes,
    },
    /// Consecutive SEND frames of STOMP that are alike.
    Sends(Box<Sends>),
    /// Any other frame of STOMP, whose headers nobody has looked at, each name once.
    Stomp {
        command: &'static str,
        headers: Vec<(Bytes, Bytes)>,
        /// Channel, tag and kind that an ACK or NACK means.
        settled: Option<(u16, u64, SettleKind)>,
    },
    /// Line ends between STOMP's frames.
    Eols {
        count: u32,
    },
    Violation(Violation),
}

/// How the peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// AMQP's reply code, MQTT's reason code, WebSocket's close code (from 1000; nobody else's are so large); STOMP has none.
    pub code: u16,
    /// The detail after the code's name.
    pub text: String,
    pub channel: u16,
    /// The method at fault; 0, 0 where there is none.
    pub class: u16,
    pub method: u16,
    /// The connection must end, and its decoder discards whatever follows; else the channel only.
    pub connection: bool,
    /// What STOMP's frame at fault asks as its receipt; empty: none.
    pub receipt_id: Vec<u8>,
}

impl Violation {
    /// One that ends the connection.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            channel: 0,
            class: 0,
            method: 0,
            connection: true,
            receipt_id: Vec::new(),
        }
    }

    #[must_use]
    pub fn on(self, channel: u16) -> Self {
        Self { channel, ..self }
    }

    #[must_use]
    pub fn of(self, (class, method): (u16, u16)) -> Self {
        Self {
            class,
            method,
            ..self
        }
    }

    /// It ends the channel only.
    #[must_use]
    pub fn of_channel(self) -> Self {
        Self {
            connection: false,
            ..self
        }
    }
}

/// A decoder that its connection, or one around it, shares with its adapter, which resumes it.
pub type SharedDecoder = Arc<Mutex<dyn Decoder>>;

/// One connection's bytes to frames.
pub trait Decoder: Send {
    /// Decodes what can be decoded; the rest waits inside.
    fn receive(&mut self, data: &[u8], frames: &mut Vec<Frame>);

    /// Goes on after a stop with what is buffered.
    fn resume(&mut self, frames: &mut Vec<Frame>);

    /// A frame was given that may change how the rest is to be read. Nothing more is decoded, and
    /// nothing more should be received, until `resume`.
    fn stopped(&self) -> bool;

    /// Bytes held of frames and messages that are not complete.
    fn buffered(&self) -> usize;
}
