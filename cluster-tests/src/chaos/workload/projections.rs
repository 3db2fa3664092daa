//! Projections in JavaScript, each event counted exactly once: over all events,
//! by stream, by a field of the data, and deployed again, rebuilt, paused and
//! resumed under fire, and read as they were. Views are compared with an independent fold up to their
//! checkpoint, and digests between nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::{ErrorCode, v1::paths};
use weir_check::history::ReadConsistency;

use super::{
    Context, Workload,
    caller::Caller,
    crew::Crew,
    draft::Draft,
    folds::{ALL, BY_KIND, BY_STREAM, Counter, GLOBAL, INLINE, REDEPLOYED},
};
use crate::{PATIENCE, edge::Edge, eventually};

/// Its name.
const NAME: &str = "projections";
const STREAMS: u64 = 12;
const WRITERS: usize = 2;
const VIEWERS: usize = 2;
/// Between two appends of one client.
const WRITE_PACE: Duration = Duration::from_millis(80);
/// Between two reads of one client.
const VIEW_PACE: Duration = Duration::from_millis(150);
/// Between two deeds; the time grows, because most fold from the start.
const DEPLOY_PACE: Duration = Duration::from_secs(4);
/// Between two reads of the past, each of which folds the log.
const PAST_PACE: Duration = Duration::from_millis(1_500);
/// Between two rebuilds of single partitions.
const PARTITION_PACE: Duration = Duration::from_secs(2);
/// Deeds of one run.
const DEPLOYMENTS: u32 = 20;

/// Projections, counted.
#[derive(Debug, Clone, Default)]
pub struct Projections {
    /// The highest position that was acknowledged to this workload.
    acked: Arc<AtomicU64>,
}

#[async_trait]
impl Workload for Projections {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        for counter in [ALL, BY_STREAM, INLINE, BY_KIND, REDEPLOYED] {
            deploy(context, &counter).await?;
        }
        Ok(())
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..WRITERS {
            crew.hire(write(Caller::new(context, NAME), self.acked.clone()));
        }
        for _ in 0..VIEWERS {
            crew.hire(view(Caller::new(context, NAME), self.acked.clone()));
        }
        crew.hire(view_past(Caller::new(context, NAME), self.acked.clone()));
        crew.hire(redeploy(Caller::new(context, NAME)));
        crew.hire(rebuild_partitions(Caller::new(context, NAME)));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        goes_on(context).await?;
        for (node, edge) in context.nodes.all() {
            for (projection, partitions) in everything() {
                for partition in partitions {
                    last_view(&mut caller, node, &edge, projection, &partition).await?;
                }
            }
        }
        for (projection, _) in everything() {
            digests_agree(&mut caller, context, projection).await?;
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "projections.ok",
            "projections.view",
            "projections.linearizable",
            "projections.at_least",
            "projections.past",
            "projections.deployed",
            "projections.rebuilt",
            "projections.partition_rebuilt",
            "projections.partition_tried",
            "projections.paused",
            "projections.digests_agree",
            "projections.last_view",
        ]
    }
}

/// Deploys a projection on a healthy cluster.
///
/// # Errors
/// When it is not taken in time.
pub(super) async fn deploy(context: &Context, counter: &Counter) -> Result<()> {
    let source = counter.source(0);
    eventually(&format!("`{}` is deployed", counter.name), PATIENCE, || async {
        let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
        edge.deploy(&source).await.map(|_| ())
    })
    .await
}

/// Reads a view with all that was acknowledged, however long that takes.
///
/// # Errors
/// When it cannot be had in time, or the projection is parked.
pub(super) async fn last_view(
    caller: &mut Caller,
    node: u64,
    edge: &Edge,
    projection: &str,
    partition: &str,
) -> Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let fresh = ReadConsistency::Linearizable;
        if let Some(view) = caller.view_at(node, edge, projection, partition, fresh).await {
            let parked = view.status.error;
            ensure!(parked.is_none(), "`{projection}` is parked on node {node}: {parked:?}");
            caller.count("last_view");
            return Ok(());
        }
        let status = edge.projection(projection).await;
        ensure!(
            begun.elapsed() < PATIENCE,
            "no view of `{projection}` partition `{partition}` on node {node}: {status:?}"
        );
        crate::pause().await;
    }
}

/// Every view there is.
fn everything() -> Vec<(&'static str, Vec<String>)> {
    let global = || vec![GLOBAL.to_owned()];
    let kinds = kinds().into_iter().filter_map(|kind| match kind {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(kind.to_string()),
        _ => None,
    });
    vec![
        (ALL.name, global()),
        (BY_STREAM.name, (0..STREAMS).map(stream).collect()),
        (INLINE.name, (0..STREAMS).map(stream).collect()),
        (BY_KIND.name, kinds.collect()),
        (REDEPLOYED.name, global()),
    ]
}

fn stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

/// What stands in the field that partitions.
fn kinds() -> Vec<Value> {
    vec![
        json!("red"),
        json!("größe 🦀"),
        json!("a/b?c=d&e"),
        json!("*"),
        json!("__proto__"),
        json!(7),
        json!(7.5),
        json!(true),
        Value::Null,
    ]
}

async fn write(mut caller: Caller, acked: Arc<AtomicU64>) -> Result<()> {
    let kinds = kinds();
    while caller.pace(WRITE_PACE).await {
        let stream = stream(caller.rng.within(0..STREAMS));
        let (key, count) = (caller.mark(), caller.rng.within(1..4));
        let mut draft = Draft::new(&stream, NAME, &caller.marks(count)).keyed(&key);
        for event in &mut draft.events {
            let name = *caller.rng.pick(&["moved", "rested", "slept"]).unwrap_or(&"moved");
            event.name = format!("{NAME}.{name}");
            event.data = json!({ "n": caller.rng.within(0..1_000) });
            // Some events have no such field at all.
            if let Some(kind) = caller.rng.pick(&kinds).cloned()
                && caller.rng.chance(95)
            {
                event.data["kind"] = kind;
            }
        }
        if let Some(ack) = caller.append_until_known(&draft, 3).await.ack() {
            acked.fetch_max(ack.last_position(), Ordering::Relaxed);
        }
    }
    caller.end()
}

async fn view(mut caller: Caller, acked: Arc<AtomicU64>) -> Result<()> {
    let everything = everything();
    while caller.pace(VIEW_PACE).await {
        let (node, edge) = caller.node();
        let Some((projection, partitions)) = caller.rng.pick(&everything).cloned() else { break };
        let Some(partition) = caller.rng.pick(&partitions).cloned() else { break };
        let before = acked.load(Ordering::Relaxed);
        let (what, fresh) = match caller.rng.within(0..10) {
            0..3 => ("linearizable", ReadConsistency::Linearizable),
            3..6 => ("at_least", ReadConsistency::AtLeast(before)),
            _ => ("local", ReadConsistency::Local),
        };
        let Some(view) = caller.view_at(node, &edge, projection, &partition, fresh).await else { continue };
        caller.count(what);
        let status = view.status;
        if let Some(parked) = status.error {
            caller.wrong(format!("`{projection}` is parked on node {node}: {parked:?}"));
        }
        if fresh != ReadConsistency::Local && status.checkpoint < before {
            caller.wrong(format!(
                "a {what} view of `{projection}` on node {node} is at {}, and {before} was acknowledged before",
                status.checkpoint
            ));
        }
    }
    caller.end()
}

/// Reads what views were at positions of the past.
async fn view_past(mut caller: Caller, acked: Arc<AtomicU64>) -> Result<()> {
    let everything = everything();
    while caller.pace(PAST_PACE).await {
        let (node, edge) = caller.node();
        let Some((projection, partitions)) = caller.rng.pick(&everything).cloned() else { break };
        let Some(partition) = caller.rng.pick(&partitions).cloned() else { break };
        let position = caller.rng.within(1..acked.load(Ordering::Relaxed).max(1) + 1);
        match caller.view_of_past((node, &edge), projection, &partition, position).await {
            Some(true) => caller.count("past"),
            Some(false) => caller.count("past_folding"),
            None => {}
        }
    }
    caller.end()
}

/// What is done to a projection, in turn.
const DEEDS: [Deed; 4] = [Deed::Deploy, Deed::Rebuild, Deed::PauseAndResume, Deed::RebuildAndCancel];

#[derive(Debug, Clone, Copy)]
enum Deed {
    Deploy,
    Rebuild,
    PauseAndResume,
    RebuildAndCancel,
}

/// Folds the same again as another source and as a rebuild, and pauses, with readers at it.
async fn redeploy(mut caller: Caller) -> Result<()> {
    for (generation, deed) in (1..=DEPLOYMENTS).zip(DEEDS.into_iter().cycle()) {
        if !caller.pace(DEPLOY_PACE + DEPLOY_PACE * (generation / 4)).await {
            break;
        }
        match deed {
            Deed::Deploy => {
                let body = json!({ "source": REDEPLOYED.source(u64::from(generation)) });
                tell(&mut caller, paths::PROJECTIONS, Some(body), "deployed").await;
            }
            Deed::Rebuild => tell(&mut caller, &of(paths::PROJECTION_REBUILD), None, "rebuilt").await,
            Deed::PauseAndResume => {
                tell(&mut caller, &of(paths::PROJECTION_PAUSE), None, "paused").await;
                tell(&mut caller, &of(paths::PROJECTION_RESUME), None, "resumed").await;
            }
            Deed::RebuildAndCancel => {
                tell(&mut caller, &of(paths::PROJECTION_REBUILD), None, "rebuilt").await;
                tell(&mut caller, &of(paths::PROJECTION_CANCEL), None, "cancelled").await;
            }
        }
    }
    caller.end()
}

/// Folds single partitions anew, and now and then only compares or gives it up, while they are written to. Views and
/// digests tell whether an event was missed or counted twice; a comparison on one node tells so at once.
async fn rebuild_partitions(mut caller: Caller) -> Result<()> {
    let everything = everything();
    while caller.pace(PARTITION_PACE).await {
        let Some((projection, partitions)) = caller.rng.pick(&everything).cloned() else { break };
        let Some(partition) = caller.rng.pick(&partitions).cloned() else { break };
        let of = |path| paths::fill(path, projection);
        let body = |dry_run: bool| Some(json!({ "partition": partition, "dryRun": dry_run }));
        match caller.rng.within(0..10) {
            0..5 => tell(&mut caller, &of(paths::PROJECTION_REBUILD), body(false), "partition_rebuilt").await,
            5..9 => tell(&mut caller, &of(paths::PROJECTION_REBUILD), body(true), "partition_tried").await,
            _ => tell(&mut caller, &of(paths::PROJECTION_CANCEL), None, "partition_given_up").await,
        }
        look_at_job(&mut caller, &of(paths::PROJECTION_REBUILD), projection).await;
    }
    caller.end()
}

/// What a node tells of the last rebuild must not be that it found something else.
async fn look_at_job(caller: &mut Caller, path: &str, projection: &str) {
    let (node, edge) = caller.node();
    let Ok(answer) = caller.exchange(&edge, Method::GET, path, None).await else { return };
    let Ok(job) = serde_json::from_slice::<Value>(&answer.bytes) else { return };
    let error = job["error"].as_str().unwrap_or_default();
    let failed = job["status"] == "failed" && !error.contains("has no events");
    if answer.is_ok() && (job["status"] == "dry_run_differs" || (failed && job["dryRun"] == false)) {
        caller.wrong(format!("a rebuild of `{projection}` on node {node} came to: {job}"));
    }
}

fn of(path: &str) -> String {
    paths::fill(path, REDEPLOYED.name)
}

/// Tells any node something, once. That a rebuild runs already, or is over, is no fault.
async fn tell(caller: &mut Caller, path: &str, body: Option<Value>, deed: &str) {
    let (_, edge) = caller.node();
    let body = body.map(|body| body.to_string().into());
    match caller.exchange(&edge, Method::POST, path, body).await {
        Ok(answer) if answer.is_ok() => caller.count(deed),
        Ok(answer) if answer.error().code == ErrorCode::RebuildConflict => {
            caller.count(&format!("not_{deed}"))
        }
        Ok(answer) if !answer.error().code.is_retryable() => {
            caller.wrong(format!("{deed}: it was answered {}: {}", answer.status, answer.error()));
        }
        Ok(_) | Err(_) => caller.count(&format!("not_{deed}")),
    }
}

/// A pause may have outlived the word that was to end it.
async fn goes_on(context: &Context) -> Result<()> {
    eventually("the projection is resumed", PATIENCE, || async {
        let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
        edge.post(&of(paths::PROJECTION_RESUME), &json!({})).await.map(|_| ()).map_err(Into::into)
    })
    .await
}

/// When nobody appends any more, all nodes come to one checkpoint and one digest.
pub(super) async fn digests_agree(caller: &mut Caller, context: &Context, projection: &str) -> Result<()> {
    eventually(&format!("digests of `{projection}` agree"), PATIENCE, || async {
        let mut seen: Option<(u64, String)> = None;
        for (node, edge) in context.nodes.all() {
            let status = edge.projection(projection).await?;
            let here = (status.checkpoint, status.digest);
            let first = seen.get_or_insert_with(|| here.clone());
            ensure!(*first == here, "node {node} is at {here:?}, another at {first:?}");
        }
        Ok(())
    })
    .await?;
    caller.count("digests_agree");
    Ok(())
}
