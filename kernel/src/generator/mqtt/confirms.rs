//! A publisher's publishes and how they are acknowledged: PUBACK, or PUBREC, PUBREL and PUBCOMP.

use super::{wire, Farewell};
use crate::generator::client::{Confirms, Ending, Publishing};
use crate::generator::ledger::Ledger;
use crate::generator::MqttSpec;

const IDS: usize = 1 << 16;

pub struct Publishes {
    qos: u8,
    retain: bool,
    /// QoS 2: by identifier, whether the broker has said PUBREC and not yet PUBCOMP.
    released: Vec<bool>,
    farewell: Farewell,
}

impl Publishes {
    pub fn new(mqtt: &MqttSpec, farewell: Farewell) -> Self {
        Self {
            qos: mqtt.qos,
            retain: mqtt.retain,
            released: vec![false; if mqtt.qos == 2 { IDS } else { 0 }],
            farewell,
        }
    }

    /// Notes whether `id` is released; the other is an error.
    fn release(&mut self, id: u16, released: bool) -> Result<(), String> {
        let place = &mut self.released[usize::from(id)];
        if std::mem::replace(place, released) == released {
            let kind = if released { "PUBREC" } else { "PUBCOMP" };
            return Err(format!("{kind} of {id} out of turn"));
        }
        Ok(())
    }
}

impl Publishing for Publishes {
    fn frame(&self, bytes: &mut Vec<u8>, key: &str, size: usize) {
        wire::publish(bytes, key, size, self.qos, self.retain);
    }

    fn end(&self) -> &'static [u8] {
        &[]
    }

    fn is_numbered(&self) -> bool {
        self.qos > 0
    }

    fn number(&self, head: &mut [u8], tag: u64) {
        wire::number_publish(head, Ledger::id_of(tag));
    }

    fn take(
        &mut self,
        bytes: &[u8],
        confirms: &mut Confirms,
        answers: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut position = 0;
        while let Some(packet) = wire::split(&bytes[position..])? {
            position += packet.size;
            match (packet.kind(), self.qos) {
                (wire::PUBACK, 1) => confirms.take_id(packet.id()?)?,
                (wire::PUBREC, 2) => {
                    let id = packet.id()?;
                    self.release(id, true)?;
                    wire::acknowledge(answers, wire::PUBREL, id);
                }
                (wire::PUBCOMP, 2) => {
                    let id = packet.id()?;
                    self.release(id, false)?;
                    confirms.take_id(id)?;
                }
                (wire::PINGRESP, _) => self.farewell.answered = true,
                (kind, _) => return Err(format!("a publisher was sent packet {kind:#04x}")),
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
    use crate::histogram::Histogram;

    fn publishes(qos: u8) -> Publishes {
        let mqtt = MqttSpec {
            qos,
            clean_session: true,
            retain: false,
        };
        Publishes::new(&mqtt, Farewell::new(&mqtt, "me".into(), None))
    }

    /// What of three messages was confirmed, and what was answered, in pieces cut at `cut`.
    fn heard(qos: u8, bytes: &[u8], cut: usize) -> Result<(u64, Vec<u8>), String> {
        let (mut publishes, mut ledger) = (publishes(qos), Ledger::new(4));
        let (mut latencies, mut answers) = (Histogram::new(), Vec::new());
        ledger.sent(3, 10);
        let mut confirms = Confirms::new(Some(&mut ledger), 15, &mut latencies);
        let taken = publishes.take(&bytes[..cut], &mut confirms, &mut answers)?;
        publishes.take(&bytes[taken..], &mut confirms, &mut answers)?;
        Ok((confirms.count, answers))
    }

    fn acks(acks: &[(u8, u16)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, id) in acks {
            wire::acknowledge(&mut bytes, *kind, *id);
        }
        bytes
    }

    #[test]
    fn confirms_are_the_same_however_they_are_cut() {
        let once = acks(&[(wire::PUBACK, 1), (wire::PUBACK, 3), (wire::PUBACK, 2)]);
        for cut in 0..once.len() {
            assert_eq!(heard(1, &once, cut), Ok((3, Vec::new())));
        }
        let twice = acks(&[
            (wire::PUBREC, 1),
            (wire::PUBREC, 2),
            (wire::PUBCOMP, 1),
            (wire::PUBREC, 3),
        ]);
        let released = acks(&[(wire::PUBREL, 1), (wire::PUBREL, 2), (wire::PUBREL, 3)]);
        for cut in 0..twice.len() {
            assert_eq!(heard(2, &twice, cut), Ok((1, released.clone())));
        }
    }

    #[test]
    fn an_acknowledgement_out_of_turn_is_told() {
        for (qos, sent) in [
            (0, &[(wire::PUBACK, 1)][..]),
            (1, &[(wire::PUBACK, 4)]),
            (1, &[(wire::PUBACK, 0)]),
            (1, &[(wire::PUBACK, 1), (wire::PUBACK, 1)]),
            (1, &[(wire::PUBREC, 1)]),
            (2, &[(wire::PUBACK, 1)]),
            (2, &[(wire::PUBCOMP, 1)]),
            (2, &[(wire::PUBREC, 1), (wire::PUBREC, 1)]),
        ] {
            let bytes = acks(sent);
            assert!(heard(qos, &bytes, bytes.len()).is_err(), "{qos} {sent:?}");
        }
    }

    #[test]
    fn a_publisher_has_ended_when_its_ping_came_back() {
        let mut publishes = publishes(0);
        let mut output = Vec::new();
        publishes.end_of_stream().ask(&mut output);
        assert_eq!(output, [wire::PINGREQ, 0]);
        assert!(!publishes.end_of_stream().is_answered());
        let mut latencies = Histogram::new();
        let mut confirms = Confirms::new(None, 1, &mut latencies);
        publishes
            .take(&[wire::PINGRESP, 0], &mut confirms, &mut output)
            .unwrap();
        assert!(publishes.end_of_stream().is_answered());
    }
}
