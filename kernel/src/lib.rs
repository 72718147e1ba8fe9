//! What Dragoman does per byte and per message.
//!
//! The logic files know neither Python nor the world; `face/` converts for Python. `sys.rs` and
//! `face/piece.rs` alone may be unsafe.

pub mod amqp;
pub mod asked_confirm;
mod blocks;
mod carry;
pub mod checkpoint;
pub mod chunk;
pub mod connection;
pub mod contained;
pub mod conversion;
pub mod counters;
pub mod cycle;
pub mod damage;
pub mod decoder;
pub mod delivery_run;
pub mod delivery_wire;
pub mod disk;
pub mod entry_wants;
pub mod export_pins;
pub mod file_header;
pub mod frame_cache;
pub mod frozen;
pub mod generator;
pub mod group_record;
pub mod histogram;
pub mod identity_file;
pub mod input_progress;
pub mod journal;
pub mod journal_close;
pub mod journal_driver;
pub mod journal_files;
pub mod journal_format;
pub mod journal_index;
pub mod journal_recovery;
pub mod manifest;
pub mod message_run;
pub mod mqtt;
pub mod name_pattern;
pub mod output;
pub mod peer_frame;
pub mod pending_wave;
pub mod poller;
pub mod queue_leader;
pub mod queue_state;
pub mod raft_conf;
pub mod raft_group;
pub mod raft_guard;
pub mod raft_log;
pub mod raft_options;
pub mod raft_ready;
pub mod real_disk;
pub mod record_batch;
pub mod retained;
pub mod run_builder;
pub mod sealing;
pub mod segment;
pub mod segment_format;
pub mod segment_numbers;
pub mod segment_writer;
pub mod shard;
pub mod shard_open;
pub mod shard_ready;
pub mod shard_retained;
pub mod shard_state;
#[cfg(test)]
mod shard_tests;
pub mod sim_disk;
pub mod snapshot_export;
pub mod snapshot_import;
pub mod snapshot_stream;
pub mod space;
pub mod stomp;
pub mod store;
pub mod store_import;
pub mod store_open;
pub mod store_verify;
pub mod store_worker;
pub mod sys;
pub mod topic_trie;
pub mod unsettled;
pub mod wave;
pub mod web;

#[cfg(feature = "python")]
mod face;
