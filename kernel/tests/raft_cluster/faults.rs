//! What goes wrong between the nodes: messages lost, late or twice, crashes, partitions; and its healing.

use super::*;

impl Cluster {
    pub(super) fn send(&mut self, from: u64, messages: Vec<PeerMessage>) {
        for message in messages {
            let decoded = Message::parse_from_bytes(&message.data()).unwrap();
            let kind = decoded.msg_type;
            let node = self.node(from);
            if kind != MessageType::MsgRequestPreVote
                && kind != MessageType::MsgRequestPreVoteResponse
            {
                node.promised_term = node.promised_term.max(decoded.term);
            }
            self.counts.messages += 1;
            self.counts.trace = hash_of((self.counts.trace, from, &message.data()));
            let lost = self.cut.contains(&(from, message.to))
                || (!self.healed && self.random.percent(self.faults.loss_percent));
            if lost {
                continue;
            }
            let late = if self.random.percent(1) { 200 } else { 0 };
            let mut copies = vec![1 + self.random.below(15) + late];
            if self.random.percent(self.faults.duplicate_percent) {
                copies.push(1 + self.random.below(300));
            }
            for delay in copies {
                let mut data = message.data();
                if self.random.percent(self.faults.flipped_percent) {
                    let at = self.random.below(data.len() as u64) as usize;
                    data[at] ^= 1 << self.random.below(8);
                    self.counts.flipped += 1;
                }
                let to = message.to;
                self.schedule(self.now + delay, Event::Deliver { to, data });
            }
        }
    }

    pub(super) fn any_peer(&mut self) -> u64 {
        let place = self.random.below(self.voters.len() as u64);
        self.voters[place as usize]
    }

    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        let peer = self.any_peer();
        match self.random.below(6) {
            0 | 1 if self.faults.crashes => {
                self.crash(peer);
                let at = self.now + 50 + self.random.below(3_000);
                self.schedule(at, Event::Restart { peer });
            }
            // Everybody at once: what is not on a disk is gone.
            2 if self.faults.crashes => {
                for peer in self.voters.clone() {
                    self.crash(peer);
                    self.start(peer)?;
                }
            }
            3 if self.faults.partitions => self.cut.clear(),
            4 if self.faults.partitions => {
                let other = self.any_peer();
                self.cut.push((peer, other)); // one way only
            }
            5 if self.faults.partitions => {
                for other in self.voters.clone() {
                    self.cut.push((peer, other));
                    self.cut.push((other, peer));
                }
            }
            _ => {
                let other = self.any_peer();
                self.act(peer, |group| group.transfer_leader(other))?;
            }
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, peer: u64) {
        let node = self.node(peer);
        if node.group.take().is_some() {
            self.counts.crashes += 1;
        }
        self.node(peer).writing.clear();
    }

    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.cut.clear();
        for peer in self.voters.clone() {
            self.start(peer)?;
        }
        Ok(())
    }
}
