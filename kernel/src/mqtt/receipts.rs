//! A publisher's packets that await the broker's confirm: MQTT acknowledges in the order of receipt (specification 4.6).

use std::collections::VecDeque;

/// A packet that may not be acknowledged yet.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    tag: u64,
    packet_id: u16,
    /// Settled, and held back by one before it.
    reason: Option<u8>,
}

/// Packets in the order they came, by ascending tags.
#[derive(Debug, Default)]
pub struct Receipts {
    waiting: VecDeque<Receipt>,
    next_tag: u64,
}

impl Receipts {
    /// Packets came; their tags go on from `first_tag`.
    ///
    /// # Errors
    /// A tag is not larger than all before, or is no u64. Nothing is changed.
    pub fn push(&mut self, first_tag: u64, packet_ids: &[u16]) -> Result<(), &'static str> {
        if first_tag < self.next_tag {
            return Err("tags ascend");
        }
        let end = first_tag.checked_add(packet_ids.len() as u64);
        self.next_tag = end.ok_or("a tag is a u64")?;
        let receipts = packet_ids.iter().zip(first_tag..);
        self.waiting
            .extend(receipts.map(|(&packet_id, tag)| Receipt {
                tag,
                packet_id,
                reason: None,
            }));
        Ok(())
    }

    /// Tags `first` to `last` are settled; tags that are not waited for are passed over. What may be acknowledged now, in
    /// order: reason and packet identifiers.
    pub fn settle(&mut self, first: u64, last: u64, reason: u8) -> Vec<(u8, Vec<u16>)> {
        let begin = self.waiting.partition_point(|receipt| receipt.tag < first);
        for receipt in self.waiting.range_mut(begin..) {
            if receipt.tag > last {
                break;
            }
            receipt.reason.get_or_insert(reason);
        }
        let mut due: Vec<(u8, Vec<u16>)> = Vec::new();
        while let Some(&Receipt {
            packet_id,
            reason: Some(reason),
            ..
        }) = self.waiting.front()
        {
            self.waiting.pop_front();
            match due.last_mut() {
                Some((of, packet_ids)) if *of == reason => packet_ids.push(packet_id),
                _ => due.push((reason, vec![packet_id])),
            }
        }
        due
    }

    /// How many are not acknowledged yet.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_early_waits_for_those_before() {
        let mut receipts = Receipts::default();
        receipts.push(1, &[11, 12, 13]).unwrap();
        receipts.push(10, &[14]).unwrap();
        assert_eq!(receipts.settle(2, 2, 0x87), []);
        assert_eq!(receipts.settle(10, 12, 0), []);
        assert_eq!(receipts.len(), 4);
        let due = receipts.settle(0, 1, 0);
        assert_eq!(due, [(0, vec![11]), (0x87, vec![12])]);
        let due = receipts.settle(2, 9, 0);
        assert_eq!(due, [(0, vec![13, 14])]);
        assert!(receipts.is_empty());
        assert_eq!(receipts.settle(0, u64::MAX, 0), []);
    }

    #[test]
    fn tags_ascend() {
        let mut receipts = Receipts::default();
        receipts.push(5, &[1, 2]).unwrap();
        assert!(receipts.push(6, &[3]).is_err());
        assert!(receipts.push(u64::MAX, &[3]).is_err());
        receipts.push(7, &[3]).unwrap();
        assert_eq!(receipts.settle(5, 7, 0), [(0, vec![1, 2, 3])]);
    }
}
