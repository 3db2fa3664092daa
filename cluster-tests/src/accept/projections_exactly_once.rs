//! Counting projections while nodes and NATS are killed and JetStream's stream is deleted: each event counts once.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe, ticks::Ticks};
use crate::{Cluster, ClusterSpec, PATIENCE, eventually, projections, report::Report, weir};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/exactly-once",
    summary: "counting projections, rebuilt, while nodes and NATS are killed: counts exact and digests equal on every node",
    release: false,
    run: |flags, report| story(report, flags.events).boxed(),
};

const COUNTERS: [(&str, &str); 2] =
    [("count-all", ""), ("count-by-stream", "export const partitionKey = '$.entityId';")];
/// Rounds of kills.
const ROUNDS: u64 = 4;

fn source(name: &str, more: &str) -> String {
    format!(
        "export const name = '{name}'; export const events = ['tick.*']; {more}\n\
         export const initialState = () => ({{count: 0, sum: 0, last: 0}});\n\
         export function handler(state, event) {{\n\
         \x20 state.count += 1; state.sum += event.data.n; state.last = event.position;\n}}\n"
    )
}

/// Appends at least `events` under kills, and counts them on every node.
///
/// # Errors
/// Naming the node that counts otherwise.
pub async fn story(report: &mut Report, events: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    for (name, more) in COUNTERS {
        cluster.node(1).edge.deploy(&source(name, more)).await?;
    }
    let ticks = Ticks::begin(&cluster, events)?;
    let total = ticks.total;
    for round in 1..=ROUNDS {
        ticks.reach(round, ROUNDS + 1).await?;
        faults(&mut cluster, round, report).await?;
    }
    ticks.end().await?;
    cluster.all_ready().await?;
    let last = cluster.settled().await?;
    report.phase(&format!("{total} events are appended, the log ends at {last}"));
    for (name, _) in COUNTERS {
        projections::folded(&cluster, name, last).await?;
        let stdout = weir::run(&cluster.edges(), &["projection", "verify", name]).await?;
        ensure!(!stdout.is_empty(), "verify printed nothing");
    }
    counts(&cluster, total).await?;
    report.note("events", total);
    report.note("nodes", cluster.nodes.len());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// One kind of kill after another, and a rebuild amid them.
async fn faults(cluster: &mut Cluster, round: u64, report: &mut Report) -> Result<()> {
    let leader = cluster.leader().await?;
    let victim = if round.is_multiple_of(2) { leader % 3 + 1 } else { leader };
    cluster.node_mut(victim).kill()?;
    report.phase(&format!("kill -9 of node {victim}, the leader is {leader}"));
    let nats = cluster.nats.as_mut().context("the cluster has no NATS")?;
    if round.is_multiple_of(2) {
        nats.kill()?;
        nats.restart().await?;
        report.phase("kill -9 of NATS");
    }
    cluster.start_node(victim)?;
    cluster.all_ready().await?;
    if round == 3 {
        cluster.nats.as_ref().context("the cluster has no NATS")?.delete_stream().await?;
        weir::run(&cluster.edges(), &["outbox", "rebuild", "--yes"]).await?;
        report.phase("JetStream's stream is deleted, and published again");
    }
    let name = COUNTERS[usize::try_from(round)? % COUNTERS.len()].0;
    weir::run(&cluster.edges(), &["projection", "rebuild", name]).await?;
    report.phase(&format!("a rebuild of `{name}` begins"));
    Ok(())
}

/// Every node counts every event once, in all and by stream.
async fn counts(cluster: &Cluster, total: u64) -> Result<()> {
    for node in &cluster.nodes {
        eventually(&format!("node {} has ended its rebuilds", node.id), PATIENCE * 2, || async {
            for (name, _) in COUNTERS {
                let status = node.edge.projection(name).await?;
                ensure!(status.rebuild.is_none() && status.lag == 0, "{status:?}");
            }
            Ok(())
        })
        .await?;
        let all = projections::views(&node.edge, COUNTERS[0].0).await?;
        let count = all["__global__"]["count"].as_u64();
        ensure!(count == Some(total), "node {} counts {count:?} of {total} events", node.id);
        let by_stream = projections::views(&node.edge, COUNTERS[1].0).await?;
        let sum: u64 = by_stream.values().filter_map(|state| state["count"].as_u64()).sum();
        ensure!(sum == total, "node {} counts {sum} of {total} events by stream", node.id);
    }
    Ok(())
}
