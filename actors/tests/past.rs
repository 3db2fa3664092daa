//! Folds of the past: each begins with nothing, whatever those before it left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/node.rs"]
mod node;

use std::time::Duration;

use bytes::Bytes;
use node::{COUNTER, GROUP, Node, exact, write};
use serde_json::Value;
use weir_actors::projection::{Moment, PastEnd};
use weir_types::{
    LogIndex, PartitionKey, Position, ProjectionId, ProjectionName,
    ports::{Checkpoint, View, ViewChange, ViewStore as _},
};

/// What the first fold of a node's life is called.
const FIRST: LogIndex = LogIndex(u64::MAX / 2 + 1);

#[tokio::test]
async fn a_fold_of_the_past_does_not_go_on_with_what_another_left_before_the_nodes_start() {
    let node = Node::with(COUNTER).await;
    write(&node.log, 12);
    node.counted().await;
    let (name, global) = (ProjectionName::new("counter").unwrap(), PartitionKey::global());
    let left = ProjectionId { name: name.clone(), deployed: FIRST };
    let state = Bytes::from(exact(2).to_string());
    let change = ViewChange {
        checkpoint: Checkpoint { position: Position(2), events: 2, ..Checkpoint::default() },
        views: vec![(global.clone(), View { state, position: Position(2) })],
        ..ViewChange::default()
    };
    node.log.commit(GROUP, &left, change).await.unwrap();

    for position in [3, 7] {
        let moment = Moment::At(Position(position));
        let past = node.projections.past(&name, moment, Duration::from_secs(30)).await.unwrap();
        assert!(matches!(past.end, Some(PastEnd::Ready(_))), "{past:?}");
        let view = node.projections.past_view(&past, &global).await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&view.state).unwrap(), exact(position));
    }
}
