//! A subscriber's deliveries and their acknowledgements: none, PUBACK, or PUBREC and PUBCOMP.

use std::collections::HashSet;

use super::{wire, Farewell};
use crate::generator::client::{Arrivals, Consuming, Ending};

pub struct Deliveries {
    /// What was subscribed with; all is published with it too.
    qos: u8,
    /// QoS 2: identifiers received and not yet released.
    received: HashSet<u16>,
    redelivered: u64,
    farewell: Farewell,
}

impl Deliveries {
    pub fn new(qos: u8, farewell: Farewell) -> Self {
        Self {
            qos,
            received: HashSet::new(),
            redelivered: 0,
            farewell,
        }
    }

    fn acknowledge(&mut self, id: u16, answers: &mut Vec<u8>) -> Result<(), String> {
        match self.qos {
            0 => {}
            1 => wire::acknowledge(answers, wire::PUBACK, id),
            _ if self.received.insert(id) => wire::acknowledge(answers, wire::PUBREC, id),
            _ => return Err(format!("a delivery with identifier {id}, which is in use")),
        }
        Ok(())
    }
}

impl Consuming for Deliveries {
    fn take(
        &mut self,
        bytes: &[u8],
        arrivals: &mut Arrivals,
        answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut position = 0;
        while let Some(packet) = wire::split(&bytes[position..])? {
            position += packet.size;
            match packet.kind() {
                wire::PUBLISH => {
                    let publish = packet.publish()?;
                    if publish.qos != self.qos {
                        return Err(format!("a delivery with QoS {}", publish.qos));
                    }
                    self.redelivered += u64::from(publish.dup);
                    arrivals.take(publish.payload, publish.payload.len())?;
                    self.acknowledge(publish.id, answers)?;
                }
                wire::PUBREL => {
                    let id = packet.id()?;
                    if !self.received.remove(&id) {
                        return Err(format!("PUBREL of {id}, which was not received"));
                    }
                    wire::acknowledge(answers, wire::PUBCOMP, id);
                }
                wire::UNSUBACK => self.farewell.answered = true,
                kind => return Err(format!("a subscriber was sent packet {kind:#04x}")),
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
    use crate::generator::MqttSpec;
    use crate::histogram::Histogram;

    fn deliver(bytes: &mut Vec<u8>, qos: u8, id: u16, sequence: u64) {
        wire::publish(bytes, "t", 40, qos, false);
        if qos > 0 {
            wire::number_publish(bytes, id);
        }
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend_from_slice(&500_u64.to_be_bytes());
        bytes.extend_from_slice(&[b'x'; 16]);
    }

    struct Heard {
        answers: Vec<u8>,
        verdict: Result<(), String>,
        latencies: Histogram,
    }

    /// What became of deliveries that should be two, in pieces cut at `cut`.
    fn heard(qos: u8, bytes: &[u8], cut: usize) -> Result<Heard, String> {
        let mqtt = MqttSpec {
            qos,
            clean_session: true,
            retain: false,
        };
        let farewell = Farewell::new(&mqtt, "me".into(), Some("t".into()));
        let mut deliveries = Deliveries::new(qos, farewell);
        let (mut checker, mut latencies) = (Checker::new(9, 40, 0..1), Histogram::new());
        let mut answers = Vec::new();
        let mut arrivals = Arrivals::new(&mut checker, 0, 700, &mut latencies);
        let taken = deliveries.take(&bytes[..cut], &mut arrivals, &mut answers)?;
        deliveries.take(&bytes[taken..], &mut arrivals, &mut answers)?;
        Ok(Heard {
            answers,
            verdict: checker.verdict(&[2]),
            latencies,
        })
    }

    #[test]
    fn deliveries_are_the_same_however_they_are_cut() {
        for (qos, kinds) in [
            (0, &[][..]),
            (1, &[(wire::PUBACK, 5), (wire::PUBACK, 6)]),
            (
                2,
                &[(wire::PUBREC, 5), (wire::PUBREC, 6), (wire::PUBCOMP, 5)],
            ),
        ] {
            let mut bytes = Vec::new();
            deliver(&mut bytes, qos, 5, 0);
            deliver(&mut bytes, qos, 6, 1);
            if qos == 2 {
                wire::acknowledge(&mut bytes, wire::PUBREL, 5);
            }
            let mut answers = Vec::new();
            for (kind, id) in kinds {
                wire::acknowledge(&mut answers, *kind, *id);
            }
            for cut in 0..bytes.len() {
                let heard = heard(qos, &bytes, cut).unwrap();
                assert_eq!((heard.verdict, heard.answers), (Ok(()), answers.clone()));
                assert_eq!((heard.latencies.count(), heard.latencies.min()), (2, 200));
            }
        }
    }

    #[test]
    fn a_message_lost_or_out_of_turn_is_told() {
        let mut lost = Vec::new();
        deliver(&mut lost, 0, 0, 1);
        let told = heard(0, &lost, 0).unwrap().verdict.unwrap_err();
        assert!(told.starts_with("1 messages lost"), "{told}");
        let mut in_use = Vec::new();
        deliver(&mut in_use, 2, 5, 0);
        deliver(&mut in_use, 2, 5, 1);
        let mut other_qos = Vec::new();
        deliver(&mut other_qos, 1, 5, 0);
        let mut released = Vec::new();
        wire::acknowledge(&mut released, wire::PUBREL, 5);
        for bytes in [in_use, other_qos, released] {
            assert!(heard(2, &bytes, 0).is_err());
        }
    }
}
