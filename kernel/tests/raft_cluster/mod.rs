//! Groups of several nodes in one thread: seeded network, disks and crashes, and the invariants that
//! hold at every step. Time is in milliseconds and jumps from event to event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use _kernel::group_record::{GroupRecord, HardState, LogEntry};
use _kernel::raft_conf::Conf;
use _kernel::raft_group::{GroupError, RaftGroup};
use _kernel::raft_log::{entry_kind, Position};
use _kernel::raft_options::GroupOptions;
use _kernel::raft_ready::{PeerMessage, Ready, ReceivedSnapshot, Role};
use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

mod faults;

const TICK_MS: u64 = 100;
/// The last part of a run is without faults: everything must come together again.
const HEALED_MS: u64 = 8_000;

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    pub crashes: bool,
    pub partitions: bool,
    /// Messages leave with flipped bits, and there is no checksum to stop them.
    pub flipped_percent: u64,
    /// The host's mistake that everything else is measured against: saying "persisted" at once.
    pub sent_before_persisted: bool,
}

pub const ALL_FAULTS: Faults = Faults {
    loss_percent: 5,
    duplicate_percent: 2,
    crashes: true,
    partitions: true,
    flipped_percent: 0,
    sent_before_persisted: false,
};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x5DEE_CE66)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % bound
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How many commands were applied, and a hash of all of them in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    count: u64,
    hash: u64,
}

impl State {
    fn encode(self) -> Bytes {
        [self.count.to_le_bytes(), self.hash.to_le_bytes()]
            .concat()
            .into()
    }

    fn decode(data: &[u8]) -> Self {
        // Flipped bits may have cut it.
        let number = |at: usize| {
            let bytes = data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        Self {
            count: number(0),
            hash: number(8),
        }
    }

    fn apply(&mut self, data: &[u8]) {
        let mut hasher = DefaultHasher::new();
        (self.hash, data).hash(&mut hasher);
        self.count += 1;
        self.hash = hasher.finish();
    }
}

/// What a crash leaves.
#[derive(Default)]
struct Disk {
    hard_state: Option<HardState>,
    /// Index to entry, after the checkpoint or the last snapshot.
    entries: BTreeMap<u64, LogEntry>,
    checkpoint: (Position, Conf, State),
}

impl Disk {
    fn write(&mut self, record: &GroupRecord) {
        self.hard_state = record.hard_state.or(self.hard_state);
        for entry in &record.entries {
            self.entries.split_off(&entry.index);
            if entry.kind == entry_kind::SNAPSHOT {
                let snapshot = ReceivedSnapshot::decode(&entry.data).unwrap();
                let state = State::decode(&snapshot.data);
                self.checkpoint = (snapshot.position, snapshot.conf, state);
                self.entries.clear();
            } else {
                self.entries.insert(entry.index, entry.clone());
            }
        }
    }

    /// Entry `index` of `term`, or a state past it, would survive a crash.
    fn holds(&self, index: u64, term: u64) -> bool {
        self.checkpoint.0.index >= index
            || self
                .entries
                .get(&index)
                .is_some_and(|entry| entry.term == term)
    }
}

struct Node {
    peer: u64,
    disk: Disk,
    incarnation: u64,
    group: Option<RaftGroup>,
    /// Records on their way to the disk.
    writing: VecDeque<(u64, Option<GroupRecord>)>,
    written_at: u64,
    applied: u64,
    state: State,
    snapshot_through: u64,
    promised_term: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick {
        peer: u64,
        incarnation: u64,
    },
    Deliver {
        to: u64,
        data: Vec<u8>,
    },
    Written {
        peer: u64,
        incarnation: u64,
        number: u64,
    },
    Propose,
    Fault,
    Restart {
        peer: u64,
    },
    Heal,
}

/// What a run did, for tests that want to be sure that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages: u64,
    pub flipped: u64,
    pub crashes: u64,
    pub elections: u64,
    pub snapshots: u64,
    pub committed: u64,
    pub trace: u64,
}

pub struct Cluster {
    faults: Faults,
    seed: u64,
    random: Random,
    now: u64,
    sequence: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    nodes: BTreeMap<u64, Node>,
    voters: Vec<u64>,
    cut: Vec<(u64, u64)>,
    healed: bool,
    leaders: BTreeMap<u64, u64>,
    committed: BTreeMap<u64, (u64, u64)>,
    pub counts: Counts,
}

/// What was broken, in words.
pub type Violation = String;

/// With flipped bits and no checksum anything may be untrue; only a dead group counts then.
macro_rules! ensure {
    ($faults:expr, $condition:expr, $($words:tt)*) => {
        if !$condition && $faults.flipped_percent == 0 {
            return Err(format!($($words)*));
        }
    };
}

/// What a group refused its host although the host did everything right.
fn wrong(faults: Faults, peer: u64, outcome: Result<(), GroupError>) -> Result<(), Violation> {
    match outcome {
        Err(GroupError::Dead(reason)) => Err(format!("{peer} panicked: {reason}")),
        Err(error) if faults.flipped_percent == 0 => Err(format!("{peer}: {error:?}")),
        _ => Ok(()),
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Cluster {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let voters = vec![11, 22, 33];
        let mut cluster = Self {
            faults,
            seed,
            random: Random::new(seed),
            now: 0,
            sequence: 0,
            events: BinaryHeap::new(),
            nodes: BTreeMap::new(),
            voters: voters.clone(),
            cut: Vec::new(),
            healed: false,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            counts: Counts::default(),
        };
        for peer in voters {
            let conf = Conf::of_voters(&cluster.voters);
            let node = Node {
                peer,
                disk: Disk {
                    checkpoint: (Position::default(), conf, State::default()),
                    ..Disk::default()
                },
                incarnation: 0,
                group: None,
                writing: VecDeque::new(),
                written_at: 0,
                applied: 0,
                state: State::default(),
                snapshot_through: 0,
                promised_term: 0,
            };
            cluster.nodes.insert(peer, node);
            cluster.start(peer).unwrap();
        }
        cluster
    }

    /// Runs for `duration_ms`, the last seconds without faults.
    pub fn run(&mut self, duration_ms: u64) -> Result<(), Violation> {
        assert!(duration_ms > HEALED_MS);
        let heal_at = duration_ms - HEALED_MS;
        let mut at = 50;
        while at < duration_ms - HEALED_MS / 2 {
            self.schedule(at, Event::Propose);
            at += 5 + self.random.below(35);
        }
        let mut at = 2_000;
        while at < heal_at {
            self.schedule(at, Event::Fault);
            at += 300 + self.random.below(2_200);
        }
        self.schedule(heal_at, Event::Heal);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > duration_ms {
                break;
            }
            self.now = at;
            self.handle(event)
                .map_err(|violation| format!("seed {} at {at} ms: {violation}", self.seed))?;
        }
        self.check_converged()
            .map_err(|violation| format!("seed {} at the end: {violation}", self.seed))
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Tick { peer, incarnation } => {
                if self.lives(peer, incarnation) {
                    self.schedule(self.now + TICK_MS, Event::Tick { peer, incarnation });
                    self.act(peer, |group| group.tick().map(|_| ()))?;
                }
            }
            Event::Deliver { to, data } => {
                let data = Bytes::from(data);
                // A flipped sender's name leads to nobody.
                if !self.nodes.contains_key(&to) {
                    return Ok(());
                }
                self.act(to, |group| group.step(&data))?;
            }
            Event::Written {
                peer,
                incarnation,
                number,
            } => {
                if self.lives(peer, incarnation) {
                    self.written(peer, number)?;
                }
            }
            Event::Propose => self.propose()?,
            Event::Fault => self.fault()?,
            Event::Restart { peer } => self.start(peer)?,
            Event::Heal => self.heal()?,
        }
        Ok(())
    }

    fn lives(&self, peer: u64, incarnation: u64) -> bool {
        let node = &self.nodes[&peer];
        node.group.is_some() && node.incarnation == incarnation
    }

    fn node(&mut self, peer: u64) -> &mut Node {
        self.nodes.get_mut(&peer).unwrap()
    }

    /// Starts a node from its disk.
    fn start(&mut self, peer: u64) -> Result<(), Violation> {
        let faults = self.faults;
        let seed = self.seed;
        let now = self.now;
        let first_tick = now + self.random.below(TICK_MS);
        let node = self.node(peer);
        if node.group.is_some() {
            return Ok(());
        }
        let (applied, conf, state) = node.disk.checkpoint.clone();
        let mut options = GroupOptions::new(peer, 1, &[], seed);
        options.conf = conf;
        options.applied = applied;
        options.hard_state = node.disk.hard_state;
        options.entries = node.disk.entries.values().cloned().collect();
        options.snapshot_ticks_max = 10;
        let group = RaftGroup::new(options).map_err(|error| format!("{peer}: {error:?}"))?;
        ensure!(
            faults,
            group.term() >= node.promised_term,
            "{peer} promised term {} and came back in {}",
            node.promised_term,
            group.term()
        );
        node.incarnation += 1;
        let incarnation = node.incarnation;
        node.group = Some(group);
        node.writing.clear();
        node.written_at = now;
        node.applied = applied.index;
        node.state = state;
        node.snapshot_through = 0;
        self.schedule(first_tick, Event::Tick { peer, incarnation });
        self.pump(peer)
    }

    /// Does something with a node's group, and then whatever it wants done. A refusal is an answer.
    fn act(
        &mut self,
        peer: u64,
        call: impl FnOnce(&mut RaftGroup) -> Result<(), GroupError>,
    ) -> Result<(), Violation> {
        let Some(group) = &mut self.node(peer).group else {
            return Ok(());
        };
        if let Err(GroupError::Dead(reason)) = call(group) {
            return Err(format!("{peer} panicked: {reason}"));
        }
        self.pump(peer)
    }

    fn pump(&mut self, peer: u64) -> Result<(), Violation> {
        let faults = self.faults;
        loop {
            let Some(group) = &mut self.node(peer).group else {
                return Ok(());
            };
            let Some(ready) = group.ready().map_err(|error| format!("{error:?}"))? else {
                return self.offer_wanted_snapshot(peer);
            };
            let term = group.term();
            if ready.role.is_some_and(|change| change.role == Role::Leader) {
                self.counts.elections += 1;
                let leader = *self.leaders.entry(term).or_insert(peer);
                ensure!(
                    faults,
                    leader == peer,
                    "{leader} and {peer} lead term {term}"
                );
            }
            self.serve(peer, ready)?;
        }
    }

    fn serve(&mut self, peer: u64, ready: Ready) -> Result<(), Violation> {
        self.send(peer, ready.messages);
        if ready.record.is_some() {
            let delay = 1 + self.random.below(8);
            let early = self.faults.sent_before_persisted;
            let now = self.now;
            let node = self.node(peer);
            node.written_at = node.written_at.max(now + delay);
            node.writing.push_back((ready.number, ready.record));
            let written = Event::Written {
                peer,
                incarnation: node.incarnation,
                number: ready.number,
            };
            let at = node.written_at;
            self.schedule(at, written);
            if early {
                let messages = self.persisted(peer, ready.number)?;
                self.send(peer, messages);
            }
        }
        if let Some(snapshot) = &ready.snapshot {
            self.counts.snapshots += 1;
            let node = self.node(peer);
            node.state = State::decode(&snapshot.data);
            node.applied = snapshot.position.index;
            node.snapshot_through = snapshot.position.index;
        }
        for entry in &ready.committed {
            self.apply(peer, entry)?;
        }
        if let Some(last) = ready.committed.last() {
            let group = self.node(peer).group.as_mut().unwrap();
            let outcome = group.on_applied(last.index);
            wrong(self.faults, peer, outcome)?;
        }
        Ok(())
    }

    fn persisted(&mut self, peer: u64, number: u64) -> Result<Vec<PeerMessage>, Violation> {
        let group = self.node(peer).group.as_mut().unwrap();
        group
            .on_persisted(number)
            .map_err(|error| format!("{peer} persisted: {error:?}"))
    }

    /// The disk has the records through ready `number`.
    fn written(&mut self, peer: u64, number: u64) -> Result<(), Violation> {
        let node = self.node(peer);
        while node
            .writing
            .front()
            .is_some_and(|(written, _)| *written <= number)
        {
            if let Some((_, Some(record))) = node.writing.pop_front() {
                node.disk.write(&record);
            }
        }
        if !self.faults.sent_before_persisted {
            let messages = self.persisted(peer, number)?;
            self.send(peer, messages);
        }
        let node = self.node(peer);
        let through = node.snapshot_through;
        let group = node.group.as_mut().unwrap();
        if through > 0 && group.status().persisted >= through {
            node.snapshot_through = 0;
            if group.status().applied < through {
                let outcome = group.on_applied(through);
                wrong(self.faults, peer, outcome)?;
            }
        }
        self.pump(peer)?;
        self.maybe_checkpoint(peer);
        Ok(())
    }

    fn apply(&mut self, peer: u64, entry: &LogEntry) -> Result<(), Violation> {
        let faults = self.faults;
        let node = self.node(peer);
        ensure!(
            faults,
            entry.index == node.applied + 1,
            "{peer} was given {} after {}",
            entry.index,
            node.applied
        );
        node.applied = entry.index;
        if entry.kind == entry_kind::NORMAL && !entry.data.is_empty() {
            node.state.apply(&entry.data);
        }
        let identity = (entry.term, hash_of(&entry.data));
        if let Some(known) = self.committed.get(&entry.index) {
            ensure!(
                faults,
                *known == identity,
                "{peer} diverged at {}",
                entry.index
            );
            return Ok(());
        }
        // Ask the disks, not the code.
        let durable = self.nodes.values();
        let copies = durable.filter(|node| node.disk.holds(entry.index, entry.term));
        ensure!(
            faults,
            copies.count() * 2 > self.voters.len(),
            "{peer} committed {} without a majority of disks",
            entry.index
        );
        self.committed.insert(entry.index, identity);
        self.counts.committed += 1;
        self.counts.trace = hash_of((self.counts.trace, entry.index, identity));
        Ok(())
    }

    fn maybe_checkpoint(&mut self, peer: u64) {
        let early = self.random.below(40) > 0;
        let node = self.node(peer);
        let group = node.group.as_mut().unwrap();
        if early || node.disk.checkpoint.0.index + 20 > group.status().applied {
            return;
        }
        let Ok(mark) = group.mark_snapshot() else {
            return; // one is being installed
        };
        assert_eq!(mark.position().index, node.applied);
        let after = node.disk.entries.split_off(&(node.applied + 1));
        node.disk.entries = after;
        node.disk.checkpoint = (mark.position(), mark.conf().clone(), node.state);
        group.offer_snapshot(&mark, node.state.encode()).unwrap();
        group.compact(mark.position().index - 5).unwrap();
    }

    fn offer_wanted_snapshot(&mut self, peer: u64) -> Result<(), Violation> {
        let node = self.node(peer);
        let group = node.group.as_mut().unwrap();
        if group.take_snapshot_wanted().is_some() {
            if let Ok(mark) = group.mark_snapshot() {
                let outcome = group.offer_snapshot(&mark, node.state.encode());
                wrong(self.faults, peer, outcome)?;
            }
        }
        Ok(())
    }

    fn propose(&mut self) -> Result<(), Violation> {
        let size = 1 + self.random.below(200) as usize;
        let number = self.sequence;
        let mut data = vec![0; size];
        data.extend_from_slice(&number.to_le_bytes());
        let data = Bytes::from(data);
        for peer in self.voters.clone() {
            let leading = |node: &Node| node.group.as_ref().is_some_and(RaftGroup::is_leading);
            if leading(&self.nodes[&peer]) {
                let data = data.clone();
                self.act(peer, |group| group.propose(data).map(|_| ()))?;
            }
        }
        Ok(())
    }

    fn check_converged(&self) -> Result<(), Violation> {
        let faults = self.faults;
        let mut states = Vec::new();
        for node in self.nodes.values() {
            let Some(group) = &node.group else {
                return Err(format!("{} is down", node.peer));
            };
            ensure!(faults, group.leader() != 0, "{} knows no leader", node.peer);
            states.push((node.applied, node.state));
        }
        ensure!(
            faults,
            states.iter().all(|state| *state == states[0]),
            "not the same everywhere: {states:?}"
        );
        Ok(())
    }
}
