//! A node whose folder was wiped takes its seat again, under a new id.

use futures::StreamExt;
use tokio::time::{Duration, timeout};
use uuid::Uuid;
use weir_raft::{MemberRole, Standing};
use weir_types::{Incarnation, NodeId};

use crate::nodes::{Nodes, appended_at, eventually};

/// Waits until the voters are these.
async fn voters(nodes: &Nodes, asked: u64, expected: &[u64]) {
    eventually("the voters are the expected ones", async || {
        let members = nodes.status(asked).members;
        let all_vote = members.iter().all(|member| member.role == MemberRole::Voter);
        let ids: Vec<u64> = members.iter().map(|member| member.node.0).collect();
        (all_vote && ids == expected).then_some(())
    })
    .await;
}

fn folder(number: u128) -> Option<Incarnation> {
    Some(Incarnation(Uuid::from_u128(number)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_takes_its_seat_again_and_again_and_counts() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..20 {
        nodes.append("order-1", base).await;
    }
    let (leader, _) = nodes.leader().await;
    let (wiped, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let mut last = wiped;
    for round in 0..2_u64 {
        nodes.wipe(wiped).await;
        assert!(appended_at(&nodes.append("order-1", 20 + round).await, 21 + round));
        let given = nodes.take_seat(wiped).await;
        assert!(given > last && NodeId(given).seat() == NodeId(wiped), "{given} after {last}");
        let mut expected = vec![leader, other, given];
        expected.sort_unstable();
        voters(&nodes, leader, &expected).await;
        last = given;
    }
    nodes.agree_at(22).await;
    // It counts: without the other one it is half of the quorum.
    nodes.stop(other).await;
    assert!(appended_at(&nodes.append("order-1", 22).await, 23));
    // And it restarts as what it is.
    nodes.stop(wiped).await;
    nodes.start_node(wiped).await;
    assert!(appended_at(&nodes.append("order-1", 23).await, 24));
    assert_eq!(nodes.status(wiped).node, NodeId(last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_leader_takes_its_seat_again() {
    let mut nodes = Nodes::cluster(1..=3).await;
    for base in 0..20 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(20).await;
    let (first, _) = nodes.leader().await;
    nodes.wipe(first).await;
    let given = nodes.take_seat(first).await;
    let (leader, _) = nodes.leader().await;
    let mut expected: Vec<u64> = (1..=3).filter(|node| *node != first).chain([given]).collect();
    expected.sort_unstable();
    voters(&nodes, leader, &expected).await;
    assert!(appended_at(&nodes.append("order-1", 20).await, 21));
    nodes.agree_at(21).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_is_given_to_nobody_while_its_holder_answers() {
    let nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    let (leader, _) = nodes.leader().await;
    let seat = leader % 3 + 1;
    for node in [seat, leader] {
        let address = nodes.peer(node).peer;
        eventually("the seat is taken", async || {
            (nodes.standing(node, folder(9), true).await
                == Standing::Taken { node: NodeId(node), address: address.clone() })
            .then_some(())
        })
        .await;
    }
    assert_eq!(nodes.status(leader).members.len(), 3);
    assert_eq!(nodes.standing(7, folder(9), true).await, Standing::Open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_two_that_were_wiped_are_not_admitted() {
    let mut nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    nodes.agree_at(1).await;
    let (leader, _) = nodes.leader().await;
    let wiped: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    for node in &wiped {
        nodes.wipe(*node).await;
        nodes.start_node(*node).await;
    }
    eventually("there is no leader that could admit one", async || {
        (nodes.standing(wiped[0], folder(9), true).await == Standing::NoLeader).then_some(())
    })
    .await;
    eventually("nobody decides", async || (!nodes.status(leader).decides).then_some(())).await;
    let elected = nodes.node(leader).leadership().changes().any(|now| async move { now.decides });
    assert!(timeout(Duration::from_secs(3), elected).await.is_err(), "a wiped node counts");
    assert_eq!(nodes.status(leader).members.len(), 3);
    assert_eq!((nodes.status(wiped[0]).position.0, nodes.status(wiped[1]).position.0), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admission_goes_on_under_the_next_leader() {
    let mut nodes = Nodes::cluster(1..=5).await;
    for base in 0..20 {
        nodes.append("order-1", base).await;
    }
    let (first, _) = nodes.leader().await;
    let wiped = first % 5 + 1;
    nodes.wipe(wiped).await;
    // It is admitted, and goes away before it has started.
    let given =
        eventually("the folder is admitted", async || match nodes.standing(wiped, folder(9), true).await {
            Standing::Member(given) => Some(given),
            _ => None,
        })
        .await;
    nodes.stop(first).await;
    nodes.leader().await;
    // Asked again, the next leader knows it; another folder of the seat gets another id.
    eventually("the next leader knows it", async || {
        (nodes.standing(wiped, folder(9), true).await == Standing::Member(given)).then_some(())
    })
    .await;
    let later = nodes.take_seat(wiped).await;
    assert!(later > given.0, "{later} after {given}");
    let (leader, _) = nodes.leader().await;
    let mut expected: Vec<u64> = (1..=5).filter(|node| *node != wiped).chain([later]).collect();
    expected.sort_unstable();
    voters(&nodes, leader, &expected).await;
}
