//! A consumer group with many consumers at every node while leaders are killed: every event is settled, those
//! of each entity in order, and none that was settled comes again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use weir_client::{
    Append, Client, ClientOptions,
    v1::{ConsumerGroupBody, DeliveryView, SettlementBody, SettlementKind, VerdictKind},
};

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, eventually, pause, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/groups",
    summary: "a consumer group of 8 consumers while leaders are killed: every event settled, each entity's in order",
    release: false,
    run: |_, report| story(report, 6_000).boxed(),
};

const GROUP: &str = "shipping";
const KIND: &str = "parcel";
const STREAMS: u64 = 40;
const CONSUMERS: usize = 8;
/// Events that one consumer takes at once.
const TAKE: u64 = 20;
/// Kills of leaders.
const KILLS: u64 = 3;
/// How long the last event may take.
const FINISH: Duration = Duration::from_secs(120);

/// What the consumers saw, in the order in which they saw it.
#[derive(Default)]
struct Seen {
    /// Of each entity the versions that were settled, in order of their first answer.
    settled: BTreeMap<String, Vec<u64>>,
    positions: BTreeSet<u64>,
    deliveries: u64,
    redeliveries: u64,
    again: Vec<u64>,
}

/// Appends `events` while leaders are killed and consumers take them.
///
/// # Errors
/// Naming what was lost, came again or came out of order.
pub async fn story(report: &mut Report, events: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let client = |number: usize| {
        let mut urls = urls.clone();
        let first = number % urls.len();
        urls.rotate_left(first);
        Client::new(urls, ClientOptions { deadline: Duration::from_secs(60), ..ClientOptions::default() })
    };
    let group = ConsumerGroupBody {
        name: GROUP.into(),
        pattern: format!("entity:{KIND}.*"),
        after_position: Some(0),
        max_in_flight: Some(200),
        ack_deadline_ms: Some(5_000),
        max_redeliveries: Some(100),
        ..ConsumerGroupBody::default()
    };
    client(0)?.create_consumer_group(&group).await?;
    let (done, stop) = watch::channel(false);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut consumers = JoinSet::new();
    for number in 0..CONSUMERS {
        consumers.spawn(consume(client(number)?, seen.clone(), stop.clone()));
    }
    let appended = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write(client(0)?, events, appended.clone()));
    let began = Instant::now();
    for kill in 1..=KILLS {
        reaches(&appended, events * kill / (KILLS + 1)).await?;
        let leader = cluster.leader().await?;
        cluster.node_mut(leader).kill()?;
        report.phase(&format!("kill -9 of the leader, node {leader}"));
        cluster.start_node(leader)?;
        cluster.all_ready().await?;
    }
    writer.await.context("the writer panicked")??;
    let end = cluster.settled().await?;
    report.phase("everything is appended");
    let asking = client(0)?;
    eventually("the group has settled everything", FINISH, || async {
        let view = asking.consumer_group(GROUP).await?;
        ensure!(view.checkpoint >= end && view.in_flight + view.waiting + view.resting == 0, "{view:?}");
        Ok(())
    })
    .await?;
    let took = began.elapsed();
    done.send_replace(true);
    while let Some(ended) = consumers.join_next().await {
        ended.context("a consumer panicked")??;
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    judge(&seen, events)?;
    report.note("events", events);
    report.note("consumers", CONSUMERS);
    report.note("deliveries", seen.deliveries);
    report.note("redeliveries", seen.redeliveries);
    report.note("settled_per_second", (events as f64 / took.as_secs_f64()).round());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

fn judge(seen: &Seen, events: u64) -> Result<()> {
    ensure!(seen.again.is_empty(), "handed out again after it was settled: {:?}", seen.again);
    ensure!(seen.positions.len() as u64 == events, "{} of {events} are settled", seen.positions.len());
    for (entity, versions) in &seen.settled {
        ensure!(versions.is_sorted(), "events of {entity} were settled out of order: {versions:?}");
    }
    Ok(())
}

async fn consume(client: Client, seen: Arc<Mutex<Seen>>, stop: watch::Receiver<bool>) -> Result<()> {
    while !*stop.borrow() {
        // What is settled by now must not come; what is settled while this is under way may.
        let before = seen.lock().unwrap_or_else(PoisonError::into_inner).positions.clone();
        let given = client.pull(GROUP, TAKE, Duration::from_millis(500)).await?;
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.deliveries += given.len() as u64;
            seen.redeliveries += given.iter().filter(|one| one.attempt > 1).count() as u64;
            let again = given.iter().map(|one| one.event.position).filter(|at| before.contains(at));
            seen.again.extend(again);
        }
        if given.is_empty() {
            continue;
        }
        let acks = given.iter().map(|one| SettlementBody::of(one, VerdictKind::Ack));
        let told = client.settle(GROUP, acks.collect()).await?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (DeliveryView { event, .. }, told) in given.iter().zip(told) {
            let settled = matches!(told.outcome, SettlementKind::Settled | SettlementKind::AlreadySettled);
            if settled && seen.positions.insert(event.position) {
                seen.settled.entry(event.entity_id.clone()).or_default().push(event.version);
            }
        }
    }
    Ok(())
}

async fn write(client: Client, events: u64, appended: Arc<AtomicU64>) -> Result<()> {
    for number in 0..events {
        let stream = format!("{KIND}-{}", number % STREAMS);
        let event = serde_json::json!({ "op": format!("parcel-{number}") });
        client.append(&Append::to(&stream, KIND).event("parcel.moved", &event).build()?).await?;
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
