//! HTTP's bytes as they come, and WebSocket (RFC 6455) around another protocol.

pub mod close_code;
pub mod decoder;
pub mod frame;
pub mod output;
pub mod utf8;
