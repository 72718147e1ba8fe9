//! The Python face: converts values and maps errors, decides nothing.

use pyo3::prelude::*;

pub mod amqp_decoder;
pub mod amqp_encoder;
pub mod chunk;
pub mod conversion;
pub mod counters;
pub mod death;
pub mod delivery_run;
mod departure;
pub mod frame;
pub mod generator;
pub mod histogram;
pub mod inflight;
pub mod journal;
mod log_reader;
pub mod message_run;
pub mod mqtt_decoder;
pub mod mqtt_encoder;
pub mod name_pattern;
mod numbers;
pub mod packet_ids;
mod peer_frame;
mod piece;
mod poller;
pub mod raft_group;
pub mod record_batch;
mod replica;
pub mod retained;
pub mod route;
pub mod shard;
pub mod shards;
pub mod sim_disk;
pub mod snapshot;
pub mod stomp_decoder;
pub mod stomp_encoder;
pub mod stomp_frame;
pub mod topic;
pub mod topic_trie;
pub mod unsettled;
pub mod web_decoder;
pub mod web_output;

/// Which profile this kernel was built with; benchmarks refuse "debug".
const BUILD_PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

#[pymodule]
fn _kernel(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("BUILD_PROFILE", BUILD_PROFILE)?;
    amqp_decoder::register(m)?;
    amqp_encoder::register(m)?;
    chunk::register(m)?;
    conversion::register(m)?;
    death::register(m)?;
    delivery_run::register(m)?;
    frame::register(m)?;
    log_reader::register(m)?;
    message_run::register(m)?;
    mqtt_decoder::register(m)?;
    mqtt_encoder::register(m)?;
    inflight::register(m)?;
    packet_ids::register(m)?;
    counters::register(m)?;
    generator::register(m)?;
    histogram::register(m)?;
    journal::register(m)?;
    peer_frame::register(m)?;
    piece::register(m)?;
    poller::register(m)?;
    name_pattern::register(m)?;
    raft_group::register(m)?;
    record_batch::register(m)?;
    retained::register(m)?;
    route::register(m)?;
    shard::register(m)?;
    shards::register(m)?;
    sim_disk::register(m)?;
    snapshot::register(m)?;
    stomp_decoder::register(m)?;
    stomp_encoder::register(m)?;
    stomp_frame::register(m)?;
    topic::register(m)?;
    topic_trie::register(m)?;
    unsettled::register(m)?;
    web_decoder::register(m)?;
    web_output::register(m)?;
    // `kernel/__init__.py` says what is public; a second list would have to be kept in the stub.
    m.delattr("__all__")?;
    Ok(())
}
