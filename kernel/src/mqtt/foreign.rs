//! Messages of other protocols as MQTT's, until `conversion` converts their properties as well.

use crate::conversion::topic::topic_of;
use crate::message_run::{Facts, MessageRun, Origin};
use crate::run_builder::RunBuilder;

/// The same messages, one for one, without their properties.
pub fn to_mqtt_without_properties(run: &MessageRun) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    builder.reserve(run.entries.len(), run.payload_size());
    for (index, entry) in run.entries.iter().enumerate() {
        let key = builder.key(b"amq.topic", &topic_of(run.routing_key(entry.key)));
        let facts = Facts {
            expiration_ms: entry.expiration_ms,
            priority: 0,
            flags: entry.flags,
        };
        builder.push(key, b"", run.body(index), facts);
    }
    builder.finish()
}
