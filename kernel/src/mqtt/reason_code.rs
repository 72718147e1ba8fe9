//! MQTT 5's reason codes (specification 2.4), as far as the kernel gives them.

pub const MALFORMED_PACKET: u16 = 0x81;
pub const PROTOCOL_ERROR: u16 = 0x82;
pub const TOPIC_NAME_INVALID: u16 = 0x90;
pub const TOPIC_ALIAS_INVALID: u16 = 0x94;
pub const PACKET_TOO_LARGE: u16 = 0x95;
pub const PAYLOAD_FORMAT_INVALID: u16 = 0x99;
