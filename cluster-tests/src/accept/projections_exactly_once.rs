//! Counting projections while nodes and NATS are killed and JetStream's stream is deleted: each event counts once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use tokio::time::Instant;
use weir_client::{Append, Client, ClientOptions};

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, eventually, pause, projections, report::Report, weir};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/exactly-once",
    summary: "counting projections, rebuilt, while nodes and NATS are killed: counts exact and digests equal on every node",
    release: false,
    run: |flags, report| story(report, flags.events).boxed(),
};

const COUNTERS: [(&str, &str); 2] =
    [("count-all", ""), ("count-by-stream", "export const partitionKey = '$.entityId';")];
const KIND: &str = "tick";
/// Events of one append.
pub(super) const BATCH: u64 = 100;
const STREAMS: u64 = 50;
pub(super) const WRITERS: u64 = 4;
/// Rounds of kills.
const ROUNDS: u64 = 4;

fn source(name: &str, more: &str) -> String {
    format!(
        "export const name = '{name}'; export const events = ['{KIND}.*']; {more}\n\
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
    let appended = Arc::new(AtomicU64::new(0));
    let appends = events.div_ceil(BATCH * WRITERS);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| Ok(tokio::spawn(write(client(&cluster, writer)?, writer, appends, appended.clone()))))
        .collect::<Result<_>>()?;
    let total = appends * WRITERS * BATCH;
    for round in 1..=ROUNDS {
        reaches(&appended, total * round / (ROUNDS + 1)).await?;
        faults(&mut cluster, round, report).await?;
    }
    for writer in writers {
        writer.await.context("a writer panicked")??;
    }
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

pub(super) fn client(cluster: &Cluster, writer: u64) -> Result<Client> {
    let mut urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let first = usize::try_from(writer)? % urls.len();
    urls.rotate_left(first);
    Ok(Client::new(urls, ClientOptions { deadline: Duration::from_secs(120), ..ClientOptions::default() })?)
}

pub(super) async fn write(client: Client, writer: u64, appends: u64, appended: Arc<AtomicU64>) -> Result<()> {
    for number in 0..appends {
        let stream = format!("{KIND}-{writer}-{}", number % STREAMS);
        let mut append = Append::to(&stream, KIND);
        for n in 0..BATCH {
            append = append.event("tick.ticked", &json!({ "n": n }));
        }
        client.append(&append.build()?).await?;
        appended.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}

pub(super) async fn reaches(appended: &AtomicU64, goal: u64) -> Result<()> {
    let (mut seen, mut end) = (0, Instant::now() + PATIENCE * 2);
    loop {
        let now = appended.load(Ordering::Relaxed);
        if now >= goal {
            return Ok(());
        }
        if now > seen {
            (seen, end) = (now, Instant::now() + PATIENCE * 2);
        }
        ensure!(Instant::now() < end, "appends stand still at {now} of {goal}");
        pause().await;
    }
}
