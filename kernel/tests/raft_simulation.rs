//! Three nodes under loss, reordering, duplicates, partitions, crashes and torn disks: nothing that
//! was committed changes, and everything comes together again.
//!
//! `RAFT_SEEDS=first..last` runs those instead of the usual few.

mod raft_cluster;

use raft_cluster::{Cluster, Counts, Faults, ALL_FAULTS};

const DURATION_MS: u64 = 40_000;

fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("RAFT_SEEDS").unwrap_or_default();
    let parsed = asked
        .split_once("..")
        .and_then(|(first, last)| Some(first.parse::<u64>().ok()?..last.parse::<u64>().ok()?));
    parsed.unwrap_or(0..60)
}

fn run(seed: u64, faults: Faults) -> (Counts, Result<(), String>) {
    let mut cluster = Cluster::new(seed, faults);
    let outcome = cluster.run(DURATION_MS);
    (cluster.counts, outcome)
}

#[test]
fn three_nodes_agree_whatever_the_network_and_the_disks_do() {
    let mut sum = Counts::default();
    for seed in seeds() {
        let (counts, outcome) = run(seed, ALL_FAULTS);
        outcome.unwrap();
        sum.committed += counts.committed;
        sum.crashes += counts.crashes;
        sum.snapshots += counts.snapshots;
        sum.elections += counts.elections;
    }
    assert!(sum.committed > 1000 && sum.crashes > 10, "{sum:?}");
    assert!(sum.snapshots > 0 && sum.elections > 20, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, _) = run(3, ALL_FAULTS);
    let (second, _) = run(3, ALL_FAULTS);
    let (other, _) = run(4, ALL_FAULTS);
    assert_eq!(first, second);
    assert_ne!(first.trace, other.trace);
}

/// The control: a host that says "persisted" before the disk does must be caught.
#[test]
fn messages_sent_before_they_are_persisted_are_caught() {
    let faults = Faults {
        sent_before_persisted: true,
        ..ALL_FAULTS
    };
    let caught = seeds().filter(|seed| run(*seed, faults).1.is_err()).count();
    assert!(caught > 0);
}

/// The transport's checksum stops flipped bits; without one they may do anything but kill a group.
#[test]
fn flipped_bits_kill_no_group() {
    let faults = Faults {
        flipped_percent: 10,
        crashes: false,
        ..ALL_FAULTS
    };
    let mut flipped = 0;
    for seed in seeds() {
        let (counts, outcome) = run(seed, faults);
        flipped += counts.flipped;
        let words = outcome.err().unwrap_or_default();
        assert!(
            !words.contains("panicked") && !words.contains("Dead"),
            "{words}"
        );
    }
    assert!(flipped > 1000);
}
