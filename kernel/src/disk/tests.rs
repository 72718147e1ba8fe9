//! One suite that the real disk and the simulated one pass, then what only a simulated one can do.

use super::*;
use crate::blocks::{Blocks, BLOCK_SIZE};
use crate::real_disk::RealDisk;
use crate::sim_disk::{SimDisk, SplitMix, SECTOR_SIZE};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory of its own, removed at the end.
pub struct Scratch {
    pub path: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "dragoman-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn on_both(law: impl Fn(&dyn Disk)) {
    let scratch = Scratch::new();
    law(&RealDisk::open(&scratch.path).unwrap());
    law(&SimDisk::new(1 << 30));
}

fn fault<T>(result: DiskResult<T>) -> DiskFault {
    result.err().expect("an error").fault
}

#[test]
fn blocks_read_back_among_what_is_written_byte_by_byte() {
    const SIZE: usize = 3 * BLOCK_SIZE + 100;
    let content: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    on_both(|disk| {
        let file = disk.create("x").unwrap();
        file.write_at(0, b"what is written over").unwrap();
        let mut blocks = Blocks::new(2 * BLOCK_SIZE);
        let mut at = 0;
        while at < 2 * BLOCK_SIZE {
            blocks.clear();
            blocks.fill(&content[at..at + BLOCK_SIZE]);
            file.write_blocks(at as u64, blocks.whole()).unwrap();
            at += BLOCK_SIZE;
        }
        file.write_at(at as u64, &content[at..]).unwrap();
        file.sync().unwrap();
        assert!(file.read_range(0, 2 * SIZE).unwrap() == content);
        assert_eq!(file.size().unwrap(), SIZE as u64);
        for (position, size) in [
            (0, 2 * SIZE),
            (5000, 3000),
            (BLOCK_SIZE, BLOCK_SIZE),
            (SIZE - 1, 1),
            (SIZE, 1),
        ] {
            let expected = &content[position..(position + size).min(SIZE)];
            let read = file.read_range_once(position as u64, size).unwrap();
            assert!(read == expected, "{size} bytes at {position}");
        }
    });
}

#[test]
fn sectors_that_are_written_and_synced_at_once_read_back_after_a_rename() {
    const SECTOR: usize = 512;
    on_both(|disk| {
        let file = disk.create("x").unwrap();
        file.zero(0, 8 * BLOCK_SIZE as u64).unwrap();
        file.sync().unwrap();
        disk.rename("x", "y").unwrap();
        disk.create("x").unwrap();
        let mut expected = vec![0; 8 * BLOCK_SIZE];
        for (position, size) in [
            (SECTOR, SECTOR),
            (3 * SECTOR, 20 * SECTOR),
            (4 * SECTOR, SECTOR),
        ] {
            let mut blocks = Blocks::new(size.next_multiple_of(BLOCK_SIZE));
            let content = vec![position as u8 ^ 0x5A; size];
            blocks.fill(&content);
            if !file
                .write_synced(position as u64, &blocks.all()[..size])
                .unwrap()
            {
                file.write_at(position as u64, &content).unwrap();
            }
            expected[position..position + size].copy_from_slice(&content);
            assert!(file.read_range(0, expected.len()).unwrap() == expected);
        }
        assert_eq!(disk.open("x").unwrap().size().unwrap(), 0);
    });
}

#[test]
fn names_are_listed_sorted_and_follow_renames() {
    on_both(|disk| {
        for name in ["b", "c", "a"] {
            disk.create(name)
                .unwrap()
                .write_at(0, name.as_bytes())
                .unwrap();
        }
        disk.rename("c", "a").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["a", "b"]);
        assert_eq!(read_file(disk, "a").unwrap().unwrap(), b"c");
        disk.remove("b").unwrap();
        assert_eq!(disk.list().unwrap(), ["a"]);
    });
}

#[test]
fn what_is_not_there_is_said_so() {
    on_both(|disk| {
        assert_eq!(fault(disk.open("x")), DiskFault::NotFound);
        assert_eq!(fault(disk.remove("x")), DiskFault::NotFound);
        assert_eq!(fault(disk.rename("x", "y")), DiskFault::NotFound);
        assert_eq!(read_file(disk, "x").unwrap(), None);
        disk.create("x").unwrap();
        assert_eq!(fault(disk.create("x")), DiskFault::Exists);
    });
}

#[test]
fn bytes_read_back_where_they_were_written_and_gaps_are_zeros() {
    on_both(|disk| {
        let file = disk.create("x").unwrap();
        let parts: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let slices: Vec<IoSlice> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.writev_at(1000, &slices).unwrap();
        file.write_at(20_000, b"end").unwrap();
        assert_eq!(file.size().unwrap(), 20_003);
        assert_eq!(file.read_range(0, 1000).unwrap(), [0; 1000]);
        assert_eq!(file.read_range(1000, 12_000).unwrap(), parts.concat());
        assert_eq!(file.read_range(13_000, 7000).unwrap(), [0; 7000]);
        assert_eq!(file.read_range(20_000, 100).unwrap(), b"end");
        assert_eq!(file.read_range(30_000, 100).unwrap(), b"");
    });
}

#[test]
fn sizes_grow_with_zeros_and_shrink_for_good() {
    on_both(|disk| {
        let file = disk.create("x").unwrap();
        file.write_at(0, &[7; 2000]).unwrap();
        file.set_size(700).unwrap();
        file.set_size(1500).unwrap();
        assert_eq!(
            file.read_range(0, 2000).unwrap(),
            [&[7; 700][..], &[0; 800]].concat()
        );
        file.zero(600, 2000).unwrap();
        assert_eq!(file.size().unwrap(), 2600);
        assert_eq!(file.read_range(600, 2000).unwrap(), [0; 2000]);
        file.preallocate(9000).unwrap();
        assert_eq!(file.size().unwrap(), 9000);
        assert_eq!(file.read_range(0, 600).unwrap(), [7; 600]);
    });
}

#[test]
fn an_open_file_survives_its_name() {
    on_both(|disk| {
        let file = disk.create("x").unwrap();
        file.write_at(0, b"one").unwrap();
        disk.rename("x", "y").unwrap();
        file.write_at(3, b"two").unwrap();
        assert_eq!(read_file(disk, "y").unwrap().unwrap(), b"onetwo");
    });
}

#[test]
fn a_replaced_file_has_the_new_content() {
    on_both(|disk| {
        replace_file(disk, "x", b"old").unwrap();
        disk.create("x.new").unwrap();
        replace_file(disk, "x", b"new").unwrap();
        assert_eq!(read_file(disk, "x").unwrap().unwrap(), b"new");
        assert_eq!(disk.list().unwrap(), ["x"]);
    });
}

#[test]
fn a_directory_has_one_user() {
    let scratch = Scratch::new();
    let (one, two) = (
        RealDisk::open(&scratch.path).unwrap(),
        RealDisk::open(&scratch.path).unwrap(),
    );
    let sim = SimDisk::new(1 << 20);
    let other = sim.clone();
    for (one, two) in [(&one as &dyn Disk, &two as &dyn Disk), (&sim, &other)] {
        one.lock().unwrap();
        assert_eq!(fault(two.lock()), DiskFault::Locked);
        one.unlock();
        two.lock().unwrap();
        assert_eq!(two.list().unwrap(), Vec::<String>::new());
    }
}

/// The slow twin: a file is a vector.
#[test]
fn any_calls_do_the_same_on_both() {
    for seed in 0..20 {
        let scratch = Scratch::new();
        let real = RealDisk::open(&scratch.path).unwrap();
        let sim = SimDisk::new(1 << 30);
        let mut random = SplitMix(seed);
        let files = [real.create("f").unwrap(), sim.create("f").unwrap()];
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..60 {
            let position = random.below(5000);
            let size = random.below(3000) as usize;
            let end = position as usize + size;
            match random.below(4) {
                0 | 1 => {
                    let data: Vec<u8> = (0..size).map(|_| random.next_u64() as u8).collect();
                    for file in &files {
                        file.write_at(position, &data).unwrap();
                    }
                    if size > 0 {
                        model.resize(model.len().max(end), 0);
                        model[position as usize..end].copy_from_slice(&data);
                    }
                }
                2 => {
                    for file in &files {
                        file.set_size(position).unwrap();
                    }
                    model.resize(position as usize, 0);
                }
                _ => {
                    for file in &files {
                        file.sync().unwrap();
                    }
                }
            }
            for file in &files {
                assert_eq!(file.read_range(0, 10_000).unwrap(), model, "seed {seed}");
            }
        }
    }
}

#[test]
fn what_was_synced_survives_any_crash_and_the_rest_is_old_or_new() {
    for seed in 0..300 {
        let disk = SimDisk::new(1 << 30);
        let file = disk.create("x").unwrap();
        file.write_at(0, &[1; 8 * SECTOR_SIZE]).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(2 * SECTOR_SIZE as u64, &[2; 4 * SECTOR_SIZE])
            .unwrap();
        disk.crash(seed);
        assert_eq!(file.sync().err().unwrap().fault, DiskFault::Errno(116));
        let content = read_file(&disk, "x").unwrap().unwrap();
        assert_eq!(content.len(), 8 * SECTOR_SIZE);
        for (place, sector) in content.chunks(SECTOR_SIZE).enumerate() {
            let changed = (2..6).contains(&place);
            assert!(changed || sector == [1; SECTOR_SIZE], "seed {seed}");
            let head = sector.iter().take_while(|byte| **byte == 2).count();
            assert!(sector[head..].iter().all(|byte| *byte == 1), "seed {seed}");
        }
    }
}

#[test]
fn over_many_seeds_a_crash_keeps_loses_and_tears() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(1 << 30);
        let file = disk.create("x").unwrap();
        file.zero(0, SECTOR_SIZE as u64).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[2; SECTOR_SIZE]).unwrap();
        disk.crash(seed);
        let content = read_file(&disk, "x").unwrap().unwrap();
        let new = content.iter().take_while(|byte| **byte == 2).count();
        seen.insert(if new == 0 || new == SECTOR_SIZE {
            new
        } else {
            1
        });
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, SECTOR_SIZE]);
}

#[test]
fn a_name_is_durable_once_the_directory_is_synced_and_not_before() {
    let mut remained = [0; 2];
    for seed in 0..100 {
        let disk = SimDisk::new(1 << 30);
        replace_file(&disk, "x", b"old").unwrap();
        let file = disk.create("y").unwrap();
        file.write_at(0, b"new").unwrap();
        file.sync().unwrap();
        disk.rename("y", "x").unwrap();
        disk.crash(seed);
        let content = read_file(&disk, "x").unwrap().unwrap();
        assert!(content == b"old" || content == b"new");
        remained[usize::from(content == b"new")] += 1;
    }
    assert!(remained[0] > 10 && remained[1] > 10, "{remained:?}");
}

#[test]
fn a_failed_sync_reports_once_and_the_data_is_lost_though_it_reads_back() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(1 << 30);
        let file = disk.create("x").unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, b"data").unwrap();
        disk.fail_sync_once("x");
        assert_eq!(fault(file.sync()), DiskFault::Errno(5));
        file.sync().unwrap();
        assert_eq!(file.read_range(0, 4).unwrap(), b"data");
        disk.crash(seed);
        lost += usize::from(read_file(&disk, "x").unwrap().unwrap() != b"data");
    }
    assert!(lost > 5, "{lost}");
}

#[test]
fn a_full_disk_takes_what_fits_and_heals() {
    let disk = SimDisk::new(1000);
    let file = disk.create("x").unwrap();
    assert_eq!(fault(file.write_at(0, &[1; 1500])), DiskFault::NoSpace);
    assert_eq!(file.size().unwrap(), 1000);
    assert_eq!(disk.free_space().unwrap(), 0);
    file.write_at(0, &[2; 1000]).unwrap();
    disk.set_capacity(2000);
    file.write_at(0, &[1; 1500]).unwrap();
    assert_eq!(
        fault(disk.create("y").unwrap().preallocate(501)),
        DiskFault::NoSpace
    );
    disk.remove("x").unwrap();
    disk.sync_dir().unwrap();
    disk.open("y").unwrap().preallocate(2000).unwrap();
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    let disk = SimDisk::new(1 << 20);
    disk.lock().unwrap();
    disk.create("x").unwrap().write_at(0, b"data").unwrap();
    disk.kill();
    disk.lock().unwrap();
    assert_eq!(read_file(&disk, "x").unwrap().unwrap(), b"data");
}

#[test]
fn same_seed_same_remains() {
    let remains = |seed| {
        let disk = SimDisk::new(1 << 20);
        for name in ["a", "b", "c"] {
            disk.create(name).unwrap().write_at(0, &[9; 3000]).unwrap();
        }
        disk.crash(seed);
        let names = disk.list().unwrap();
        let content: Vec<_> = names
            .iter()
            .map(|name| read_file(&disk, name).unwrap())
            .collect();
        (names, content)
    };
    for seed in 0..20 {
        assert_eq!(remains(seed), remains(seed));
    }
}

#[test]
fn faults_can_be_put_where_one_likes() {
    let disk = SimDisk::new(1 << 20);
    let file = disk.create("x").unwrap();
    file.write_at(0, &[0; 600]).unwrap();
    disk.flip_bit("x", 513, 3).unwrap();
    disk.tamper("x", 0, b"stale").unwrap();
    assert_eq!(file.read_range(0, 5).unwrap(), b"stale");
    assert_eq!(file.read_range(513, 1).unwrap(), [8]);
    disk.fail_read_once("x");
    assert_eq!(fault(file.read_range(0, 5)), DiskFault::Errno(5));
    file.read_range(0, 5).unwrap();
    disk.fail_write_once("x");
    assert_eq!(fault(file.write_at(0, &[1; 4])), DiskFault::Errno(5));
    disk.cut_power_after(1);
    file.write_at(0, &[1; 4]).unwrap();
    assert_eq!(fault(file.write_at(0, &[1; 4])), DiskFault::Errno(5));
    assert_eq!(fault(disk.sync_dir()), DiskFault::Errno(5));
}
