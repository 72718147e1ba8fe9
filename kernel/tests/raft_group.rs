//! The life of a group of one voter, and what its host may not do to it.

use _kernel::group_record::{GroupRecord, HardState, LogEntry};
use _kernel::raft_conf::{Conf, ConfChange};
use _kernel::raft_group::{GroupError, RaftGroup};
use _kernel::raft_log::{entry_kind, Position};
use _kernel::raft_options::GroupOptions;
use _kernel::raft_ready::{Ready, Role};
use bytes::Bytes;

const ME: u64 = 0xA11CE;

/// What a host that does everything in order at once has written and applied.
#[derive(Default)]
struct Journal {
    hard_state: Option<HardState>,
    entries: Vec<LogEntry>,
    applied: Vec<LogEntry>,
}

impl Journal {
    fn write(&mut self, record: &GroupRecord) {
        self.hard_state = record.hard_state.or(self.hard_state);
        for entry in &record.entries {
            while self
                .entries
                .last()
                .is_some_and(|old| old.index >= entry.index)
            {
                self.entries.pop();
            }
            self.entries.push(entry.clone());
        }
    }

    /// Serves every ready there is.
    fn serve(&mut self, group: &mut RaftGroup) {
        while let Some(ready) = group.ready().unwrap() {
            if let Some(record) = &ready.record {
                self.write(record);
                group.on_persisted(ready.number).unwrap();
            }
            if let Some(last) = ready.committed.last() {
                group.on_applied(last.index).unwrap();
            }
            self.applied.extend(ready.committed);
        }
    }

    fn restart(&self) -> GroupOptions {
        GroupOptions {
            hard_state: self.hard_state,
            entries: self.entries.clone(),
            ..GroupOptions::new(ME, 3, &[ME], 7)
        }
    }
}

fn leader() -> (RaftGroup, Journal) {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 3, &[ME], 7)).unwrap();
    let mut journal = Journal::default();
    group.campaign().unwrap();
    journal.serve(&mut group);
    assert!(group.is_serving());
    (group, journal)
}

fn data(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn take(group: &mut RaftGroup) -> Ready {
    group.ready().unwrap().expect("something is ready")
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, GroupError>) -> &'static str {
    match outcome {
        Err(GroupError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_sole_voter_leads_as_soon_as_its_vote_is_durable() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 3, &[ME], 7)).unwrap();
    group.campaign().unwrap();
    assert!(group.is_leading() && !group.is_serving());
    let ready = take(&mut group);
    let record = ready.record.unwrap();
    assert_eq!(record.group, 3);
    assert_eq!(
        record.hard_state,
        Some(HardState {
            term: 1,
            vote: ME,
            commit: 0
        })
    );
    assert_eq!(record.entries.len(), 1);
    assert_eq!(ready.role.unwrap().role, Role::Leader);
    assert!(ready.committed.is_empty());
    assert!(group.ready().unwrap().is_none());
    group.on_persisted(ready.number).unwrap();
    let ready = take(&mut group);
    assert!(ready.record.is_none());
    assert_eq!(ready.committed.len(), 1);
    group.on_applied(1).unwrap();
    assert!(group.is_serving());
}

#[test]
fn nothing_is_committed_before_it_is_durable() {
    let (mut group, _) = leader();
    let position = group.propose(data("a")).unwrap();
    assert_eq!(position, Position { index: 2, term: 1 });
    let first = take(&mut group);
    group.propose(data("b")).unwrap();
    let second = take(&mut group);
    assert!(first.committed.is_empty() && second.committed.is_empty());
    group.on_persisted(first.number).unwrap();
    assert_eq!(take(&mut group).committed[0].data, data("a"));
    group.on_persisted(second.number).unwrap();
    assert_eq!(take(&mut group).committed[0].data, data("b"));
}

#[test]
fn a_later_record_speaks_for_those_before_it() {
    let (mut group, _) = leader();
    group.propose(data("a")).unwrap();
    take(&mut group);
    group.propose(data("b")).unwrap();
    let second = take(&mut group);
    group.on_persisted(second.number).unwrap();
    assert_eq!(take(&mut group).committed.len(), 2);
}

#[test]
fn proposals_share_their_bytes_with_the_record_and_the_committed_entry() {
    let (mut group, _) = leader();
    let wave = Bytes::from(vec![7; 4096]);
    group.propose(wave.clone()).unwrap();
    let ready = take(&mut group);
    let record = ready.record.unwrap();
    group.on_persisted(ready.number).unwrap();
    let committed = take(&mut group).committed;
    assert_eq!(record.entries[0].data.as_ptr(), wave.as_ptr());
    assert_eq!(committed[0].data.as_ptr(), wave.as_ptr());
}

#[test]
fn a_restart_gives_out_everything_after_the_state_machine_again() {
    let (mut group, mut journal) = leader();
    for text in ["a", "b", "c"] {
        group.propose(data(text)).unwrap();
        journal.serve(&mut group);
    }
    let mut again = Journal::default();
    let mut options = journal.restart();
    options.applied = Position { index: 2, term: 1 };
    let mut group = RaftGroup::new(options).unwrap();
    group.campaign().unwrap();
    again.serve(&mut group);
    let texts: Vec<Bytes> = again.applied.into_iter().map(|entry| entry.data).collect();
    assert_eq!(texts, [data("b"), data("c"), data("")]);
    assert_eq!(group.term(), 2);
}

#[test]
fn a_group_whose_whole_log_was_retired_goes_on_from_its_checkpoint() {
    let mut options = GroupOptions::new(ME, 3, &[ME], 7);
    options.applied = Position { index: 90, term: 4 };
    options.hard_state = Some(HardState {
        term: 5,
        vote: 0,
        commit: 88,
    });
    let mut group = RaftGroup::new(options).unwrap();
    group.campaign().unwrap();
    Journal::default().serve(&mut group);
    assert_eq!(group.propose(data("a")).unwrap().index, 92);
}

#[test]
fn boot_refuses_a_log_that_does_not_fit_the_state_machine() {
    let (mut group, mut journal) = leader();
    for text in ["a", "b", "c"] {
        group.propose(data(text)).unwrap();
        journal.serve(&mut group);
    }
    let reason = |change: &dyn Fn(&mut GroupOptions)| {
        let mut options = journal.restart();
        change(&mut options);
        refused(RaftGroup::new(options).map(|_| ()))
    };
    assert!(reason(&|o| drop(o.entries.remove(1))).contains("missing"));
    assert!(reason(&|o| drop(o.entries.remove(0))).contains("missing"));
    assert!(reason(&|o| o.entries[2].term = 9).contains("go back"));
    assert!(reason(&|o| o.entries[3].term = 9).contains("after the hard state"));
    assert!(reason(&|o| o.hard_state = None).contains("without a hard state"));
    assert!(reason(&|o| o.peer = 0).contains("nobody"));
    assert!(reason(&|o| o.election_ticks = 1).contains("contradict"));
    assert!(reason(&|o| o.conf = Conf::of_voters(&[ME, ME])).contains("twice"));
    assert!(reason(&|o| o.conf = Conf::of_voters(&[0])).contains("peer 0"));
    let at = |index, term| move |o: &mut GroupOptions| o.applied = Position { index, term };
    assert!(reason(&at(9, 1)).contains("ends before"));
    assert!(reason(&at(2, 9)).contains("another log"));
    assert!(reason(&at(2, 0)).contains("none"));
    assert!(reason(&|o| {
        o.conf = Conf::default();
        o.applied = Position { index: 1, term: 1 };
    })
    .contains("without voters"));
    assert!(reason(&|o| o.entries[3].kind = entry_kind::SNAPSHOT).contains("restore"));
}

#[test]
fn a_commit_index_beyond_the_log_is_brought_back_to_it() {
    let (_, journal) = leader();
    let mut options = journal.restart();
    options.hard_state = Some(HardState {
        term: 1,
        vote: ME,
        commit: 99,
    });
    let mut group = RaftGroup::new(options).unwrap();
    assert_eq!(take(&mut group).committed.len(), 1);
}

#[test]
fn only_records_that_were_given_out_become_durable_and_only_once() {
    let (mut group, _) = leader();
    group.propose(data("a")).unwrap();
    let number = take(&mut group).number;
    refused(group.on_persisted(number + 1));
    refused(group.on_persisted(0));
    group.on_persisted(number).unwrap();
    refused(group.on_persisted(number));
}

#[test]
fn only_what_was_given_out_is_applied_and_never_less() {
    let (mut group, _) = leader();
    group.propose(data("a")).unwrap();
    let ready = take(&mut group);
    refused(group.on_applied(2)); // not durable
    group.on_persisted(ready.number).unwrap();
    refused(group.on_applied(2)); // not given out
    take(&mut group);
    refused(group.on_applied(3));
    group.on_applied(2).unwrap();
    refused(group.on_applied(1));
}

#[test]
fn a_follower_is_told_who_leads_when_it_is_asked_to_propose() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 3, &[ME, 2, 3], 7)).unwrap();
    let not_leader = GroupError::NotLeader { leader: 0 };
    assert_eq!(group.propose(data("a")), Err(not_leader.clone()));
    assert_eq!(group.read_index(1), Err(not_leader.clone()));
    assert_eq!(group.transfer_leader(2), Err(not_leader.clone()));
    assert_eq!(
        group.propose_conf_change(&[ConfChange::AddLearner(9)]),
        Err(not_leader)
    );
}

#[test]
fn what_is_not_committed_is_bounded_in_entries_and_in_bytes() {
    let mut options = GroupOptions::new(ME, 3, &[ME], 7);
    options.uncommitted_entries_max = 4;
    options.uncommitted_size_max = 2 << 20;
    let mut group = RaftGroup::new(options).unwrap();
    group.campaign().unwrap();
    let mut journal = Journal::default();
    journal.serve(&mut group);
    for _ in 0..4 {
        group.propose(Bytes::new()).unwrap();
    }
    assert_eq!(group.propose(Bytes::new()), Err(GroupError::Full));
    journal.serve(&mut group);
    group.propose(Bytes::from(vec![0; 3 << 20])).unwrap(); // a single one of any size is taken
    assert_eq!(group.propose(data("a")), Err(GroupError::Full));
    journal.serve(&mut group);
    group.propose(data("a")).unwrap();
}

#[test]
fn a_backlog_without_ready_gives_its_memory_back() {
    let mut options = GroupOptions::new(ME, 3, &[ME], 7);
    options.uncommitted_entries_max = 100_000;
    let mut group = RaftGroup::new(options).unwrap();
    group.campaign().unwrap();
    let mut journal = Journal::default();
    journal.serve(&mut group);
    for _ in 0..50_000 {
        group.propose(Bytes::new()).unwrap();
    }
    journal.serve(&mut group);
    assert!(group.status().unstable_capacity <= 64);
    group.compact(group.status().applied).unwrap();
    assert_eq!(group.status().log_size, 0);
}

#[test]
fn only_what_is_applied_is_compacted() {
    let (mut group, mut journal) = leader();
    group.propose(data("a")).unwrap();
    let ready = take(&mut group);
    refused(group.compact(2));
    journal.write(&ready.record.unwrap());
    group.on_persisted(ready.number).unwrap();
    journal.serve(&mut group);
    group.compact(2).unwrap();
    assert_eq!(group.status().first_index, 3);
    group.propose(data("b")).unwrap();
    journal.serve(&mut group);
    assert_eq!(journal.applied.last().unwrap().data, data("b"));
}

#[test]
fn a_group_without_voters_waits_and_never_campaigns() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 3, &[], 7)).unwrap();
    refused(group.campaign());
    for _ in 0..100 {
        assert!(!group.tick().unwrap());
    }
}

#[test]
fn a_stranger_to_its_own_group_never_campaigns() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 3, &[2, 3], 7)).unwrap();
    refused(group.campaign());
    for _ in 0..100 {
        assert!(!group.tick().unwrap());
    }
}

#[test]
fn a_sole_voter_answers_a_read_at_its_commit() {
    let (mut group, _) = leader();
    group.read_index(42).unwrap();
    let reads = take(&mut group).reads;
    assert_eq!((reads[0].context, reads[0].index), (42, 1));
}

#[test]
fn a_leader_that_committed_nothing_answers_no_reads() {
    let mut group = RaftGroup::new(GroupOptions::new(ME, 3, &[ME], 7)).unwrap();
    group.campaign().unwrap();
    refused(group.read_index(1));
}

#[test]
fn the_election_timeout_depends_on_nothing_but_the_groups_own_history() {
    let timeouts = |group: u32| -> Vec<usize> {
        let mut group = RaftGroup::new(GroupOptions::new(ME, group, &[ME, 2, 3], 7)).unwrap();
        let mut timeouts = Vec::new();
        for _ in 0..200 {
            group.tick().unwrap();
            while group.ready().unwrap().is_some_and(|ready| {
                ready.record.map(|_| group.on_persisted(ready.number));
                true
            }) {}
            timeouts.push(group.status().election_timeout_ticks);
        }
        timeouts
    };
    assert_eq!(timeouts(1), timeouts(1));
    assert_ne!(timeouts(1), timeouts(2));
    let mut distinct = timeouts(1);
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 3, "{distinct:?}");
}
