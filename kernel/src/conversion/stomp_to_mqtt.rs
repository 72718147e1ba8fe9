//! STOMP's form of a message as MQTT's: what AMQP's would be, as MQTT shows that.

use crate::conversion::amqp_form::Message;
use crate::conversion::amqp_to_mqtt::shown_exchange;
use crate::conversion::stomp_to_amqp::put_properties;
use crate::conversion::{facts, KeyNumbers, FLAGS_OF_AMQP};
use crate::message_run::{Entry, MessageRun, Origin};
use crate::run_builder::RunBuilder;

/// Entries of a run of STOMP origin as a run of their own.
pub fn convert(run: &MessageRun, entries: &[Entry]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    let sizes = entries.iter().map(|e| e.properties.size + e.body.size);
    builder.reserve(entries.len(), sizes.map(|size| size as usize).sum());
    // Of messages without properties, which alone may say more of the topic.
    let mut numbers = KeyNumbers::of(run);
    let (mut as_amqp, mut encoded) = (Vec::new(), Vec::new());
    for entry in entries {
        let (exchange, routing_key) = (run.exchange(entry.key), run.routing_key(entry.key));
        let mut key_of = |message: &Message| {
            let topic = message.topic(exchange, routing_key);
            builder.key(shown_exchange(exchange), &topic)
        };
        let before = entry.properties.of(&run.buffer);
        encoded.clear();
        let key = if before.is_empty() {
            numbers.get(entry.key, || key_of(&Message::default()))
        } else {
            as_amqp.clear();
            put_properties(&mut as_amqp, before, entry);
            let message = Message::read(&as_amqp);
            message.put_properties(&mut encoded);
            key_of(&message)
        };
        let body = entry.body.of(&run.buffer);
        builder.push(key, &encoded, body, facts(entry, FLAGS_OF_AMQP));
    }
    builder.finish()
}
