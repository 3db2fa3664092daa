//! What a node knows of its cluster, for `weir cluster status`, readiness and tests.

use weir_types::{ClusterId, GroupId, LogIndex, NodeId, Position, Term};

/// The group as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// The node that answers.
    pub node: NodeId,
    /// What it is.
    pub state: NodeState,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// Whether this node decides appends.
    pub decides: bool,
    /// The term.
    pub term: Term,
    /// The last entry in this node's log; zero when there is none.
    pub last_log_index: LogIndex,
    /// The last entry that this node knows to be committed and holds.
    pub committed: LogIndex,
    /// The last entry that is applied here.
    pub applied: LogIndex,
    /// The last position that is applied here.
    pub position: Position,
    /// A digest over all that was applied: equal at equal `applied` on every node (invariant R1).
    pub digest: u64,
    /// Why this node's Raft has stopped, if it has, or why its stores write nothing any more.
    pub stopped: Option<String>,
    /// The members in order of their ids; empty before the cluster is initialised.
    pub members: Vec<MemberStatus>,
}

impl ClusterStatus {
    /// Whether the cluster was ever initialised, as far as this node knows.
    #[must_use]
    pub fn initialized(&self) -> bool {
        !self.members.is_empty()
    }
}

/// One member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub node: NodeId,
    /// What it may do.
    pub role: MemberRole,
    /// Where its peers dial it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub edge_address: String,
    /// The last entry that it is known to hold; only the leader knows.
    pub matched: Option<LogIndex>,
    /// Milliseconds since it last answered; only the leader knows.
    pub silent_ms: Option<u64>,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// It votes, and counts for a quorum.
    Voter,
    /// It only follows the log.
    Learner,
}

/// What a node is doing in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It follows the log without a vote.
    Learner,
    /// It follows the log and votes.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
    /// It has stopped.
    Stopped,
}
