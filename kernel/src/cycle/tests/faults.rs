//! Cycles on a disk that is full, fails or flips bits.

use super::*;

#[test]
fn a_full_disk_stops_publishers_and_settles_make_room() {
    for seed in 0..20 {
        let mut world = World::new(seed, 600 << 10);
        let mut stopped = false;
        for _ in 0..3000 {
            match world.store.pressure() {
                None => world.publish(0),
                Some(Pressure::Poisoned(error)) => panic!("seed {seed}: {error}"),
                Some(Pressure::NoSpace) => {
                    stopped = true;
                    break;
                }
                Some(Pressure::JournalFull) => {}
            }
            world.write();
            if world.store.cycle_wanted() {
                let frozen = world.freeze();
                world.store.begin_cycle(frozen, false);
            }
            while world.store.step().unwrap() {}
            world.store.take_finished_cycle();
        }
        assert!(stopped, "seed {seed}");
        for queue in 1..=QUEUES {
            let range = SequenceRange {
                queue,
                first: 0,
                last: u64::MAX - 1,
                outcome: 0,
            };
            world.submit(
                0,
                Wave {
                    settled: vec![range],
                    ..Wave::default()
                },
            );
        }
        for _ in 0..50 {
            world.write();
            if world.store.cycle_wanted() {
                let frozen = world.freeze();
                world.store.begin_cycle(frozen, false);
            }
            world.store.step().unwrap();
            world.store.take_finished_cycle();
        }
        assert_eq!(
            world.store.pressure(),
            None,
            "seed {seed}: {:?}",
            world.disk.free_space()
        );
        world.publish(0);
        world.write();
        world.disk.crash(seed);
        world.reopen(seed);
    }
}

#[test]
fn a_sync_that_fails_in_a_cycle_stops_the_store_and_a_restart_is_clean() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1 << 30);
        for _ in 0..60 {
            world.publish(0);
            world.write();
        }
        let frozen = world.freeze();
        world.store.begin_cycle(frozen, true);
        for name in ["segment-0000000000000001", "blocks-0000000000000001"] {
            world.disk.fail_sync_once(name);
        }
        while world.store.is_cycling() && world.store.step().is_ok() {}
        assert!(matches!(
            world.store.pressure(),
            Some(Pressure::Poisoned(_))
        ));
        let failure = world.store.failure().unwrap().to_string();
        assert!(failure.contains("cannot sync"), "{failure}");
        world.disk.crash(seed);
        world.reopen(seed);
    }
}

#[test]
fn a_bit_flipped_in_what_the_store_consists_of_is_refused_or_found_when_read() {
    let mut world = World::new(5, 1 << 30);
    for _ in 0..100 {
        world.publish(0);
        world.settle(0);
        world.write();
    }
    world.cycle();
    assert!(world.store.close().unwrap());
    let names = world.disk.list().unwrap();
    let manifest = Manifest::read_newest(&world.disk, &IDENTITY)
        .unwrap()
        .unwrap();
    let live = |name: &&String| {
        let named = |stem: &str| name.starts_with(stem);
        **name == crate::manifest::manifest_name(manifest.number)
            || named("blocks-")
            || named("segment-")
    };
    for name in names.iter().filter(live) {
        let size = world.disk.open(name).unwrap().size().unwrap();
        for position in (0..64).chain((4096..size).step_by(1 + size as usize / 60)) {
            world.disk.flip_bit(name, position, 1).unwrap();
            let opened = crate::store_verify::verify(&world.disk, &mut |_| {});
            match opened {
                Err(StoreError::Damage(damage)) => assert_eq!(damage.file, *name),
                other => panic!("{name} at {position}: {other:?}"),
            }
            world.disk.flip_bit(name, position, 1).unwrap();
        }
    }
    crate::store_verify::verify(&world.disk, &mut |_| {}).unwrap();
}
