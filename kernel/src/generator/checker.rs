//! What a consumer must see: each producer's messages, all of them, once, in order.

use std::collections::BTreeSet;

use super::template::{BODY_STAMPED, BODY_TIMED};

/// Gaps are kept one by one up to here, to tell a message that is late from one that came twice.
const MISSING_MAX: usize = 100_000;

/// One queue's deliveries so far.
pub struct Checker {
    nonce: u32,
    size: usize,
    /// The sequence each producer's next message must have.
    next: Vec<u64>,
    missing: BTreeSet<(u32, u64)>,
    unlisted_missing: u64,
    disordered: u64,
    duplicated: u64,
    received: u64,
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

impl Checker {
    pub fn new(nonce: u32, size: usize, producers: u32) -> Self {
        Self {
            nonce,
            size,
            next: vec![0; producers as usize],
            missing: BTreeSet::new(),
            unlisted_missing: 0,
            disordered: 0,
            duplicated: 0,
            received: 0,
        }
    }

    /// Takes a body of `size` bytes of which `start` is the beginning. Gives when it was due (ns), if
    /// it says. An error is a message that nobody of this run sent.
    pub fn take(&mut self, start: &[u8], size: usize) -> Result<Option<u64>, String> {
        if size != self.size || start.len() < BODY_STAMPED {
            return Err(format!(
                "a body of {size} bytes where {} were sent",
                self.size
            ));
        }
        let sequence = u64_at(start, 0);
        let producer = u32_at(start, 8);
        let nonce = u32_at(start, 12);
        if nonce != self.nonce || producer as usize >= self.next.len() {
            return Err(format!(
                "a message from nowhere: run {nonce}, producer {producer}, sequence {sequence}"
            ));
        }
        self.received += 1;
        let next = &mut self.next[producer as usize];
        if sequence == *next {
            *next += 1;
        } else {
            self.take_unexpected(producer, sequence);
        }
        Ok((size >= BODY_TIMED && start.len() >= BODY_TIMED).then(|| u64_at(start, 16)))
    }

    fn take_unexpected(&mut self, producer: u32, sequence: u64) {
        let next = self.next[producer as usize];
        if sequence < next {
            if self.missing.remove(&(producer, sequence)) {
                self.disordered += 1;
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
        self.next[producer as usize] = sequence + 1;
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// The sum of what came from all producers, gaps counted as come.
    pub fn reached(&self) -> u64 {
        self.next.iter().sum()
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
        let mut checker = Checker::new(7, 16, sent.len() as u32);
        for (producer, sequence) in sequences {
            checker.take(&body(7, *producer, *sequence), 16)?;
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
        let mut checker = Checker::new(7, 16, 1);
        assert!(checker
            .take(&body(8, 0, 0), 16)
            .unwrap_err()
            .contains("nowhere"));
        assert!(checker
            .take(&body(7, 1, 0), 16)
            .unwrap_err()
            .contains("nowhere"));
        assert!(checker
            .take(&body(7, 0, 0), 17)
            .unwrap_err()
            .contains("17 bytes"));
    }

    #[test]
    fn a_gap_of_any_size_costs_a_bounded_list() {
        let mut checker = Checker::new(7, 16, 1);
        checker.take(&body(7, 0, 1 << 40), 16).unwrap();
        assert_eq!(checker.missing.len(), MISSING_MAX);
        assert!(checker
            .verdict(&[(1 << 40) + 1])
            .unwrap_err()
            .starts_with(&(1_u64 << 40).to_string()));
    }
}
