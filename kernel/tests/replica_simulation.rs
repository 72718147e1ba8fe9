//! Three replicas of a shard over journals on simulated disks, under loss, partitions, crashes, changes of leader and
//! of members: the same state everywhere, every command once, nothing acknowledged lost.
//!
//! `REPLICA_SEEDS=first..last` runs those instead of the usual few.

mod replica_cluster;

use replica_cluster::{Cluster, Counts};

const DURATION_MS: u64 = 14_000;

fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("REPLICA_SEEDS").unwrap_or_default();
    let parsed = asked
        .split_once("..")
        .and_then(|(first, last)| Some(first.parse::<u64>().ok()?..last.parse::<u64>().ok()?));
    parsed.unwrap_or(0..22)
}

fn run(seed: u64, lies: bool) -> Result<Counts, String> {
    let mut cluster = Cluster::new(seed, lies);
    cluster.run(DURATION_MS)?;
    Ok(cluster.counts)
}

#[test]
fn replicas_agree_and_every_command_is_applied_once() {
    let mut sum = Counts::default();
    for seed in seeds() {
        let counts = run(seed, false).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        sum.add(&counts);
    }
    assert!(sum.crashes > 20 && sum.terms_served > 10, "{sum:?}");
    assert!(sum.acknowledged > 1_000 && sum.again > 10, "{sum:?}");
    assert!(sum.reads > 20 && sum.checkpoints > 20, "{sum:?}");
    assert!(sum.conf_changes > 4 && sum.redelivered > 20, "{sum:?}");
    assert!(sum.snapshots > 4, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(run(3, false), run(3, false));
    assert_ne!(run(3, false), run(4, false));
}

/// The control: a journal that says "synced" before the disk is must be caught.
#[test]
fn a_sync_that_is_a_lie_is_caught() {
    assert!(seeds().any(|seed| run(seed, true).is_err()));
}
