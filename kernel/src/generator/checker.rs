//! What a consumer must see: each producer's messages, all of them, once, in order.

use std::collections::BTreeSet;
use std::ops::Range;

use super::template::{BODY_STAMPED, BODY_TIMED};

/// Gaps are kept one by one up to here, to tell a message that is late from one that came twice.
const MISSING_MAX: usize = 100_000;

/// The deliveries so far of one consumer, or of a group that shares them.
pub struct Checker {
    nonce: u32,
    size: usize,
    /// The first producer this one hears of.
    first: u32,
    /// The sequence each producer's next message must have.
    next: Vec<u64>,
    /// The sum of these.
    reached: u64,
    missing: BTreeSet<(u32, u64)>,
    unlisted_missing: u64,
    disordered: u64,
    duplicated: u64,
    received: u64,
    /// In a group, for each member: the least sequence of each producer that it may still see. The group
    /// as a whole has no order.
    members: Vec<Vec<u64>>,
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(number)
}

/// Sequence, producer and run that a body begins with; None: it is too short.
#[inline]
pub fn stamp_of(start: &[u8]) -> Option<(u64, u32, u32)> {
    (start.len() >= BODY_STAMPED).then(|| (u64_at(start, 0), u32_at(start, 8), u32_at(start, 12)))
}

impl Checker {
    pub fn new(nonce: u32, size: usize, producers: Range<u32>) -> Self {
        Self {
            nonce,
            size,
            first: producers.start,
            next: vec![0; producers.len()],
            reached: 0,
            missing: BTreeSet::new(),
            unlisted_missing: 0,
            disordered: 0,
            duplicated: 0,
            received: 0,
            members: Vec::new(),
        }
    }

    /// Of `members` consumers, each message for one of them.
    pub fn group(nonce: u32, size: usize, producers: Range<u32>, members: usize) -> Self {
        Self {
            members: vec![vec![0; producers.len()]; members],
            ..Self::new(nonce, size, producers)
        }
    }

    fn is_group(&self) -> bool {
        !self.members.is_empty()
    }

    /// Takes a body of `size` bytes of which `start` is the beginning, delivered to `member` of the
    /// group. Gives when it was due (ns), if it says. An error is a message that nobody of this run sent.
    pub fn take(
        &mut self,
        member: usize,
        start: &[u8],
        size: usize,
    ) -> Result<Option<u64>, String> {
        let stamp = if size == self.size {
            stamp_of(start)
        } else {
            None
        };
        let Some((sequence, producer, nonce)) = stamp else {
            return Err(format!(
                "a body of {size} bytes where {} were sent",
                self.size
            ));
        };
        let place = producer.wrapping_sub(self.first) as usize;
        if nonce != self.nonce || place >= self.next.len() {
            return Err(format!(
                "a message from nowhere: run {nonce}, producer {producer}, sequence {sequence}"
            ));
        }
        self.received += 1;
        if let Some(seen) = self.members.get_mut(member) {
            let least = &mut seen[place];
            self.disordered += u64::from(sequence < *least);
            *least = (*least).max(sequence + 1);
        }
        let next = &mut self.next[place];
        if sequence == *next {
            *next += 1;
            self.reached += 1;
        } else {
            self.take_unexpected(producer, sequence);
        }
        Ok((size >= BODY_TIMED && start.len() >= BODY_TIMED).then(|| u64_at(start, 16)))
    }

    fn take_unexpected(&mut self, producer: u32, sequence: u64) {
        let place = (producer - self.first) as usize;
        let next = self.next[place];
        if sequence < next {
            if self.missing.remove(&(producer, sequence)) {
                // Members of a group are not waited for by each other.
                self.disordered += u64::from(!self.is_group());
            } else {
                self.duplicated += 1;
            }
            return;
        }
        for missing in next..sequence {
            if self.missing.len() >= MISSING_MAX {
                self.unlisted_missing += sequence - missing;
                break;
            }
            self.missing.insert((producer, missing));
        }
        self.reached += sequence + 1 - next;
        self.next[place] = sequence + 1;
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// How far all producers' messages came: gaps are counted as come, but in a group, where they may
    /// be filled.
    pub fn reached(&self) -> u64 {
        let gaps = self.missing.len() as u64 + self.unlisted_missing;
        self.reached - if self.is_group() { gaps } else { 0 }
    }

    /// What is wrong once everything should be here: `sent` by each producer.
    pub fn verdict(&self, sent: &[u64]) -> Result<(), String> {
        let tail: u64 = sent
            .iter()
            .zip(&self.next)
            .map(|(sent, next)| sent.saturating_sub(*next))
            .sum();
        let lost = tail + self.missing.len() as u64 + self.unlisted_missing;
        if lost + self.duplicated + self.disordered == 0 {
            return Ok(());
        }
        Err(format!(
            "{lost} messages lost (the last {tail} of a producer among them), {} duplicated, {} out of order",
            self.duplicated, self.disordered
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(nonce: u32, producer: u32, sequence: u64) -> Vec<u8> {
        let mut body = sequence.to_be_bytes().to_vec();
        body.extend_from_slice(&producer.to_be_bytes());
        body.extend_from_slice(&nonce.to_be_bytes());
        body
    }

    fn checked(sequences: &[(u32, u64)], sent: &[u64]) -> Result<(), String> {
        let mut checker = Checker::new(7, 16, 0..sent.len() as u32);
        for (producer, sequence) in sequences {
            checker.take(0, &body(7, *producer, *sequence), 16)?;
        }
        checker.verdict(sent)
    }

    #[test]
    fn producers_are_in_order_each_by_itself() {
        assert_eq!(checked(&[(0, 0), (1, 0), (1, 1), (0, 1)], &[2, 2]), Ok(()));
    }

    #[test]
    fn loss_repeats_and_disorder_are_told_apart() {
        let words = |sequences: &[(u32, u64)], sent: &[u64]| checked(sequences, sent).unwrap_err();
        assert!(words(&[(0, 0), (0, 2)], &[3]).starts_with("1 messages lost (the last 0"));
        assert!(words(&[(0, 0)], &[3]).starts_with("2 messages lost (the last 2"));
        assert!(words(&[(0, 0), (0, 0)], &[1]).contains("1 duplicated, 0 out of order"));
        let late = words(&[(0, 0), (0, 2), (0, 1)], &[3]);
        assert!(late.starts_with("0 messages lost") && late.contains("1 out of order"));
    }

    #[test]
    fn a_message_of_another_run_is_from_nowhere() {
        let mut checker = Checker::new(7, 16, 0..1);
        assert!(checker
            .take(0, &body(8, 0, 0), 16)
            .unwrap_err()
            .contains("nowhere"));
        assert!(checker
            .take(0, &body(7, 1, 0), 16)
            .unwrap_err()
            .contains("nowhere"));
        assert!(checker
            .take(0, &body(7, 0, 0), 17)
            .unwrap_err()
            .contains("17 bytes"));
    }

    #[test]
    fn a_gap_of_any_size_costs_a_bounded_list() {
        let mut checker = Checker::new(7, 16, 0..1);
        checker.take(0, &body(7, 0, 1 << 40), 16).unwrap();
        assert_eq!(checker.missing.len(), MISSING_MAX);
        assert!(checker
            .verdict(&[(1 << 40) + 1])
            .unwrap_err()
            .starts_with(&(1_u64 << 40).to_string()));
    }

    #[test]
    fn one_producer_of_several_is_all_it_hears_of() {
        let mut checker = Checker::new(7, 16, 3..4);
        assert_eq!(checker.take(0, &body(7, 3, 0), 16), Ok(None));
        for stranger in [2, 4] {
            let told = checker.take(0, &body(7, stranger, 0), 16);
            assert!(told.unwrap_err().contains("nowhere"));
        }
        assert_eq!(checker.verdict(&[1]), Ok(()));
    }

    #[test]
    fn a_group_shares_the_messages_and_each_member_sees_its_own_in_order() {
        let group = |deliveries: &[(usize, u64)]| {
            let mut checker = Checker::group(7, 16, 0..1, 2);
            for (member, sequence) in deliveries {
                checker.take(*member, &body(7, 0, *sequence), 16).unwrap();
            }
            (checker.reached(), checker.verdict(&[4]))
        };
        assert_eq!(group(&[(0, 1), (0, 3), (1, 0), (1, 2)]), (4, Ok(())));
        let (reached, told) = group(&[(0, 1), (0, 3), (1, 2)]);
        assert_eq!(reached, 3);
        assert!(told.unwrap_err().starts_with("1 messages lost"));
        let (_, told) = group(&[(0, 1), (0, 0), (1, 2), (1, 3)]);
        assert!(told.unwrap_err().contains("0 duplicated, 1 out of order"));
        let (_, told) = group(&[(0, 0), (1, 0), (0, 1), (0, 2), (0, 3)]);
        assert!(told.unwrap_err().contains("1 duplicated, 0 out of order"));
    }
}
