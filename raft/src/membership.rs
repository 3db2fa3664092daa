//! Changes of who is a member. Each is decided by the leader, and refused when
//! it would leave the group without a healthy quorum.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{
    ChangeMembers, Instant as _, RaftMetrics,
    async_runtime::WatchReceiver,
    errors::{ChangeMembershipError, ClientWriteError, Fatal, InitializeError, RaftError},
};
use tokio::time::{Instant, timeout};
use tracing::info;
use weir_types::NodeId;

use crate::{
    admission::Admitted,
    leadership::GroupLeadership,
    meeting::{Founders, meet},
    member_change,
    network::Myself,
    timing::RaftTiming,
    types::{PeerNode, Raft, TypeConfig},
};

/// Entries that a learner may be behind when it gets a vote.
pub(crate) const PROMOTE_LAG_MAX: u64 = 100;
/// How long a learner may take to catch up that far, once a promotion asks for it.
const CATCH_UP_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a membership did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The cluster exists already.
    #[error("cluster is initialised already")]
    AlreadyInitialized,
    /// The members given do not include this node.
    #[error("members do not include node {node}, which is asked to begin")]
    NotIncluded {
        /// This node.
        node: NodeId,
    },
    /// Too few of the members that a cluster is to begin with were met.
    #[error("only {met} of {members} members were met, and {needed} are needed to begin")]
    TooFew {
        /// How many were, this node among them.
        met: usize,
        /// How many there are to be.
        members: usize,
        /// How many must be.
        needed: usize,
    },
    /// A member that a cluster is to begin with will not have this node.
    #[error("node {node} refused this node: {reason}")]
    Refused {
        /// The member.
        node: NodeId,
        /// Its words.
        reason: String,
    },
    /// This node does not lead the group.
    #[error("node does not lead the group")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// There is no such member.
    #[error("node {node} is no member")]
    Unknown {
        /// The node.
        node: NodeId,
    },
    /// The node is no voter, and only a voter can do this.
    #[error("node {node} is no voter")]
    NotVoter {
        /// The node.
        node: NodeId,
    },
    /// The group would be left without any voter.
    #[error("node {node} is the last voter, and the last voter cannot be removed")]
    LastVoter {
        /// The node to remove.
        node: NodeId,
    },
    /// The group would be left without a quorum of healthy voters.
    #[error(
        "without node {node} only {healthy} of {voters} voters would be healthy, and {needed} are needed"
    )]
    WouldLoseQuorum {
        /// The node to remove.
        node: NodeId,
        /// Healthy voters that would be left.
        healthy: usize,
        /// Voters that would be left.
        voters: usize,
        /// How many make a quorum of them.
        needed: usize,
    },
    /// The learner did not catch up with the log in time.
    #[error("node {node} is {entries} entries behind the log")]
    Behind {
        /// The learner.
        node: NodeId,
        /// How far.
        entries: u64,
    },
    /// Another change is not finished yet.
    #[error("another change of the membership is under way")]
    InProgress,
    /// Leadership did not move in time; it may still move.
    #[error("leadership did not move to node {to} in time")]
    NotTransferred {
        /// Where to.
        to: NodeId,
    },
    /// It was proposed and its fate is not known, or Raft has stopped.
    #[error("membership change failed: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

/// Changes the members of one group.
pub(crate) struct Members<'a> {
    pub(crate) raft: &'a Raft,
    pub(crate) leadership: &'a GroupLeadership,
    pub(crate) timing: &'a RaftTiming,
    pub(crate) myself: &'a Myself,
}

impl Members<'_> {
    fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.raft.metrics().borrow_watched().clone()
    }

    fn node(&self) -> NodeId {
        NodeId(*self.raft.node_id())
    }

    /// What the leader knows, if this node is it.
    fn as_leader(&self) -> Result<RaftMetrics<TypeConfig>, MembershipError> {
        let metrics = self.metrics();
        if metrics.state.is_leader() {
            return Ok(metrics);
        }
        let leader = metrics.current_leader.map(NodeId).filter(|leader| *leader != self.node());
        Err(MembershipError::NotLeader { leader })
    }

    /// Begins the cluster, once in its life, on one node.
    pub(crate) async fn initialize(
        &self,
        members: BTreeMap<NodeId, PeerNode>,
        founders: Founders,
    ) -> Result<(), MembershipError> {
        let node = self.node();
        if self.raft.is_initialized().await.map_err(|fatal| stopped(&fatal))? {
            return Err(MembershipError::AlreadyInitialized);
        }
        let ids: Vec<_> = members.keys().map(|id| id.0).collect();
        let met = meet(self.myself, &members, founders).await?;
        let admitted = |id| met.get(&id).map_or(Admitted::Awaited, |found| Admitted::Only(*found));
        let members: BTreeMap<_, _> = members
            .into_iter()
            .map(|(id, peer)| (id.0, PeerNode { admitted: admitted(id), ..peer }))
            .collect();
        match self.raft.initialize(members).await {
            Ok(()) => {
                info!(node_id = node.0, members = ?ids, "cluster initialised");
                Ok(())
            }
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {
                Err(MembershipError::AlreadyInitialized)
            }
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => {
                Err(MembershipError::NotIncluded { node })
            }
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// Adds a node that follows the log, or gives a member new addresses.
    pub(crate) async fn add_learner(&self, node: NodeId, peer: PeerNode) -> Result<(), MembershipError> {
        let metrics = self.as_leader()?;
        let known = metrics.membership_config.get_node(&node.0);
        // A folder that was recorded stays so, at whatever address.
        let admitted = known.map_or(Admitted::Awaited, |known| known.admitted);
        let peer = PeerNode { admitted, ..peer };
        if known == Some(&peer) {
            return Ok(());
        }
        let nodes = BTreeMap::from([(node.0, peer)]);
        let change =
            if known.is_some() { ChangeMembers::SetNodes(nodes) } else { ChangeMembers::AddNodes(nodes) };
        self.change(change).await
    }

    /// Gives a learner a vote, once it has caught up.
    pub(crate) async fn promote(&self, node: NodeId) -> Result<(), MembershipError> {
        let metrics = self.as_leader()?;
        if metrics.membership_config.get_node(&node.0).is_none() {
            return Err(MembershipError::Unknown { node });
        }
        // A change that was left half-way counts it among its voters already, and ends with this one.
        let is_whole = metrics.membership_config.membership().get_joint_config().len() == 1;
        if is_whole && metrics.membership_config.voter_ids().any(|voter| voter == node.0) {
            return Ok(());
        }
        self.wait_caught_up(node).await?;
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node.0]))).await
    }

    async fn wait_caught_up(&self, node: NodeId) -> Result<(), MembershipError> {
        let deadline = Instant::now() + CATCH_UP_WAIT_MAX;
        let mut watch = self.raft.metrics();
        loop {
            let metrics = watch.borrow_watched().clone();
            if !metrics.state.is_leader() {
                return Err(MembershipError::NotLeader { leader: metrics.current_leader.map(NodeId) });
            }
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&node.0)?);
            let held = matched.map_or(0, |id| id.index() + 1);
            let entries = metrics.last_log_index.map_or(0, |last| last + 1).saturating_sub(held);
            if matched.is_some() && entries <= PROMOTE_LAG_MAX {
                return Ok(());
            }
            match tokio::time::timeout_at(deadline, watch.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(MembershipError::Failed { reason: "node is stopping".into() }),
                Err(_) => return Err(MembershipError::Behind { node, entries }),
            }
        }
    }

    /// Removes a member.
    pub(crate) async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        let metrics = self.as_leader()?;
        if metrics.membership_config.get_node(&node.0).is_none() {
            return Err(MembershipError::Unknown { node });
        }
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        if !voters.contains(&node.0) {
            return self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node.0]))).await;
        }
        let healthy = self.healthy(&metrics);
        check_removal(node, &voters, |voter| healthy.contains(&voter))?;
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node.0]))).await
    }

    /// Nodes that answered the leader within two election timeouts, and the leader.
    fn healthy(&self, metrics: &RaftMetrics<TypeConfig>) -> BTreeSet<u64> {
        let silent_max = self.timing.election_timeout_max * 2;
        let heard = metrics.heartbeat.iter().flatten();
        let fresh = heard.filter(|(_, at)| at.as_ref().is_some_and(|at| at.elapsed() <= silent_max));
        fresh.map(|(node, _)| *node).chain([self.node().0]).collect()
    }

    async fn change(&self, change: ChangeMembers<u64, PeerNode>) -> Result<(), MembershipError> {
        let described = format!("{change:?}");
        let changing = timeout(self.timing.outcome_wait_max, member_change::propose(self.raft, change));
        let Ok(changed) = changing.await else {
            let reason = "no quorum confirmed it in time; it may still come about".into();
            return Err(MembershipError::Failed { reason });
        };
        match changed {
            Ok(response) => {
                let index = crate::types::log_index(response.log_id.index()).0;
                info!(node_id = self.node().0, change = described, index, "membership changed");
                Ok(())
            }
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
            Err(RaftError::APIError(error)) => Err(match error {
                ClientWriteError::ForwardToLeader(forward) => {
                    MembershipError::NotLeader { leader: forward.leader_id.map(NodeId) }
                }
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))
                | ClientWriteError::PreconditionFailed(_) => MembershipError::InProgress,
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::LearnerNotFound(learner)) => {
                    MembershipError::Unknown { node: NodeId(learner.node_id) }
                }
                other => MembershipError::Failed { reason: other.to_string() },
            }),
        }
    }

    /// Moves leadership to a voter and waits until it has moved.
    pub(crate) async fn transfer_leader(&self, to: NodeId) -> Result<(), MembershipError> {
        let metrics = self.as_leader()?;
        if to == self.node() {
            return Ok(());
        }
        if !metrics.membership_config.voter_ids().any(|voter| voter == to.0) {
            return Err(MembershipError::NotVoter { node: to });
        }
        self.raft.trigger().transfer_leader(to.0).await.map_err(|fatal| stopped(&fatal))?;
        let mut watch = self.leadership.watch();
        let moved = watch.wait_for(|now| now.leader.is_some_and(|leader| leader != self.node()));
        match timeout(self.timing.election_timeout_max * 3, moved).await {
            Ok(Ok(now)) if now.leader == Some(to) => Ok(()),
            Ok(Ok(_) | Err(_)) | Err(_) => Err(MembershipError::NotTransferred { to }),
        }
    }

    /// Hands leadership to the healthy voter that holds most of the log.
    /// `None` when this node does not lead, or when there is nobody else.
    pub(crate) async fn hand_over(&self) -> Result<Option<NodeId>, MembershipError> {
        let Ok(metrics) = self.as_leader() else {
            return Ok(None);
        };
        let healthy = self.healthy(&metrics);
        let matched = |voter: &u64| metrics.replication.as_ref().and_then(|all| *all.get(voter)?);
        let others = metrics.membership_config.voter_ids().filter(|voter| *voter != self.node().0);
        let Some(next) = others.filter(|voter| healthy.contains(voter)).max_by_key(matched) else {
            return Ok(None);
        };
        self.transfer_leader(NodeId(next)).await?;
        Ok(Some(NodeId(next)))
    }
}

/// Whether a group of `voters` can do without `node`.
fn check_removal(
    node: NodeId,
    voters: &BTreeSet<u64>,
    is_healthy: impl Fn(u64) -> bool,
) -> Result<(), MembershipError> {
    let left: Vec<u64> = voters.iter().copied().filter(|voter| *voter != node.0).collect();
    if left.is_empty() {
        return Err(MembershipError::LastVoter { node });
    }
    let healthy = left.iter().filter(|voter| is_healthy(**voter)).count();
    let needed = left.len() / 2 + 1;
    if healthy < needed {
        return Err(MembershipError::WouldLoseQuorum { node, healthy, voters: left.len(), needed });
    }
    Ok(())
}

fn stopped(fatal: &Fatal<TypeConfig>) -> MembershipError {
    MembershipError::Failed { reason: fatal.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_must_leave_a_healthy_quorum() {
        for (voters, healthy, remove, allowed) in [
            (vec![1, 2, 3], vec![1, 2, 3], 3, true),
            (vec![1, 2, 3], vec![1, 2], 3, true),
            (vec![1, 2, 3], vec![1, 2], 2, false),
            (vec![1, 2, 3], vec![1], 3, false),
            (vec![1, 2], vec![1, 2], 2, true),
            (vec![1, 2], vec![1], 2, true),
            (vec![1], vec![1], 1, false),
            (vec![1, 2, 3, 4, 5], vec![1, 2, 3], 5, true),
            (vec![1, 2, 3, 4, 5], vec![1, 2, 3], 3, false),
        ] {
            let voters: BTreeSet<u64> = voters.into_iter().collect();
            let found = check_removal(NodeId(remove), &voters, |voter| healthy.contains(&voter));
            assert_eq!(found.is_ok(), allowed, "{voters:?} {healthy:?} without {remove}");
            let last = matches!(found, Err(MembershipError::LastVoter { .. }));
            assert_eq!(last, voters.len() == 1, "{voters:?}");
        }
    }
}
