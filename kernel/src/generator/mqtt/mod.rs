//! MQTT 3.1.1: publishers and subscribers, many idle subscribers, lookups of retained messages.

mod confirms;
mod deliveries;
mod look_up;
mod subscribers;
mod wire;

use super::client::{Consuming, Ending, Opened, Publishing};
use super::socket::Socket;
use super::{LoadSpec, MqttSpec, Side};

pub use look_up::{look_up, LookUpResult, LookUpSpec};
pub use subscribers::Subscribers;

/// Packet identifiers name 65,535 messages (2.3.1); the greatest power of two below.
pub const UNCONFIRMED_MAX: u64 = 1 << 15;
/// Beyond any run, so that nobody needs PINGREQ; 0 for none is refused by some brokers.
const KEEP_ALIVE_S: u16 = 3600;
/// The packet identifier of SUBSCRIBE and UNSUBSCRIBE; the broker counts its own publishes' apart.
const SUBSCRIPTION_ID: u16 = 1;

/// The role, and its place among all of it, in a client's name.
fn client_id(nonce: u32, role: char, place: usize) -> String {
    format!("bench{nonce:08x}{role}{place}")
}

/// Connects through `socket` and waits for the CONNACK.
fn connect(mut socket: Socket, client_id: &str, clean_session: bool) -> Result<Socket, String> {
    wire::connect(socket.output(), client_id, clean_session, KEEP_ALIVE_S);
    socket.call(|bytes| {
        let Some(packet) = wire::split(bytes)? else {
            return Ok((0, None));
        };
        match (packet.kind(), packet.body) {
            (wire::CONNACK, [_, 0]) => Ok((packet.size, Some(()))),
            (kind, body) => Err(format!("refused: packet {kind:#04x}, {body:?}")),
        }
    })?;
    Ok(socket)
}

/// Subscribes and waits for the SUBACK; what is delivered before it stays to be taken.
fn subscribe(socket: &mut Socket, filter: &str, qos: u8) -> Result<(), String> {
    wire::subscribe(socket.output(), SUBSCRIPTION_ID, filter, qos);
    socket.call(|bytes| {
        let Some(packet) = wire::split(bytes)? else {
            return Ok((0, None));
        };
        match (packet.kind(), packet.body) {
            (wire::SUBACK, [0, 1, granted]) if *granted == qos => Ok((packet.size, Some(()))),
            (kind, body) => Err(format!(
                "the subscription to {filter} was answered with packet {kind:#04x}, {body:?}"
            )),
        }
    })
}

/// The end of a publisher or a subscriber.
struct Farewell {
    /// PINGRESP for a publisher, UNSUBACK for a subscriber.
    answered: bool,
    /// What a subscriber had subscribed to.
    filter: Option<String>,
    /// Whose session the broker keeps.
    durable: Option<String>,
}

impl Farewell {
    fn new(mqtt: &MqttSpec, client_id: String, filter: Option<String>) -> Self {
        Self {
            answered: false,
            filter,
            durable: (!mqtt.clean_session).then_some(client_id),
        }
    }
}

impl Ending for Farewell {
    fn ask(&mut self, output: &mut Vec<u8>) {
        match &self.filter {
            Some(filter) => wire::unsubscribe(output, SUBSCRIPTION_ID, filter),
            None => wire::bare(output, wire::PINGREQ),
        }
    }

    fn is_answered(&self) -> bool {
        self.answered
    }

    fn last_words(&self, output: &mut Vec<u8>) {
        wire::bare(output, wire::DISCONNECT);
    }

    /// A clean session in the same name ends the durable one (3.1.2.4).
    fn forget(&self, side: &Side) -> Result<(), String> {
        let Some(client_id) = &self.durable else {
            return Ok(());
        };
        let mut socket = connect(Socket::open(side)?, client_id, true)?;
        self.last_words(socket.output());
        socket.hang_up();
        Ok(())
    }
}

pub fn open_publisher(
    spec: &LoadSpec,
    mqtt: &MqttSpec,
    producer: u32,
) -> Opened<Box<dyn Publishing>> {
    let name = client_id(spec.nonce, 'p', producer as usize);
    let socket = Socket::open(&spec.publishing)?;
    let socket = connect(socket, &name, mqtt.clean_session)?;
    let farewell = Farewell::new(mqtt, name, None);
    Ok((socket, Box::new(confirms::Publishes::new(mqtt, farewell))))
}

pub fn open_consumer(spec: &LoadSpec, mqtt: &MqttSpec, place: usize) -> Opened<Box<dyn Consuming>> {
    let name = client_id(spec.nonce, 's', place);
    let filter = &spec.queues[place];
    let socket = Socket::open(&spec.consuming)?;
    let mut socket = connect(socket, &name, mqtt.clean_session)?;
    subscribe(&mut socket, filter, mqtt.qos)?;
    let farewell = Farewell::new(mqtt, name, Some(filter.clone()));
    let deliveries = deliveries::Deliveries::new(mqtt.qos, farewell);
    Ok((socket, Box::new(deliveries)))
}
