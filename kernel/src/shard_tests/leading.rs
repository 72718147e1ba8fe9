//! What becomes of what was gathered, where Raft takes none of it.

use super::*;

#[test]
fn what_raft_has_no_room_for_waits_for_a_commit_and_nobody_for_it() {
    let options = GroupOptions {
        uncommitted_entries_max: 1,
        ..GroupOptions::new(ME.peer, 3, &[ME.peer], 5)
    };
    let mut node = Node::begin_with(Vec::new(), options);
    node.shard.create_queue(QUEUE);
    node.settled();
    for text in ["a", "b", "c"] {
        node.shard
            .publish(&run_of(&[text.to_owned()], 1), &[to(&[QUEUE])], &[]);
        assert_eq!(node.shard.is_urgent(), text == "a" || text == "b");
        node.propose();
        assert!(
            !node.shard.is_urgent(),
            "to propose it again comes to nothing"
        );
    }
    node.settled();
    assert_eq!(node.shard.counts(QUEUE).0, 3);
}

#[test]
fn who_hears_of_a_later_leader_by_another_way_leads_no_more() {
    let mut node = Node::begin(Vec::new());
    node.shard.create_queue(QUEUE);
    node.settled();
    let term = node.shard.standing().term;
    assert!(node.shard.follow(8, term).is_err());
    node.shard
        .publish(&run_of(&["a".to_owned()], 1), &[to(&[QUEUE])], &[]);
    let record = node.shard.follow(8, term + 1).unwrap();
    node.write(record);
    assert!(!node.shard.is_serving());
    assert!(!node.shard.has_pending(), "who said it says it again");
    assert_eq!(node.shard.standing().leader, 8);
    assert!(node.shard.follow(8, term + 1).is_err());
}
