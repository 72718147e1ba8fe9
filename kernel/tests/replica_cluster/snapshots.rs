//! Snapshots between the nodes: a leader exports, who is sent one fetches and imports it before Raft hears of it.

use std::sync::Arc;

use _kernel::raft_ready::ReceivedSnapshot;
use _kernel::shard_open::resume_snapshot;
use _kernel::snapshot_export::Export;
use _kernel::snapshot_import::Import;
use bytes::Bytes;

use super::{Cluster, Law, GROUP};

/// What a leader offered, whole.
pub struct Offer {
    leader: u64,
    incarnation: u64,
    chunks: Vec<Vec<u8>>,
}

impl Cluster {
    /// Makes a snapshot if one is wanted.
    pub(super) fn offer(&mut self, peer: u64) -> Law {
        let number = self.offers.len() as u64;
        let node = self.node(peer);
        let store = node.store.clone().unwrap();
        let shard = node.shard();
        if shard.wants_snapshot().is_none() {
            return Ok(());
        }
        let Ok((mark, state)) = shard.snapshot_mark() else {
            return Ok(());
        };
        let mut export = Export::begin(store, GROUP, state, mark.clone());
        let mut chunks = Vec::new();
        loop {
            match export.read_up_to(10_000) {
                Ok(chunk) if chunk.is_empty() => break,
                Ok(chunk) => chunks.push(chunk),
                Err(error) => return Err(format!("{peer} exports: {error}")),
            }
        }
        self.offers.push(Offer {
            leader: peer,
            incarnation: self.nodes[&peer].incarnation,
            chunks,
        });
        let data = Bytes::copy_from_slice(&number.to_le_bytes());
        self.act(peer, |node| {
            node.shard().offer_snapshot(&mark, data).unwrap_or(None)
        })
    }

    /// A message does not arrive: of a snapshot's its leader is to be told.
    pub(super) fn lose(&mut self, to: u64, data: Vec<u8>) {
        self.lost.push((to, Bytes::from(data)));
    }

    pub(super) fn report_lost(&mut self) -> Law {
        for (to, message) in std::mem::take(&mut self.lost) {
            let leader = ReceivedSnapshot::in_message(&message).map(|(leader, _)| leader);
            if let Some(leader) = leader.filter(|leader| self.nodes[leader].is_up()) {
                self.act(leader, |node| {
                    let shard = node.shard();
                    shard.report_snapshot(to, false).unwrap_or(None)
                })?;
            }
        }
        Ok(())
    }

    /// A message with a snapshot came: fetches it, makes it durable, and then steps the message.
    pub(super) fn receive_snapshot(&mut self, to: u64, message: &Bytes) -> Law {
        let Some((leader, snapshot)) = ReceivedSnapshot::in_message(message) else {
            return Ok(());
        };
        if self.resume(to, message)? {
            return self.report_arrived(leader, to, true);
        }
        let number = u64::from_le_bytes(snapshot.data.as_ref().try_into().unwrap());
        let offer = &self.offers[number as usize];
        let there = offer.leader == leader
            && self.nodes[&leader].is_up()
            && self.nodes[&leader].incarnation == offer.incarnation;
        let fetched = there && self.fetch(to, number as usize, message, &snapshot)?;
        self.report_arrived(leader, to, fetched)
    }

    fn report_arrived(&mut self, leader: u64, to: u64, arrived: bool) -> Law {
        if self.nodes[&leader].is_up() {
            self.act(leader, |node| {
                let shard = node.shard();
                shard.report_snapshot(to, arrived).unwrap_or(None)
            })?;
        }
        Ok(())
    }

    /// The store may have it already: from a message that Raft had no use for.
    fn resume(&mut self, to: u64, message: &Bytes) -> Result<bool, String> {
        let mut there = false;
        let mut outcome = Ok(());
        self.act(to, |node| {
            let store = node.store.clone().unwrap();
            match resume_snapshot(&store, node.shard(), message) {
                Ok(None) => None,
                Ok(Some(stepped)) => {
                    there = true;
                    stepped.map_or(None, |(_, record)| record)
                }
                Err(error) => {
                    outcome = Err(format!("{to} resumes: {error}"));
                    None
                }
            }
        })?;
        self.counts.resumed += u64::from(there);
        outcome.map(|()| there)
    }

    fn fetch(
        &mut self,
        to: u64,
        number: usize,
        message: &Bytes,
        snapshot: &ReceivedSnapshot,
    ) -> Result<bool, String> {
        let node = self.nodes.get_mut(&to).unwrap();
        if node.applied().0 >= snapshot.position.index {
            return Ok(true); // the leader goes on behind it
        }
        let words = |error| format!("{to} imports: {error}");
        let store: Arc<_> = node.store.clone().unwrap();
        let mut import = Import::begin(store.clone(), GROUP);
        for (place, chunk) in self.offers[number].chunks.iter().enumerate() {
            import.receive(chunk).map_err(words)?;
            if !self.healed && place % 7 == 3 && self.random.chance(20) {
                import.abort();
                return Ok(false);
            }
        }
        import.finish().map_err(words)?;
        let state = import.state().unwrap();
        if !self.healed && self.random.chance(4) {
            // It is durable, and Raft never heard of it.
            self.crash(to, 50);
            return Ok(false);
        }
        if !self.healed && self.random.chance(4) {
            // The message is of no use any more.
            return Ok(false);
        }
        let mut installed = false;
        self.act(to, |node| {
            let stepped = node.shard().step_snapshot(message, state, None);
            let (used, record) = stepped.unwrap_or((false, None));
            installed = used;
            if used {
                let sealed = store.sealed_through(GROUP);
                node.shard().sealed_through = sealed;
            }
            record
        })?;
        self.counts.snapshots += u64::from(installed);
        Ok(true)
    }
}
