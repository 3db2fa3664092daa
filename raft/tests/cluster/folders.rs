//! A node takes part only with the data folder that it was admitted with.

use std::{collections::BTreeMap, fs, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;
use weir_raft::{Founders, MembershipError};
use weir_types::NodeId;

use crate::nodes::{CLUSTER, Nodes, PATIENCE, appended_at, eventually};

const GIVE_UP: &str = "under a new node id";

/// Gives a node an empty folder under its old id.
async fn wipe(nodes: &mut Nodes, node: u64) {
    nodes.stop(node).await;
    drop(nodes.open_store(node, CLUSTER).await);
    fs::remove_dir_all(nodes.folder(node)).unwrap();
    nodes.start_node(node).await;
}

/// Waits until `asking` says why it will not speak to `target`.
async fn refuses(nodes: &Nodes, asking: u64, target: u64) {
    eventually("the node with another folder is refused", async || {
        let asked = nodes.node(asking).forward(NodeId(target), Bytes::new(), PATIENCE).await;
        asked.err().map(|error| error.to_string()).filter(|reason| reason.contains(GIVE_UP))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_is_refused_by_all_after_a_change_of_leader_and_after_restarts() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..20 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(20).await;
    let (first, _) = nodes.leader().await;
    let (wiped, second) = (first % 3 + 1, (first + 1) % 3 + 1);
    wipe(&mut nodes, wiped).await;
    refuses(&nodes, first, wiped).await;
    nodes.node(first).transfer_leader(NodeId(second)).await.unwrap();
    refuses(&nodes, second, wiped).await;
    for node in [first, second] {
        nodes.stop(node).await;
        nodes.start_node(node).await;
        nodes.leader().await;
    }
    assert!(appended_at(&nodes.append("order-1", 20).await, 21));
    for node in [first, second] {
        refuses(&nodes, node, wiped).await;
    }
    assert_eq!((nodes.status(wiped).position.0, nodes.status(wiped).initialized()), (0, false));
    // It is not counted and does not vote: the other two are the quorum, and one of them is none.
    let (leader, _) = nodes.leader().await;
    let survivor = if leader == first { second } else { first };
    nodes.stop(leader).await;
    let elected = nodes.node(survivor).leadership().changes().any(|now| async move { now.decides });
    assert!(timeout(Duration::from_secs(4), elected).await.is_err(), "a wiped node gave its vote");
    nodes.start_node(leader).await;
    assert!(appended_at(&nodes.append("order-1", 21).await, 22));
    assert_eq!(nodes.status(wiped).position.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_does_not_begin_its_cluster_again() {
    let mut nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    nodes.agree_at(1).await;
    wipe(&mut nodes, 1).await;
    let members: BTreeMap<_, _> = (1..=3).map(|node| (NodeId(node), nodes.peer(node))).collect();
    let refused = nodes.node(1).initialize(members, Founders::Majority).await.unwrap_err();
    assert!(
        matches!(&refused, MembershipError::Refused { reason, .. } if reason.contains(GIVE_UP)),
        "{refused}"
    );
    assert!(appended_at(&nodes.append("order-1", 1).await, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_late_is_recorded_before_it_counts() {
    let mut nodes = Nodes::start([1, 2, 3]).await;
    let members: BTreeMap<_, _> = (1..=3).map(|node| (NodeId(node), nodes.peer(node))).collect();
    nodes.stop(3).await;
    nodes.node(1).initialize(members, Founders::Majority).await.unwrap();
    nodes.append("order-1", 0).await;
    nodes.start_node(3).await;
    nodes.agree_at(1).await;
    let (leader, _) = nodes.leader().await;
    let other = if leader == 1 { 2 } else { 1 };
    nodes.stop(other).await;
    assert!(appended_at(&nodes.append("order-1", 1).await, 2), "the late one counts");
    nodes.start_node(other).await;
    nodes.agree_at(2).await;
    wipe(&mut nodes, 3).await;
    for node in [1, 2] {
        refuses(&nodes, node, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_begins_only_when_a_majority_was_met_and_by_itself_only_when_all_were() {
    let mut nodes = Nodes::start([1, 2, 3]).await;
    let members: BTreeMap<_, _> = (1..=3).map(|node| (NodeId(node), nodes.peer(node))).collect();
    for (stopped, founders, needed) in [(3, Founders::All, 3), (2, Founders::Majority, 2)] {
        nodes.stop(stopped).await;
        let refused = nodes.node(1).initialize(members.clone(), founders).await;
        assert_eq!(refused, Err(MembershipError::TooFew { met: needed - 1, members: 3, needed }));
    }
    assert!(!nodes.status(1).initialized());
}
