//! Appends through the proposer.

use futures::future::join_all;
use weir_types::{
    AppendError, AppendOutcome, ProjectionName, RegistryCommand, RegistryOutcome, Term, WriteOutcome,
};

use crate::nodes::{Nodes, appended_at, decided};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_agree_on_a_thousand_appends() {
    let nodes = Nodes::cluster(1..=3).await;
    let (leader, term) = nodes.leader().await;
    let proposer = nodes.node(leader).proposer();
    let appends = (0..1_000)
        .map(|number| proposer.write(term, decided(&format!("order-{}", number % 10), number / 10, 1)));
    for (number, outcome) in join_all(appends).await.into_iter().enumerate() {
        assert!(appended_at(&outcome.unwrap(), number as u64 / 10 + 1));
    }
    let statuses = nodes.agree_at(1_000).await;
    assert_eq!(statuses.len(), 3);
    assert!(statuses.iter().all(|status| status.position.0 == 1_000 && status.digest != 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_order_is_the_order_of_the_calls() {
    let nodes = Nodes::cluster(1..=3).await;
    let (leader, term) = nodes.leader().await;
    let proposer = nodes.node(leader).proposer();
    // Each append rests on the one before, which is not answered yet.
    let appends: Vec<_> = (0..5_000).map(|base| proposer.write(term, decided("one", base, 1))).collect();
    for (base, outcome) in join_all(appends).await.into_iter().enumerate() {
        assert!(appended_at(&outcome.unwrap(), base as u64 + 1), "append {base}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_at_a_wrong_version_is_answered_with_the_right_one() {
    let nodes = Nodes::cluster([1]).await;
    assert!(appended_at(&nodes.append("order-1", 0).await, 1));
    let conflict = nodes.append("order-1", 0).await;
    assert!(
        matches!(conflict, WriteOutcome::Append(AppendOutcome::VersionConflict { actual }) if actual.0 == 1)
    );
    assert_eq!(nodes.status(1).position.0, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_another_term_or_at_a_follower_are_refused_and_leave_nothing() {
    let nodes = Nodes::cluster(1..=3).await;
    let (leader, term) = nodes.leader().await;
    let before = nodes.agree_at(0).await[0].last_log_index;
    for node in 1..=3 {
        let refused = nodes.node(node).proposer().write(Term(term.0 + 7), decided("x", 0, 1)).await;
        assert!(matches!(refused, Err(AppendError::NotLeader { .. })), "{refused:?}");
        if node != leader {
            let refused = nodes.node(node).proposer().write(term, decided("x", 0, 1)).await;
            assert_eq!(refused, Err(AppendError::NotLeader { leader: Some(weir_types::NodeId(leader)) }));
        }
    }
    assert_eq!(nodes.status(leader).last_log_index, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_resolves_after_all_that_was_queued_before() {
    let nodes = Nodes::cluster(1..=3).await;
    let (leader, term) = nodes.leader().await;
    let node = nodes.node(leader);
    let queued: Vec<_> = (0..500).map(|base| node.proposer().write(term, decided("one", base, 1))).collect();
    node.proposer().barrier(term).await.unwrap();
    assert_eq!(node.status().position.0, 500);
    assert!(join_all(queued).await.iter().all(Result::is_ok));
    let other = node.proposer().barrier(Term(term.0 + 1)).await;
    assert!(matches!(other, Err(AppendError::NotLeader { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_command_is_answered_by_apply() {
    let nodes = Nodes::cluster([1]).await;
    let remove = RegistryCommand::Remove(ProjectionName::new("none").unwrap());
    let outcome = nodes.node(1).proposer().register(remove).await.unwrap();
    assert!(matches!(outcome, RegistryOutcome::Refused(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_an_append_is_unknown_or_unavailable_and_never_acknowledged() {
    let mut nodes = Nodes::cluster(1..=3).await;
    let (leader, term) = nodes.leader().await;
    for other in (1..=3).filter(|node| *node != leader) {
        nodes.stop(other).await;
    }
    let outcome = nodes.node(leader).proposer().write(term, decided("order-1", 0, 1)).await;
    assert!(
        matches!(
            outcome,
            Err(AppendError::OutcomeUnknown { .. }
                | AppendError::Unavailable { .. }
                | AppendError::NotLeader { .. })
        ),
        "{outcome:?}"
    );
}
