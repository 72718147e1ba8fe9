//! What Dragoman does per byte and per message.
//!
//! The logic files know neither Python nor the world; `face/` converts for Python, and `sys.rs`
//! alone may be unsafe.

pub mod amqp;
pub mod chunk;
pub mod damage;
pub mod decoder;
pub mod delivery_run;
pub mod disk;
pub mod frame_cache;
pub mod group_record;
pub mod message_run;
pub mod queue_leader;
pub mod queue_state;
pub mod real_disk;
pub mod run_builder;
pub mod shard_state;
pub mod sim_disk;
pub mod unsettled;
pub mod wave;
pub mod topic_trie;

#[cfg(feature = "python")]
mod face;
