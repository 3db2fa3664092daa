//! A projection that workers at any node fold, who forget what they took, save late, save a part, and are followed by
//! others: in the end every partition's state is the fold of its events, on every node, and no save was taken under a
//! lease after events were handed out under a newer one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use weir_api::{connect::PollProjectionResponse, v1::paths};
use weir_check::leases::{Fact, judge};

use super::{Context, Workload, caller::Caller, crew::Crew, writer::write};
use crate::{
    PATIENCE,
    edge::Edge,
    eventually,
    folding::{Folded, fold},
    window,
};

/// Its name.
const NAME: &str = "workers";
const STREAMS: u64 = 5;
const WORKERS: usize = 3;
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(60);
/// Between two polls of one worker.
const POLL_PACE: Duration = Duration::from_millis(80);
/// Saves of one worker between two rebuilds.
const REBUILD_EVERY: u32 = 40;
const LEASE: Duration = Duration::from_millis(900);
/// How long the last events may take.
const LAST: Duration = Duration::from_secs(60);

/// Workers of one projection.
#[derive(Default)]
pub struct Workers {
    facts: Arc<Mutex<Vec<Fact<Instant>>>>,
}

#[async_trait]
impl Workload for Workers {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        let body = json!({
            "events": [format!("{NAME}.*"), NAME], "partitionKey": "$.entityId",
            "leaseMs": LEASE.as_millis() as u64, "deliveriesMax": 1_000,
        });
        context.make(&paths::fill(paths::PROJECTION_WORKER, NAME), &body, &[200]).await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        for number in 0..WORKERS {
            let caller = Caller::new(context, NAME);
            crew.hire(Worker { caller, facts: self.facts.clone(), id: format!("worker-{number}") }.work());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let caller = Caller::new(context, NAME);
        Worker { caller, facts: self.facts.clone(), id: "last".to_owned() }.finish().await
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["workers.saved", "workers.forgotten", "workers.late", "workers.refused", "workers.rebuilt"]
    }
}

struct Worker {
    caller: Caller,
    facts: Arc<Mutex<Vec<Fact<Instant>>>>,
    id: String,
}

impl Worker {
    fn facts(&self) -> MutexGuard<'_, Vec<Fact<Instant>>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(mut self) -> Result<()> {
        let mut saves = 0;
        while self.caller.pace(POLL_PACE).await {
            let most = self.caller.rng.within(1..30);
            let Some(polled) = self.poll(most).await else { continue };
            match self.caller.rng.within(0..100) {
                0..6 => {
                    self.caller.count("forgotten");
                    continue;
                }
                6..12 => {
                    self.caller.count("late");
                    window(LEASE + LEASE / 2).await;
                }
                _ => {}
            }
            let count = match self.caller.rng.chance(20) {
                true => self.caller.rng.within(1..polled.events.len() as u64 + 1) as usize,
                false => polled.events.len(),
            };
            self.save(&polled, count).await;
            saves += 1;
            if self.id == "worker-0" && saves >= REBUILD_EVERY && self.rebuild().await {
                saves = 0;
            }
        }
        self.caller.end()
    }

    /// Asks for a rebuild, and tells whether there is one.
    async fn rebuild(&mut self) -> bool {
        let (_, edge) = self.caller.node();
        let path = "/ironflow.v1.ProjectionService/RebuildProjection";
        let begun = edge.post(path, &json!({ "name": NAME })).await.is_ok();
        if begun {
            self.caller.count("rebuilt");
        }
        begun
    }

    async fn poll(&mut self, most: u64) -> Option<PollProjectionResponse> {
        let (_, edge) = self.caller.node();
        let path = paths::fill(paths::PROJECTION_POLL, NAME);
        let path = format!("{path}?workerId={}&max={most}&waitMs=300", self.id);
        let answer = edge.send(Method::POST, &path, None).await.ok()?;
        if answer.status != 200 {
            self.caller.count(&format!("poll.{}", answer.code()));
            return None;
        }
        let polled: PollProjectionResponse = serde_json::from_value(answer.body).ok()?;
        if polled.events.is_empty() {
            return None;
        }
        self.facts().push(Fact::Given { number: polled.lease_number, ended: Instant::now() });
        Some(polled)
    }

    async fn save(&mut self, polled: &PollProjectionResponse, count: usize) {
        let stored = polled.current_state.as_ref().and_then(|state| serde_json::from_str(state.get()).ok());
        let mut state: Folded = stored.unwrap_or_default();
        for event in &polled.events[..count] {
            fold(&mut state, event.seq);
        }
        let Some(last) = polled.events[..count].last() else { return };
        let body = json!({
            "partitionKey": polled.partition, "state": state, "lastEventId": last.id, "lastEventSeq": last.seq,
            "workerId": self.id, "leaseNumber": polled.lease_number,
        });
        let (_, edge) = self.caller.node();
        let (path, began) = (paths::fill(paths::PROJECTION_SAVE, NAME), Instant::now());
        let body = ("application/json", body.to_string().into_bytes());
        let Ok(answer) = edge.send(Method::POST, &path, Some(body)).await else { return };
        match (answer.status, answer.code()) {
            (200, _) => {
                self.caller.count("saved");
                self.facts().push(Fact::Saved { number: polled.lease_number, began });
            }
            (409, "lease_lost") => self.caller.count("refused"),
            (429.., _) => self.caller.count(&format!("save.{}", answer.code())),
            _ => self.caller.wrong(format!("a save was answered with {answer:?}")),
        }
    }

    /// Folds what is left, and judges.
    async fn finish(mut self) -> Result<()> {
        let end = Instant::now() + LAST;
        let (_, edge) = self.caller.node();
        let log = edge.replica(1).await?.events;
        let mut wanted: BTreeMap<String, Folded> = BTreeMap::new();
        let mut last = 0;
        for event in log.iter().filter(|event| event.entity_type == NAME) {
            fold(wanted.entry(event.entity_id.clone()).or_default(), event.position);
            last = event.position;
        }
        loop {
            while let Some(polled) = self.poll(1_000).await {
                self.save(&polled, polled.events.len()).await;
            }
            let (_, edge) = self.caller.node();
            let status = edge.get(&paths::fill(paths::PROJECTION_STATUS, NAME)).await.unwrap_or_default();
            let rebuilding = !status["worker"]["rebuildCheckpoint"].is_null();
            if status["checkpoint"].as_u64().is_some_and(|at| at >= last) && !rebuilding {
                break;
            }
            ensure!(Instant::now() < end, "the projection of workers does not come to {last}: {status}");
            crate::pause().await;
        }
        for (node, edge) in self.caller.context.nodes.all() {
            for (stream, wanted) in &wanted {
                self.compare(node, &edge, stream, *wanted, last).await?;
            }
        }
        let facts = std::mem::take(&mut *self.facts());
        for wrong in judge(&facts) {
            self.caller.wrong(wrong);
        }
        self.caller.end()
    }

    /// A partition on a node, once what is saved up to `last` is there.
    async fn compare(
        &mut self,
        node: u64,
        edge: &Edge,
        stream: &str,
        wanted: Folded,
        last: u64,
    ) -> Result<()> {
        let path = format!("{}?partition={stream}&min_position={last}", paths::fill(paths::PROJECTION, NAME));
        let mut view = Value::Null;
        eventually("a node answers for a partition", PATIENCE, || async {
            let answer = edge.send(Method::GET, &path, None).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(answer.body)
        })
        .await
        .map(|body| view = body)?;
        let found: Option<Folded> = serde_json::from_value(view["state"]["state"].clone()).ok();
        if found != Some(wanted) {
            self.caller.wrong(format!("node {node} has partition {stream} as {found:?} and not {wanted:?}"));
        }
        Ok(())
    }
}
