//! Messages that no honest peer sends: each is refused, or harmless, and never kills the group.
//!
//! Without the guards most of these panic inside the crate (a commit out of range, an empty proposal,
//! an invalid restore) or corrupt the log in silence.

use _kernel::raft_conf::ConfChange;
use _kernel::raft_group::{GroupError, RaftGroup};
use _kernel::raft_options::GroupOptions;
use bytes::Bytes;
use protobuf::{Message as _, ProtobufEnum as _};
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};

const ME: u64 = 1;
const PEER: u64 = 2;

/// A message from the peer to us in term 2.
fn message(msg_type: MessageType) -> Message {
    Message {
        msg_type,
        to: ME,
        from: PEER,
        term: 2,
        ..Message::default()
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        data: Bytes::from_static(b"x"),
        ..Entry::default()
    }
}

fn append(index: u64, log_term: u64, entries: Vec<Entry>, commit: u64) -> Message {
    Message {
        index,
        log_term,
        commit,
        entries: entries.into(),
        ..message(MessageType::MsgAppend)
    }
}

fn snapshot_of(index: u64, conf: ConfState) -> Message {
    let mut snapshot = Snapshot::default();
    snapshot.mut_metadata().index = index;
    snapshot.mut_metadata().term = 2;
    snapshot.mut_metadata().set_conf_state(conf);
    let mut message = message(MessageType::MsgSnapshot);
    message.set_snapshot(snapshot);
    message
}

fn conf(voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64]) -> ConfState {
    ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        voters_outgoing: outgoing.to_vec(),
        learners_next: next.to_vec(),
        ..ConfState::default()
    }
}

fn bytes_of(message: &Message) -> Bytes {
    message.write_to_bytes().unwrap().into()
}

/// Persists and applies whatever is ready.
fn drain(group: &mut RaftGroup) {
    while let Some(ready) = group.ready().unwrap() {
        if ready.record.is_some() {
            group.on_persisted(ready.number).unwrap();
        }
        if let Some(snapshot) = &ready.snapshot {
            group.on_applied(snapshot.position.index).unwrap();
        }
        if let Some(last) = ready.committed.last() {
            group.on_applied(last.index).unwrap();
        }
    }
}

/// A follower in term 2 with ten entries, eight of them committed and applied.
fn follower() -> RaftGroup {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 0, &[ME, 2, 3], 7)).unwrap();
    let entries = (1..=10).map(|index| entry(index, 2)).collect();
    group.step(&bytes_of(&append(0, 0, entries, 8))).unwrap();
    drain(&mut group);
    assert_eq!((group.status().last_index, group.status().applied), (10, 8));
    group
}

/// The leader of three in term 1.
fn leader() -> RaftGroup {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 0, &[ME, 2, 3], 7)).unwrap();
    group.campaign().unwrap();
    drain(&mut group);
    for vote in [
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgRequestVoteResponse,
    ] {
        let grant = Message {
            term: 1,
            ..message(vote)
        };
        group.step(&bytes_of(&grant)).unwrap();
        drain(&mut group);
    }
    assert!(group.is_leading());
    group
}

fn in_term_1(message: Message) -> Message {
    Message { term: 1, ..message }
}

/// The message is refused and nothing of it happened; the group goes on living.
fn assert_refused(mut group: RaftGroup, message: &Message) {
    let before = group.status();
    let outcome = group.step(&bytes_of(message));
    assert!(
        matches!(outcome, Err(GroupError::Refused(_))),
        "{outcome:?}"
    );
    assert_eq!(group.status(), before);
    drain(&mut group);
    for _ in 0..60 {
        group.tick().unwrap();
        drain(&mut group);
    }
}

/// The message may be taken, and kills nothing.
fn assert_harmless(mut group: RaftGroup, message: &Message) {
    let _ = group.step(&bytes_of(message));
    drain(&mut group);
    for _ in 0..60 {
        group.tick().unwrap();
        drain(&mut group);
    }
}

#[test]
fn a_heartbeat_may_not_commit_beyond_the_log() {
    let heartbeat = Message {
        commit: 99,
        ..message(MessageType::MsgHeartbeat)
    };
    assert_refused(follower(), &heartbeat);
}

#[test]
fn an_append_after_log_term_0_begins_at_the_log_s_beginning() {
    assert_refused(follower(), &append(1000, 0, vec![entry(1001, 2)], 1001));
    assert_refused(follower(), &append(0, 2, vec![entry(1, 2)], 0));
}

#[test]
fn entries_are_contiguous_from_the_index_before_them() {
    assert_refused(follower(), &append(10, 2, vec![entry(20, 2)], 8));
    let gap = vec![entry(11, 2), entry(15, 2)];
    assert_refused(follower(), &append(10, 2, gap, 8));
}

#[test]
fn terms_of_entries_go_neither_back_nor_beyond_the_leader_s() {
    let back = vec![entry(11, 2), entry(12, 1)];
    assert_refused(follower(), &append(10, 2, back, 8));
    assert_refused(follower(), &append(10, 2, vec![entry(11, 3)], 8));
}

#[test]
fn what_is_committed_is_never_overwritten() {
    let conflict = Message {
        term: 3,
        ..append(0, 0, vec![entry(1, 3), entry(2, 3)], 2)
    };
    let mut group = follower();
    group.step(&bytes_of(&conflict)).unwrap();
    drain(&mut group);
    assert_eq!(group.status().last_index, 10);
}

#[test]
fn a_message_is_for_us_and_from_somebody_else() {
    let to_other = Message {
        to: 3,
        ..append(10, 2, vec![entry(11, 2)], 8)
    };
    assert_refused(follower(), &to_other);
    for from in [0, ME] {
        let message = Message {
            from,
            ..message(MessageType::MsgHeartbeat)
        };
        assert_refused(follower(), &message);
    }
}

#[test]
fn no_term_is_0_and_no_number_is_near_the_end_of_its_range() {
    for term in [0, 1 << 62, u64::MAX - 1, u64::MAX] {
        for msg_type in [
            MessageType::MsgRequestVote,
            MessageType::MsgRequestPreVote,
            MessageType::MsgHeartbeat,
            MessageType::MsgAppendResponse,
        ] {
            let message = Message {
                term,
                ..message(msg_type)
            };
            assert_refused(follower(), &message);
        }
    }
    let far = Message {
        index: u64::MAX,
        log_term: 2,
        ..message(MessageType::MsgAppend)
    };
    assert_refused(follower(), &far);
}

#[test]
fn requests_are_never_forwarded_through_raft() {
    let mut one = message(MessageType::MsgReadIndex);
    one.set_entries(vec![entry(0, 0)].into());
    assert_refused(leader(), &in_term_1(one));
    for msg_type in [
        MessageType::MsgPropose,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
        MessageType::MsgTransferLeader,
    ] {
        assert_refused(leader(), &in_term_1(message(msg_type)));
        assert_refused(follower(), &message(msg_type));
    }
}

#[test]
fn local_messages_do_not_come_from_peers() {
    for msg_type in [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
    ] {
        assert_refused(leader(), &in_term_1(message(msg_type)));
    }
}

#[test]
fn responses_do_not_reach_beyond_the_leader_s_log() {
    let response = |index, commit| Message {
        index,
        commit,
        ..in_term_1(message(MessageType::MsgAppendResponse))
    };
    assert_refused(leader(), &response(999, 0));
    assert_refused(leader(), &response(1, 1 << 40));
    let heartbeat = Message {
        commit: 1 << 40,
        ..in_term_1(message(MessageType::MsgHeartbeatResponse))
    };
    assert_refused(leader(), &heartbeat);
    let rejected = Message {
        index: 1,
        reject: true,
        reject_hint: 1 << 40,
        ..in_term_1(message(MessageType::MsgAppendResponse))
    };
    assert_harmless(leader(), &rejected);
    let wants_snapshot = Message {
        index: 1,
        reject: true,
        request_snapshot: 5,
        ..in_term_1(message(MessageType::MsgAppendResponse))
    };
    assert_harmless(leader(), &wants_snapshot);
}

#[test]
fn a_second_leader_s_append_in_the_leader_s_own_term_kills_nothing() {
    // The crate's step_leader ignores them; a release build of it has no assertion there.
    for msg_type in [
        MessageType::MsgAppend,
        MessageType::MsgHeartbeat,
        MessageType::MsgTimeoutNow,
    ] {
        assert_harmless(leader(), &in_term_1(message(msg_type)));
    }
}

#[test]
fn a_snapshot_s_configuration_is_one() {
    for bad in [
        conf(&[], &[], &[], &[]),
        conf(&[1, 1, 2], &[], &[], &[]),
        conf(&[1, 2], &[2, 3], &[], &[]),
        conf(&[1, 2], &[3], &[7], &[9]),
        conf(&[1, 2], &[3], &[3], &[]),
        conf(&[1, 2], &[], &[1, 2], &[2]),
        conf(&[0, 1, 2], &[], &[], &[]),
        conf(&[2, 3], &[], &[], &[]), // without us
        ConfState {
            auto_leave: true,
            ..conf(&[1, 2, 3], &[], &[], &[])
        },
    ] {
        assert_refused(follower(), &snapshot_of(50, bad));
    }
    assert_refused(follower(), &message(MessageType::MsgSnapshot)); // of nothing
    let from_to_come = Message {
        term: 1,
        ..snapshot_of(50, conf(&[1, 2, 3], &[], &[], &[]))
    };
    assert_refused(follower(), &from_to_come);
}

#[test]
fn a_snapshot_is_applied_only_once_it_is_durable() {
    let mut group = follower();
    let good = snapshot_of(50, conf(&[1, 2, 3], &[], &[], &[]));
    group.step(&bytes_of(&good)).unwrap();
    let ready = group.ready().unwrap().unwrap();
    assert_eq!(ready.snapshot.as_ref().unwrap().position.index, 50);
    assert!(group.on_applied(50).is_err());
    // An election now would look for entries that the snapshot replaced.
    assert!(group.campaign().is_err());
    for _ in 0..60 {
        group.tick().unwrap();
    }
    let timeout_now = message(MessageType::MsgTimeoutNow);
    assert!(group.step(&bytes_of(&timeout_now)).is_err());
    group.on_persisted(ready.number).unwrap();
    group.on_applied(50).unwrap();
    group.campaign().unwrap();
    drain(&mut group);
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let mut nested = Vec::new();
    for _ in 0..200_000 {
        nested.extend_from_slice(&[0xA3, 0x06]); // field 100, start group (RUSTSEC-2024-0437)
    }
    let overflow = [&[0x3A][..], &[0xFF; 9], &[0x01]].concat();
    for bytes in [nested, overflow, vec![0xFF; 40], b"hello".to_vec()] {
        let outcome = follower().step(&bytes.into());
        assert!(matches!(outcome, Err(GroupError::Refused(_))));
    }
}

#[test]
fn a_follower_says_nothing_before_its_record_is_durable() {
    let mut group = follower();
    let entries = vec![entry(11, 2)];
    group.step(&bytes_of(&append(10, 2, entries, 8))).unwrap();
    let first = group.ready().unwrap().unwrap();
    assert!(first.messages.is_empty());
    // A heartbeat's answer waits behind it: it is of a later ready.
    let heartbeat = message(MessageType::MsgHeartbeat);
    group.step(&bytes_of(&heartbeat)).unwrap();
    let second = group.ready().unwrap().unwrap();
    assert!(second.record.is_none() && second.messages.is_empty());
    assert_eq!(group.on_persisted(first.number).unwrap().len(), 2);
    // With nothing being written an answer leaves at once.
    group.step(&bytes_of(&heartbeat)).unwrap();
    assert_eq!(group.ready().unwrap().unwrap().messages.len(), 1);
}

#[test]
fn a_vote_leaves_only_with_its_hard_state_on_disk() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 0, &[ME, 2, 3], 7)).unwrap();
    let request = Message {
        index: 5,
        log_term: 1,
        ..message(MessageType::MsgRequestVote)
    };
    group.step(&bytes_of(&request)).unwrap();
    let ready = group.ready().unwrap().unwrap();
    assert!(ready.messages.is_empty());
    let hard_state = ready.record.unwrap().hard_state.unwrap();
    assert_eq!((hard_state.term, hard_state.vote), (2, PEER));
    assert_eq!(group.on_persisted(ready.number).unwrap().len(), 1);
}

/// It may have forgotten a log that somebody, who was away since, still counts on.
#[test]
fn who_knows_no_members_gives_no_votes() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 0, &[], 7)).unwrap();
    for kind in [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote] {
        let request = Message {
            index: 5,
            log_term: 1,
            ..message(kind)
        };
        assert!(group.step(&bytes_of(&request)).is_err());
        assert!(group.ready().unwrap().is_none());
    }
}

#[test]
fn a_committed_change_that_can_not_be_read_is_never_passed() {
    let mut group = follower();
    let bad = Entry {
        entry_type: EntryType::EntryConfChangeV2,
        data: Bytes::from_static(&[0xFF, 0xFF]),
        ..entry(11, 2)
    };
    group
        .step(&bytes_of(&append(10, 2, vec![bad], 11)))
        .unwrap();
    let ready = group.ready().unwrap().unwrap();
    group.on_persisted(ready.number).unwrap();
    group.ready().unwrap().unwrap();
    assert!(matches!(group.on_applied(11), Err(GroupError::Refused(_))));
    assert!(group.on_applied(10).is_ok());
    assert!(group.dead().is_none());
}

#[test]
fn a_leader_is_not_asked_for_what_can_not_be() {
    let mut group = leader();
    let response = Message {
        index: 1,
        ..in_term_1(message(MessageType::MsgAppendResponse))
    };
    group.step(&bytes_of(&response)).unwrap();
    drain(&mut group);
    assert!(group.is_serving());
    for change in [
        ConfChange::AddVoter(0),
        ConfChange::AddVoter(9), // begins as a learner
        ConfChange::AddVoter(3), // has matched nothing
        ConfChange::Remove(ME),  // transfers first
        ConfChange::AddLearner(ME),
        ConfChange::Remove(9),
    ] {
        assert!(group.propose_conf_change(&[change]).is_err(), "{change:?}");
    }
    assert!(group.propose_conf_change(&[]).is_err());
    let twice = [ConfChange::AddLearner(9), ConfChange::Remove(9)];
    assert!(group.propose_conf_change(&twice).is_err());
    for peer in [0, ME, 99] {
        assert!(group.transfer_leader(peer).is_err());
    }
    group.report_unreachable(99).unwrap();
    group.report_snapshot(99, true).unwrap();
    group.report_snapshot(0, false).unwrap();
    group
        .propose_conf_change(&[ConfChange::AddLearner(9)])
        .unwrap();
    // A second one while the first is pending would become an empty entry, in silence.
    let second = group.propose_conf_change(&[ConfChange::AddLearner(8)]);
    assert!(matches!(second, Err(GroupError::Refused(_))));
    drain(&mut group);
}

#[test]
fn proposals_wait_while_the_leadership_is_transferred() {
    let mut group = leader();
    group.transfer_leader(PEER).unwrap();
    assert_eq!(
        group.propose(Bytes::from_static(b"a")),
        Err(GroupError::Full)
    );
}

/// Random fields in their dangerous ranges, cut and flipped bytes, garbage.
#[test]
fn no_bytes_whatever_kill_a_group() {
    let mut random = Random(5);
    for round in 0..6000 {
        let mut group = if round % 2 == 0 { follower() } else { leader() };
        for _ in 0..12 {
            let bytes = random_bytes(&mut random);
            let _ = group.step(&bytes.into());
            if random.below(5) == 0 {
                group.tick().unwrap();
            }
            drain_what_can_be(&mut group);
            assert_eq!(group.dead(), None, "round {round}");
        }
    }
}

/// Garbage may commit garbage: applying is allowed to be refused, dying is not.
fn drain_what_can_be(group: &mut RaftGroup) {
    while let Some(ready) = group.ready().unwrap() {
        if ready.record.is_some() {
            group.on_persisted(ready.number).unwrap();
        }
        if let Some(snapshot) = &ready.snapshot {
            let _ = group.on_applied(snapshot.position.index);
        }
        if let Some(last) = ready.committed.last() {
            let _ = group.on_applied(last.index);
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    if random.below(20) == 0 {
        return (0..random.below(60))
            .map(|_| random.below(256) as u8)
            .collect();
    }
    let mut bytes = random_message(random).write_to_bytes().unwrap();
    if random.below(3) == 0 {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
    }
    if random.below(10) == 0 {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
    }
    bytes
}

fn random_message(random: &mut Random) -> Message {
    let term = random.below(4);
    let index = random.below(14);
    let entries: Vec<Entry> = (0..random.below(4))
        .map(|place| Entry {
            entry_type: *random.pick(&[
                EntryType::EntryNormal,
                EntryType::EntryNormal,
                EntryType::EntryConfChange,
                EntryType::EntryConfChangeV2,
            ]),
            ..entry(
                if random.below(5) == 0 {
                    random.below(20)
                } else {
                    index + 1 + place
                },
                random.below(term + 1),
            )
        })
        .collect();
    let mut message = Message {
        msg_type: MessageType::from_i32(random.below(19) as i32).unwrap(),
        to: *random.pick(&[ME, ME, ME, 2]),
        from: *random.pick(&[2, 3, 2, 3, 0, 1, 9]),
        term,
        log_term: random.below(4),
        index,
        entries: entries.into(),
        commit: random.below(16),
        commit_term: random.below(4),
        reject: random.below(2) == 0,
        reject_hint: random.below(16),
        request_snapshot: *random.pick(&[0, 0, 0, 3]),
        ..Message::default()
    };
    if random.below(3) == 0 {
        let voters = random.pick(&[&[1, 2, 3][..], &[1], &[2, 3], &[]]).to_vec();
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().index = random.below(20);
        snapshot.mut_metadata().term = random.below(4);
        snapshot.mut_metadata().mut_conf_state().voters = voters;
        message.set_snapshot(snapshot);
    }
    message
}
