//! MQTT 3.1, 3.1.1 and 5 on the wire.

pub mod ack;
pub mod decoder;
pub mod packet;
pub mod property;
pub mod publish;
pub mod reason_code;
pub mod topic_name;
