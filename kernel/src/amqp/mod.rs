//! AMQP 0-9-1 on the wire.

pub mod properties;
pub mod table;
