//! STOMP 1.2: publishers and subscribers with `ack:auto`.

mod confirms;
mod deliveries;
mod wire;

use super::client::{Consuming, Ending, Opened, Publishing};
use super::socket::Socket;
use super::{LoadSpec, Side, StompSpec};

/// The one subscription of a connection.
const SUBSCRIPTION_ID: &str = "0";
/// Receipts of what isn't a SEND; those are numbers.
const SUBSCRIBED: &str = "subscribed";
const END: &str = "end";

/// Connects, logs in and waits for CONNECTED.
fn connect(side: &Side, stomp: &StompSpec) -> Result<Socket, String> {
    let mut socket = Socket::open(side)?;
    let headers = [
        ("accept-version", "1.2"),
        ("host", "/"),
        ("login", &stomp.login),
        ("passcode", &stomp.passcode),
        ("heart-beat", "0,0"),
    ];
    wire::frame(socket.output(), "CONNECT", &headers);
    call(&mut socket, b"CONNECTED")?;
    Ok(socket)
}

/// Sends the output and waits for a frame with `command`, which must come next.
fn call(socket: &mut Socket, command: &[u8]) -> Result<(), String> {
    socket.call(|bytes| match wire::split(bytes)? {
        None => Ok((0, None)),
        Some(frame) if frame.command == command => Ok((frame.size, Some(()))),
        Some(frame) => Err(format!("answered with {}", frame.words())),
    })
}

/// The end of a publisher or a subscriber.
struct Farewell {
    answered: bool,
    subscribed: bool,
}

impl Farewell {
    fn new(subscribed: bool) -> Self {
        Self {
            answered: false,
            subscribed,
        }
    }
}

impl Ending for Farewell {
    fn ask(&mut self, output: &mut Vec<u8>) {
        if self.subscribed {
            let headers = [("id", SUBSCRIPTION_ID), ("receipt", END)];
            wire::frame(output, "UNSUBSCRIBE", &headers);
        } else {
            // Not DISCONNECT: over WebSocket RabbitMQ hangs up instead of answering it.
            let headers = [("transaction", END), ("receipt", END)];
            wire::frame(output, "BEGIN", &headers);
        }
    }

    fn is_answered(&self) -> bool {
        self.answered
    }

    fn last_words(&self, output: &mut Vec<u8>) {
        wire::frame(output, "DISCONNECT", &[]);
    }

    fn forget(&self, _side: &Side) -> Result<(), String> {
        Ok(())
    }
}

pub fn open_publisher(side: &Side, stomp: &StompSpec) -> Opened<Box<dyn Publishing>> {
    let socket = connect(side, stomp)?;
    Ok((socket, Box::new(confirms::Publishes::new(stomp))))
}

pub fn open_consumer(
    spec: &LoadSpec,
    stomp: &StompSpec,
    place: usize,
) -> Opened<Box<dyn Consuming>> {
    let mut socket = connect(&spec.consuming, stomp)?;
    let headers = [
        ("id", SUBSCRIPTION_ID),
        ("destination", &spec.queues[place]),
        ("ack", "auto"),
        ("receipt", SUBSCRIBED),
    ];
    wire::frame(socket.output(), "SUBSCRIBE", &headers);
    call(&mut socket, b"RECEIPT")?;
    Ok((socket, Box::new(deliveries::Deliveries::new())))
}
