//! MQTT's form of a message as STOMP's: what AMQP's would be, as STOMP shows that.

use crate::conversion::mqtt_to_amqp::{address_of, put_properties};
use crate::conversion::{amqp_to_stomp, facts, KeyNumbers, FLAGS_OF_AMQP};
use crate::message_run::{Entry, MessageRun, Origin};
use crate::run_builder::RunBuilder;

/// Entries of a run of MQTT origin as a run of their own.
pub fn convert(run: &MessageRun, entries: &[Entry]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Stomp);
    let sizes = entries.iter().map(|e| e.properties.size + e.body.size);
    builder.reserve(entries.len(), sizes.map(|size| size as usize).sum());
    let mut numbers = KeyNumbers::of(run);
    let mut cut = vec![false; run.dictionary.len()];
    let (mut as_amqp, mut lines) = (Vec::new(), Vec::new());
    for entry in entries {
        let topic = run.routing_key(entry.key);
        let key = numbers.get(entry.key, || {
            let address = address_of(topic);
            cut[entry.key as usize] = address.cut;
            let exchange = if address.to_queue {
                b""
            } else {
                run.exchange(entry.key)
            };
            builder.key(exchange, &address.routing_key)
        });
        let before = entry.properties.of(&run.buffer);
        let whole_topic = cut[entry.key as usize].then_some(topic);
        lines.clear();
        if !before.is_empty() || whole_topic.is_some() {
            as_amqp.clear();
            put_properties(&mut as_amqp, before, entry, whole_topic);
            amqp_to_stomp::put_lines(&mut lines, &as_amqp);
        }
        let body = entry.body.of(&run.buffer);
        builder.push(key, &lines, body, facts(entry, FLAGS_OF_AMQP));
    }
    builder.finish()
}
