//! A leader that is paused and goes on: another leads meanwhile, nothing
//! acknowledged is lost, and the old one serves no stale read.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec, PATIENCE,
    audit::audit,
    edge::CallError,
    eventually,
    history::History,
    report::Report,
    workload::{Load, guarded},
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/paused-leader",
    summary: "SIGSTOP of the leader under load, SIGCONT: no lost ack, no stale linearizable read",
    release: false,
    run: |_, report| story(report, 5).boxed(),
};

/// `rounds` times: pause the leader, append elsewhere, resume it, read from it at once.
///
/// # Errors
/// When a read is stale or an invariant is broken.
pub async fn story(report: &mut Report, rounds: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let load = Load::start("load", &cluster.edges(), 4);
    let mut unanswered = 0;
    for round in 0..rounds {
        load.makes_progress(50, PATIENCE).await?;
        unanswered += one_pause(&mut cluster, report, round).await?;
    }
    let mut history = load.stop().await?;
    history.merge(witnesses(rounds));
    let replicas = audit(&cluster, &history).await?;
    report.note("pauses", rounds);
    report.note("reads_refused_by_old_leader", unanswered);
    report.note("acked", history.acked().len());
    report.note("events", replicas[0].events.len());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

async fn one_pause(cluster: &mut Cluster, report: &mut Report, round: u64) -> Result<u64> {
    let old = cluster.leader().await?;
    cluster.node_mut(old).pause()?;
    let new = cluster.leader_other_than(Some(old)).await?;
    report.phase(&format!("round {round}: node {old} is paused, node {new} leads"));
    let edge = &cluster.node(new).edge;
    eventually("the witness is appended", PATIENCE, || async {
        Ok(edge.append("witness", &guarded(&format!("witness-{round}"), round)).await?)
    })
    .await?;
    cluster.node_mut(old).resume()?;
    // The old leader's first answers are the dangerous ones.
    let mut refused = 0;
    for _ in 0..50 {
        match cluster.node(old).edge.read("witness", "consistency=linearizable").await {
            Ok(page) => {
                ensure!(page.version > round, "node {old} served version {} of {}", page.version, round + 1)
            }
            Err(CallError::Refused { error, .. }) if error.code.is_retryable() => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

fn witnesses(rounds: u64) -> History {
    let mut history = History::default();
    (0..rounds).for_each(|round| history.attempt(&format!("witness-{round}")));
    history
}
