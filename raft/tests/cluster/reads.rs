//! What reads see, on any node.

use futures::{StreamExt, future::join_all};
use weir_types::{Consistency, EntityId, GroupId, Position, ReadError, StreamRead};

use crate::nodes::Nodes;

const GROUP: GroupId = GroupId::DEFAULT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linearizable_read_sees_what_was_acknowledged_before_on_every_node() {
    let nodes = Nodes::cluster(1..=3).await;
    for base in 0..50 {
        nodes.append("order-1", base).await;
        for node in 1..=3 {
            let reader = nodes.node(node).reader();
            let applied = reader.ready(GROUP, Consistency::Linearizable).await.unwrap();
            assert!(applied.0 > base, "node {node} after {base}");
            let head = reader.head(GROUP, &EntityId::new("order-1").unwrap()).await.unwrap();
            assert_eq!(head.unwrap().version.0, base + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reads_share_their_rounds() {
    let nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    for node in 1..=3 {
        let reader = nodes.node(node).reader();
        let reads = (0..2_000).map(|_| reader.ready(GROUP, Consistency::Linearizable));
        assert!(join_all(reads).await.iter().all(|read| read == &Ok(Position(1))), "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_a_position_waits_for_it_and_says_when_it_does_not_come() {
    let nodes = Nodes::cluster([1]).await;
    let reader = nodes.node(1).reader();
    let waiting = {
        let reader = reader.clone();
        tokio::spawn(async move { reader.ready(GROUP, Consistency::AtLeast(Position(1))).await })
    };
    nodes.append("order-1", 0).await;
    assert_eq!(waiting.await.unwrap(), Ok(Position(1)));
    let stale = reader.ready(GROUP, Consistency::AtLeast(Position(9))).await;
    assert_eq!(stale, Err(ReadError::Stale { wanted: Position(9), applied: Position(1) }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_a_linearizable_read_is_unavailable_and_a_local_one_answers() {
    let mut nodes = Nodes::cluster(1..=3).await;
    nodes.append("order-1", 0).await;
    nodes.agree_at(1).await;
    nodes.stop(1).await;
    nodes.stop(2).await;
    let reader = nodes.node(3).reader();
    let refused = reader.ready(GROUP, Consistency::Linearizable).await;
    assert!(matches!(refused, Err(ReadError::Unavailable { .. })), "{refused:?}");
    assert_eq!(reader.ready(GROUP, Consistency::Local).await, Ok(Position(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_read_back_by_stream_and_by_position() {
    let nodes = Nodes::cluster(1..=3).await;
    for base in 0..5 {
        nodes.append("order-1", base).await;
    }
    nodes.agree_at(5).await;
    for node in 1..=3 {
        let reader = nodes.node(node).reader();
        let read = StreamRead {
            group: GROUP,
            entity_id: EntityId::new("order-1").unwrap(),
            from: None,
            direction: weir_types::Direction::Forward,
            limit: 10,
        };
        let page = reader.read_stream(read).await.unwrap();
        let versions: Vec<u64> = page.events.iter().map(|event| event.version.0).collect();
        assert_eq!(versions, [1, 2, 3, 4, 5]);
        let log = reader.read_log(GROUP, Position(2), 3).await.unwrap();
        assert_eq!(log.iter().map(|event| event.position.0).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(reader.list_streams(GROUP, None, 0, 10).await.unwrap().1, 1);
        let other = reader.head(GroupId(99), &EntityId::new("order-1").unwrap()).await;
        assert!(matches!(other, Err(ReadError::Unavailable { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_the_applied_position_see_the_last_one() {
    let nodes = Nodes::cluster([1]).await;
    let mut changes = nodes.node(1).reader().applied_changes(GROUP);
    for base in 0..10 {
        nodes.append("order-1", base).await;
    }
    while changes.next().await.unwrap() < Position(10) {}
}
