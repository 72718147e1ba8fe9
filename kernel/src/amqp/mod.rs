//! AMQP 0-9-1 on the wire.

pub mod assembler;
pub mod content;
pub mod death;
pub mod decoder;
pub mod encoder;
pub mod frame;
pub mod method;
pub mod properties;
pub mod reply_code;
pub mod settlement;
pub mod table;
