//! AMQP 0-9-1: connections with one channel, confirms, deliveries.

mod confirms;
mod deliveries;
mod wire;

use super::client::{Consuming, Ending, Opened, Publishing};
use super::socket::Socket;
use super::{AmqpSpec, LoadSpec, Side};
use wire::MethodId;

/// The channel's close, after which nothing comes.
#[derive(Default)]
struct ChannelClose {
    answered: bool,
}

impl Ending for ChannelClose {
    fn ask(&mut self, output: &mut Vec<u8>) {
        wire::close_channel(output);
    }

    fn is_answered(&self) -> bool {
        self.answered
    }

    fn last_words(&self, _output: &mut Vec<u8>) {}

    fn forget(&self, _side: &Side) -> Result<(), String> {
        Ok(())
    }
}

pub fn open_publisher(side: &Side, amqp: &AmqpSpec, size: usize) -> Opened<Box<dyn Publishing>> {
    let mut socket = open(side, amqp, size)?;
    if amqp.confirms {
        wire::method(socket.output(), 1, wire::CONFIRM_SELECT, |bytes| {
            bytes.push(0);
        });
        call(&mut socket, wire::CONFIRM_SELECT_OK)?;
    }
    Ok((socket, Box::new(confirms::Publishes::new(amqp))))
}

pub fn open_consumer(spec: &LoadSpec, amqp: &AmqpSpec, place: usize) -> Opened<Box<dyn Consuming>> {
    let mut socket = open(&spec.consuming, amqp, spec.size)?;
    if amqp.prefetch > 0 {
        wire::qos(socket.output(), amqp.prefetch);
        call(&mut socket, wire::BASIC_QOS_OK)?;
    }
    wire::consume(socket.output(), &spec.queues[place], amqp.ack_every == 0);
    call(&mut socket, wire::BASIC_CONSUME_OK)?;
    let deliveries = deliveries::Deliveries::new(amqp.ack_every);
    Ok((socket, Box::new(deliveries)))
}

/// Connects, logs in, and opens channel 1, for bodies of `size` bytes.
fn open(side: &Side, amqp: &AmqpSpec, size: usize) -> Result<Socket, String> {
    let mut socket = Socket::open(side)?;
    socket.output().extend_from_slice(b"AMQP\0\0\x09\x01");
    call(&mut socket, wire::CONNECTION_START)?;
    wire::start_ok(socket.output(), &amqp.username, &amqp.password);
    let tune = call(&mut socket, wire::CONNECTION_TUNE)?;
    let (channels, frames) = match tune.get(4..10) {
        Some(t) => (
            u16::from_be_bytes([t[0], t[1]]),
            u32::from_be_bytes([t[2], t[3], t[4], t[5]]),
        ),
        None => return Err("a tune that offers nothing".into()),
    };
    if frames != 0 && (size + wire::FRAME_OVERHEAD) as u64 > u64::from(frames) {
        return Err(format!(
            "a body of {size} bytes is more than a frame of {frames}"
        ));
    }
    wire::tune_ok(socket.output(), channels, frames);
    wire::open(socket.output());
    call(&mut socket, wire::CONNECTION_OPEN_OK)?;
    wire::method(socket.output(), 1, wire::CHANNEL_OPEN, |bytes| {
        bytes.push(0);
    });
    call(&mut socket, wire::CHANNEL_OPEN_OK)?;
    Ok(socket)
}

/// Sends the output and waits for method `answer`; gives its payload. What comes before it is dropped.
fn call(socket: &mut Socket, answer: MethodId) -> Result<Vec<u8>, String> {
    socket.call(|bytes| {
        let mut position = 0;
        while let Some(frame) = wire::split(&bytes[position..])? {
            position += frame.size;
            let method = frame.method();
            if method == Some(answer) {
                return Ok((position, Some(frame.payload.to_vec())));
            }
            if matches!(method, Some(wire::CONNECTION_CLOSE | wire::CHANNEL_CLOSE)) {
                return Err(format!("refused: {}", wire::close_reason(frame.payload)));
            }
        }
        Ok((position, None))
    })
}
