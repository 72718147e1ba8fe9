//! STOMP 1.0, 1.1 and 1.2 as bytes.
//!
//! A version is 10, 11 or 12; 0 before CONNECT. Of the specifications' text we keep to what sets the versions apart, and
//! take what can only mean one thing.

pub mod decoder;
pub mod destination;
pub mod frame;
pub mod head;
pub mod header;
pub mod message;
pub mod receipt;
pub mod run;
pub mod send;
mod send_template;
pub mod settlement;
