//! All consumers' checks: who must see whose messages.

use super::checker::Checker;
use super::{LoadSpec, Pattern};

pub struct Audience {
    pattern: Pattern,
    backlog_max: u64,
    /// What a verdict calls each of them.
    queues: Vec<String>,
    /// One for each consumer; in a group, one for all.
    checkers: Vec<Checker>,
}

impl Audience {
    pub fn new(spec: &LoadSpec) -> Self {
        let everyone = 0..spec.publishers.max(1);
        let places = 0..spec.queues.len();
        let checkers = match spec.pattern {
            Pattern::Everyone => places
                .map(|_| Checker::new(spec.nonce, spec.size, everyone.clone()))
                .collect(),
            Pattern::Pairs => places
                .map(|place| place as u32)
                .map(|producer| Checker::new(spec.nonce, spec.size, producer..producer + 1))
                .collect(),
            Pattern::Group if places.is_empty() => Vec::new(),
            Pattern::Group => vec![Checker::group(
                spec.nonce,
                spec.size,
                everyone,
                places.len(),
            )],
        };
        Self {
            pattern: spec.pattern,
            backlog_max: spec.backlog_max,
            queues: spec.queues.clone(),
            checkers,
        }
    }

    /// What checks consumer `place`, and as which member.
    pub fn checker(&mut self, place: usize) -> (&mut Checker, usize) {
        match self.pattern {
            Pattern::Group => (&mut self.checkers[0], place),
            Pattern::Everyone | Pattern::Pairs => (&mut self.checkers[place], 0),
        }
    }

    pub fn received(&self) -> u64 {
        self.checkers.iter().map(Checker::received).sum()
    }

    /// Of what each producer has sent, what `place`'s checker must see.
    fn share<'a>(&self, place: usize, sent: &'a [u64]) -> &'a [u64] {
        match self.pattern {
            Pattern::Pairs => &sent[place..=place],
            Pattern::Everyone | Pattern::Group => sent,
        }
    }

    /// How many more messages may be sent by all until the slowest has all the backlog it may have.
    pub fn room(&self, sent: &[u64]) -> u64 {
        let sent: u64 = sent.iter().sum();
        let slowest = self.checkers.iter().map(Checker::reached).min();
        let backlog = sent - slowest.unwrap_or(sent).min(sent);
        self.backlog_max.saturating_sub(backlog)
    }

    /// Of pairs, how many more `producer` may send after `sent`.
    pub fn room_of(&self, producer: usize, sent: u64) -> u64 {
        let backlog = sent.saturating_sub(self.checkers[producer].reached());
        self.backlog_max.saturating_sub(backlog)
    }

    /// Everybody has seen everything, as far as it will come.
    pub fn has_all(&self, sent: &[u64]) -> bool {
        let all: u64 = sent.iter().sum();
        self.checkers.iter().enumerate().all(|(place, checker)| {
            let expected = match self.pattern {
                Pattern::Pairs => sent[place],
                Pattern::Everyone | Pattern::Group => all,
            };
            checker.reached() >= expected
        })
    }

    /// What is wrong once everything should be here.
    pub fn verdict(&self, sent: &[u64]) -> Result<(), String> {
        for (place, checker) in self.checkers.iter().enumerate() {
            checker
                .verdict(self.share(place, sent))
                .map_err(|words| format!("{}: {words}", self.queues[place]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MqttSpec, ProtocolSpec, Side};
    use super::*;

    fn spec(pattern: Pattern) -> LoadSpec {
        let side = Side {
            host: String::new(),
            port: 0,
            protocol: ProtocolSpec::Mqtt(MqttSpec {
                qos: 1,
                clean_session: true,
                retain: false,
            }),
            websocket: None,
        };
        LoadSpec {
            publishing: side.clone(),
            consuming: side,
            pattern,
            routing_keys: Vec::new(),
            publishers: 2,
            size: 16,
            window: 1,
            rate: 0.0,
            queues: vec!["first".into(), "second".into()],
            backlog_max: 5,
            warmup_s: 0.0,
            duration_s: 0.0,
            messages: 0,
            queued: 0,
            drain_s: 0.0,
            nonce: 9,
            broker_pids: Vec::new(),
        }
    }

    /// What comes of (consumer, producer, sequence) in turn.
    fn audience(pattern: Pattern, deliveries: &[(usize, u32, u64)]) -> Audience {
        let mut audience = Audience::new(&spec(pattern));
        for (place, producer, sequence) in deliveries {
            let mut body = sequence.to_be_bytes().to_vec();
            body.extend_from_slice(&producer.to_be_bytes());
            body.extend_from_slice(&9_u32.to_be_bytes());
            let (checker, member) = audience.checker(*place);
            checker.take(member, &body, 16).unwrap();
        }
        audience
    }

    #[test]
    fn everyone_is_to_see_everything() {
        let one = [(0, 0, 0), (0, 1, 0), (1, 1, 0)];
        let lacking = audience(Pattern::Everyone, &one);
        assert!(!lacking.has_all(&[1, 1]));
        assert_eq!((lacking.room(&[1, 1]), lacking.received()), (4, 3));
        assert!(lacking
            .verdict(&[1, 1])
            .unwrap_err()
            .starts_with("second: 1 messages lost"));
        let whole = audience(Pattern::Everyone, &[&one[..], &[(1, 0, 0)]].concat());
        assert!(whole.has_all(&[1, 1]));
        assert_eq!(whole.verdict(&[1, 1]), Ok(()));
    }

    #[test]
    fn of_pairs_each_sees_its_own_and_waits_for_nobody_else() {
        let pairs = audience(Pattern::Pairs, &[(0, 0, 0), (1, 1, 0), (1, 1, 1)]);
        assert_eq!((pairs.room_of(0, 4), pairs.room_of(1, 4)), (2, 3));
        assert!(pairs.has_all(&[1, 2]) && !pairs.has_all(&[2, 1]));
        assert_eq!(pairs.verdict(&[1, 2]), Ok(()));
        assert!(pairs
            .verdict(&[2, 2])
            .unwrap_err()
            .starts_with("first: 1 messages lost"));
    }

    #[test]
    fn a_group_sees_everything_together() {
        let group = audience(Pattern::Group, &[(1, 0, 1), (0, 1, 0), (0, 0, 0)]);
        assert!(group.has_all(&[2, 1]));
        assert_eq!((group.room(&[2, 2]), group.received()), (4, 3));
        assert!(group.verdict(&[2, 2]).is_err());
    }
}
