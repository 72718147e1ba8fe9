//! Members that come and go, snapshots, reads and transfers, on a network without faults.

use std::collections::{BTreeMap, BTreeSet};

use _kernel::raft_conf::{Conf, ConfChange};
use _kernel::raft_group::{GroupError, RaftGroup};
use _kernel::raft_log::entry_kind;
use _kernel::raft_options::GroupOptions;
use _kernel::raft_ready::Read;
use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

/// Groups whose disks are immediate, and the messages between them.
#[derive(Default)]
struct Network {
    groups: BTreeMap<u64, RaftGroup>,
    applied: BTreeMap<u64, Vec<Bytes>>,
    reads: Vec<Read>,
    /// Peers that nothing reaches and nothing leaves.
    cut: BTreeSet<u64>,
    /// Snapshots are lost on the way.
    lose_snapshots: bool,
    /// What each peer's disk knows to be committed.
    durable_commits: BTreeMap<u64, u64>,
}

impl Network {
    fn of(voters: &[u64]) -> Self {
        let mut network = Self::default();
        for peer in voters {
            let group = RaftGroup::new(GroupOptions::new(*peer, 0, voters, 7)).unwrap();
            network.groups.insert(*peer, group);
        }
        network.group(voters[0]).campaign().unwrap();
        network.settle();
        assert_eq!(network.leader(), voters[0]);
        network
    }

    fn join(&mut self, peer: u64) {
        let mut options = GroupOptions::new(peer, 0, &[], 7);
        options.snapshot_ticks_max = 5;
        self.groups.insert(peer, RaftGroup::new(options).unwrap());
        self.applied.remove(&peer);
    }

    fn group(&mut self, peer: u64) -> &mut RaftGroup {
        self.groups.get_mut(&peer).unwrap()
    }

    /// The leader of the highest term.
    fn leader(&self) -> u64 {
        let leading = self.groups.iter().filter(|(_, group)| group.is_leading());
        let newest = leading.max_by_key(|(_, group)| group.term());
        *newest.expect("somebody leads").0
    }

    fn propose(&mut self, text: &'static str) {
        let leader = self.leader();
        self.group(leader).propose(text.into()).unwrap();
        self.settle();
    }

    fn change(&mut self, changes: &[ConfChange]) -> Result<(), GroupError> {
        let leader = self.leader();
        self.group(leader).propose_conf_change(changes)?;
        self.settle();
        self.ticks(3);
        Ok(())
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            for group in self.groups.values_mut() {
                group.tick().unwrap();
            }
            self.settle();
        }
    }

    /// Serves everybody until nothing is ready.
    fn settle(&mut self) {
        loop {
            let mut messages = Vec::new();
            for (peer, group) in &mut self.groups {
                while let Some(ready) = group.ready().unwrap() {
                    let mut sent = ready.messages;
                    if let Some(record) = &ready.record {
                        if let Some(hard_state) = &record.hard_state {
                            self.durable_commits.insert(*peer, hard_state.commit);
                        }
                        sent.extend(group.on_persisted(ready.number).unwrap());
                    }
                    let applied = self.applied.entry(*peer).or_default();
                    if let Some(snapshot) = &ready.snapshot {
                        *applied = vec![snapshot.data.clone()];
                        group.on_applied(snapshot.position.index).unwrap();
                    }
                    for entry in &ready.committed {
                        if entry.kind == entry_kind::NORMAL && !entry.data.is_empty() {
                            applied.push(entry.data.clone());
                        }
                    }
                    if let Some(last) = ready.committed.last() {
                        group.on_applied(last.index).unwrap();
                    }
                    self.reads.extend(ready.reads);
                    messages.extend(sent.into_iter().map(|message| (*peer, message)));
                }
                if group.take_snapshot_wanted().is_some() {
                    let mark = group.mark_snapshot().unwrap();
                    group.offer_snapshot(&mark, "fresh".into()).unwrap();
                }
            }
            if messages.is_empty() {
                return;
            }
            for (from, message) in messages {
                let kind = Message::parse_from_bytes(&message.data()).unwrap().msg_type;
                let lost = self.lose_snapshots && kind == MessageType::MsgSnapshot;
                if lost || self.cut.contains(&from) || self.cut.contains(&message.to) {
                    continue;
                }
                if let Some(group) = self.groups.get_mut(&message.to) {
                    let _ = group.step(&message.data().into());
                }
            }
        }
    }

    /// Makes the leader forget its log, so that a newcomer needs a snapshot.
    fn compact_leader(&mut self) {
        let leader = self.leader();
        let group = self.group(leader);
        let mark = group.mark_snapshot().unwrap();
        group.offer_snapshot(&mark, "old".into()).unwrap();
        group.compact(mark.position().index).unwrap();
    }
}

#[test]
fn a_new_peer_starts_without_voters_and_learns_who_they_are() {
    let mut network = Network::of(&[1, 2, 3]);
    network.propose("a");
    network.join(4);
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    let conf = network.group(4).conf();
    assert_eq!((conf.voters, conf.learners), (vec![1, 2, 3], vec![4]));
    assert_eq!(network.applied[&4], ["fresh"]);
    network.change(&[ConfChange::AddVoter(4)]).unwrap();
    assert_eq!(network.group(4).conf().voters, [1, 2, 3, 4]);
}

#[test]
fn that_a_configuration_was_left_is_durable_before_anything_else_is_written() {
    let mut network = Network::of(&[1, 2, 3]);
    network.join(4);
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    network
        .change(&[ConfChange::AddVoter(4), ConfChange::Remove(3)])
        .unwrap();
    for peer in [1, 2, 4] {
        let status = network.group(peer).status();
        assert_eq!(status.commit, status.last_index);
        assert_eq!(network.durable_commits[&peer], status.commit, "{peer}");
    }
}

#[test]
fn a_newcomer_is_sent_a_snapshot_that_knows_it() {
    let mut network = Network::of(&[1, 2, 3]);
    network.propose("a");
    network.compact_leader(); // its configuration lacks peer 4
    network.join(4);
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    network.ticks(5);
    network.propose("b");
    assert_eq!(network.applied[&4], ["fresh", "b"]);
    assert_eq!(network.group(4).conf().learners, [4]);
}

#[test]
fn a_lost_snapshot_is_sent_again_although_nobody_reports_it() {
    let mut network = Network::of(&[1, 2, 3]);
    network.propose("a");
    network.compact_leader();
    network.join(4);
    network.lose_snapshots = true;
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    network.ticks(20);
    assert!(network.group(1).status().progress[3].snapshot_pending);
    network.lose_snapshots = false;
    network.ticks(700);
    assert_eq!(network.applied[&4], ["fresh"]);
    assert!(!network.group(1).status().progress[3].snapshot_pending);
}

#[test]
fn a_learner_that_has_nothing_is_made_no_voter() {
    let mut network = Network::of(&[1, 2, 3]);
    network.cut.insert(4);
    network.join(4);
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    let outcome = network.change(&[ConfChange::AddVoter(4)]);
    assert!(matches!(outcome, Err(GroupError::Refused(_))));
}

#[test]
fn one_change_at_a_time() {
    let mut network = Network::of(&[1, 2, 3]);
    network
        .group(1)
        .propose_conf_change(&[ConfChange::AddLearner(4)])
        .unwrap();
    let second = network
        .group(1)
        .propose_conf_change(&[ConfChange::AddLearner(5)]);
    assert!(matches!(second, Err(GroupError::Refused(_))));
    network.settle();
    network.change(&[ConfChange::AddLearner(5)]).unwrap();
    assert_eq!(network.group(3).conf().learners, [4, 5]);
}

#[test]
fn a_wiped_peer_is_replaced_by_its_new_self_in_one_joint_change() {
    let mut network = Network::of(&[1, 2, 3]);
    network.groups.remove(&3);
    network.join(4);
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    network.ticks(5);
    network
        .change(&[ConfChange::AddVoter(4), ConfChange::Remove(3)])
        .unwrap();
    let expected = Conf::of_voters(&[1, 2, 4]);
    for peer in [1, 2, 4] {
        assert_eq!(network.group(peer).conf(), expected);
    }
    network.propose("after");
    assert_eq!(network.applied[&4], ["fresh", "after"]);
}

#[test]
fn a_joint_configuration_is_left_by_whoever_leads_next() {
    let mut network = Network::of(&[1, 2, 3]);
    network.join(4);
    network.change(&[ConfChange::AddLearner(4)]).unwrap();
    network.ticks(5);
    let change = [ConfChange::AddVoter(4), ConfChange::Remove(3)];
    let group = network.group(1);
    group.propose_conf_change(&change).unwrap();
    // The leader replicates it and is gone before it can leave the joint configuration.
    let mut sent = Vec::new();
    while let Some(ready) = group.ready().unwrap() {
        sent.extend(ready.messages);
        if ready.record.is_some() {
            sent.extend(group.on_persisted(ready.number).unwrap());
        }
    }
    for message in sent {
        network
            .group(message.to)
            .step(&message.data().into())
            .unwrap();
    }
    network.cut.insert(1);
    network.settle();
    network.ticks(60);
    assert_ne!(network.leader(), 1);
    network.cut.clear();
    network.ticks(30);
    for peer in [1, 2, 4] {
        assert_eq!(network.group(peer).conf(), Conf::of_voters(&[1, 2, 4]));
    }
}

/// It alone commits that others vote, and needs their votes from then on: they are learners still, by what they know.
#[test]
fn learners_that_were_made_voters_elect_whoever_made_them_so() {
    let mut network = Network::of(&[1]);
    for peer in [2, 3] {
        network.join(peer);
        network.change(&[ConfChange::AddLearner(peer)]).unwrap();
        network.ticks(5);
    }
    network.propose("all have it");
    network.ticks(3);
    let change = [ConfChange::AddVoter(2), ConfChange::AddVoter(3)];
    network.group(1).propose_conf_change(&change).unwrap();
    network.cut.insert(1);
    network.settle();
    assert!(network.group(1).conf().is_joint());
    while network.group(1).is_leading() {
        network.ticks(1);
    }
    network.cut.clear();
    network.ticks(60);
    for peer in [1, 2, 3] {
        assert_eq!(network.group(peer).conf(), Conf::of_voters(&[1, 2, 3]));
    }
    network.propose("after");
    assert_eq!(network.applied[&3].last().unwrap(), "after");
}

#[test]
fn a_leader_transfers_before_it_is_removed() {
    let mut network = Network::of(&[1, 2, 3]);
    assert!(network.change(&[ConfChange::Remove(1)]).is_err());
    network.group(1).transfer_leader(2).unwrap();
    network.settle();
    assert_eq!(network.leader(), 2);
    network.change(&[ConfChange::Remove(1)]).unwrap();
    assert_eq!(network.group(2).conf().voters, [2, 3]);
    let term = network.group(2).term();
    network.ticks(100);
    assert_eq!(
        network.group(2).term(),
        term,
        "the removed peer disturbs nobody"
    );
}

#[test]
fn a_leader_that_finds_itself_removed_stops_leading() {
    let mut network = Network::of(&[1, 2, 3]);
    // The removal of 2 reaches only 2; then 1 is gone, and 2 leads with it in its log.
    let group = network.group(1);
    group.propose_conf_change(&[ConfChange::Remove(2)]).unwrap();
    let ready = group.ready().unwrap().unwrap();
    group.on_persisted(ready.number).unwrap();
    for message in ready.messages {
        if message.to == 2 {
            network.group(2).step(&message.data().into()).unwrap();
        }
    }
    network.cut.insert(1);
    network.ticks(25);
    network.group(2).campaign().unwrap_or(());
    network.settle();
    network.ticks(100);
    assert!(!network.group(2).is_leading());
    assert_eq!(network.group(2).conf().voters, [1, 3]);
    network.cut.clear();
    network.ticks(100);
    for (p, g) in &network.groups {
        println!("{p} {:?} {:?}", g.status(), g.conf());
    }
    assert_ne!(network.leader(), 2);
    assert_eq!(network.group(3).conf().voters, [1, 3]);
    network.propose("after");
}

#[test]
fn a_read_is_answered_by_a_leader_that_still_leads() {
    let mut network = Network::of(&[1, 2, 3]);
    network.propose("a");
    network.group(1).read_index(5).unwrap();
    network.settle();
    let index = network.group(1).status().commit;
    assert_eq!(network.reads, [Read { context: 5, index }]);
    network.reads.clear();
    network.cut.extend([2, 3]);
    network.group(1).read_index(6).unwrap();
    network.ticks(30);
    assert!(network.reads.is_empty());
    assert!(
        !network.group(1).is_leading(),
        "a leader without a quorum steps down"
    );
}

#[test]
fn a_configuration_survives_its_encoding() {
    let conf = Conf {
        voters: vec![1, 2, 9],
        learners: vec![4],
        voters_outgoing: vec![1, 2, 3],
        learners_next: vec![3],
        auto_leave: true,
    };
    assert_eq!(Conf::decode(&conf.encode()), Ok(conf));
    assert_eq!(Conf::decode(&[]), Ok(Conf::default()));
    assert!(Conf::decode(&[0xFF; 9]).is_err());
    let twice = Conf {
        voters: vec![1, 1],
        ..Conf::default()
    };
    assert!(Conf::decode(&twice.encode()).is_err());
}
