//! A publisher's unconfirmed messages and when each was sent.

use crate::histogram::Histogram;

/// Delivery tags from 1. A ring of send times (ns), 0 for what is confirmed.
pub struct Ledger {
    sent_at: Vec<u64>,
    first: u64,
    next: u64,
    outstanding: u64,
}

/// MQTT's packet identifiers go from 1 to this and around (3.1.1, 2.3.1).
const ID_MAX: u64 = 65_535;

impl Ledger {
    /// For at most `window` messages at once.
    pub fn new(window: u64) -> Self {
        Self {
            sent_at: vec![0; (window.max(1) as usize).next_power_of_two()],
            first: 1,
            next: 1,
            outstanding: 0,
        }
    }

    fn place(&self, tag: u64) -> usize {
        tag as usize & (self.sent_at.len() - 1)
    }

    /// Messages that may be published before one more is confirmed. The ring bounds the span of tags
    /// too: a broker that confirms out of order may have to confirm the oldest first.
    pub fn room(&self, window: u64) -> u64 {
        let span = self.next - self.first;
        (window.saturating_sub(self.outstanding)).min(self.sent_at.len() as u64 - span)
    }

    /// The next message's tag.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// A tag's packet identifier. It names one message only while less than 65,535 tags are in the ring.
    pub fn id_of(tag: u64) -> u16 {
        ((tag - 1) % ID_MAX) as u16 + 1
    }

    /// The tag, from the first unconfirmed on, that has packet identifier `id`; 0 for 0, which none has.
    pub fn tag_of(&self, id: u16) -> u64 {
        if id == 0 {
            return 0;
        }
        let ahead = u64::from(id) + ID_MAX - u64::from(Self::id_of(self.first));
        self.first + ahead % ID_MAX
    }

    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// `count` messages were sent at `now` (not 0).
    pub fn sent(&mut self, count: u64, now: u64) {
        for tag in self.next..self.next + count {
            let place = self.place(tag);
            self.sent_at[place] = now;
        }
        self.next += count;
        self.outstanding += count;
    }

    /// The broker confirmed `tag`, or all through it (0: all). Gives how many that were.
    pub fn confirm(
        &mut self,
        tag: u64,
        multiple: bool,
        now: u64,
        latencies: &mut Histogram,
    ) -> Result<u64, String> {
        let through = if multiple && tag == 0 {
            self.next - 1
        } else {
            tag
        };
        if through >= self.next || (!multiple && through < self.first) {
            return Err(format!(
                "a confirm of {tag} where {} to {} are unconfirmed",
                self.first,
                self.next - 1
            ));
        }
        let from = if multiple { self.first } else { through };
        let mut count = 0;
        for tag in from..=through {
            let place = self.place(tag);
            let sent_at = std::mem::take(&mut self.sent_at[place]);
            if sent_at == 0 && !multiple {
                return Err(format!("{tag} confirmed twice"));
            }
            if sent_at != 0 {
                latencies.record(now.saturating_sub(sent_at), 1);
                count += 1;
            }
        }
        self.outstanding -= count;
        while self.first < self.next && self.sent_at[self.place(self.first)] == 0 {
            self.first += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_come_in_any_order_and_each_once() {
        let mut latencies = Histogram::new();
        let mut ledger = Ledger::new(4);
        ledger.sent(4, 10);
        assert_eq!(ledger.room(4), 0);
        assert_eq!(ledger.confirm(2, false, 15, &mut latencies), Ok(1));
        // One is confirmed, but the ring still reaches from the first to the fourth.
        assert_eq!((ledger.outstanding(), ledger.room(4)), (3, 0));
        assert!(ledger.confirm(2, false, 15, &mut latencies).is_err());
        assert_eq!(ledger.confirm(3, true, 16, &mut latencies), Ok(2));
        assert_eq!(ledger.room(4), 3);
        assert!(ledger.confirm(5, false, 17, &mut latencies).is_err());
        assert!(ledger.confirm(1, false, 17, &mut latencies).is_err());
        assert_eq!(ledger.confirm(0, true, 17, &mut latencies), Ok(1));
        assert_eq!((latencies.count(), latencies.max()), (4, 7));
    }

    #[test]
    fn a_packet_identifier_names_the_message_in_flight() {
        let mut latencies = Histogram::new();
        let mut ledger = Ledger::new(4);
        for tag in 1..=200_000 {
            ledger.sent(1, 10);
            let id = Ledger::id_of(tag);
            assert!(id > 0);
            assert_eq!(ledger.tag_of(id), tag);
            // One that is not in flight is of the future, which a confirm refuses.
            assert!(ledger
                .confirm(
                    ledger.tag_of(Ledger::id_of(tag + 1)),
                    false,
                    11,
                    &mut latencies
                )
                .is_err());
            assert_eq!(ledger.confirm(tag, false, 11, &mut latencies), Ok(1));
        }
        assert!(ledger
            .confirm(ledger.tag_of(0), false, 11, &mut latencies)
            .is_err());
    }
}
