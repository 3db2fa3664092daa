//! Nodes that stop, fail and come back.

use std::fs;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Duration, timeout};
use weir_raft::{RaftTiming, apply::Applier};
use weir_types::{Consistency, NodeId};

use crate::nodes::{CLUSTER, Nodes, PATIENCE, appended_at, eventually, timing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_leads_when_the_leader_is_gone_and_the_old_one_catches_up() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..20 {
        assert!(appended_at(&nodes.append("order-1", base).await, base + 1));
    }
    let (first, term) = nodes.leader().await;
    nodes.stop(first).await;
    let (second, later) = nodes.leader().await;
    assert!(second != first && later > term);
    for base in 20..40 {
        assert!(appended_at(&nodes.append("order-1", base).await, base + 1));
    }
    nodes.start_node(first).await;
    nodes.agree_at(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_process_has_ended_is_succeeded_long_before_its_lease_ends() {
    let (election_timeout_min, election_timeout_max) = (2 * PATIENCE, 3 * PATIENCE);
    let patient = RaftTiming { election_timeout_min, election_timeout_max, ..timing() };
    let mut nodes = Nodes::cluster_with(patient, 1..=5).await;
    // Twice, so that who comes first in the order of succession is gone once too.
    for base in 0..2 {
        assert!(appended_at(&nodes.append("order-1", base).await, base + 1));
        let (leader, _) = nodes.leader().await;
        nodes.stop(leader).await;
    }
    assert!(appended_at(&nodes.append("order-1", 2).await, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_was_acknowledged_is_there_after_all_nodes_restart() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..30 {
        nodes.append("order-1", base).await;
    }
    let before = nodes.agree_at(30).await[0].clone();
    for node in 1..=3 {
        nodes.stop(node).await;
    }
    for node in 1..=3 {
        nodes.start_node(node).await;
    }
    assert!(appended_at(&nodes.append("order-1", 30).await, 31));
    let after = nodes.agree_at(31).await[0].clone();
    assert_eq!(after.position.0, before.position.0 + 1);
    assert_eq!(after.members.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_alone_does_not_read_back_in_time() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..10 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(10).await;
    for node in 1..=3 {
        nodes.stop(node).await;
    }
    nodes.start_node(2).await;
    let reader = nodes.node(2).reader();
    let applied = reader.ready(weir_types::GroupId::DEFAULT, Consistency::Local).await.unwrap();
    assert_eq!(applied.0, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_down_is_caught_up_by_the_log() {
    let mut nodes = Nodes::cluster(1..=3).await;
    let (leader, _) = nodes.leader().await;
    let follower = if leader == 3 { 2 } else { 3 };
    nodes.append("order-1", 0).await;
    nodes.stop(follower).await;
    for base in 1..300 {
        nodes.append("order-1", base).await;
    }
    nodes.start_node(follower).await;
    let statuses = nodes.agree_at(300).await;
    assert_eq!(statuses.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_gone_is_rebuilt_from_the_log_to_the_same_digest() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..50 {
        nodes.append("order-1", base).await;
    }
    let before = nodes.agree_at(50).await[0].clone();
    nodes.stop(2).await;
    drop(nodes.open_store(2, CLUSTER).await);
    fs::remove_dir_all(nodes.folder(2).join("index")).unwrap();
    nodes.start_node(2).await;
    // `agree_at` holds only when the rebuilt index has the digest of the others.
    assert_eq!(nodes.agree_at(50).await.len(), 3);
    assert!(nodes.status(2).applied >= before.applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaying_the_log_from_nothing_gives_the_same_digest() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..50 {
        nodes.append(&format!("order-{}", base % 5), base / 5).await;
    }
    let before = nodes.agree_at(50).await[0].clone();
    for node in 1..=3 {
        nodes.stop(node).await;
        drop(nodes.open_store(node, CLUSTER).await);
        fs::remove_dir_all(nodes.folder(node).join("index")).unwrap();
        let store = nodes.open_store(node, CLUSTER).await;
        let mut applier = Applier::new(&store).unwrap();
        let records = store.log.read(weir_types::LogIndex(1), before.applied.next(), usize::MAX).unwrap();
        for record in records {
            applier.apply(&[record]).unwrap();
        }
        let mark = applier.mark().unwrap();
        assert_eq!((mark.position, mark.digest), (before.position, before.digest), "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_log_is_refused_and_the_leader_bears_it() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..20 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(20).await;
    let (leader, _) = nodes.leader().await;
    let wiped = leader % 3 + 1;
    nodes.stop(wiped).await;
    drop(nodes.open_store(wiped, CLUSTER).await);
    // Its identity stays, as when the folder is put back to what it was before it had a log.
    fs::remove_dir_all(nodes.folder(wiped).join("log")).unwrap();
    fs::remove_dir_all(nodes.folder(wiped).join("index")).unwrap();
    nodes.start_node(wiped).await;
    let reason = eventually("the leader refuses the wiped node", async || {
        let asked = nodes.node(leader).forward(NodeId(wiped), Bytes::new(), PATIENCE).await;
        asked.err().map(|error| error.to_string()).filter(|reason| reason.contains("has lost log entries"))
    })
    .await;
    assert!(reason.contains("under a new node id"), "{reason}");
    assert!(appended_at(&nodes.append("order-1", 20).await, 21));
    assert_eq!(nodes.status(leader).stopped, None);
    assert_eq!(nodes.status(wiped).position.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hears_no_leader_names_none() {
    let mut nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    let (leader, _) = nodes.leader().await;
    let (other, survivor) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    nodes.stop(other).await;
    nodes.stop(leader).await;
    eventually("nobody leads", async || nodes.status(survivor).leader.is_none().then_some(())).await;
    nodes.start_node(leader).await;
    nodes.leader().await;
    eventually("the survivor knows who leads", async || nodes.status(survivor).leader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_quorum_leads_nobody_until_it_has_one_again() {
    let mut nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    let (leader, _) = nodes.leader().await;
    let others: Vec<u64> = nodes.ids().into_iter().filter(|node| *node != leader).collect();
    for other in &others {
        nodes.stop(*other).await;
    }
    eventually("nobody leads", async || {
        let status = nodes.status(leader);
        (status.leader.is_none() && !status.decides).then_some(())
    })
    .await;
    nodes.start_node(others[0]).await;
    assert!(appended_at(&nodes.append("order-1", 1).await, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_leader_goes_on_leading() {
    let nodes = Nodes::cluster(1..=3).await;
    let (leader, term) = nodes.leader().await;
    let leadership = nodes.node(leader).leadership();
    // A change of the term is an election on a busy machine, and another matter.
    let lost = leadership.changes().any(|now| async move { now.term == term && !now.decides });
    assert!(timeout(Duration::from_secs(5), lost).await.is_err());
}

/// Inverts bytes of the first segment of a node's log.
fn damage(nodes: &Nodes, node: u64, bytes: std::ops::Range<usize>) -> std::path::PathBuf {
    let file = nodes.folder(node).join("log/1/00000000000000000001.log");
    let mut held = fs::read(&file).unwrap();
    held[bytes].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(&file, held).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_mended_with_the_records_of_a_peer() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..50 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(50).await;
    let (leader, _) = nodes.leader().await;
    let victim = leader % 3 + 1;
    nodes.stop(victim).await;
    drop(nodes.open_store(victim, CLUSTER).await);
    let file = nodes.folder(victim).join("log/1/00000000000000000001.log");
    let good = fs::read(&file).unwrap();
    // Some headers with their payloads, and far from them a few bytes of one record.
    for bytes in [2_000..2_900, 8_000..8_003] {
        damage(&nodes, victim, bytes);
    }
    // The first place may be two: a payload, and the records after it.
    assert!(nodes.repair(victim).await.unwrap() >= 2);
    assert!(fs::read(&file).unwrap() == good, "the file is what it was");
    nodes.start_node(victim).await;
    nodes.append("order-1", 50).await;
    assert_eq!(nodes.agree_at(51).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_gives_no_records_to_a_folder_that_it_does_not_know() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..20 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(20).await;
    nodes.stop(3).await;
    drop(nodes.open_store(3, CLUSTER).await);
    damage(&nodes, 3, 2_000..2_010);
    // Another folder's identity on the same log.
    let other = tempfile::tempdir().unwrap();
    let identity = weir_storage::folder::Identity { cluster: CLUSTER, node: NodeId(3) };
    drop(weir_storage::folder::DataFolder::open(other.path(), identity).unwrap());
    fs::copy(other.path().join("identity"), nodes.folder(3).join("identity")).unwrap();
    let repairing = timeout(Duration::from_secs(3), nodes.repair(3));
    assert!(repairing.await.is_err(), "the peers refuse it, and it goes on asking");
}
