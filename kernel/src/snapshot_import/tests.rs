//! Laws: what comes out at one store is the same at another, every record of it; what was cut, flipped or
//! lost on the way is refused and leaves nothing; and whenever the power goes there is the old state or
//! the new one, with a log that Raft goes on with.

use std::collections::BTreeMap;

use super::*;
use crate::cycle::tests::{check_messages, options, World, QUEUES};
use crate::disk::Disk;
use crate::file_header::Identity;
use crate::message_run::{Facts, Origin, NO_EXPIRATION};
use crate::raft_ready::SnapshotMark;
use crate::run_builder::RunBuilder;
use crate::sim_disk::{SimDisk, SplitMix};
use crate::snapshot_export::Export;
use crate::snapshot_stream::{StreamWriter, CHUNK_SIZE};
use crate::store_open::RecoveredGroup;
use crate::wave::{Frame, Route, Sender, SequenceRange, Wave};

mod crashes;
mod memory;

const GROUP: u32 = 1;
const TARGET: Identity = Identity {
    store: [9; 16],
    peer: 77,
};

fn conf() -> Conf {
    Conf::of_voters(&[12, 77, 78])
}

/// A frame whose records leave by turns: each queue wants a list of them.
fn publish_by_turns(world: &mut World) {
    let index = world.shards[GROUP as usize].last_index + 1;
    let count = 2 + world.random.below(60) as u32;
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let key = builder.key(b"x", b"k");
    for record in 0..count {
        let facts = Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 3,
            flags: 1,
        };
        let body = crate::cycle::tests::body(GROUP, index, 0, record);
        builder.push(key, b"\x00\x00", &body, facts);
    }
    let mut wave = Wave {
        senders: vec![(
            Sender {
                peer: 4,
                incarnation: 2,
            },
            index,
        )],
        ..Wave::default()
    };
    wave.frames.push(Frame {
        start: 0,
        size: 0,
        messages: Some(Arc::new(builder.finish())),
    });
    for queue in 1..=QUEUES {
        let records: Vec<u32> = (0..count)
            .filter(|record| u64::from(*record) % QUEUES == queue - 1)
            .collect();
        if records.is_empty() {
            continue;
        }
        let next = &mut world.shards[GROUP as usize].next_sequence;
        let next = next.entry(queue).or_default();
        let count = records.len() as u32;
        wave.routes.push(Route {
            queue,
            frame: 0,
            first_sequence: *next,
            expires_ms: index % 3,
            size: 11,
            selection: Selection::List {
                records: records.into(),
                at: 0,
                count,
            },
        });
        *next += u64::from(count);
    }
    world.submit(GROUP, wave);
}

/// Settles a hole somewhere and gives something back.
fn settle_and_return(world: &mut World) {
    let queue = 1 + world.random.below(QUEUES);
    let first = world.random.below(400);
    let range = |first, last| SequenceRange {
        queue,
        first,
        last,
        outcome: 0,
    };
    let wave = Wave {
        settled: vec![range(first, first + world.random.below(9))],
        returned: vec![range(first + 3, first + 20)],
        marks: vec![(queue, first)],
        ..Wave::default()
    };
    world.submit(GROUP, wave);
}

fn put_row(world: &mut World) {
    let shard = &mut world.shards[GROUP as usize];
    let key = vec![1 + world.random.below(30) as u8];
    shard.changes.rows.insert(key.clone());
    let value = vec![7; world.random.below(50) as usize];
    shard.state.rows.insert(key, value.into());
}

fn live(world: &mut World, turns: u64, cycling: bool) {
    for _ in 0..turns {
        match world.random.below(8) {
            0 => publish_by_turns(world),
            1 => settle_and_return(world),
            2 => put_row(world),
            3 => world.publish(GROUP),
            4 => world.write(),
            _ if cycling => world.turn().unwrap(),
            _ => world.settle(GROUP),
        }
    }
    world.write();
}

/// A source: only a journal, only segments, or both.
fn source(seed: u64, turns: u64) -> World {
    let mut world = World::new(seed, 1 << 30);
    world.term = 5;
    live(&mut world, turns, seed % 3 != 0);
    if seed % 3 == 1 {
        world.cycle();
    }
    world
}

fn export(world: &World) -> Export {
    let state = world.shards[GROUP as usize].state.clone();
    let position = Position {
        index: state.applied_index,
        term: state.applied_term,
    };
    let conf = conf();
    Export::begin(
        world.store.clone(),
        GROUP,
        state,
        SnapshotMark { position, conf },
    )
}

fn read_all(export: &mut Export) -> Vec<u8> {
    let mut stream = Vec::new();
    loop {
        let chunk = export.read().unwrap();
        assert!(chunk.len() <= CHUNK_SIZE);
        if chunk.is_empty() {
            return stream;
        }
        stream.extend(chunk);
    }
}

fn open(disk: &SimDisk) -> (Arc<Store>, BTreeMap<u32, RecoveredGroup>) {
    let (store, _, groups) = Store::open(Arc::new(disk.clone()), TARGET, options()).unwrap();
    (Arc::new(store), groups)
}

fn take_in(store: &Arc<Store>, stream: &[u8]) -> Result<ShardState, ImportError> {
    let mut import = Import::begin(store.clone(), GROUP);
    import.receive(stream)?;
    import.finish()?;
    Ok(import.state().unwrap())
}

fn segments(disk: &SimDisk) -> usize {
    let names = disk.list().unwrap();
    names
        .iter()
        .filter(|name| name.starts_with("segment-"))
        .count()
}

#[test]
fn what_is_exported_is_imported_to_the_last_record_and_is_there_after_a_restart() {
    for seed in 0..30 {
        let world = source(seed, 300);
        let state = &world.shards[GROUP as usize].state;
        let stream = read_all(&mut export(&world));
        let disk = SimDisk::new(1 << 30);
        let (store, _) = open(&disk);
        let imported = take_in(&store, &stream).unwrap();
        assert_eq!(imported.hash(), state.hash(), "seed {seed}");
        check_messages(&store, GROUP, state);
        drop(store);
        disk.crash(seed);
        let (store, groups) = open(&disk);
        assert_eq!(groups[&GROUP].state.hash(), state.hash(), "seed {seed}");
        assert_eq!(groups[&GROUP].conf, conf().encode());
        check_messages(&store, GROUP, state);
        crate::store_verify::verify(&disk, &mut |_| {}).unwrap();
    }
}

#[test]
fn what_is_settled_and_collected_meanwhile_is_exported_all_the_same() {
    for seed in 0..20 {
        let mut world = source(seed, 200);
        let state = world.shards[GROUP as usize].state.clone();
        let mut export = export(&world);
        let mut stream = Vec::new();
        let mut left = 0;
        loop {
            // Between reads the source lives on: all is settled, journal files retire, segments go.
            for queue in 1..=QUEUES {
                let range = SequenceRange {
                    queue,
                    first: left,
                    last: left + 50,
                    outcome: 0,
                };
                let settled = vec![range];
                world.submit(
                    GROUP,
                    Wave {
                        settled,
                        ..Wave::default()
                    },
                );
            }
            left += 51;
            live(&mut world, 20, true);
            if left == 51 {
                world.cycle();
            }
            let chunk = export.read_up_to(3000).unwrap();
            if chunk.is_empty() {
                break;
            }
            stream.extend(chunk);
        }
        let (store, _) = open(&SimDisk::new(1 << 30));
        let imported = take_in(&store, &stream).unwrap();
        assert_eq!(imported.hash(), state.hash());
        check_messages(&store, GROUP, &state);
        world.check_messages();
    }
}

#[test]
fn what_only_an_export_wanted_is_collected_once_it_is_dropped() {
    let mut world = source(1, 300);
    let export = export(&world);
    for queue in 1..=QUEUES {
        let range = SequenceRange {
            queue,
            first: 0,
            last: u64::MAX - 1,
            outcome: 0,
        };
        let settled = vec![range];
        for group in [0, GROUP] {
            let settled = settled.clone();
            world.submit(
                group,
                Wave {
                    settled,
                    ..Wave::default()
                },
            );
        }
    }
    world.write();
    world.cycle();
    assert!(segments(&world.disk) > 0, "the export wants them");
    drop(export);
    world.cycle();
    assert_eq!(segments(&world.disk), 0);
}

#[test]
fn an_export_says_so_when_its_group_was_replaced() {
    let world = source(4, 200);
    let mut old = export(&world);
    let mut newer = source(4, 300);
    while newer.shards[1].state.applied_index <= world.shards[1].state.applied_index {
        live(&mut newer, 50, true);
    }
    let stream = read_all(&mut export(&newer));
    take_in(&world.store, &stream).unwrap();
    let error = loop {
        match old.read() {
            Ok(chunk) => assert!(!chunk.is_empty(), "it came to its end"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("it was replaced"), "{error}");
}

#[test]
fn any_cut_of_the_stream_is_the_same() {
    let world = source(8, 150);
    let stream = read_all(&mut export(&world));
    for seed in 0..20 {
        let mut random = SplitMix(seed);
        let disk = SimDisk::new(1 << 30);
        let (store, _) = open(&disk);
        let mut import = Import::begin(store.clone(), GROUP);
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let size = random.below(2 + seed * 400) as usize;
            let (part, left) = rest.split_at(size.min(rest.len()));
            import.receive(part).unwrap();
            rest = left;
        }
        import.finish().unwrap();
        let state = &world.shards[GROUP as usize].state;
        assert_eq!(import.state().unwrap().hash(), state.hash());
        check_messages(&store, GROUP, state);
    }
}

#[test]
fn a_flipped_bit_or_a_lost_end_is_refused_and_leaves_nothing() {
    let world = source(2, 60);
    let stream = read_all(&mut export(&world));
    let disk = SimDisk::new(1 << 30);
    let (store, _) = open(&disk);
    let mut random = SplitMix(3);
    for position in (0..stream.len()).filter(|at| *at < 200 || at % 37 == 0) {
        let mut bad = stream.clone();
        bad[position] ^= 1 << random.below(8);
        let refused = take_in(&store, &bad).unwrap_err();
        assert!(matches!(refused, ImportError::Refused(_)), "{refused}");
        let ImportError::Refused(cut) = take_in(&store, &stream[..position]).unwrap_err() else {
            panic!("not refused");
        };
        assert_eq!(cut.what, "its end has not come");
        assert!(cut.position <= position as u64);
    }
    assert_eq!(segments(&disk), 0);
    take_in(&store, &stream).unwrap();
    let before = segments(&disk);
    // Once more is as good, and costs nothing.
    take_in(&store, &stream).unwrap();
    assert_eq!(segments(&disk), before);
    let mut older = World::new(2, 1 << 30);
    older.term = 5;
    live(&mut older, 30, false);
    let older = read_all(&mut export(&older));
    let refused = take_in(&store, &older).unwrap_err().to_string();
    assert!(refused.contains("as of later"), "{refused}");
    check_messages(&store, GROUP, &world.shards[GROUP as usize].state);
}

#[test]
fn what_is_over_or_of_another_group_is_refused() {
    let world = source(2, 60);
    let stream = read_all(&mut export(&world));
    let (store, _) = open(&SimDisk::new(1 << 30));
    let mut other = Import::begin(store.clone(), GROUP + 1);
    let refused = other.receive(&stream).unwrap_err().to_string();
    assert!(refused.contains("of group 1, not 2"), "{refused}");
    let refused = other.receive(b"x").unwrap_err().to_string();
    assert!(refused.contains("the import is over"), "{refused}");
    let mut early = Import::begin(store, GROUP);
    early.receive(&stream[..stream.len() - 1]).unwrap();
    assert!(early.finish().is_err());
    assert!(early.state().is_none());
}

/// A stream whose checksums are right and whose content is not what an export makes.
#[test]
fn a_stream_that_makes_no_sense_is_refused() {
    type Change = fn(&mut StreamHead, &mut Vec<(u8, Bytes, Bytes)>);
    let changes: [(&str, Change); 10] = [
        ("no voters", |head, _| head.conf = Vec::new()),
        ("stands nowhere", |head, _| head.position.index = 0),
        ("another index", |head, _| head.position.index += 1),
        ("fewer queues", |head, _| head.queue_count += 1),
        ("more queues", |head, _| head.queue_count -= 1),
        ("out of its place", |_, records| records.swap(0, 1)),
        ("do not ascend", |_, records| records.swap(1, 2)),
        ("is wanted", |_, records| {
            let at = records.iter().position(|record| record.0 == KIND_FRAME);
            records.remove(at.unwrap());
        }),
        ("is wanted", |_, records| {
            records.pop();
        }),
        ("wanted", |_, records| {
            let frame = records.last().unwrap().clone();
            records.push(frame);
        }),
    ];
    let world = source(2, 60);
    let stream = read_all(&mut export(&world));
    for (words, change) in changes {
        let mut reader = StreamReader::default();
        reader.push(&stream);
        let Some(Item::Head(mut head)) = reader.next().unwrap() else {
            panic!("no head");
        };
        let mut records = Vec::new();
        while let Some(Item::Record { kind, key, content }) = reader.next().unwrap() {
            if kind == KIND_FRAME {
                let messages = record_numbers(&content).unwrap().len() as u64;
                reader.count_frame(messages, content.len());
            }
            records.push((kind, key, content));
        }
        change(&mut head, &mut records);
        let mut writer = StreamWriter::begin(&head);
        for (kind, key, content) in records {
            if kind == KIND_FRAME {
                let messages = record_numbers(&content).unwrap().len() as u64;
                writer
                    .frame(frame_address(&key), messages, content)
                    .unwrap();
            } else {
                writer.record(kind, &key, content).unwrap();
            }
        }
        writer.end();
        let (store, _) = open(&SimDisk::new(1 << 30));
        let refused = take_in(&store, &writer.take(usize::MAX))
            .unwrap_err()
            .to_string();
        assert!(refused.contains(words), "{words}: {refused}");
    }
}
