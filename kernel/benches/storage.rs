//! What the journal costs beside the bare disk, in one run on one machine.
//!
//! `cargo bench --no-default-features --bench storage [-- DIRECTORY]`

#![allow(clippy::cast_precision_loss)] // figures for people

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use _kernel::disk::{Disk, DiskFile};
use _kernel::file_header::Identity;
use _kernel::group_record::{GroupRecord, HardState, LogEntry};
use _kernel::journal::{Journal, JournalOptions};
use _kernel::journal_driver::JournalHandle;
use _kernel::journal_files::{NextFill, SpareFilling};
use _kernel::journal_recovery::Expected;
use _kernel::real_disk::RealDisk;
use bytes::Bytes;

const IDENTITY: Identity = Identity {
    store: *b"a store measured",
    peer: 1,
};
const GROUPS: u32 = 16;
const ROUND_TIME: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 3;

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let root = argument.map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = root.join(format!("dragoman-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for size in [1024, 64 << 10] {
        for _ in 0..ROUNDS {
            bench_writes(&directory, size);
        }
    }
    bench_recovery(&directory, 64 << 10);
    bench_recovery(&directory, 1024);
    std::fs::remove_dir_all(&directory).unwrap();
}

fn fresh(directory: &Path) -> Arc<RealDisk> {
    for entry in std::fs::read_dir(directory).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    Arc::new(RealDisk::open(directory).unwrap())
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6
}

/// The bare disk: one write of that many bytes and one fdatasync, in a file filled before.
fn bare(disk: &RealDisk, size: usize) -> Vec<Duration> {
    let file: Arc<dyn DiskFile> = disk.create("bare").unwrap();
    let span = 64 << 20;
    file.zero(0, span).unwrap();
    file.sync().unwrap();
    let data = vec![1; size];
    let (mut times, mut at) = (Vec::new(), 0);
    let start = Instant::now();
    while start.elapsed() < ROUND_TIME {
        let begun = Instant::now();
        file.write_at(at, &data).unwrap();
        file.sync().unwrap();
        times.push(begun.elapsed());
        at = (at + size as u64) % (span - size as u64);
        at -= at % 512;
    }
    disk.remove("bare").unwrap();
    times
}

fn records(index: u64, data: &Bytes) -> Vec<GroupRecord> {
    (0..GROUPS)
        .map(|group| GroupRecord {
            group,
            hard_state: Some(HardState {
                term: 1,
                vote: 1,
                commit: index - 1,
            }),
            entries: vec![LogEntry {
                index,
                term: 1,
                kind: 0,
                data: data.clone(),
            }],
        })
        .collect()
}

fn open_filled(directory: &Path, spares: usize) -> (Arc<RealDisk>, Arc<JournalHandle>) {
    let disk = fresh(directory);
    let options = JournalOptions::default();
    let mut filling = SpareFilling::new(Arc::default(), options.file_size, spares);
    while filling.step(&*disk, 0).unwrap() != NextFill::Enough {}
    let journal = Journal::create(&*disk, IDENTITY, options).unwrap();
    let handle = Arc::new(JournalHandle::new(disk.clone(), journal).unwrap());
    (disk, handle)
}

fn bench_writes(directory: &Path, size: usize) {
    let (disk, handle) = open_filled(directory, 14);
    let mut raw = bare(&disk, size * GROUPS as usize);
    handle.start_driver().unwrap();
    let data = Bytes::from(vec![7; size]);
    let (mut times, mut index) = (Vec::new(), 0);
    let start = Instant::now();
    while start.elapsed() < ROUND_TIME {
        index += 1;
        let begun = Instant::now();
        let submission = handle.submit(records(index, &data));
        while handle.synced() < submission {
            let mut poll = [rustix::event::PollFd::from_borrowed_fd(
                handle.event(),
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut poll, None).unwrap();
            handle.clear_event();
        }
        times.push(begun.elapsed());
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    handle.stop_driver();
    let (raw_50, raw_99) = (percentile(&mut raw, 50), percentile(&mut raw, 99));
    let (own_50, own_99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!(
        "{GROUPS} x {size:>6} B a sync: {rate:>6.0} writes/s {:>5.0} MB/s, p50 {own_50:>6.0} us \
         ({:.2} x bare {raw_50:.0}), p99 {own_99:>6.0} us ({:.2} x bare {raw_99:.0})",
        rate * (size * GROUPS as usize) as f64 / 1e6,
        own_50 / raw_50,
        own_99 / raw_99,
    );
}

fn bench_recovery(directory: &Path, size: usize) {
    let (disk, handle) = open_filled(directory, 9);
    let data = Bytes::from(vec![7; size]);
    let (mut index, mut written) = (0, 0);
    while written < 1 << 30 {
        index += 1;
        handle.submit(records(index, &data));
        handle.begin_write();
        handle.end_write();
        written += size * GROUPS as usize;
    }
    drop(handle);
    let mut times: Vec<Duration> = (0..3)
        .map(|_| {
            let begun = Instant::now();
            let expected = Expected::default();
            Journal::open(&*disk, IDENTITY, JournalOptions::default(), expected).unwrap();
            begun.elapsed()
        })
        .collect();
    let ms = percentile(&mut times, 50) / 1e3;
    println!("recovery of 1 GiB in entries of {size:>6} B (cached): {ms:.0} ms");
}
