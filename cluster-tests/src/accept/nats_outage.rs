//! NATS away under load: appends and projections go on, and the outbox catches up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec, PATIENCE, audit::audit, eventually, projections, report::Report, window,
    workload::Load,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/nats-outage",
    summary: "NATS killed for a minute under load: appends and projections go on, the outbox catches up",
    release: false,
    run: |flags, report| story(report, flags.outage).boxed(),
};

/// Counts the load's events.
pub const COUNTER: &str = "
export const name = 'load-counter';
export const events = ['load.*'];
export function initialState() { return { count: 0 }; }
export function handler(state, event) { return { count: state.count + 1 }; }
";

/// Waits until the leader's metrics show that the outbox lags, in events and in
/// seconds, and gives the events. No other node has the series.
async fn lag_shows(cluster: &Cluster) -> Result<f64> {
    eventually("the outbox's lag is measured", PATIENCE, || async {
        let leader = cluster.leader().await?;
        for node in cluster.nodes.iter().filter(|node| node.id != leader) {
            let lag = node.edge.metric("weir_outbox_lag_events").await?;
            ensure!(lag.is_none(), "node {} does not lead and measures a lag of {lag:?}", node.id);
        }
        let edge = &cluster.node(leader).edge;
        let lag = edge.metric("weir_outbox_lag_events").await?.context("the leader measures no lag")?;
        let seconds = edge.metric("weir_outbox_lag_seconds").await?.context("it measures no seconds")?;
        ensure!(lag > 0.0 && seconds > 0.0, "the lag is {lag} events, {seconds} s");
        Ok(lag)
    })
    .await
}

/// A load, an outage of this length in its midst, and the audit.
///
/// # Errors
/// When appends or projections stop, or the outbox does not catch up.
pub async fn story(report: &mut Report, outage: Duration) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    let counter = cluster.node(1).edge.deploy(COUNTER).await?;
    let load = Load::start("load", &cluster.edges(), 4);
    load.makes_progress(100, PATIENCE).await?;
    cluster.nats.as_mut().context("the cluster has no NATS")?.kill()?;
    let (acked, before) = (load.acked(), cluster.node(1).edge.projection(&counter).await?.checkpoint);
    report.phase(&format!("NATS is killed after {acked} acks, for {outage:?}"));
    load.makes_progress(100, PATIENCE).await?;
    eventually("the projection goes on without NATS", PATIENCE, || async {
        let now = cluster.node(1).edge.projection(&counter).await?.checkpoint;
        ensure!(now > before, "checkpoint is still {before}");
        Ok(())
    })
    .await?;
    let lag = lag_shows(&cluster).await?;
    window(outage).await;
    load.makes_progress(100, PATIENCE).await?;
    let during = load.acked() - acked;
    cluster.nats.as_mut().context("the cluster has no NATS")?.restart().await?;
    let back = Instant::now();
    report.phase(&format!("NATS is back; {during} appends were acknowledged without it"));
    let history = load.stop().await?;
    let replicas = audit(&cluster, &history).await?;
    for node in &cluster.nodes {
        let lag = node.edge.metric("weir_outbox_lag_events").await?;
        ensure!(lag.is_none_or(|lag| lag == 0.0), "node {} measures a lag of {lag:?} after all", node.id);
    }
    report.note("lag_measured", lag);
    report.note("caught_up_ms", u64::try_from(back.elapsed().as_millis())?);
    let last = replicas[0].events.len() as u64;
    projections::folded(&cluster, &counter, last).await?;
    for node in &cluster.nodes {
        let count = node.edge.view(&counter, "consistency=local").await?["state"]["state"]["count"].as_u64();
        ensure!(count == Some(last), "the projection of node {} counts {count:?} of {last}", node.id);
    }
    report.note("outage_s", outage.as_secs());
    report.note("acked_during_outage", during);
    report.note("events", last);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}
