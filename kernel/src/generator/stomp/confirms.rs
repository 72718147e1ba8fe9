//! A publisher's SENDs and their receipts.

use super::{wire, Farewell, END};
use crate::generator::client::{Confirms, Ending, Publishing};
use crate::generator::StompSpec;

pub struct Publishes {
    persistent: bool,
    receipts: bool,
    farewell: Farewell,
}

impl Publishes {
    pub fn new(stomp: &StompSpec) -> Self {
        Self {
            persistent: stomp.persistent,
            receipts: stomp.receipts,
            farewell: Farewell::new(false),
        }
    }
}

impl Publishing for Publishes {
    fn frame(&self, bytes: &mut Vec<u8>, key: &str, size: usize) {
        wire::send(bytes, key, size, self.persistent, self.receipts);
    }

    fn end(&self) -> &'static [u8] {
        b"\0"
    }

    fn is_numbered(&self) -> bool {
        self.receipts
    }

    fn number(&self, head: &mut [u8], tag: u64) {
        wire::number_send(head, tag);
    }

    fn take(
        &mut self,
        bytes: &[u8],
        confirms: &mut Confirms,
        _answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut position = 0;
        while let Some(frame) = wire::split(&bytes[position..])? {
            position += frame.size;
            match (frame.command, frame.header("receipt-id")) {
                (b"RECEIPT", Some(id)) if id == END.as_bytes() => self.farewell.answered = true,
                (b"RECEIPT", Some(id)) => {
                    let tag = wire::number(id).ok_or("a receipt nobody asked for")?;
                    confirms.take(tag, false)?;
                }
                _ => return Err(format!("a publisher was sent {}", frame.words())),
            }
        }
        Ok(position)
    }

    fn end_of_stream(&mut self) -> &mut dyn Ending {
        &mut self.farewell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::ledger::Ledger;
    use crate::histogram::Histogram;

    fn publishes() -> Publishes {
        Publishes::new(&StompSpec {
            login: "guest".into(),
            passcode: "guest".into(),
            persistent: true,
            receipts: true,
        })
    }

    /// How many of three messages were confirmed, in pieces cut at `cut`.
    fn heard(bytes: &[u8], cut: usize) -> Result<u64, String> {
        let (mut publishes, mut ledger) = (publishes(), Ledger::new(4));
        let (mut latencies, mut answers) = (Histogram::new(), Vec::new());
        ledger.sent(3, 10);
        let mut confirms = Confirms::new(Some(&mut ledger), 15, &mut latencies);
        let taken = publishes.take(&bytes[..cut], &mut confirms, &mut answers)?;
        publishes.take(&bytes[taken..], &mut confirms, &mut answers)?;
        assert!(answers.is_empty());
        Ok(confirms.count)
    }

    fn receipts(ids: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for id in ids {
            wire::frame(&mut bytes, "RECEIPT", &[("receipt-id", id)]);
        }
        bytes
    }

    #[test]
    fn receipts_are_the_same_however_they_are_cut() {
        let bytes = receipts(&["0000000001", "0000000003", "0000000002"]);
        for cut in 0..bytes.len() {
            assert_eq!(heard(&bytes, cut), Ok(3));
        }
    }

    #[test]
    fn a_receipt_out_of_turn_and_an_error_are_told() {
        for ids in [&["4"][..], &["0"], &["1", "1"], &["subscribed"]] {
            assert!(heard(&receipts(ids), 0).is_err(), "{ids:?}");
        }
        let told = heard(b"ERROR\nmessage:no\n\nbecause\0", 0).unwrap_err();
        assert!(told.ends_with("ERROR no because"), "{told}");
    }

    #[test]
    fn a_publisher_has_ended_when_the_last_it_asked_was_received() {
        let (mut publishes, mut output) = (publishes(), Vec::new());
        publishes.end_of_stream().ask(&mut output);
        assert_eq!(output, b"BEGIN\ntransaction:end\nreceipt:end\n\n\0");
        assert!(!publishes.end_of_stream().is_answered());
        let mut latencies = Histogram::new();
        let mut confirms = Confirms::new(None, 1, &mut latencies);
        publishes
            .take(&receipts(&[END]), &mut confirms, &mut output)
            .unwrap();
        assert!(publishes.end_of_stream().is_answered());
    }
}
