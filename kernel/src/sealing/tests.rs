//! Laws: every record that is wanted is read back for every queue that wants it, whoever owns it;
//! nothing else is written; and no bit of a segment flips unnoticed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::damage::{StoreError, StoreResult};
use crate::message_run::{Facts, Origin, NO_EXPIRATION};
use crate::queue_state::Selection;
use crate::run_builder::RunBuilder;
use crate::segment::{segment_name, SegmentReader, SegmentSet};
use crate::segment_numbers::SegmentNumbers;
use crate::sim_disk::{SimDisk, SplitMix};

const IDENTITY: Identity = Identity {
    store: [3; 16],
    peer: 9,
};
const OPTIONS: SealingOptions = SealingOptions {
    own_size_min: 16 << 10,
    open_size_max: 48 << 10,
    segment_size_max: 64 << 10,
};
const GROUP: u32 = 2;

fn body(entry: u64, frame: u16, record: u32) -> Vec<u8> {
    format!("{entry}/{frame}/{record} ")
        .repeat(1 + (record as usize * 7) % 5)
        .into_bytes()
}

fn frame(entry: u64, frame: u16, count: u32) -> Bytes {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let key = builder.key(b"x", b"key");
    for record in 0..count {
        let facts = Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 0,
            flags: 0,
        };
        builder.push(key, b"\x00\x00", &body(entry, frame, record), facts);
    }
    let mut out = Vec::new();
    crate::record_batch::encode(&builder.finish(), 5, &mut out);
    out.into()
}

fn selection(random: &mut SplitMix, count: u32) -> Selection {
    let first = random.below(count as u64) as u32;
    match random.below(3) {
        0 => Selection::Range { first: 0, count },
        1 => Selection::Range {
            first,
            count: 1 + random.below((count - first) as u64) as u32,
        },
        _ => {
            let records: Vec<u32> = (0..count).filter(|_| random.chance(2)).collect();
            let records = if records.is_empty() {
                vec![first]
            } else {
                records
            };
            Selection::List {
                at: 0,
                count: records.len() as u32,
                records: records.into(),
            }
        }
    }
}

struct World {
    disk: SimDisk,
    wants: Vec<Want>,
    segments: Vec<Arc<Segment>>,
}

/// Seals random frames wanted by random queues.
fn world(seed: u64, entries: u64) -> World {
    let mut random = SplitMix(seed);
    let disk = SimDisk::new(1 << 30);
    let mut sealing = Sealing::new(IDENTITY, OPTIONS, SegmentNumbers::new(1));
    let mut all = Vec::new();
    for entry in 1..=entries {
        for number in 0..random.below(3) as u16 {
            let count = 1 + random.below(30) as u32;
            let address = Address {
                entry,
                frame: number,
            };
            let mut wants = Vec::new();
            for queue in 1..=4 {
                // Queue 4 is the busiest: it gets a segment of its own.
                if random.chance(if queue == 4 { 1 } else { 3 }) {
                    let selection = selection(&mut random, count);
                    wants.push(Want {
                        address,
                        queue,
                        selection,
                    });
                }
            }
            let frame = frame(entry, number, count);
            sealing.take(GROUP, address, &frame, &wants).unwrap();
            sealing.relieve(&disk).unwrap();
            all.extend(wants);
        }
    }
    while !sealing.finish_step(&disk).unwrap() {}
    disk.sync_dir().unwrap();
    let segments = sealing.take_finished().into_iter().map(Arc::new).collect();
    World {
        disk,
        wants: all,
        segments,
    }
}

fn records(selection: &Selection) -> Vec<u32> {
    selection
        .runs()
        .into_iter()
        .flat_map(|(first, count)| first..first + count)
        .collect()
}

/// Reads every want back and compares the bodies.
fn check(world: &World, segments: &[Arc<Segment>]) -> StoreResult<()> {
    let set = Arc::new(SegmentSet::new(segments.iter().cloned(), &[]));
    let mut reader = SegmentReader::new(Arc::new(world.disk.clone()), IDENTITY, set);
    for want in &world.wants {
        let frames = reader.read_entry(GROUP, want.address.entry)?;
        let frame = frames[want.address.frame as usize].as_ref().unwrap();
        assert!(
            frame.numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "sealed twice"
        );
        for record in records(&want.selection) {
            let place = frame.numbers.binary_search(&record).unwrap();
            let wanted = body(want.address.entry, want.address.frame, record);
            assert_eq!(frame.run.body(place), wanted);
            assert_eq!(frame.run.routing_key(frame.run.entries[place].key), b"key");
        }
        let set = SegmentSet::new(segments.iter().cloned(), &[]);
        let covers = |run: &crate::segment_format::Run| run.covers(want.address);
        assert!(set.runs_of(GROUP, want.queue).any(|(_, run)| covers(run)));
    }
    Ok(())
}

#[test]
fn every_queue_reads_back_what_it_wants_and_nothing_is_sealed_twice() {
    for seed in 0..60 {
        let world = world(seed, 40);
        check(&world, &world.segments).unwrap();
        let wanted: BTreeSet<_> = world
            .wants
            .iter()
            .flat_map(|want| {
                records(&want.selection)
                    .into_iter()
                    .map(|record| (want.address, record))
            })
            .collect();
        let sealed: u64 = world
            .segments
            .iter()
            .map(|segment| segment.record_count())
            .sum();
        assert_eq!(sealed as usize, wanted.len());
    }
}

#[test]
fn runs_larger_than_what_is_written_at_once_read_back() {
    let options = SealingOptions {
        own_size_min: 1 << 20,
        open_size_max: 3 << 20,
        segment_size_max: 8 << 20,
    };
    let disk = SimDisk::new(1 << 30);
    let mut sealing = Sealing::new(IDENTITY, options, SegmentNumbers::new(1));
    let mut all = Vec::new();
    // A frame that fills no chunk, one that is larger than one, and what lies between them.
    for (entry, count) in (1..).zip([3, 40_000, 1, 9_000, 9_000, 50_000, 2, 30_000]) {
        let address = Address { entry, frame: 0 };
        let selection = Selection::Range { first: 0, count };
        let want = Want {
            address,
            queue: 1 + entry % 2,
            selection,
        };
        let frame = frame(entry, 0, count);
        sealing
            .take(GROUP, address, &frame, std::slice::from_ref(&want))
            .unwrap();
        sealing.relieve(&disk).unwrap();
        all.push(want);
    }
    while !sealing.finish_step(&disk).unwrap() {}
    disk.sync_dir().unwrap();
    let finished = sealing.take_finished();
    assert!(finished.iter().any(|it| it.size > 2 << 20), "{finished:?}");
    let world = World {
        disk,
        wants: all,
        segments: Vec::new(),
    };
    let open = |it: &Segment| Arc::new(Segment::open(&world.disk, &IDENTITY, it.number).unwrap());
    let opened: Vec<_> = finished.iter().map(open).collect();
    for (opened, written) in opened.iter().zip(&finished) {
        assert_eq!((&opened.runs, opened.size), (&written.runs, written.size));
    }
    check(&world, &opened).unwrap();
}

#[test]
fn a_big_stream_gets_a_segment_of_its_own() {
    let world = world(1, 400);
    let own = |segment: &&Arc<Segment>| segment.runs.iter().all(|run| run.queue == 4);
    assert!(world.segments.iter().filter(own).count() >= 1);
    assert!(world
        .segments
        .iter()
        .any(|segment| segment.runs.iter().any(|run| run.queue < 4)));
}

#[test]
fn a_segment_opens_as_it_was_written_also_after_a_crash() {
    for seed in 0..10 {
        let world = world(seed, 30);
        world.disk.crash(seed);
        let opened: Vec<_> = world
            .segments
            .iter()
            .map(|written| Segment::open(&world.disk, &IDENTITY, written.number).unwrap())
            .collect();
        for (opened, written) in opened.iter().zip(&world.segments) {
            assert_eq!((&opened.runs, opened.size), (&written.runs, written.size));
            assert!(!opened.rebuilt);
        }
    }
}

#[test]
fn a_lost_footer_is_made_anew_from_the_runs() {
    let world = world(5, 30);
    let mut rebuilt = Vec::new();
    for segment in &world.segments {
        world
            .disk
            .flip_bit(&segment_name(segment.number), segment.size - 30, 1)
            .unwrap();
        let opened = Segment::open(&world.disk, &IDENTITY, segment.number).unwrap();
        assert!(opened.rebuilt);
        assert_eq!(opened.runs, segment.runs);
        rebuilt.push(Arc::new(opened));
    }
    check(&world, &rebuilt).unwrap();
}

#[test]
fn a_bit_flipped_in_a_run_is_found_by_reading_or_opening() {
    let world = world(3, 12);
    for segment in &world.segments {
        let end = segment.runs.last().map_or(0, |run| run.position + run.size);
        for position in (4096..end).step_by(37) {
            let name = segment_name(segment.number);
            world
                .disk
                .flip_bit(&name, position, (position % 8) as u8)
                .unwrap();
            let file = world.disk.open(&name).unwrap();
            let seed = IDENTITY.checksum_seed(segment.number);
            let scanned = crate::segment::scan_runs(&*file, &name, seed, &mut |_, _, _| {});
            let noticed = match &scanned {
                Err(StoreError::Damage(damage)) => damage.file == name,
                // A flipped run magic looks like the end of the runs: there are fewer than written.
                Ok(runs) => runs.len() < segment.runs.len(),
                Err(StoreError::Disk(_)) => false,
            };
            assert!(noticed, "{position}");
            match check(&world, &world.segments) {
                Err(StoreError::Damage(damage)) => assert_eq!(damage.file, name),
                // Headers of runs are not read as long as the footer is good.
                other => assert!(other.is_ok()),
            }
            world
                .disk
                .flip_bit(&name, position, (position % 8) as u8)
                .unwrap();
        }
    }
}

#[test]
fn what_was_sealed_is_sealed_again_for_those_who_still_want_it() {
    for seed in 0..20 {
        let mut world = world(seed, 30);
        let mut random = SplitMix(seed);
        world.wants.retain(|_| random.chance(2));
        let mut sealing = Sealing::new(IDENTITY, OPTIONS, SegmentNumbers::new(100));
        for segment in &world.segments {
            let name = segment_name(segment.number);
            let file = world.disk.open(&name).unwrap();
            let mut pieces = Vec::new();
            let seed = IDENTITY.checksum_seed(segment.number);
            crate::segment::scan_runs(&*file, &name, seed, &mut |_, piece, frame| {
                pieces.push((piece.address, Bytes::copy_from_slice(frame)));
            })
            .unwrap();
            for (address, frame) in pieces {
                let wants: Vec<Want> = world
                    .wants
                    .iter()
                    .filter(|want| want.address == address)
                    .cloned()
                    .collect();
                sealing.take(GROUP, address, &frame, &wants).unwrap();
                sealing.relieve(&world.disk).unwrap();
            }
        }
        while !sealing.finish_step(&world.disk).unwrap() {}
        let again: Vec<_> = sealing.take_finished().into_iter().map(Arc::new).collect();
        check(&world, &again).unwrap();
    }
}
