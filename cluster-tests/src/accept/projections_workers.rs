//! A projection that three worker processes fold while leaders and workers are killed, and that is rebuilt meanwhile: its
//! states are the fold of the log, each event once and in order, on every node.

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
use crate::{
    Cluster, ClusterSpec, PATIENCE, eventually,
    folding::{expected, registration, same, start_worker, states},
    pause,
    process::Process,
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/workers",
    summary: "three worker processes fold while leaders and workers are killed and it is rebuilt: exactly once",
    release: false,
    run: |flags, report| story(report, 3_000, flags.kills.clamp(3, 10)).boxed(),
};

const NAME: &str = "folded-outside";
const EVENT: &str = "parcel.moved";
const LEASE: Duration = Duration::from_secs(1);
const PARTITIONS: u64 = 20;
const WORKERS: u64 = 3;
/// How long the last event may take.
const FINISH: Duration = Duration::from_secs(120);

/// Appends `events` while leaders and workers are killed.
///
/// # Errors
/// Naming a partition that is not the fold of its events.
pub async fn story(report: &mut Report, events: u64, kills: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let options = ClientOptions { deadline: Duration::from_secs(60), ..ClientOptions::default() };
    let client = Client::new(&urls, options)?;
    client.register_projection(&registration(NAME, EVENT, LEASE)).await?;
    let mut workers: Vec<Process> = Vec::new();
    for number in 0..WORKERS {
        workers.push(worker(&cluster, &urls, number, 0)?);
    }
    let appended = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write(client.clone(), events, appended.clone()));
    for kill in 1..=kills {
        reaches(&appended, events * kill / (kills + 1)).await?;
        let number = kill % WORKERS;
        workers[usize::try_from(number)?].kill()?;
        let leader = cluster.leader().await?;
        cluster.node_mut(leader).kill()?;
        report.phase(&format!("kill -9 of the leader, node {leader}, and of worker {number}"));
        workers[usize::try_from(number)?] = worker(&cluster, &urls, number, kill)?;
        cluster.start_node(leader)?;
        cluster.all_ready().await?;
        if kill == kills / 2 + 1 {
            let rebuilt = json!({ "name": NAME });
            let edge = &cluster.node(cluster.leader().await?).edge;
            edge.post("/ironflow.v1.ProjectionService/RebuildProjection", &rebuilt).await?;
            report.phase("a rebuild begins");
        }
    }
    writer.await.context("the writer panicked")??;
    cluster.settled().await?;
    report.phase("everything is appended");
    let (wanted, last) = expected(&client, EVENT).await?;
    for edge in cluster.edges() {
        let one = Client::new([edge.base()], options)?;
        eventually("the states are the fold of the log", FINISH, || async {
            let status = one.projection_status(NAME).await?;
            ensure!(status.checkpoint >= last, "the checkpoint is {} of {last}", status.checkpoint);
            let rebuilding = status.worker.and_then(|worker| worker.rebuild_checkpoint);
            ensure!(rebuilding.is_none(), "it is rebuilt up to {rebuilding:?}");
            same(&states(&one, NAME).await?, &wanted)
        })
        .await?;
    }
    let mut said = String::new();
    for worker in &workers {
        said.push_str(&worker.printed()?);
    }
    report.note("events", events);
    report.note("kills", kills);
    report.note("saves", said.lines().filter(|line| line.starts_with("saved")).count());
    report.note("saves_refused", said.lines().filter(|line| line.starts_with("refused")).count());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

fn worker(cluster: &Cluster, urls: &[String], number: u64, life: u64) -> Result<Process> {
    let mut urls = urls.to_vec();
    urls.rotate_left(usize::try_from(number)? % 3);
    let id = format!("worker-{number}-{life}");
    start_worker(cluster.path(), &urls, (NAME, &id), (100, Duration::from_millis(5)))
}

async fn write(client: Client, events: u64, appended: Arc<AtomicU64>) -> Result<()> {
    for number in 0..events {
        let partition = number * 7 % PARTITIONS;
        let data = json!({ "partition": format!("p-{partition}") });
        let stream = format!("parcel-{}", number % 50);
        client.append(&Append::to(&stream, "parcel").event(EVENT, &data).build()?).await?;
        appended.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn reaches(appended: &AtomicU64, goal: u64) -> Result<()> {
    let end = Instant::now() + PATIENCE * 4;
    while appended.load(Ordering::Relaxed) < goal {
        ensure!(Instant::now() < end, "{} of {goal} events are appended", appended.load(Ordering::Relaxed));
        pause().await;
    }
    Ok(())
}
