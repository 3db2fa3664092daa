//! The types that openraft is instantiated with, and how its numbers map to
//! Weir's. openraft counts log entries from 0, Weir counts them from 1, so that
//! `LogIndex::ZERO` always means "none": the shift happens here and nowhere else.

use std::fmt;

use bytes::Bytes;
use openraft::{async_runtime::WatchReceiver, type_config::alias};
use weir_types::{LogId, LogIndex, NodeId, Term};

use crate::{
    admission::Admitted,
    apply::CommandOutcome,
    leader_id::{CommittedLeaderId, LeaderId},
    state_machine::StateMachine,
};

/// The payload of a command entry, encoded once by the proposer: the same bytes
/// go to every disk, over every link and into apply.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandBytes(pub Bytes);

impl fmt::Debug for CommandBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

impl fmt::Display for CommandBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where a node is reached, and with which data folder it takes part. Both addresses are `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerNode {
    /// Where its peers dial it.
    pub peer: String,
    /// Where clients reach it.
    pub edge: String,
    /// With which incarnation of its data folder. Whoever adds a node leaves it `Awaited`.
    pub admitted: Admitted,
}

impl PeerNode {
    /// A node at these addresses that was not met yet.
    #[must_use]
    pub fn at(peer: impl Into<String>, edge: impl Into<String>) -> Self {
        Self { peer: peer.into(), edge: edge.into(), admitted: Admitted::Awaited }
    }
}

openraft::declare_raft_types!(
    /// The types that openraft is instantiated with.
    pub TypeConfig:
        D = CommandBytes,
        R = CommandOutcome,
        NodeId = u64,
        Node = PeerNode,
        LeaderId = LeaderId,
);

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(crate) type RaftEntry = alias::EntryOf<TypeConfig>;
pub(crate) type RaftLogId = alias::LogIdOf<TypeConfig>;
pub(crate) type RaftVote = alias::VoteOf<TypeConfig>;
pub(crate) type RaftMembership = openraft::Membership<u64, PeerNode>;
pub(crate) type RaftStoredMembership = alias::StoredMembershipOf<TypeConfig>;

/// An openraft log id as Weir counts.
pub(crate) fn log_id(id: &RaftLogId) -> LogId {
    let leader = id.committed_leader_id();
    LogId { term: Term(leader.term), leader: NodeId(leader.node_id), index: log_index(id.index()) }
}

/// A Weir log id as openraft counts.
pub(crate) fn raft_log_id(id: &LogId) -> RaftLogId {
    RaftLogId::new(CommittedLeaderId { term: id.term.0, node_id: id.leader.0 }, raft_index(id.index))
}

/// An openraft log index as Weir counts.
pub(crate) fn log_index(index: u64) -> LogIndex {
    LogIndex(index).next()
}

/// A Weir log index as openraft counts.
///
/// # Panics
/// Panics for `LogIndex::ZERO`, which names no entry.
pub(crate) fn raft_index(index: LogIndex) -> u64 {
    assert!(index > LogIndex::ZERO, "log index 0 names no entry");
    index.0 - 1
}

/// A member's addresses, as this node knows them.
pub(crate) fn peer_of(raft: &Raft, node: NodeId) -> Option<PeerNode> {
    let server = raft.server_metrics();
    let membership = server.borrow_watched().membership_config.clone();
    membership.get_node(&node.0).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ids_survive_the_shift_between_the_two_ways_of_counting() {
        let id = LogId { term: Term(3), leader: NodeId(2), index: LogIndex(1) };
        assert_eq!(raft_log_id(&id).index(), 0);
        assert_eq!(log_id(&raft_log_id(&id)), id);
    }
}
