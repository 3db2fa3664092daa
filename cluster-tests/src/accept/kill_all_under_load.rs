//! kill -9 of all nodes under load: nothing acknowledged is lost, nothing is there that nobody sent.

use anyhow::Result;
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, audit::audit, report::Report, workload::Load};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/kill-all-under-load",
    summary: "kill -9 of all three nodes under load, five times: no acknowledged append lost, no phantom",
    release: false,
    run: |_, report| story(report, 16, 5).boxed(),
};

/// `rounds` times: progress, kill all, start all.
///
/// # Errors
/// The first broken invariant.
pub async fn story(report: &mut Report, writers: usize, rounds: usize) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    let load = Load::start("load", &cluster.edges(), writers);
    for round in 1..=rounds {
        load.makes_progress(300, PATIENCE).await?;
        report.phase(&format!("round {round}: kill -9 of all three after {} acks", load.acked()));
        for node in &mut cluster.nodes {
            node.kill()?;
        }
        for node in 1..=3 {
            cluster.start_node(node)?;
        }
        cluster.all_ready().await?;
    }
    load.makes_progress(300, PATIENCE).await?;
    let history = load.stop().await?;
    report.phase("load has stopped; audit");
    let replicas = audit(&cluster, &history).await?;
    report.note("kills", rounds * 3);
    report.note("acked", history.acked().len());
    report.note("unknown", history.unknown());
    report.note("events", replicas[0].events.len());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}
