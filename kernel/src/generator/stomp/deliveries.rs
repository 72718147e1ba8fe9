//! A subscriber's deliveries, which it doesn't acknowledge.

use super::{wire, Farewell, END};
use crate::generator::client::{Arrivals, Consuming, Ending};

pub struct Deliveries {
    redelivered: u64,
    farewell: Farewell,
}

impl Deliveries {
    pub fn new() -> Self {
        Self {
            redelivered: 0,
            farewell: Farewell::new(true),
        }
    }
}

impl Consuming for Deliveries {
    fn take(
        &mut self,
        bytes: &[u8],
        arrivals: &mut Arrivals,
        _answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut position = 0;
        while let Some(frame) = wire::split(&bytes[position..])? {
            position += frame.size;
            match frame.command {
                b"MESSAGE" => {
                    self.redelivered += u64::from(frame.redelivered);
                    arrivals.take(frame.body, frame.body.len())?;
                }
                b"RECEIPT" if frame.header("receipt-id") == Some(END.as_bytes()) => {
                    self.farewell.answered = true;
                }
                _ => return Err(format!("a subscriber was sent {}", frame.words())),
            }
        }
        Ok(position)
    }

    fn redelivered(&self) -> u64 {
        self.redelivered
    }

    fn end_of_stream(&mut self) -> &mut dyn Ending {
        &mut self.farewell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::checker::Checker;
    use crate::histogram::Histogram;

    fn message(sequence: u64) -> Vec<u8> {
        let mut bytes = b"MESSAGE\nsubscription:0\nmessage-id:x\ncontent-length:24\n\n".to_vec();
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend_from_slice(&500_u64.to_be_bytes());
        bytes.push(0);
        bytes
    }

    /// What became of deliveries that should be two, in pieces cut at `cut`.
    fn heard(bytes: &[u8], cut: usize) -> Result<(Result<(), String>, Histogram), String> {
        let mut deliveries = Deliveries::new();
        let (mut checker, mut latencies) = (Checker::new(9, 24, 0..1), Histogram::new());
        let mut answers = Vec::new();
        let mut arrivals = Arrivals::new(&mut checker, 0, 700, &mut latencies);
        let taken = deliveries.take(&bytes[..cut], &mut arrivals, &mut answers)?;
        deliveries.take(&bytes[taken..], &mut arrivals, &mut answers)?;
        assert!(answers.is_empty());
        Ok((checker.verdict(&[2]), latencies))
    }

    #[test]
    fn deliveries_are_the_same_however_they_are_cut() {
        let bytes = [message(0), message(1)].concat();
        for cut in 0..bytes.len() {
            let (verdict, latencies) = heard(&bytes, cut).unwrap();
            assert_eq!(verdict, Ok(()));
            assert_eq!((latencies.count(), latencies.min()), (2, 200));
        }
    }

    #[test]
    fn a_message_lost_or_another_frame_is_told() {
        let told = heard(&message(1), 0).unwrap().0.unwrap_err();
        assert!(told.starts_with("1 messages lost"), "{told}");
        assert!(heard(b"ERROR\nmessage:no\n\n\0", 0).is_err());
        assert!(heard(b"RECEIPT\nreceipt-id:1\n\n\0", 0).is_err());
    }
}
