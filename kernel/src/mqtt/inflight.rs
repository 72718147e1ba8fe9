//! The packets of QoS 1 and 2 that were sent to a subscriber and are not done with.
//!
//! A message's packet identifier is 1 + its sequence mod 65535, so that whoever knows the sequence knows the identifier,
//! also after a reconnect. A sequence is settled by PUBACK or PUBREC; after PUBREC a PUBREL is owed under its identifier
//! until PUBCOMP comes. An identifier stands for one thing at a time: what is in flight at once lies within 65535 sequences.
//!
//! Messages of foreign queues, which the subscriber shares with other consumers, get identifiers that no sequence will need
//! for as long as can be: the last free ones that the session's own sequences come to.

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
    /// It is a foreign queue's message.
    Foreign { queue: u64, sequence: u64 },
}

/// Messages of a foreign queue, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignRange {
    pub queue: u64,
    pub first: u64,
    pub last: u64,
}

/// What became of acknowledgements.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Sequences that are settled by them, merged and ascending.
    pub settled: Vec<Range>,
    /// Messages of foreign queues likewise.
    pub foreign: Vec<ForeignRange>,
    /// Identifiers that nothing of this kind was due for.
    pub unknown: Vec<u16>,
}

#[derive(Debug, Default)]
pub struct Inflight {
    slots: BTreeMap<u16, Slot>,
    /// Sequences of all slots that have one.
    sequences: BTreeSet<u64>,
    /// Owed identifiers by receipt.
    owed: BTreeMap<u64, u16>,
    /// Identifiers in use that are not a known sequence's of the session: foreign, or owed since before.
    pinned: BTreeSet<u16>,
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
        count_of(ranges)?;
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

    /// These messages of a foreign queue are sent now, at QoS 1; their packet identifiers. `next` is the sequence that the
    /// session itself sends next. It takes a look at all that is in flight.
    ///
    /// # Errors
    /// A range is none, or there are not so many identifiers left. Nothing is changed.
    pub fn push_foreign(
        &mut self,
        queue: u64,
        ranges: &[Range],
        next: u64,
    ) -> Result<Vec<u16>, &'static str> {
        let count = count_of(ranges)?;
        if count > PACKET_ID_COUNT as usize - self.slots.len() {
            return Err("more than there are packet identifiers left");
        }
        let packet_ids = self.farthest_free(packet_id_of(next), count);
        let sequences = ranges.iter().flat_map(|(first, last)| *first..=*last);
        for (&packet_id, sequence) in packet_ids.iter().zip(sequences) {
            self.slots
                .insert(packet_id, Slot::Foreign { queue, sequence });
            self.pinned.insert(packet_id);
        }
        Ok(packet_ids)
    }

    /// The free identifiers that are the last to come when one counts up from `next_id`, the last one first.
    fn farthest_free(&self, next_id: u16, count: usize) -> Vec<u16> {
        let below = (1..next_id).rev();
        let used_below = self.slots.range(..next_id).rev().map(|(id, _)| *id);
        let above = (next_id..=u16::MAX).rev();
        let used_above = self.slots.range(next_id..).rev().map(|(id, _)| *id);
        let mut used = used_below.chain(used_above).peekable();
        below
            .chain(above)
            .filter(|id| used.next_if_eq(id).is_none())
            .take(count)
            .collect()
    }

    /// The subscriber acknowledged these. `kind`: PUBACK, PUBREC or PUBCOMP; a PUBREC that refuses counts as PUBACK.
    /// Messages of foreign queues are sent at QoS 1, and PUBACK alone settles them.
    pub fn acknowledge(&mut self, packet_ids: &[u16], kind: u8) -> Acknowledged {
        let (mut settled, mut foreign, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
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
                (Some(Slot::Foreign { queue, sequence }), packet::PUBACK) => {
                    self.forget(packet_id);
                    foreign.push((queue, sequence));
                }
                // The PUBREL was lost, and is owed as before.
                (Some(Slot::Owed { .. }), packet::PUBREC) => {}
                (Some(Slot::Owed { .. }), packet::PUBCOMP) => self.forget(packet_id),
                _ => unknown.push(packet_id),
            }
        }
        Acknowledged {
            settled: merged(settled),
            foreign: merged_foreign(foreign),
            unknown,
        }
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
                self.pinned.remove(&packet_id);
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
            Some(Slot::Foreign { .. }) => {
                self.pinned.remove(&packet_id);
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
            self.pinned.insert(packet_id);
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
        // Of one without a sequence of ours all that is known is when its identifier's turn comes.
        let next_id = packet_id_of(next);
        let ahead = self.pinned.range(next_id..).next();
        let collision = ahead.or(self.pinned.first()).map_or(PACKET_ID_COUNT, |id| {
            (PACKET_ID_COUNT + u64::from(*id) - u64::from(next_id)) % PACKET_ID_COUNT
        });
        collision.min(PACKET_ID_COUNT - behind)
    }

    /// The connection is gone: what was sent and not settled, which will be sent again, and what is to go back to foreign
    /// queues. What is owed stays owed.
    pub fn take_sent(&mut self) -> (Vec<Range>, Vec<ForeignRange>) {
        let (mut sent, mut foreign, mut packet_ids) = (Vec::new(), Vec::new(), Vec::new());
        for (&packet_id, slot) in &self.slots {
            match *slot {
                Slot::Sent(sequence) => sent.push(sequence),
                Slot::Foreign { queue, sequence } => foreign.push((queue, sequence)),
                Slot::Owed { .. } => continue,
            }
            packet_ids.push(packet_id);
        }
        for packet_id in packet_ids {
            self.forget(packet_id);
        }
        (merged(sent), merged_foreign(foreign))
    }
}

/// How many sequences these are.
fn count_of(ranges: &[Range]) -> Result<usize, &'static str> {
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
    Ok(count as usize)
}

fn merged_foreign(mut messages: Vec<(u64, u64)>) -> Vec<ForeignRange> {
    messages.sort_unstable();
    let mut ranges: Vec<ForeignRange> = Vec::new();
    for (queue, sequence) in messages {
        match ranges.last_mut() {
            Some(range) if range.queue == queue && range.last + 1 == sequence => {
                range.last = sequence;
            }
            _ => ranges.push(ForeignRange {
                queue,
                first: sequence,
                last: sequence,
            }),
        }
    }
    ranges
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

    fn unknown(packet_ids: &[u16]) -> Acknowledged {
        Acknowledged {
            unknown: packet_ids.to_vec(),
            ..Acknowledged::default()
        }
    }

    fn foreign(queue: u64, first: u64, last: u64) -> ForeignRange {
        ForeignRange { queue, first, last }
    }

    #[test]
    fn identifiers_follow_the_sequences() {
        let mut inflight = Inflight::default();
        let ids = inflight.push(&[(65_533, 65_536), (65_540, 65_540)]);
        assert_eq!(ids, Ok(vec![65_534, 65_535, 1, 2, 6]));
        let done = inflight.acknowledge(&[2, 65_535, 9, 1, 6], PUBACK);
        assert_eq!(done.settled, [(65_534, 65_536), (65_540, 65_540)]);
        assert_eq!(done.unknown, [9]);
        assert_eq!(inflight.outstanding(), 1);
        assert_eq!(inflight.room(65_541), 65_535 - (65_541 - 65_533));
    }

    #[test]
    fn a_release_is_owed_from_pubrec_to_pubcomp() {
        let mut inflight = Inflight::default();
        inflight.push(&[(0, 3)]).unwrap();
        let received = inflight.acknowledge(&[3, 1], PUBREC);
        assert_eq!(received.settled, [(0, 0), (2, 2)]);
        assert_eq!(inflight.acknowledge(&[3], PUBREC), unknown(&[]));
        assert_eq!(inflight.acknowledge(&[2], PUBCOMP), unknown(&[2]));
        assert_eq!(inflight.acknowledge(&[3], PUBACK), unknown(&[3]));
        assert_eq!(inflight.take_sent(), (vec![(1, 1), (3, 3)], vec![]));
        assert_eq!((inflight.owed(), inflight.outstanding()), (vec![3, 1], 2));
        // Sequences 1 and 3 come again.
        inflight.push(&[(1, 1), (3, 3)]).unwrap();
        assert_eq!(inflight.acknowledge(&[3, 1], PUBCOMP), unknown(&[]));
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

    #[test]
    fn foreign_messages_get_the_identifiers_that_are_needed_last() {
        let mut inflight = Inflight::default();
        inflight.push(&[(65_534, 65_536)]).unwrap(); // 65535, 1, 2
        inflight.restore_owed(&[65_533]).unwrap();
        let ids = inflight.push_foreign(7, &[(40, 41), (50, 50)], 65_537);
        assert_eq!(ids, Ok(vec![65_534, 65_532, 65_531]));
        assert_eq!(inflight.push_foreign(8, &[(0, 0)], 0), Ok(vec![65_530]));
        assert_eq!(inflight.outstanding(), 8);
        assert_eq!(inflight.room(65_537), 65_527); // 3 to 65529
        assert_eq!(inflight.room(65_529 + 65_535), 0);
        assert!(inflight.push(&[(65_531, 65_531)]).is_err());
        assert_eq!(inflight.acknowledge(&[65_534], PUBREC), unknown(&[65_534]));
        let done = inflight.acknowledge(&[65_530, 65_532, 65_534, 1], PUBACK);
        assert_eq!(done.foreign, [foreign(7, 40, 41), foreign(8, 0, 0)]);
        assert_eq!(done.settled, [(65_535, 65_535)]);
        let back = vec![foreign(7, 50, 50)];
        assert_eq!(
            inflight.take_sent(),
            (vec![(65_534, 65_534), (65_536, 65_536)], back)
        );
        assert_eq!(inflight.owed(), [65_533]);
        assert_eq!(inflight.outstanding(), 1);
    }

    #[test]
    fn foreign_messages_never_take_an_identifier_twice() {
        let mut inflight = Inflight::default();
        inflight.push(&[(5, 5)]).unwrap();
        assert!(inflight.push_foreign(1, &[(1, 65_535)], 6).is_err());
        assert!(inflight.push_foreign(1, &[(1, 0)], 6).is_err());
        assert!(inflight.push_foreign(1, &[(0, u64::MAX)], 6).is_err());
        assert_eq!(inflight.outstanding(), 1);
        let mut ids = inflight.push_foreign(1, &[(1, 65_534)], 6).unwrap();
        assert_eq!((ids[0], ids[4], ids[5]), (5, 1, 65_535));
        assert_eq!((inflight.room(6), inflight.outstanding()), (0, 65_535));
        ids.sort_unstable();
        assert!(ids.iter().all(|id| *id != 6) && ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
