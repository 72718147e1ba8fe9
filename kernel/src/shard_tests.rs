//! A logged shard against a plain model, with crashes: what was committed is all there, in order, once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::group_record::{GroupRecord, HardState, LogEntry};
use crate::message_run::{flags, Facts, MessageRun, Origin, NO_EXPIRATION};
use crate::pending_wave::{Share, Target, Targets, Wanted};
use crate::raft_group::RaftGroup;
use crate::raft_options::GroupOptions;
use crate::record_batch::{self, Retained};
use crate::run_builder::RunBuilder;
use crate::shard::Shard;
use crate::shard_ready::Taken;
use crate::shard_state::{decode_queue, encode_queue, Changes, ShardState};
use crate::wave::{Outcome, Sender, Wave};

mod dead_letters;
mod leading;

const ME: Sender = Sender {
    peer: 7,
    incarnation: 1,
};
const QUEUE: u64 = 11;
const OTHER: u64 = 12;

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }
}

fn run_of(bodies: &[String], keys: u32) -> Arc<MessageRun> {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    for (i, body) in bodies.iter().enumerate() {
        let key = builder.key(b"x", format!("k{}", i as u32 % keys).as_bytes());
        let facts = Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 0,
            flags: 1,
        };
        builder.push(key, &[0, 0], body.as_bytes(), facts);
    }
    Arc::new(builder.finish())
}

fn to(queues: &[u64]) -> Targets {
    Arc::new(queues.iter().map(|queue| Target::of(*queue)).collect())
}

fn bodies(taken: &Taken) -> Vec<(String, bool)> {
    let parts = taken.deliveries.parts.iter();
    let all = parts.flat_map(|p| {
        let bodies = (p.first..p.first + p.count).map(|i| p.messages.body(i as usize).to_vec());
        bodies.map(|b| (String::from_utf8(b).unwrap(), p.redelivered))
    });
    all.collect()
}

/// A disk that keeps records whole, and the shard over it.
struct Node {
    shard: Shard,
    disk: Vec<GroupRecord>,
    unsynced: VecDeque<GroupRecord>,
    writes: u64,
}

impl Node {
    fn begin(disk: Vec<GroupRecord>) -> Self {
        Self::begin_with(disk, GroupOptions::new(ME.peer, 3, &[ME.peer], 5))
    }

    fn begin_with(disk: Vec<GroupRecord>, options: GroupOptions) -> Self {
        let mut hard_state: Option<HardState> = None;
        let mut entries: Vec<LogEntry> = Vec::new();
        for record in &disk {
            hard_state = record.hard_state.or(hard_state);
            for entry in &record.entries {
                entries.retain(|e| e.index < entry.index);
                entries.push(entry.clone());
            }
        }
        let options = GroupOptions {
            hard_state,
            entries,
            ..options
        };
        let group = RaftGroup::new(options).unwrap();
        let shard = Shard::new(3, ME, ShardState::default(), Some(group), 1 << 30);
        let mut node = Self {
            shard,
            disk,
            unsynced: VecDeque::new(),
            writes: 0,
        };
        let record = node.shard.campaign().unwrap();
        node.write(record);
        while !node.shard.is_serving() {
            node.sync();
        }
        node
    }

    fn write(&mut self, record: Option<GroupRecord>) {
        if let Some(record) = record {
            self.writes += 1;
            self.unsynced.push_back(record);
            self.shard.written(self.writes);
        }
    }

    fn propose(&mut self) {
        let record = self.shard.propose(1000);
        self.write(record);
    }

    fn sync(&mut self) {
        self.disk.extend(self.unsynced.drain(..));
        let record = self.shard.receive_synced(self.writes);
        self.write(record);
    }

    fn settled(&mut self) {
        while self.shard.has_pending() || !self.unsynced.is_empty() {
            self.propose();
            self.sync();
        }
    }
}

/// What a client saw of one queue, and what the shard owes it for that.
#[derive(Default)]
struct History {
    sent: u64,
    committed: u64,
    /// (command, messages sent with it and before).
    numbers: VecDeque<(u64, u64)>,
    /// Checked out, by sequence.
    out: BTreeMap<u64, String>,
    settling: Vec<String>,
    /// Known to be committed as settled.
    settled: BTreeSet<String>,
}

impl History {
    fn publish(&mut self, node: &mut Node, count: u64, keys: u32) {
        let texts: Vec<String> = (self.sent..self.sent + count)
            .map(|i| format!("{i:06}"))
            .collect();
        self.sent += count;
        let run = run_of(&texts, keys);
        let routes = vec![to(&[QUEUE]); run.dictionary.len()];
        let (number, rejected) = node.shard.publish(&run, &routes, &[]);
        assert!(rejected.is_empty());
        self.numbers.push_back((number, self.sent));
    }

    fn take(&mut self, node: &mut Node, count: u64) {
        let taken = node.shard.take(QUEUE, count, 1 << 20);
        let sequences = taken.ranges.iter().flat_map(|(a, z)| *a..=*z);
        for (sequence, (text, _)) in sequences.zip(bodies(&taken)) {
            assert!(!self.settled.contains(&text), "{text} after its settle");
            assert_eq!(sequence, text.parse::<u64>().unwrap(), "order");
            assert!(self.out.insert(sequence, text).is_none());
        }
    }

    fn end(&mut self, node: &mut Node, give_back: bool) {
        let Some((sequence, text)) = self.out.pop_first() else {
            return;
        };
        if give_back {
            node.shard.give_back(QUEUE, sequence, sequence);
        } else {
            node.shard
                .settle(QUEUE, sequence, sequence, Outcome::Accepted);
            self.settling.push(text);
        }
    }

    fn crash(&mut self, node: Node) -> Node {
        let node = Node::begin(node.disk);
        self.out.clear();
        self.settling.clear();
        self.numbers.clear();
        let state = &node.shard.state().queues[&QUEUE];
        assert!(state.next_sequence >= self.committed, "lost");
        self.sent = state.next_sequence;
        self.committed = self.sent;
        node
    }

    fn note_applied(&mut self, node: &mut Node) {
        let Some(effects) = node.shard.take_effects() else {
            return;
        };
        let mine = effects.applied.iter().filter(|(sender, _)| *sender == ME);
        let through = mine.map(|(_, number)| *number).max();
        while self
            .numbers
            .front()
            .is_some_and(|(number, _)| Some(*number) <= through)
        {
            self.committed = self.numbers.pop_front().unwrap().1;
        }
    }
}

#[test]
fn what_is_committed_survives_in_order_and_once() {
    for seed in 0..60 {
        let mut draw = Draw(seed);
        let mut node = Node::begin(Vec::new());
        node.shard.create_queue(QUEUE);
        node.shard.create_queue(OTHER);
        node.settled();
        let mut history = History::default();
        for _ in 0..120 {
            match draw.below(9) {
                0..=2 => history.publish(&mut node, 1 + draw.below(6), 1 + draw.below(2) as u32),
                3 => node.propose(),
                4 => node.sync(),
                5 | 6 => history.take(&mut node, 1 + draw.below(5)),
                7 => history.end(&mut node, draw.below(3) == 0),
                _ if draw.below(6) == 0 => node = history.crash(node),
                _ => {
                    node.settled();
                    history.settled.extend(history.settling.drain(..));
                }
            }
            history.note_applied(&mut node);
        }
        replay_gives_the_same_hash(&mut node, seed);
    }
}

/// Every wave on a fresh state, from its bytes.
fn replay_gives_the_same_hash(node: &mut Node, seed: u64) {
    node.settled();
    let mut state = ShardState::default();
    let mut changes = Changes::default();
    let through = node.shard.state().applied_index;
    for record in &node.disk {
        for entry in record.entries.iter().filter(|e| e.index <= through) {
            if entry.data.is_empty() {
                state.applied_index = entry.index;
                state.applied_term = entry.term;
                continue;
            }
            let wave = Wave::decode(&entry.data).unwrap();
            state.apply(entry.index, entry.term, &wave, &mut changes);
        }
    }
    assert_eq!(state.hash(), node.shard.state().hash(), "seed {seed}");
    let queue = &state.queues[&QUEUE];
    let mut bytes = Vec::new();
    encode_queue(queue, &mut bytes);
    assert_eq!(&decode_queue(&bytes).unwrap(), queue);
    for cut in 0..bytes.len() {
        assert!(decode_queue(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_returned_message_comes_first_and_is_flagged() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    shard.publish(
        &run_of(&["a".into(), "b".into(), "c".into()], 1),
        &[to(&[QUEUE])],
        &[],
    );
    shard.propose(5);
    let taken = shard.take(QUEUE, 2, 1 << 20);
    assert_eq!(bodies(&taken), [("a".into(), false), ("b".into(), false)]);
    shard.give_back(QUEUE, 0, 1);
    shard.propose(5);
    let taken = shard.take(QUEUE, 9, 1 << 20);
    assert_eq!(
        bodies(&taken),
        [("a".into(), true), ("b".into(), true), ("c".into(), false)]
    );
    shard.settle(QUEUE, 0, 2, Outcome::Accepted);
    shard.propose(6);
    assert_eq!((shard.memory_size(), shard.counts(QUEUE)), (0, (0, 0, 0)));
}

#[test]
fn who_lost_messages_to_somebody_else_may_settle_them_and_gives_nothing_back() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    let texts = ["a", "b", "c", "d"].map(String::from);
    shard.publish(&run_of(&texts, 1), &[to(&[QUEUE])], &[]);
    shard.propose(5);
    shard.take(QUEUE, 3, 1 << 20);
    shard.give_back(QUEUE, 0, 2);
    shard.give_back(QUEUE, 0, 3);
    assert_eq!(shard.counts(QUEUE), (4, 0, 0));
    shard.settle(QUEUE, 1, 1, Outcome::Accepted);
    assert_eq!(shard.counts(QUEUE), (3, 1, 0));
    let taken = shard.take(QUEUE, 9, 1 << 20);
    assert_eq!(taken.ranges, [(0, 0), (2, 3)]);
    shard.propose(6);
    assert_eq!(shard.counts(QUEUE), (0, 3, 0));
}

#[test]
fn what_is_being_settled_by_somebody_else_does_not_come_back() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    let texts = ["a", "b", "c", "d"].map(String::from);
    shard.publish(&run_of(&texts, 1), &[to(&[QUEUE])], &[]);
    shard.propose(5);
    shard.take(QUEUE, 4, 1 << 20);
    shard.settle(QUEUE, 1, 1, Outcome::Accepted);
    shard.settle(QUEUE, 2, 2, Outcome::Rejected);
    shard.give_back(QUEUE, 0, 3);
    assert_eq!(shard.counts(QUEUE), (2, 2, 0));
    let taken = shard.take(QUEUE, 9, 1 << 20);
    assert_eq!(taken.ranges, [(0, 0), (3, 3)]);
    shard.propose(6);
    assert_eq!(shard.counts(QUEUE), (0, 2, 0));
    shard.give_back(QUEUE, 0, 3);
    assert_eq!(shard.counts(QUEUE), (2, 0, 0));
}

#[test]
fn small_runs_of_one_key_become_one_frame_and_keep_their_order() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    shard.create_queue(OTHER);
    let targets = to(&[QUEUE, OTHER]);
    for i in 0..50 {
        shard.publish(
            &run_of(&[format!("{i:02}")], 1),
            std::slice::from_ref(&targets),
            &[],
        );
    }
    shard.propose(5);
    for queue in [QUEUE, OTHER] {
        assert_eq!(shard.state().queues[&queue].slices().count(), 1);
        let taken = shard.take(queue, 99, 1 << 20);
        let expected: Vec<_> = (0..50).map(|i| (format!("{i:02}"), false)).collect();
        assert_eq!(bodies(&taken), expected);
    }
}

#[test]
fn a_full_queue_rejects_the_rest_of_a_run() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    let target = Target {
        room: 2,
        ..Target::of(QUEUE)
    };
    let run = run_of(&["a".into(), "b".into(), "c".into(), "d".into()], 1);
    let (_, rejected) = shard.publish(&run, &[Arc::new(vec![target])], &[]);
    assert_eq!(rejected, [2, 3]);
    shard.propose(1);
    assert_eq!(shard.counts(QUEUE).0, 2);
}

/// A run of one key; a message that begins with `p` is persistent.
fn mixed(bodies: &[&str]) -> Arc<MessageRun> {
    let mut builder = RunBuilder::new(Origin::Mqtt);
    let key = builder.key(b"amq.topic", b"a/b");
    for body in bodies {
        let persistent = u8::from(body.starts_with('p')) * flags::PERSISTENT;
        let facts = Facts {
            expiration_ms: NO_EXPIRATION,
            priority: 0,
            flags: persistent,
        };
        builder.push(key, b"", body.as_bytes(), facts);
    }
    Arc::new(builder.finish())
}

#[test]
fn a_run_that_reaches_other_shards_too_leaves_here_only_what_is_for_this_one() {
    let mut node = Node::begin(Vec::new());
    for queue in [QUEUE, OTHER] {
        node.shard.create_queue(queue);
    }
    let texts: Vec<String> = (0..9).map(|i| format!("{i}")).collect();
    let run = run_of(&texts, 3);
    let bounded = Target {
        room: 2,
        ..Target::of(QUEUE)
    };
    let nowhere: Targets = Arc::new(Vec::new());
    let routes = [to(&[OTHER]), nowhere.clone(), Arc::new(vec![bounded])];
    let (_, rejected) = node.shard.publish(&run, &routes, &[]);
    assert_eq!(rejected, [8], "told by its place in the whole run");
    let (_, rejected) = node.shard.publish(&run, &vec![nowhere; 3], &[]);
    assert!(rejected.is_empty());
    node.settled();
    let entries = node.disk.iter().flat_map(|record| &record.entries);
    let frames = frames_of(entries.last().unwrap());
    assert_eq!(frames.len(), 1);
    let written = &frames[0].as_ref().unwrap().run;
    let bodies: Vec<&[u8]> = (0..written.entries.len())
        .map(|i| written.body(i))
        .collect();
    assert_eq!(bodies, [b"0", b"2", b"3", b"5", b"6", b"8"]);
}

#[test]
fn targets_that_want_a_kind_get_it_also_when_small_runs_are_joined() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    shard.create_queue(OTHER);
    let of = |queue, wanted| Target {
        wanted,
        ..Target::of(queue)
    };
    let targets = Arc::new(vec![
        of(QUEUE, Wanted::Persistent),
        of(OTHER, Wanted::Transient),
    ]);
    let runs: [&[&str]; 7] = [
        &["p0"],
        &["p1", "p2"],
        &["t3"],
        &["t4"],
        &["p5", "t6"],
        &["p7"],
        &["p8"],
    ];
    for run in runs {
        shard.publish(&mixed(run), std::slice::from_ref(&targets), &[]);
    }
    shard.propose(1);
    let texts = |taken: &Taken| {
        bodies(taken)
            .into_iter()
            .map(|(b, _)| b)
            .collect::<Vec<_>>()
    };
    let persistent = shard.take(QUEUE, 99, 1 << 20);
    assert_eq!(texts(&persistent), ["p0", "p1", "p2", "p5", "p7", "p8"]);
    assert_eq!(shard.state().queues[&QUEUE].slices().count(), 3);
    let transient = shard.take(OTHER, 99, 1 << 20);
    assert_eq!(texts(&transient), ["t3", "t4", "t6"]);
}

#[test]
fn members_that_share_take_turns_from_where_they_are_told() {
    let mut shard = Shard::volatile(0, ME);
    for queue in [QUEUE, OTHER] {
        shard.create_queue(queue);
    }
    let of = |queue, member| Target {
        share: Some(Share { member, members: 2 }),
        ..Target::of(queue)
    };
    let targets = Arc::new(vec![of(QUEUE, 0), of(OTHER, 1)]);
    shard.publish(
        &mixed(&["0", "1", "2"]),
        std::slice::from_ref(&targets),
        &[4],
    );
    shard.publish(&mixed(&["3", "4"]), std::slice::from_ref(&targets), &[7]);
    shard.propose(1);
    let texts = |taken: &Taken| {
        bodies(taken)
            .into_iter()
            .map(|(b, _)| b)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&shard.take(QUEUE, 99, 1 << 20)), ["0", "2", "4"]);
    assert_eq!(texts(&shard.take(OTHER, 99, 1 << 20)), ["1", "3"]);
}

#[test]
fn what_expired_leaves_from_the_head_only() {
    let mut shard = Shard::volatile(0, ME);
    shard.create_queue(QUEUE);
    let target = Target {
        ttl_ms: 100,
        ..Target::of(QUEUE)
    };
    let targets: Targets = Arc::new(vec![target]);
    shard.publish(
        &run_of(&["a".into(), "b".into()], 1),
        std::slice::from_ref(&targets),
        &[],
    );
    shard.propose(1000);
    shard.publish(&run_of(&["c".into()], 1), &[targets], &[]);
    shard.propose(1050);
    assert_eq!(shard.head_expires_ms(QUEUE), 1100);
    assert_eq!(shard.check_out_expired(QUEUE, 1099, 9), []);
    assert_eq!(shard.check_out_expired(QUEUE, 1100, 9), [(0, 1)]);
    assert_eq!(shard.head_expires_ms(QUEUE), 1150);
}

/// A durable queue of `count` messages of 500 bytes, far more than fit in memory.
fn backlog(count: usize) -> Node {
    let mut node = Node::begin(Vec::new());
    node.shard.cache_budget = 16 << 10;
    node.shard.create_queue(QUEUE);
    node.shard.reserve_mark(QUEUE);
    for number in 0..count {
        let body = format!("{number:0>500}");
        node.shard
            .publish(&run_of(&[body], 1), &[to(&[QUEUE])], &[]);
        node.settled();
    }
    node
}

/// Carries out the reads that are wanted; false: none were.
fn read_wanted(node: &mut Node) -> bool {
    let wanted = node.shard.take_wanted_reads();
    let entries = node.disk.iter().flat_map(|record| &record.entries);
    let reads: Vec<_> = entries
        .filter(|entry| wanted.contains(&entry.index))
        .map(|entry| (entry.index, frames_of(entry)))
        .collect();
    node.shard.receive_reads(reads);
    !wanted.is_empty()
}

#[test]
fn a_backlog_beyond_the_cache_is_read_back_in_few_batches() {
    const COUNT: usize = 64;
    let mut node = backlog(COUNT);
    let (mut got, mut batches) = (Vec::new(), 0);
    while got.len() < COUNT {
        let taken = node.shard.take(QUEUE, 1000, 1 << 20);
        got.extend(bodies(&taken).into_iter().map(|(body, _)| body));
        if !read_wanted(&mut node) {
            node.settled();
            continue;
        }
        batches += 1;
        assert!(batches < COUNT / 4, "{} of {COUNT} so far", got.len());
    }
    assert!(got.is_sorted());
}

fn frames_of(entry: &LogEntry) -> Vec<Option<Retained>> {
    let wave = Wave::decode(&entry.data).unwrap();
    let frames = wave.frames.iter().map(|frame| {
        let (start, size) = (frame.start as usize, frame.size as usize);
        let run = record_batch::decode(&entry.data, start, size).unwrap();
        let numbers = (0..run.entries.len() as u32).collect();
        Some(Retained { run, numbers })
    });
    frames.collect()
}
