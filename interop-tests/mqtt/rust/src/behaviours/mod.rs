//! One file for each; the names are those that the runner is given.

pub mod bad_login;
pub mod every_qos;
pub mod offline_messages;
pub mod restart;
pub mod retained;
pub mod takeover;
pub mod wildcards;
pub mod will;
