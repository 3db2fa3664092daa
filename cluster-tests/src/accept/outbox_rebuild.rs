//! JetStream's copy lost: `weir outbox rebuild` publishes the log again.

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, audit, report::Report, weir, workload::Load};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/outbox-rebuild",
    summary: "JetStream's stream deleted: `weir outbox rebuild` restores it from the log, exactly",
    release: false,
    run: |_, report| story(report, 3_000).boxed(),
};

/// Some appends, the stream deleted, the rebuild, and more appends.
///
/// # Errors
/// When JetStream does not hold exactly the log after it.
pub async fn story(report: &mut Report, appends: u64) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    let load = Load::start("before", &cluster.edges(), 8);
    load.makes_progress(appends, PATIENCE).await?;
    let mut history = load.stop().await?;
    audit::audit(&cluster, &history).await?;
    let nats = cluster.nats.as_ref().context("the cluster has no NATS")?;
    nats.delete_stream().await?;
    ensure!(nats.extent().await.is_err(), "the deleted stream is still there");
    report.phase("the stream is deleted");
    weir::run(&cluster.edges(), &["outbox", "rebuild", "--yes"]).await?;
    cluster.published(cluster.settled().await?, PATIENCE).await?;
    report.phase("the stream is rebuilt");
    let load = Load::start("after", &cluster.edges(), 8);
    load.makes_progress(100, PATIENCE).await?;
    history.merge(load.stop().await?);
    let replicas = audit::audit(&cluster, &history).await?;
    report.note("events", replicas[0].events.len());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}
