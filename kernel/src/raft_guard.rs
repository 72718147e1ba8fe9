//! What a peer's message must be before Raft may see it.
//!
//! The `raft` crate trusts its host: a message that no honest peer sends makes it panic or, worse,
//! corrupts its log in silence. Each rule names what happens without it (measured against 0.7.0). A
//! message that breaks one is dropped with the reason; nothing of it was done.

use std::collections::BTreeSet;

use bytes::Bytes;
use protobuf::{CodedInputStream, Message as _};
use raft::eraftpb::{ConfState, Message, MessageType};

/// Terms and indexes of honest peers stay far under this; near 2^64 the crate's `+ 1` overflows.
const NUMBER_MAX: u64 = 1 << 62;
/// Messages nest four deep; protobuf 2.x follows any depth (RUSTSEC-2024-0437).
const RECURSION_MAX: u32 = 8;

/// Where the receiver of a message stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub peer: u64,
    pub last_index: u64,
    pub leading: bool,
    /// We know no voters yet.
    pub joining: bool,
    /// Starting an election would not trip the crate's own assertions.
    pub may_campaign: bool,
}

/// The message in `data`; entries' data stay slices of it.
pub fn decode(data: &Bytes) -> Result<Message, &'static str> {
    let mut input = CodedInputStream::from_carllerche_bytes(data);
    input.set_recursion_limit(RECURSION_MAX);
    let mut message = Message::new();
    message
        .merge_from(&mut input)
        .and_then(|()| input.check_eof())
        .map_err(|_| "not a Raft message")?;
    Ok(message)
}

/// Whether a message asks for votes, or whether there would be some, by how it begins: protobuf's first field is its type.
pub fn asks_for_votes(message: &[u8]) -> bool {
    const TYPE: u8 = 1 << 3;
    let asks = [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote];
    asks.iter()
        .any(|kind| message.starts_with(&[TYPE, *kind as u8]))
}

/// Whether only a leader says it.
pub fn is_leaders(message: &Message) -> bool {
    matches!(
        message.get_msg_type(),
        MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot
    )
}

/// Refuses what the crate does not stand.
pub fn check(standing: Standing, message: &Message) -> Result<(), &'static str> {
    check_address(standing, message)?;
    check_numbers(message)?;
    match message.get_msg_type() {
        // A change of the configuration would be applied to none.
        MessageType::MsgAppend if standing.joining && message.index == 0 => {
            Err("a newcomer begins with a snapshot")
        }
        MessageType::MsgAppend => check_append(message),
        // It may have forgotten what it held, and promised: to an empty log every candidate's is new enough.
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote if standing.joining => {
            Err("a newcomer gives no votes")
        }
        MessageType::MsgSnapshot => check_snapshot(standing.peer, message),
        // Panics "to_commit out of range"; the most frequent of all.
        MessageType::MsgHeartbeat if message.commit > standing.last_index => {
            Err("a heartbeat commits beyond the log")
        }
        // Counts as a match of entries that do not exist.
        MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse
            if standing.leading && response_is_beyond(standing.last_index, message) =>
        {
            Err("a response beyond the log")
        }
        MessageType::MsgTimeoutNow if !standing.may_campaign => Err("not able to campaign now"),
        // Forwarded requests panic when empty or with a term; the host routes them itself.
        MessageType::MsgPropose
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => Err("requests are never forwarded"),
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => Err("a local message"),
        _ => Ok(()),
    }
}

fn check_address(standing: Standing, message: &Message) -> Result<(), &'static str> {
    // The crate never looks at `to`: another node's append would be taken for ours.
    if message.to != standing.peer {
        return Err("a message for another peer");
    }
    if message.from == 0 || message.from == standing.peer {
        return Err("a message from nobody or from ourselves");
    }
    Ok(())
}

fn check_numbers(message: &Message) -> Result<(), &'static str> {
    // Term 0 means "local" to the crate and skips every check of terms.
    if message.term == 0 {
        return Err("term 0");
    }
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.request_snapshot,
    ];
    if numbers.iter().any(|number| *number >= NUMBER_MAX) {
        return Err("a number out of range");
    }
    Ok(())
}

fn check_append(message: &Message) -> Result<(), &'static str> {
    // The term of an index beyond the log is 0 to the crate: log term 0 would match any far index.
    if (message.index == 0) != (message.log_term == 0) {
        return Err("an append after log term 0");
    }
    let (mut index, mut term) = (message.index, message.log_term);
    for entry in message.get_entries() {
        // A wrong first index panics; a gap inside is stored in silence under wrong indexes.
        if entry.index != index + 1 {
            return Err("entries that are not contiguous");
        }
        if entry.term < term || entry.term > message.term {
            return Err("entries whose terms go back or ahead");
        }
        (index, term) = (entry.index, entry.term);
    }
    Ok(())
}

fn response_is_beyond(last_index: u64, message: &Message) -> bool {
    (!message.reject && message.index > last_index) || message.commit > last_index
}

fn check_snapshot(peer: u64, message: &Message) -> Result<(), &'static str> {
    let metadata = message.get_snapshot().get_metadata();
    if metadata.index == 0 || metadata.index >= NUMBER_MAX {
        return Err("a snapshot of nothing");
    }
    if metadata.term == 0 || metadata.term > message.term {
        return Err("a snapshot from a term to come");
    }
    let conf = metadata.get_conf_state();
    check_conf(conf)?;
    let members = [&conf.voters, &conf.learners, &conf.voters_outgoing];
    if !members.iter().any(|peers| peers.contains(&peer)) {
        return Err("a snapshot whose configuration lacks us");
    }
    Ok(())
}

fn set_of(peers: &[u64]) -> Result<BTreeSet<u64>, &'static str> {
    let set: BTreeSet<u64> = peers.iter().copied().collect();
    if set.len() != peers.len() {
        return Err("a configuration names a peer twice");
    }
    if set.contains(&0) {
        return Err("a configuration names peer 0");
    }
    Ok(set)
}

/// Refuses a configuration the crate would panic on ("invalid restore") or be confused by.
pub fn check_conf(conf: &ConfState) -> Result<(), &'static str> {
    let voters = set_of(&conf.voters)?;
    let learners = set_of(&conf.learners)?;
    let outgoing = set_of(&conf.voters_outgoing)?;
    let learners_next = set_of(&conf.learners_next)?;
    if voters.is_empty() {
        return Err("a configuration without voters");
    }
    if !learners.is_disjoint(&voters) || !learners.is_disjoint(&outgoing) {
        return Err("a configuration with a voter that is a learner");
    }
    if !learners_next.is_subset(&outgoing) || !learners_next.is_disjoint(&voters) {
        return Err("a joint configuration whose next learners are no outgoing voters");
    }
    if outgoing.is_empty() && conf.auto_leave {
        return Err("a configuration that leaves no joint one");
    }
    Ok(())
}
