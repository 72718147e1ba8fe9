//! A node's front: numbers what it publishes, and keeps it until it is told that it was applied.

use std::collections::VecDeque;
use std::sync::Arc;

use _kernel::message_run::{Facts, MessageRun, Origin, NO_EXPIRATION};
use _kernel::pending_wave::{Target, Targets};
use _kernel::run_builder::RunBuilder;
use _kernel::wave::Sender;

pub struct Command {
    pub number: u64,
    pub queue: u64,
    pub body: String,
    /// The term of the leader that was last told; 0: none.
    pub said_in: u64,
}

pub struct Front {
    pub sender: Sender,
    pub waiting: VecDeque<Command>,
    next: u64,
}

impl Front {
    pub fn new(peer: u64, incarnation: u64) -> Self {
        Self {
            sender: super::sender_of(peer, incarnation),
            waiting: VecDeque::new(),
            next: 1,
        }
    }

    pub fn publish(&mut self, queue: u64, size: usize) {
        let Sender { peer, incarnation } = self.sender;
        let name = format!("{peer}/{incarnation}/{}", self.next);
        self.waiting.push_back(Command {
            number: self.next,
            queue,
            body: format!("{name:.<size$}"),
            said_in: 0,
        });
        self.next += 1;
    }

    /// Forgets what was applied, and answers its bodies.
    pub fn receive_applied(&mut self, through: u64) -> Vec<String> {
        assert!(through < self.next, "applied what was never said");
        let mut told = Vec::new();
        while self.waiting.front().is_some_and(|c| c.number <= through) {
            told.extend(self.waiting.pop_front().map(|command| command.body));
        }
        told
    }
}

pub fn run_of(body: &str) -> Arc<MessageRun> {
    let mut builder = RunBuilder::new(Origin::Amqp091);
    let key = builder.key(b"x", b"k");
    let facts = Facts {
        expiration_ms: NO_EXPIRATION,
        priority: 0,
        flags: 1,
    };
    builder.push(key, &[0, 0], body.as_bytes(), facts);
    Arc::new(builder.finish())
}

pub fn to(queue: u64) -> Targets {
    Arc::new(vec![Target::of(queue)])
}
