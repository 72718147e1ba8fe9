//! Encoded output that several connections may share: a fan-out is encoded once.

use bytes::Bytes;

/// Bytes ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk(pub Bytes);
