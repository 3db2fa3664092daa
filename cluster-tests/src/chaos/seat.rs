//! Which node of the rig a member is. A node that lost its folder takes part
//! under an id that the cluster gave it, and keeps its seat.

use weir_api::v1::{ClusterStatus, MemberRole, MemberStatus, NodeState};
use weir_types::NodeId;

/// The configured id of a member.
#[must_use]
pub fn seat(node_id: u64) -> u64 {
    NodeId(node_id).seat().0
}

/// The members with a seat, as a node sees them, the newest last.
pub fn holders(status: &ClusterStatus, of: u64) -> impl Iterator<Item = &MemberStatus> {
    status.members.iter().filter(move |member| seat(member.node_id) == of)
}

/// What the leader of the highest term says, if one tells.
#[must_use]
pub fn leading(statuses: &[ClusterStatus]) -> Option<&ClusterStatus> {
    let leaders = statuses.iter().filter(|status| status.state == NodeState::Leader);
    leaders.max_by_key(|status| status.term)
}

/// Whether a node votes with the folder that it has, and nobody else has its seat.
#[must_use]
pub fn votes(statuses: &[ClusterStatus], node: u64) -> bool {
    let taking_part = statuses.iter().filter(|status| status.state != NodeState::Uninitialized);
    let Some(own) = taking_part.into_iter().find(|status| seat(status.node_id) == node) else { return false };
    let Some(leader) = leading(statuses) else { return false };
    let mut holders = holders(leader, node);
    let holder = holders.next();
    holder.is_some_and(|one| one.node_id == own.node_id && one.role == MemberRole::Voter)
        && holders.next().is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NEW: u64 = 57_000_003;

    fn status(node_id: u64, state: NodeState, members: &[(u64, MemberRole)]) -> ClusterStatus {
        let member = |(node_id, role): &(u64, MemberRole)| json!({ "nodeId": node_id, "role": role, "peerAddress": "", "url": "" });
        let members: Vec<_> = members.iter().map(member).collect();
        let status = json!({
            "nodeId": node_id, "version": "", "state": state, "term": 1, "lastLogIndex": 1, "committedIndex": 1,
            "appliedIndex": 1, "appliedPosition": 1, "appliedDigest": "", "members": members,
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_node_votes_again_when_its_new_id_is_the_only_holder_of_its_seat() {
        use MemberRole::{Learner, Voter};
        use NodeState::{Follower, Leader, Uninitialized};
        let with = |own: u64, state: NodeState, members: &[(u64, MemberRole)]| {
            votes(&[status(1, Leader, members), status(own, state, &[])], 3)
        };
        assert!(with(NEW, Follower, &[(1, Voter), (2, Voter), (NEW, Voter)]));
        assert!(with(3, Follower, &[(1, Voter), (2, Voter), (3, Voter)]));
        assert!(!with(3, Uninitialized, &[(1, Voter), (2, Voter), (3, Voter)]), "an empty folder");
        assert!(!with(NEW, Follower, &[(1, Voter), (3, Voter), (NEW, Learner)]), "not yet");
        assert!(!with(3, Follower, &[(1, Voter), (2, Voter), (NEW, Voter)]), "another folder");
    }
}
