//! What is looked at to be dead-lettered.

use super::*;
use crate::wave::Outcome;

#[test]
fn what_is_being_dead_lettered_already_is_not_once_more() {
    const OUTBOX: u64 = QUEUE + 1;
    let mut node = Node::begin(Vec::new());
    node.shard.create_queue(OUTBOX);
    node.shard.create_queue(QUEUE);
    let bodies = ["a", "b", "c", "d"].map(String::from);
    node.shard
        .publish(&run_of(&bodies, 1), &[to(&[QUEUE])], &[]);
    node.settled();
    assert_eq!(node.shard.check_out(QUEUE, 4), [(0, 3)]);
    let rejected = run_of(&bodies[1..3], 1);
    node.shard
        .bury(&rejected, OUTBOX, QUEUE, &[(1, 2)], Outcome::Rejected);
    let (run, through) = node.shard.peek(QUEUE, 0, 3).unwrap();
    assert_eq!((run.count(), through), (2, 3));
    let (run, through) = node.shard.peek(QUEUE, 1, 2).unwrap();
    assert_eq!((run.count(), through), (0, 2));
}

#[test]
fn what_is_peeked_at_need_not_be_in_memory_at_once() {
    const COUNT: u64 = 64;
    let mut node = backlog(COUNT as usize);
    assert_eq!(node.shard.check_out(QUEUE, COUNT), [(0, COUNT - 1)]);
    let (mut next, mut reads) = (0, 0);
    while next < COUNT {
        if let Some((run, through)) = node.shard.peek(QUEUE, next, COUNT - 1) {
            assert_eq!(run.count() as u64, through + 1 - next);
            next = through + 1;
            // What is written meanwhile takes room in memory.
            node.shard
                .publish(&run_of(&["x".repeat(9000)], 1), &[to(&[QUEUE])], &[]);
            node.settled();
        } else {
            assert!(read_wanted(&mut node));
            reads += 1;
            assert!(reads < COUNT, "{next} of {COUNT} so far");
        }
    }
}
