//! What Dragoman does per byte and per message.
//!
//! The logic files know neither Python nor the world; `face/` converts for Python, and `sys.rs`
//! alone may be unsafe.

pub mod group_record;
pub mod message_run;

#[cfg(feature = "python")]
mod face;
