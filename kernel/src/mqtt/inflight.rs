//! The packets of QoS 1 and 2 that were sent to a subscriber and are not done with.
//!
//! A message's packet identifier is 1 + its sequence mod 65535, so that whoever knows the sequence knows the identifier,
//! also after a reconnect. A sequence is settled by PUBACK or PUBREC; after PUBREC a PUBREL is owed under its identifier
//! until PUBCOMP comes. An identifier stands for one thing at a time: what is in flight at once lies within 65535 sequences.

use std::collections::{BTreeMap, BTreeSet};

use crate::mqtt::packet;

/// How many packet identifiers there are.
const PACKET_ID_COUNT: u64 = 65_535;

/// Both ends included.
pub type Range = (u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// It is this sequence's.
    Sent(u64),
    Owed {
        /// The when-th PUBREC it was.
        receipt: u64,
        /// None: not known any more.
        sequence: Option<u64>,
    },
}

#[derive(Debug, Default)]
pub struct Inflight {
    slots: BTreeMap<u16, Slot>,
    /// Sequences of all slots that have one.
    sequences: BTreeSet<u64>,
    /// Owed identifiers by receipt.
    owed: BTreeMap<u64, u16>,
    /// Owed identifiers without a sequence.
    restored: BTreeSet<u16>,
    receipts: u64,
}

pub fn packet_id_of(sequence: u64) -> u16 {
    1 + (sequence % PACKET_ID_COUNT) as u16
}

impl Inflight {
    /// These sequences are sent now; their packet identifiers.
    ///
    /// # Errors
    /// A range is none, or an identifier is in use. Nothing is changed.
    pub fn push(&mut self, ranges: &[Range]) -> Result<Vec<u16>, &'static str> {
        let mut count = 0_u64;
        for (first, last) in ranges {
            let size = last
                .checked_sub(*first)
                .ok_or("a range is first and last")?;
            count = count.saturating_add(size).saturating_add(1);
            if count > PACKET_ID_COUNT {
                return Err("more than there are packet identifiers");
            }
        }
        let sequences = || ranges.iter().flat_map(|(first, last)| *first..=*last);
        let packet_ids: Vec<u16> = sequences().map(packet_id_of).collect();
        let distinct: BTreeSet<u16> = packet_ids.iter().copied().collect();
        let in_use = packet_ids.iter().any(|id| self.slots.contains_key(id));
        if in_use || distinct.len() < packet_ids.len() {
            return Err("a packet identifier is in use");
        }
        for (packet_id, sequence) in packet_ids.iter().zip(sequences()) {
            self.slots.insert(*packet_id, Slot::Sent(sequence));
            self.sequences.insert(sequence);
        }
        Ok(packet_ids)
    }

    /// The subscriber acknowledged these: the sequences that are settled by it, merged and ascending, and the identifiers
    /// that nothing of this kind was due for. `kind`: PUBACK, PUBREC or PUBCOMP; a PUBREC that refuses counts as PUBACK.
    pub fn acknowledge(&mut self, packet_ids: &[u16], kind: u8) -> (Vec<Range>, Vec<u16>) {
        let (mut settled, mut unknown) = (Vec::new(), Vec::new());
        for &packet_id in packet_ids {
            match (self.slots.get(&packet_id).copied(), kind) {
                (Some(Slot::Sent(sequence)), packet::PUBACK) => {
                    self.forget(packet_id);
                    settled.push(sequence);
                }
                (Some(Slot::Sent(sequence)), packet::PUBREC) => {
                    self.owe(packet_id, Some(sequence));
                    settled.push(sequence);
                }
                // The PUBREL was lost, and is owed as before.
                (Some(Slot::Owed { .. }), packet::PUBREC) => {}
                (Some(Slot::Owed { .. }), packet::PUBCOMP) => self.forget(packet_id),
                _ => unknown.push(packet_id),
            }
        }
        (merged(settled), unknown)
    }

    fn owe(&mut self, packet_id: u16, sequence: Option<u64>) {
        let receipt = self.receipts;
        self.receipts += 1;
        self.owed.insert(receipt, packet_id);
        self.slots
            .insert(packet_id, Slot::Owed { receipt, sequence });
    }

    fn forget(&mut self, packet_id: u16) {
        match self.slots.remove(&packet_id) {
            Some(Slot::Owed {
                receipt,
                sequence: None,
            }) => {
                self.owed.remove(&receipt);
                self.restored.remove(&packet_id);
            }
            Some(Slot::Owed {
                receipt,
                sequence: Some(sequence),
            }) => {
                self.owed.remove(&receipt);
                self.sequences.remove(&sequence);
            }
            Some(Slot::Sent(sequence)) => {
                self.sequences.remove(&sequence);
            }
            None => {}
        }
    }

    /// Identifiers for which a PUBREL is owed, in the order of their PUBRECs.
    pub fn owed(&self) -> Vec<u16> {
        self.owed.values().copied().collect()
    }

    /// Takes in what was owed when the session was last seen, in order.
    ///
    /// # Errors
    /// An identifier is 0 or in use. Nothing is changed.
    pub fn restore_owed(&mut self, packet_ids: &[u16]) -> Result<(), &'static str> {
        let distinct: BTreeSet<u16> = packet_ids.iter().copied().collect();
        if distinct.contains(&0) {
            return Err("no packet identifier is 0");
        }
        let in_use = packet_ids.iter().any(|id| self.slots.contains_key(id));
        if in_use || distinct.len() < packet_ids.len() {
            return Err("a packet identifier is in use");
        }
        for &packet_id in packet_ids {
            self.owe(packet_id, None);
            self.restored.insert(packet_id);
        }
        Ok(())
    }

    /// Sent and unsettled, or owed: what counts against the subscriber's Receive Maximum.
    pub fn outstanding(&self) -> usize {
        self.slots.len()
    }

    /// How many sequences from `next` on may be sent until an identifier would be used twice.
    pub fn room(&self, next: u64) -> u64 {
        let behind = self.sequences.first().map_or(0, |oldest| {
            next.saturating_sub(*oldest).min(PACKET_ID_COUNT)
        });
        // Of an owed one without a sequence all that is known is when its identifier's turn comes.
        let next_id = packet_id_of(next);
        let ahead = self.restored.range(next_id..).next();
        let collision = ahead
            .or(self.restored.first())
            .map_or(PACKET_ID_COUNT, |id| {
                (PACKET_ID_COUNT + u64::from(*id) - u64::from(next_id)) % PACKET_ID_COUNT
            });
        collision.min(PACKET_ID_COUNT - behind)
    }

    /// The connection is gone: what was sent and not settled will be sent again. What is owed stays owed.
    pub fn take_sent(&mut self) -> Vec<Range> {
        let sent = |slot: &Slot| match slot {
            Slot::Sent(sequence) => Some(*sequence),
            Slot::Owed { .. } => None,
        };
        let sequences: Vec<u64> = self.slots.values().filter_map(sent).collect();
        for &sequence in &sequences {
            self.forget(packet_id_of(sequence));
        }
        merged(sequences)
    }
}

fn merged(mut sequences: Vec<u64>) -> Vec<Range> {
    sequences.sort_unstable();
    let mut ranges: Vec<Range> = Vec::new();
    for sequence in sequences {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == sequence => *last = sequence,
            _ => ranges.push((sequence, sequence)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::packet::{PUBACK, PUBCOMP, PUBREC};

    #[test]
    fn identifiers_follow_the_sequences() {
        let mut inflight = Inflight::default();
        let ids = inflight.push(&[(65_533, 65_536), (65_540, 65_540)]);
        assert_eq!(ids, Ok(vec![65_534, 65_535, 1, 2, 6]));
        let (settled, unknown) = inflight.acknowledge(&[2, 65_535, 9, 1, 6], PUBACK);
        assert_eq!(settled, [(65_534, 65_536), (65_540, 65_540)]);
        assert_eq!(unknown, [9]);
        assert_eq!(inflight.outstanding(), 1);
        assert_eq!(inflight.room(65_541), 65_535 - (65_541 - 65_533));
    }

    #[test]
    fn a_release_is_owed_from_pubrec_to_pubcomp() {
        let mut inflight = Inflight::default();
        inflight.push(&[(0, 3)]).unwrap();
        assert_eq!(inflight.acknowledge(&[3, 1], PUBREC).0, [(0, 0), (2, 2)]);
        assert_eq!(inflight.acknowledge(&[3], PUBREC), (vec![], vec![]));
        assert_eq!(inflight.acknowledge(&[2], PUBCOMP), (vec![], vec![2]));
        assert_eq!(inflight.acknowledge(&[3], PUBACK), (vec![], vec![3]));
        assert_eq!(inflight.take_sent(), [(1, 1), (3, 3)]);
        assert_eq!((inflight.owed(), inflight.outstanding()), (vec![3, 1], 2));
        // Sequences 1 and 3 come again.
        inflight.push(&[(1, 1), (3, 3)]).unwrap();
        assert_eq!(inflight.acknowledge(&[3, 1], PUBCOMP), (vec![], vec![]));
        assert_eq!((inflight.owed(), inflight.outstanding()), (vec![], 2));
    }

    #[test]
    fn no_identifier_is_used_twice() {
        let mut inflight = Inflight::default();
        assert_eq!(inflight.room(7), 65_535);
        inflight.push(&[(7, 7)]).unwrap();
        assert_eq!(inflight.room(8), 65_534);
        inflight.push(&[(8, 65_541)]).unwrap();
        assert_eq!(inflight.room(65_542), 0);
        assert!(inflight.push(&[(65_542, 65_542)]).is_err());
        assert!(inflight.push(&[(0, u64::MAX)]).is_err());
        assert!(inflight.push(&[(9, 8)]).is_err());
        assert_eq!(inflight.outstanding(), 65_535);
        inflight.acknowledge(&[8], PUBACK);
        assert_eq!(inflight.room(65_542), 1);
    }

    #[test]
    fn what_was_restored_blocks_its_identifier_until_its_pubcomp() {
        let mut inflight = Inflight::default();
        inflight.restore_owed(&[5, 2]).unwrap();
        assert!(inflight.restore_owed(&[2]).is_err());
        assert!(inflight.restore_owed(&[0]).is_err());
        assert!(inflight.restore_owed(&[9, 9]).is_err());
        assert_eq!(inflight.owed(), [5, 2]);
        assert_eq!(
            (inflight.room(0), inflight.room(1), inflight.room(2)),
            (1, 0, 2)
        );
        assert_eq!(inflight.room(5), 65_535 - 4);
        inflight.acknowledge(&[2, 5], PUBCOMP);
        assert_eq!((inflight.room(0), inflight.outstanding()), (65_535, 0));
    }
}
