//! Who is a member, and who leads.

use std::collections::BTreeMap;

use weir_raft::{Founders, MemberRole, MembershipError, PeerNode};
use weir_types::NodeId;

use crate::nodes::{Nodes, appended_at, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_catches_up_from_the_first_entry_and_is_promoted() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..50 {
        nodes.append("order-1", base).await;
    }
    nodes.start_node(4).await;
    let (leader, _) = nodes.leader().await;
    nodes.node(leader).add_learner(NodeId(4), nodes.peer(4)).await.unwrap();
    nodes.node(leader).add_learner(NodeId(4), nodes.peer(4)).await.unwrap();
    nodes.agree_at(50).await;
    let role = |node: u64| {
        let members = nodes.status(node).members;
        members.iter().find(|member| member.node == NodeId(4)).map(|member| member.role)
    };
    assert_eq!(role(leader), Some(MemberRole::Learner));
    nodes.node(leader).promote(NodeId(4)).await.unwrap();
    eventually("node 4 knows that it votes", async || (role(4) == Some(MemberRole::Voter)).then_some(()))
        .await;
    // Four voters need three: with one of the old ones gone, the new one must count.
    let old = (1..=3).find(|node| *node != leader).unwrap();
    nodes.stop(old).await;
    assert!(appended_at(&nodes.append("order-1", 50).await, 51));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_removed_only_when_a_healthy_quorum_stays() {
    let mut nodes = Nodes::cluster(1..=3).await;
    let (leader, _) = nodes.leader().await;
    let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    assert_eq!(nodes.node(leader).remove(NodeId(9)).await, Err(MembershipError::Unknown { node: NodeId(9) }));
    let elsewhere = nodes.node(others[0]).remove(NodeId(others[1])).await;
    assert_eq!(elsewhere, Err(MembershipError::NotLeader { leader: Some(NodeId(leader)) }));
    eventually("the leader has heard of both, so that it knows them to be healthy", async || {
        let members = nodes.status(leader).members;
        members.iter().all(|member| member.node.0 == leader || member.silent_ms.is_some()).then_some(())
    })
    .await;
    nodes.node(leader).remove(NodeId(others[1])).await.unwrap();
    assert_eq!(nodes.status(leader).members.len(), 2);
    nodes.stop(others[1]).await;
    assert!(appended_at(&nodes.append("order-1", 0).await, 1));
    nodes.stop(others[0]).await;
    eventually("the leader notices that its last follower is gone", async || {
        let members = nodes.status(leader).members;
        let silent = members.iter().find(|member| member.node.0 == others[0])?.silent_ms?;
        (silent > 2_500).then_some(())
    })
    .await;
    let refused = nodes.node(leader).remove(NodeId(leader)).await.unwrap_err();
    assert!(matches!(refused, MembershipError::WouldLoseQuorum { healthy: 0, voters: 1, needed: 1, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_removed_changes_no_more_members() {
    let mut nodes = Nodes::cluster(1..=3).await;
    let (leader, _) = nodes.leader().await;
    eventually("the leader has heard of both, so that it knows them to be healthy", async || {
        let members = nodes.status(leader).members;
        members.iter().all(|member| member.node.0 == leader || member.silent_ms.is_some()).then_some(())
    })
    .await;
    nodes.start_node(4).await;
    nodes.node(leader).remove(NodeId(leader)).await.unwrap();
    // It leads for a moment still.
    let refused = nodes.node(leader).add_learner(NodeId(4), nodes.peer(4)).await;
    assert!(matches!(refused, Err(MembershipError::NotLeader { .. })), "{refused:?}");
    let next = eventually("another one leads", async || {
        nodes.ids().into_iter().find(|node| *node != leader && nodes.status(*node).decides)
    })
    .await;
    nodes.node(next).add_learner(NodeId(4), nodes.peer(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_where_it_is_told_and_is_handed_over() {
    let nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    let (first, _) = nodes.leader().await;
    let to = first % 3 + 1;
    nodes.node(first).transfer_leader(NodeId(to)).await.unwrap();
    let (second, _) = nodes.leader().await;
    assert_eq!(second, to);
    let unknown = nodes.node(second).transfer_leader(NodeId(9)).await;
    assert_eq!(unknown, Err(MembershipError::NotVoter { node: NodeId(9) }));
    nodes.append("order-1", 1).await;
    let (third, _) = nodes.leader().await;
    let taken = nodes.node(third).hand_over().await.unwrap().unwrap();
    assert_ne!(taken.0, third);
    assert!(appended_at(&nodes.append("order-1", 2).await, 3));
    let follower = nodes.ids().into_iter().find(|node| !nodes.status(*node).decides).unwrap();
    assert_eq!(nodes.node(follower).hand_over().await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_initialised_once_and_with_its_first_node_in_it() {
    let nodes = Nodes::start([1]).await;
    assert!(!nodes.status(1).initialized());
    let without = BTreeMap::from([(NodeId(2), PeerNode::default())]);
    let refused = nodes.node(1).initialize(without, Founders::Majority).await;
    assert_eq!(refused, Err(MembershipError::NotIncluded { node: NodeId(1) }));
    let members = BTreeMap::from([(NodeId(1), nodes.peer(1))]);
    nodes.node(1).initialize(members.clone(), Founders::Majority).await.unwrap();
    nodes.leader().await;
    assert_eq!(
        nodes.node(1).initialize(members, Founders::Majority).await,
        Err(MembershipError::AlreadyInitialized)
    );
    assert_eq!(nodes.status(1).members[0].edge_address, nodes.peer(1).edge);
    assert_eq!(nodes.node(1).hand_over().await, Ok(None));
}
