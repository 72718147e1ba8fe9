//! Publishes on one channel, and their confirms.

use super::{wire, ChannelClose};
use crate::generator::client::{Confirms, Ending, Publishing};
use crate::generator::AmqpSpec;

pub struct Publishes {
    exchange: String,
    persistent: bool,
    close: ChannelClose,
}

impl Publishes {
    pub fn new(amqp: &AmqpSpec) -> Self {
        Self {
            exchange: amqp.exchange.clone(),
            persistent: amqp.persistent,
            close: ChannelClose::default(),
        }
    }
}

impl Publishing for Publishes {
    fn frame(&self, bytes: &mut Vec<u8>, key: &str, size: usize) {
        wire::publish(bytes, &self.exchange, key, size, self.persistent);
    }

    fn end(&self) -> &'static [u8] {
        &[wire::FRAME_END]
    }

    /// Tags are counted, not sent.
    fn is_numbered(&self) -> bool {
        false
    }

    fn take(
        &mut self,
        bytes: &[u8],
        confirms: &mut Confirms,
        _answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut position = 0;
        while let Some(frame) = wire::split(&bytes[position..])? {
            position += frame.size;
            match (frame.method(), wire::tag_and_bit(frame.payload, 4)) {
                (Some(wire::BASIC_ACK), Some((tag, multiple))) => confirms.take(tag, multiple)?,
                (Some(wire::BASIC_NACK), _) => return Err("a publish was refused (nack)".into()),
                (Some(wire::CHANNEL_CLOSE_OK), _) => self.close.answered = true,
                (Some(wire::CONNECTION_CLOSE | wire::CHANNEL_CLOSE), _) => {
                    return Err(format!("closed: {}", wire::close_reason(frame.payload)));
                }
                _ if frame.kind == wire::HEARTBEAT => {}
                (method, _) => return Err(format!("a publisher was sent {method:?}")),
            }
        }
        Ok(position)
    }

    fn end_of_stream(&mut self) -> &mut dyn Ending {
        &mut self.close
    }
}
