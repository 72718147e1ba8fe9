//! MQTT 3.1, 3.1.1 and 5 on the wire.

pub mod ack;
pub mod decoder;
pub mod delivery_topics;
pub mod encoder;
pub mod fan_out;
pub mod grant;
pub mod inflight;
pub mod packet;
pub mod property;
pub mod publish;
pub mod reason_code;
pub mod receipts;
pub mod topic_aliases;
pub mod topic_name;
