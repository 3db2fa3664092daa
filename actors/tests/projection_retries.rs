//! A projection whose fold cannot begin.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/failing_tables.rs"]
mod failing_tables;
#[path = "support/node.rs"]
mod node;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use eventually::eventually;
use failing_tables::FailingTables;
use node::{COUNTER, Node, deploy};
use weir_types::{NodeId, Position, testing::MemoryLog};

#[tokio::test]
async fn a_projection_that_fails_is_not_tried_again_sooner_because_another_is_deployed() {
    let (log, tables) = (MemoryLog::led_by(NodeId(1)), Arc::new(FailingTables::default()));
    let node = Node::start_on(&log, None, Some(tables.clone())).await;
    let source = "export const name = 'rows'; export const kind = 'sql'; export const events = ['*'];
        export const tables = 'create table t (a)'; export function handler() { return []; }";
    let rows = deploy(&log, source).await;
    let opened = || async { tables.0.load(Relaxed) };
    eventually("its tables were to be opened", opened, |count| *count > 0).await;
    let others = 12;
    for at in 0..others {
        let name = format!("other-{at}");
        deploy(&log, &COUNTER.replace("counter", &name)).await;
        eventually("another runs", || async { node.status(&name) }, Option::is_some).await;
    }
    // Pauses double from 100 ms: the seventh try is after six seconds.
    assert!(tables.0.load(Relaxed) < others, "{} tries", tables.0.load(Relaxed));
    let told = node.status("rows").unwrap();
    assert_eq!((told.id, told.checkpoint.position), (rows, Position::ZERO));
    assert!(told.error.unwrap().contains("disk is full"));
}
