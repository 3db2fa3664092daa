//! One node's projections over a log in memory.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use weir_actors::{
    projection::{ProjectionSnapshot, ProjectionsArguments, ProjectionsHandle, ViewAnswer, ViewError},
    reducer::{ReducerLimits, inspect},
    upcast::Upcasting,
};
use weir_types::{
    Consistency, GroupId, NodeId, PartitionKey, Position, ProjectionId, ProjectionName, RegistryCommand,
    RegistryOutcome,
    ports::{EventReader as _, Feed, Proposer as _, TableStore},
    testing::MemoryLog,
};

use crate::{events, eventually::eventually};

pub const GROUP: GroupId = GroupId::DEFAULT;

/// Counts all events, by name, and sums `data.v`.
#[allow(dead_code, reason = "not every test file asks for all")]
pub const COUNTER: &str = "export default {name: 'counter', events: ['*'], initialState: () => ({n: 0, sum: 0}), \
                           handler(state, event) { state.n += 1; state.sum += event.data.v; \
                           if (event.name === 'poison') throw new Error('poisoned') }}";

/// A log and what folds it.
#[allow(dead_code, reason = "not every test file asks for all")]
pub struct Node {
    pub log: MemoryLog,
    pub projections: ProjectionsHandle,
}

#[allow(dead_code, reason = "not every test file asks for all")]
impl Node {
    pub async fn start(log: &MemoryLog, feed: Option<Arc<dyn Feed>>) -> Self {
        Self::start_on(log, feed, None).await
    }

    pub async fn start_on(
        log: &MemoryLog,
        feed: Option<Arc<dyn Feed>>,
        tables: Option<Arc<dyn TableStore>>,
    ) -> Self {
        let arguments = ProjectionsArguments {
            group: GROUP,
            reader: Arc::new(log.clone()),
            views: Arc::new(log.clone()),
            feed,
            upcasting: Arc::new(Upcasting::new(GROUP, Arc::new(log.clone()))),
            tables,
            limits: ReducerLimits::default(),
        };
        Self { log: log.clone(), projections: ProjectionsHandle::start(arguments).await.unwrap() }
    }

    /// A log of its own, with a projection deployed.
    pub async fn with(source: &str) -> Self {
        let node = Self::start(&MemoryLog::led_by(NodeId(1)), None).await;
        deploy(&node.log, source).await;
        node
    }

    pub fn status(&self, name: &str) -> Option<ProjectionSnapshot> {
        self.projections.status(&ProjectionName::new(name).unwrap())
    }

    /// The counter once it has folded all of the log, at the latest now.
    pub async fn counted(&self) -> ProjectionSnapshot {
        let applied = self.log.applied(GROUP);
        let seen = eventually(
            "counter is folded",
            || async { self.status("counter") },
            |seen| seen.as_ref().is_some_and(|seen| seen.checkpoint.position >= applied),
        );
        seen.await.unwrap()
    }

    pub async fn get(
        &self,
        partition: &PartitionKey,
        at: Consistency,
        ms: u64,
    ) -> Result<ViewAnswer, ViewError> {
        let name = ProjectionName::new("counter").unwrap();
        self.projections.view(&name, partition, at, Duration::from_millis(ms)).await
    }

    /// The counter's state at a position, at least.
    pub async fn state_at(&self, position: Position) -> Value {
        let answer = self.get(&PartitionKey::global(), Consistency::AtLeast(position), 30_000).await.unwrap();
        serde_json::from_slice(&answer.view.unwrap().state).unwrap()
    }
}

pub async fn deploy(log: &MemoryLog, source: &str) -> ProjectionId {
    match log.register(RegistryCommand::Deploy(inspect(source).unwrap())).await.unwrap() {
        RegistryOutcome::Deployed(id) => id,
        other => panic!("not deployed: {other:?}"),
    }
}

/// Writes `count` events, each to a stream of its own, and gives the last position.
#[allow(dead_code, reason = "not every test file asks for all")]
pub fn write(log: &MemoryLog, count: u64) -> Position {
    for _ in 0..count {
        let next = log.applied(GROUP).next().0;
        log.write(events::append(0, "e", &format!("e{next}"), &json!({"v": next})));
    }
    log.applied(GROUP)
}

/// What the counter holds when it has folded positions 1 to `n` once each.
#[allow(dead_code, reason = "not every test file asks for all")]
pub fn exact(n: u64) -> Value {
    json!({"n": n, "sum": n * (n + 1) / 2})
}
