//! The cluster as this node sees it, and changes to it.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use tokio::time::Instant;
use weir_api::{
    ApiError, ErrorCode,
    v1::{self, ClusterStatus, InitBody, MemberBody, MemberStatus},
};
use weir_raft::{Founders, MembershipError, PeerNode};
use weir_types::NodeId;

use super::Engine;
use crate::{build_info, config::Member};

impl Engine {
    /// The cluster as this node sees it.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        let status = self.raft.status();
        let initialized = status.initialized();
        let leader_url = status.leader.and_then(|leader| {
            let member = status.members.iter().find(|member| member.node == leader)?;
            Some(url_of(&member.edge_address))
        });
        ClusterStatus {
            cluster_id: initialized.then(|| status.cluster.to_string()),
            node_id: status.node.0,
            version: build_info::VERSION.to_owned(),
            state: if initialized { state_of(status.state) } else { v1::NodeState::Uninitialized },
            term: status.term.0,
            leader: status.leader.map(|leader| leader.0),
            leader_url,
            last_log_index: status.last_log_index.0,
            committed_index: status.committed.0,
            applied_index: status.applied.0,
            applied_position: status.position.0,
            applied_digest: format!("{:016x}", status.digest),
            members: status.members.iter().map(member_of).collect(),
        }
    }

    /// Refuses what only a node of a cluster can do.
    ///
    /// # Errors
    /// `not_initialized`, at once.
    pub fn must_be_in_cluster(&self) -> Result<(), ApiError> {
        if self.in_cluster.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.raft.status().initialized() {
            return Err(ApiError::new(ErrorCode::NotInitialized, "node belongs to no cluster yet"));
        }
        self.in_cluster.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this node knows that it was removed: nobody tells it who leads any more.
    pub(super) fn was_removed(&self) -> bool {
        let status = self.raft.status();
        status.initialized() && status.members.iter().all(|member| member.node != status.node)
    }

    /// Begins a cluster of these members; without any, of this node alone.
    ///
    /// # Errors
    /// `already_initialized`, `invalid_request`.
    pub async fn initialize(&self, body: InitBody) -> Result<(), ApiError> {
        let mut members = BTreeMap::new();
        for member in body.members {
            let (node, peer) = checked(&member)?;
            if members.insert(node, peer).is_some() {
                return Err(ApiError::invalid(format!("members name the node {node} twice")));
            }
        }
        if members.is_empty() {
            members.insert(self.node, self.own.clone());
        }
        self.raft.initialize(members, Founders::Majority).await.map_err(refusal)
    }

    /// Adds a member; as a voter once it has caught up, unless it is only to follow.
    ///
    /// # Errors
    /// `membership_conflict`, `invalid_request`, `not_leader`.
    pub async fn add_member(&self, body: MemberBody) -> Result<(), ApiError> {
        let (node, peer) = checked(&body)?;
        if node > NodeId::CONFIGURED_MAX && self.raft.peer(node).is_none() {
            return Err(ApiError::invalid("node id is over 999,999; higher ids are given by the cluster"));
        }
        self.raft.add_learner(node, peer).await.map_err(refusal)?;
        match body.voter {
            true => self.raft.promote(node).await.map_err(refusal),
            false => Ok(()),
        }
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// `membership_conflict` when no healthy quorum would be left, `not_leader`.
    pub async fn remove_member(&self, id: u64) -> Result<(), ApiError> {
        self.raft.remove(NodeId(id)).await.map_err(refusal)
    }

    /// Hands leadership to a voter.
    ///
    /// # Errors
    /// `membership_conflict`, `not_leader`.
    pub async fn transfer(&self, to: u64) -> Result<(), ApiError> {
        self.raft.transfer_leader(NodeId(to)).await.map_err(refusal)
    }

    /// Who leads, and `host:port` of its edge. Waits for a leader as an append does.
    pub async fn leader_edge(&self) -> Option<(NodeId, String)> {
        let deadline = Instant::now() + self.leader_wait;
        loop {
            let seen = self.ports.leadership.current();
            if let Some((leader, peer)) =
                seen.leader.and_then(|leader| Some((leader, self.raft.peer(leader)?)))
            {
                return Some((leader, peer.edge));
            }
            if !self.leader_may_have_changed(seen, deadline).await {
                return None;
            }
        }
    }
}

/// A member whose addresses can be dialled.
fn checked(member: &MemberBody) -> Result<(NodeId, PeerNode), ApiError> {
    if member.node_id == 0 {
        return Err(ApiError::invalid("node id is 0; ids begin at 1"));
    }
    let text = format!("{}={},{}", member.node_id, member.peer_address, member.url);
    let member: Member = text.parse().map_err(ApiError::invalid)?;
    let edge = member.edge_address().to_owned();
    Ok((member.node, PeerNode::at(member.peer, edge)))
}

fn refusal(error: MembershipError) -> ApiError {
    let code = match &error {
        MembershipError::AlreadyInitialized => ErrorCode::AlreadyInitialized,
        MembershipError::NotLeader { .. } => ErrorCode::NotLeader,
        MembershipError::NotIncluded { .. } => ErrorCode::InvalidRequest,
        MembershipError::TooFew { .. }
        | MembershipError::Refused { .. }
        | MembershipError::Unknown { .. }
        | MembershipError::NotVoter { .. }
        | MembershipError::LastVoter { .. }
        | MembershipError::WouldLoseQuorum { .. }
        | MembershipError::Behind { .. }
        | MembershipError::InProgress
        | MembershipError::NotTransferred { .. } => ErrorCode::MembershipConflict,
        MembershipError::Failed { .. } => ErrorCode::OutcomeUnknown,
    };
    ApiError::new(code, error.to_string())
}

fn url_of(edge: &str) -> String {
    format!("http://{edge}")
}

fn member_of(member: &weir_raft::MemberStatus) -> MemberStatus {
    MemberStatus {
        node_id: member.node.0,
        role: match member.role {
            weir_raft::MemberRole::Voter => v1::MemberRole::Voter,
            weir_raft::MemberRole::Learner => v1::MemberRole::Learner,
        },
        peer_address: member.peer_address.clone(),
        url: url_of(&member.edge_address),
        matched_index: member.matched.map(|index| index.0),
        silent_ms: member.silent_ms,
    }
}

fn state_of(state: weir_raft::NodeState) -> v1::NodeState {
    match state {
        weir_raft::NodeState::Learner => v1::NodeState::Learner,
        weir_raft::NodeState::Follower => v1::NodeState::Follower,
        weir_raft::NodeState::Candidate => v1::NodeState::Candidate,
        weir_raft::NodeState::Leader => v1::NodeState::Leader,
        weir_raft::NodeState::Stopped => v1::NodeState::Stopped,
    }
}
