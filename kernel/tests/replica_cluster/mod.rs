//! Nodes with one replica each, fronts that number what they publish, and a consumer wherever a replica serves; and
//! the laws that hold at every step. Time is in milliseconds.

use std::collections::{BTreeMap, BTreeSet};

use _kernel::group_record::GroupRecord;
use _kernel::raft_conf::ConfChange;
use _kernel::raft_ready::{ReceivedSnapshot, Status};
use _kernel::sim_disk::SplitMix;
use _kernel::wave::{Outcome, Sender};
use bytes::Bytes;

mod front;
mod node;
mod snapshots;

use front::{run_of, to, Front};
use node::Node;
use snapshots::Offer;

pub const GROUP: u32 = 3;
pub const QUEUES: [u64; 2] = [11, 12];
/// Those that found the group, and one that is taken in later.
const FOUNDERS: [u64; 3] = [101, 202, 303];
const NEWCOMER: u64 = 404;
const PEERS: [u64; 4] = [101, 202, 303, NEWCOMER];
const TICK_MS: u64 = 50;
/// The last part of a run is without faults and new commands: everything must come together again.
const HEALED_MS: u64 = 6_000;

/// What a run did, for tests that want to be sure that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub crashes: u64,
    pub terms_served: u64,
    pub acknowledged: u64,
    /// Commands that were taken in by more than one leader.
    pub again: u64,
    /// Entries read back from a journal or a segment.
    pub reads: u64,
    pub checkpoints: u64,
    pub conf_changes: u64,
    pub redelivered: u64,
    pub snapshots: u64,
    /// Imported before, and told to Raft by a later message.
    pub resumed: u64,
    pub hash: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.terms_served += other.terms_served;
        self.acknowledged += other.acknowledged;
        self.again += other.again;
        self.reads += other.reads;
        self.checkpoints += other.checkpoints;
        self.conf_changes += other.conf_changes;
        self.redelivered += other.redelivered;
        self.snapshots += other.snapshots;
        self.resumed += other.resumed;
    }
}

/// What was broken, in words.
pub type Law = Result<(), String>;

pub struct Cluster {
    random: SplitMix,
    now: u64,
    /// A sync is reported before it is done.
    lies: bool,
    nodes: BTreeMap<u64, Node>,
    fronts: BTreeMap<u64, Front>,
    wire: BTreeMap<(u64, u64), (u64, Vec<u8>)>,
    sent: u64,
    cut: BTreeSet<(u64, u64)>,
    offers: Vec<Offer>,
    /// Messages with snapshots that did not arrive, and whom they were for.
    lost: Vec<(u64, Bytes)>,
    founded: bool,
    healed: bool,
    /// Hash of the state at each applied index.
    hashes: BTreeMap<u64, u64>,
    /// Who served in a term.
    served: BTreeMap<u64, u64>,
    /// Bodies by queue and sequence, as delivered first.
    delivered: BTreeMap<(u64, u64), String>,
    /// Bodies whose fronts were told that they are in.
    acknowledged: BTreeSet<String>,
    pub counts: Counts,
}

impl Cluster {
    pub fn new(seed: u64, lies: bool) -> Self {
        let mut nodes = BTreeMap::new();
        let mut fronts = BTreeMap::new();
        for peer in PEERS {
            nodes.insert(peer, Node::new(peer));
            fronts.insert(peer, Front::new(peer, 1));
        }
        let mut cluster = Self {
            random: SplitMix(seed),
            now: 0,
            lies,
            nodes,
            fronts,
            wire: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            offers: Vec::new(),
            lost: Vec::new(),
            founded: false,
            healed: false,
            hashes: BTreeMap::new(),
            served: BTreeMap::new(),
            delivered: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            counts: Counts::default(),
        };
        for peer in PEERS {
            cluster.node(peer).start(voters_of(peer)).unwrap();
        }
        cluster
    }

    fn node(&mut self, peer: u64) -> &mut Node {
        self.nodes.get_mut(&peer).unwrap()
    }

    fn any_peer(&mut self) -> u64 {
        PEERS[self.random.below(4) as usize]
    }

    pub fn run(&mut self, duration_ms: u64) -> Law {
        while self.now < duration_ms {
            self.now += 1;
            let healed = self.now >= duration_ms - HEALED_MS;
            if healed && !self.healed {
                self.heal()?;
            }
            self.step()
                .map_err(|what| format!("at {} ms: {what}", self.now))?;
        }
        self.check_end()
    }

    fn step(&mut self) -> Law {
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, data) = entry.remove();
            self.deliver(to, data)?;
        }
        self.report_lost()?;
        for peer in PEERS {
            let due = (self.now + peer) % TICK_MS == 0;
            let random = self.random.next_u64();
            if self.nodes[&peer].is_up() {
                if due {
                    self.act(peer, |node| node.shard().tick())?;
                }
                self.disk(peer, random)?;
                self.offer(peer)?;
                self.work(peer, random >> 16)?;
            } else if self.now >= self.nodes[&peer].restart_at {
                self.restart(peer)?;
            }
        }
        let founded = |peer: &u64| self.nodes[peer].applied().0 > 1;
        self.founded = self.founded || FOUNDERS.iter().all(founded);
        if self.founded && !self.healed && self.random.chance(400) {
            self.fault()?;
        }
        Ok(())
    }

    fn deliver(&mut self, to: u64, data: Vec<u8>) -> Law {
        if !self.nodes[&to].is_up() {
            self.lose(to, data);
            return Ok(());
        }
        let message = Bytes::from(data);
        if ReceivedSnapshot::in_message(&message).is_some() {
            return self.receive_snapshot(to, &message);
        }
        self.act(to, |node| node.shard().step(&message).unwrap_or(None))
    }

    /// Calls a replica, and does what it wants done.
    fn act(&mut self, peer: u64, call: impl FnOnce(&mut Node) -> Option<GroupRecord>) -> Law {
        let node = self.node(peer);
        let record = call(node);
        node.write(record);
        self.listen(peer)
    }

    fn listen(&mut self, peer: u64) -> Law {
        let shard = self.node(peer).shard();
        if let Some(reason) = shard.dead() {
            return Err(format!("{peer} is dead: {reason}"));
        }
        let messages = shard.take_messages();
        let effects = shard.take_replica_effects();
        shard.take_effects();
        for message in messages {
            self.send(peer, message.to, message.data());
        }
        let Some(effects) = effects else {
            return Ok(());
        };
        if let Some(standing) = effects.standing {
            self.node(peer).held.clear();
            self.node(peer).founding = false;
            if standing.serving {
                self.counts.terms_served += 1;
                let before = self.served.insert(standing.term, peer);
                if before.is_some_and(|before| before != peer) {
                    return Err(format!("two served in term {}", standing.term));
                }
            }
        }
        let fronts: Vec<u64> = self.fronts.keys().copied().collect();
        for front in fronts {
            let through = effects.applied.get(&self.fronts[&front].sender);
            self.tell(front, through.copied().unwrap_or(0));
        }
        self.check_state(peer)
    }

    /// A replica that serves has applied what a front said through this number.
    fn tell(&mut self, front: u64, through: u64) {
        let front = self.fronts.get_mut(&front).unwrap();
        let told = front.receive_applied(through);
        self.counts.acknowledged += told.len() as u64;
        self.acknowledged.extend(told);
    }

    fn send(&mut self, from: u64, to: u64, data: Vec<u8>) {
        let lost = self.cut.contains(&(from, to)) || (!self.healed && self.random.chance(30));
        if lost {
            self.lose(to, data);
            return;
        }
        let late = if self.random.chance(100) { 300 } else { 0 };
        let mut delays = vec![1 + self.random.below(8) + late];
        if !self.healed && self.random.chance(50) {
            delays.push(1 + self.random.below(300));
        }
        for delay in delays {
            self.sent += 1;
            let at = (self.now + delay, self.sent);
            self.wire.insert(at, (to, data.clone()));
        }
    }

    fn disk(&mut self, peer: u64, random: u64) -> Law {
        let now = self.now;
        let lies = self.lies;
        let node = self.node(peer);
        if let Some(write) = node.write_step(now, random, lies) {
            self.act(peer, |node| node.shard().receive_synced(write))?;
        }
        self.cycle(peer, random)
    }

    /// Checkpoints and sealing.
    fn cycle(&mut self, peer: u64, random: u64) -> Law {
        let node = self.node(peer);
        if random % 300 == 7 {
            node.begin_cycle();
        }
        let finished = node.cycle_step()?;
        self.counts.checkpoints += u64::from(finished);
        Ok(())
    }

    /// What fronts and consumers do.
    fn work(&mut self, peer: u64, random: u64) -> Law {
        if !self.healed && random % 40 == 0 {
            let queue = QUEUES[(random >> 8) as usize % 2];
            let size = (random >> 10) as usize % 600;
            self.fronts.get_mut(&peer).unwrap().publish(queue, size);
        }
        if !self.nodes[&peer].is_serving() {
            return Ok(());
        }
        let from = PEERS[(random >> 24) as usize % 4];
        if self.has_queues(peer) {
            self.forward(from, peer);
        }
        if (random >> 32) % 8 == 0 {
            self.consume(peer, random >> 40)?;
        }
        let now = self.now;
        self.act(peer, |node| node.shard().propose(now))
    }

    /// The first leader creates the queues.
    fn has_queues(&mut self, peer: u64) -> bool {
        let node = self.node(peer);
        let shard = node.shard.as_mut().unwrap();
        let there = !shard.state().queues.is_empty();
        if !there && !node.founding {
            node.founding = true;
            for queue in QUEUES {
                shard.begin_queue(queue);
            }
        }
        there
    }

    /// A front says to a serving replica what that has not taken in.
    fn forward(&mut self, from: u64, peer: u64) {
        let sender = self.fronts[&from].sender;
        let applied = self.node(peer).shard().applied_through(sender);
        self.tell(from, applied);
        let node = self.nodes.get_mut(&peer).unwrap();
        let front = self.fronts.get_mut(&from).unwrap();
        let shard = node.shard();
        let through = shard.accepted_through(front.sender);
        let term = shard.standing().term;
        for command in front.waiting.iter_mut().filter(|c| c.number > through) {
            if command.said_in != 0 && command.said_in != term {
                self.counts.again += 1;
            }
            command.said_in = term;
            let run = run_of(&command.body);
            if front.sender == shard.sender && command.number % 2 == 0 {
                let (number, _) = shard.publish(&run, &[to(command.queue)], &[]);
                assert_eq!(number, command.number);
            } else {
                shard.append(&run, &[to(command.queue)], &[]);
                let fresh = shard.take_in(front.sender, command.number, command.number % 3 != 0);
                assert!(fresh);
            }
        }
    }

    /// Takes messages at the leader; settles, gives back or keeps them.
    fn consume(&mut self, peer: u64, random: u64) -> Law {
        let queue = QUEUES[random as usize % 2];
        let node = self.nodes.get_mut(&peer).unwrap();
        let shard = node.shard.as_mut().unwrap();
        shard.reserve_mark(queue);
        let taken = shard.take(queue, 1 + random % 40, 1 << 20);
        let sequences = taken.ranges.iter().flat_map(|(first, last)| *first..=*last);
        let mut sequences: Vec<u64> = sequences.collect();
        let mut bodies = Vec::new();
        for part in &taken.deliveries.parts {
            for at in part.first..part.first + part.count {
                let body = String::from_utf8(part.messages.body(at as usize).to_vec()).unwrap();
                bodies.push((body, part.redelivered));
            }
        }
        for (sequence, (body, redelivered)) in sequences.iter().zip(bodies) {
            self.counts.redelivered += u64::from(redelivered);
            let known = self.delivered.entry((queue, *sequence));
            let first = known.or_insert_with(|| body.clone());
            if *first != body {
                return Err(format!("{queue}/{sequence} was {first} and is {body}"));
            }
        }
        let wanted = shard.take_wanted_reads();
        self.counts.reads += wanted.len() as u64;
        node.read(&wanted)?;
        node.held
            .extend(sequences.drain(..).map(|sequence| (queue, sequence)));
        let count = node.held.len();
        for _ in 0..(random >> 8) % 50 {
            let Some((queue, sequence)) = node.held.pop_front() else {
                break;
            };
            let shard = node.shard.as_mut().unwrap();
            match (random >> 16) % 8 {
                0 if count < 200 => node.held.push_back((queue, sequence)),
                1 => shard.give_back(queue, sequence, sequence),
                _ => shard.settle(queue, sequence, sequence, Outcome::Accepted),
            }
        }
        Ok(())
    }

    fn fault(&mut self) -> Law {
        let peer = self.any_peer();
        match self.random.below(9) {
            0 | 1 => self.crash(peer, 1 + self.random.clone().below(3_000)),
            2 => {
                for peer in PEERS {
                    self.crash(peer, 1);
                }
            }
            3 => {
                for other in PEERS {
                    self.cut.insert((peer, other));
                    if self.random.chance(2) {
                        self.cut.insert((other, peer));
                    }
                }
            }
            4 | 5 => self.cut.clear(),
            6 => {
                let others: Vec<u64> = self.serving().collect();
                for leader in others {
                    self.act(leader, |node| {
                        node.shard().transfer_leader(peer).unwrap_or(None)
                    })?;
                }
            }
            7 => {
                let others: Vec<u64> = self.serving().collect();
                for leader in others {
                    let term = self.node(leader).shard().standing().term;
                    if self.nodes[&peer].is_up() {
                        self.act(peer, |node| {
                            node.shard().follow(leader, term).unwrap_or(None)
                        })?;
                    }
                }
            }
            _ => self.change_conf(peer)?,
        }
        Ok(())
    }

    fn serving(&self) -> impl Iterator<Item = u64> + use<> {
        let up = self.nodes.iter().filter(|(_, node)| node.is_serving());
        up.map(|(peer, _)| *peer).collect::<Vec<_>>().into_iter()
    }

    /// Makes a voter a learner, or a learner a voter; takes the newcomer in.
    fn change_conf(&mut self, peer: u64) -> Law {
        for leader in self.serving() {
            let conf = self.node(leader).shard().conf().unwrap();
            let newcomer = !conf.voters.contains(&NEWCOMER);
            let change = match conf.learners.first() {
                Some(learner) => ConfChange::AddVoter(*learner),
                None if newcomer => ConfChange::AddLearner(NEWCOMER),
                None => ConfChange::AddLearner(peer),
            };
            let mut changed = false;
            self.act(leader, |node| {
                let asked = node.shard().propose_conf(&[change]);
                changed = asked.is_ok();
                asked.unwrap_or(None)
            })?;
            self.counts.conf_changes += u64::from(changed);
        }
        Ok(())
    }

    fn crash(&mut self, peer: u64, down_ms: u64) {
        let (now, seed) = (self.now, self.random.next_u64());
        let node = self.node(peer);
        if node.is_up() {
            node.crash(seed);
            node.restart_at = now + down_ms;
            self.counts.crashes += 1;
            // Nobody hears what became of what it had said.
            self.fronts.remove(&peer);
            let incarnation = self.nodes[&peer].incarnation + 1;
            self.fronts.insert(peer, Front::new(peer, incarnation));
        }
    }

    fn restart(&mut self, peer: u64) -> Law {
        self.node(peer).start(voters_of(peer))?;
        self.listen(peer)
    }

    fn heal(&mut self) -> Law {
        self.healed = true;
        self.cut.clear();
        for peer in PEERS {
            if !self.nodes[&peer].is_up() {
                self.restart(peer)?;
            }
        }
        Ok(())
    }

    // ---- laws

    fn check_state(&mut self, peer: u64) -> Law {
        let node = self.node(peer);
        let state = node.shard.as_ref().unwrap().state();
        let index = state.applied_index;
        if index == node.checked {
            return Ok(());
        }
        node.checked = index;
        let hash = state.hash();
        let commands: u64 = state.senders.values().sum();
        let messages: u64 = state.queues.values().map(|queue| queue.next_sequence).sum();
        let term = state.applied_term;
        if commands != messages {
            return Err(format!("{commands} commands left {messages} messages"));
        }
        let known = *self.hashes.entry(index).or_insert(hash);
        if known != hash {
            return Err(format!("{peer} has another state at {index}"));
        }
        self.counts.hash = self.counts.hash.rotate_left(5) ^ hash ^ peer;
        // Ask the disks, not the code.
        let holds = |node: &&Node| node.holds(index, term);
        let copies = self.nodes.values().filter(holds).count();
        if index > 0 && copies < 2 && !self.lies {
            return Err(format!("{peer} applied {index}, which {copies} disks have"));
        }
        Ok(())
    }

    fn check_end(&mut self) -> Law {
        let serving: Vec<u64> = self.serving().collect();
        let [leader] = serving[..] else {
            return Err(format!("{serving:?} serve"));
        };
        let conf = self.node(leader).shard().conf().unwrap();
        let members: Vec<u64> = conf.voters.into_iter().chain(conf.learners).collect();
        let mut states = BTreeSet::new();
        for peer in members {
            let waiting = self.fronts[&peer].waiting.len();
            if waiting > 0 {
                return Err(format!(
                    "{peer} waits for {waiting}: {:#?}",
                    self.statuses()
                ));
            }
            let state = self.node(peer).shard().state();
            states.insert((state.applied_index, state.hash()));
        }
        if states.len() != 1 {
            return Err(format!("not the same everywhere: {states:?}"));
        }
        self.drain(leader)?;
        let bodies: BTreeSet<&String> = self.delivered.values().collect();
        if bodies.len() != self.delivered.len() {
            return Err("a message is there twice".to_owned());
        }
        let lost = self.acknowledged.iter().find(|body| !bodies.contains(body));
        if let Some(body) = lost {
            return Err(format!("{body} was acknowledged and is lost"));
        }
        let state = self.node(leader).shard().state();
        let all: u64 = state.queues.values().map(|queue| queue.next_sequence).sum();
        if all != self.delivered.len() as u64 {
            return Err(format!("{all} messages, {} seen", self.delivered.len()));
        }
        Ok(())
    }

    fn statuses(&mut self) -> Vec<Option<Status>> {
        let nodes = self.nodes.values_mut();
        nodes.map(|node| node.shard().status()).collect()
    }

    /// The last leader hands out all that is left.
    fn drain(&mut self, leader: u64) -> Law {
        for _ in 0..2_000 {
            let held = std::mem::take(&mut self.node(leader).held);
            for (queue, sequence) in held {
                let shard = self.node(leader).shard();
                shard.settle(queue, sequence, sequence, Outcome::Accepted);
            }
            for random in [38, 39] {
                self.consume(leader, random)?;
            }
            for _ in 0..30 {
                self.now += 1;
                self.step()?;
            }
            let state = self.node(leader).shard().state();
            if state.queues.values().all(|queue| queue.message_count == 0) {
                return Ok(());
            }
        }
        Err("messages are left that nobody gets".to_owned())
    }
}

/// A front of this start of a node.
fn sender_of(peer: u64, incarnation: u64) -> Sender {
    Sender { peer, incarnation }
}

fn voters_of(peer: u64) -> &'static [u64] {
    if peer == NEWCOMER {
        &[]
    } else {
        &FOUNDERS
    }
}
