//! Who may speak to whom, and what else travels on the links.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use uuid::Uuid;
use weir_raft::{ForwardError, Founders};
use weir_types::{ClusterId, NodeId};

use crate::nodes::{Nodes, PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_the_node_are_answered_by_the_peers_handler() {
    let nodes = Nodes::cluster(1..=3).await;
    let answer = nodes.node(1).forward(NodeId(2), Bytes::from_static(b"hi"), PATIENCE).await;
    assert_eq!(answer.unwrap(), "node 1 said hi");
    let large = Bytes::from(vec![7; 8 * 1024 * 1024]);
    let answer = nodes.node(3).forward(NodeId(1), large.clone(), PATIENCE).await.unwrap();
    assert_eq!(answer.len(), "node 3 said ".len() + large.len());
    let unknown = nodes.node(1).forward(NodeId(9), Bytes::new(), PATIENCE).await;
    assert!(matches!(unknown, Err(ForwardError::NotSent { target: NodeId(9), .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_a_peer_that_is_gone_was_not_sent() {
    let mut nodes = Nodes::cluster(1..=3).await;
    nodes.stop(2).await;
    eventually("the peer is known to be gone", async || {
        let asked = nodes.node(1).forward(NodeId(2), Bytes::new(), Duration::from_secs(1)).await;
        matches!(asked, Err(ForwardError::NotSent { .. })).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_refused() {
    let mut nodes = Nodes::cluster([1]).await;
    nodes.start_node_of(2, ClusterId(Uuid::from_u128(0xBAD))).await;
    nodes.node(1).add_learner(NodeId(2), nodes.peer(2)).await.unwrap();
    let reason = eventually("the link says why", async || {
        match nodes.node(1).forward(NodeId(2), Bytes::new(), PATIENCE).await {
            Err(ForwardError::NotSent { reason, .. }) => Some(reason),
            _ => None,
        }
    })
    .await;
    assert!(reason.contains("belongs to cluster"), "{reason}");
    assert!(!nodes.status(2).initialized());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_at_the_address_of_another_is_refused() {
    let nodes = Nodes::start([1, 2]).await;
    let members = BTreeMap::from([(NodeId(1), nodes.peer(1))]);
    nodes.node(1).initialize(members, Founders::Majority).await.unwrap();
    nodes.leader().await;
    // The address of node 2 is given to node 3.
    nodes.node(1).add_learner(NodeId(3), nodes.peer(2)).await.unwrap();
    let reason = eventually("the link says why", async || {
        match nodes.node(1).forward(NodeId(3), Bytes::new(), PATIENCE).await {
            Err(ForwardError::NotSent { reason, .. }) => Some(reason),
            _ => None,
        }
    })
    .await;
    assert!(reason.contains("wanted node 3, this is node 2"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_cluster_config_is_refused() {
    let mut nodes = Nodes::cluster([1]).await;
    nodes.config_checksum = 2;
    nodes.start_node(2).await;
    nodes.node(1).add_learner(NodeId(2), nodes.peer(2)).await.unwrap();
    let reason = eventually("the link says why", async || {
        match nodes.node(1).forward(NodeId(2), Bytes::new(), PATIENCE).await {
            Err(ForwardError::NotSent { reason, .. }) => Some(reason),
            _ => None,
        }
    })
    .await;
    for checksum in [1, 2] {
        assert!(reason.contains(&format!("{checksum:016x}")), "{reason}");
    }
}
