//! One subscriber that reads nothing, beside a hundred that do: the node's memory is bounded, the others do
//! not feel it, and the stuck one is ended with a reason and a cursor that goes on exactly.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};

use super::{Flags, Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec,
    edge::Edge,
    live::{Ask, Door, Heard, Listening, Start, Target},
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/slow-subscribers",
    summary: "one stuck subscriber beside 100 healthy ones: bounded memory, an end with reason and cursor, p99 of the others",
    release: false,
    run: |flags, report| story(report, flags).boxed(),
};

const HEALTHY: usize = 100;
/// Appends to those who are healthy.
const TOLD: u64 = 200;
/// What the stuck one gets beside: appends of events of this size.
const FLOODS: u64 = 200;
const FLOOD_EVENTS: usize = 16;
const FLOOD_BYTES: usize = 16 * 1024;
/// What the flood may cost beyond the ring, which holds half of it: the log's caches and the allocator's slack.
const MEMORY_MAX: u64 = 192 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(120);

/// Floods a node that has one stuck subscriber and a hundred healthy ones.
///
/// # Errors
/// When memory is not bounded, a healthy subscriber misses an event, or the stuck one is not told its cursor.
pub async fn story(report: &mut Report, _flags: &Flags) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 1, nats: false }).await?;
    let edge = cluster.node(1).edge.clone();
    let ask = |target: Target| Ask { target, start: Start::Last(1), heartbeat_ms: 1_000 };
    let mut stuck = Listening::open(Door::Sse, &edge, &ask(Target::Log)).await?;
    // It follows, and then reads nothing more.
    while !matches!(stuck.next().await?, Heard::CaughtUp { .. }) {}
    let (latencies, mut healthy) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
    for _ in 0..HEALTHY {
        let listening = Listening::open(Door::Sse, &edge, &ask(Target::Type("told".to_owned()))).await?;
        healthy.spawn(listen(listening, latencies.clone()));
    }
    let quiet = told(&edge, 0, &latencies).await?;
    let before = resident(cluster.node(1).pid()?)?;
    report.phase("the flood begins");
    let flooded = tokio::spawn(flood(edge.clone()));
    let busy = told(&edge, TOLD, &latencies).await?;
    flooded.await.context("the flood panicked")??;
    let after = resident(cluster.node(1).pid()?)?;
    report.phase("the flood is over; the stuck subscriber reads again");
    let cursor = ended(&mut stuck).await?;
    let rest = goes_on(&edge, cursor).await?;
    while let Some(listened) = healthy.join_next().await {
        listened.context("a subscriber panicked")??;
    }
    report.note("healthy", HEALTHY);
    report.note("quiet_p99_ms", quiet);
    report.note("flooded_p99_ms", busy);
    report.note("memory_before_mib", before >> 20);
    report.note("memory_after_mib", after >> 20);
    report.note("events_after_the_cursor", rest);
    let grown = after.saturating_sub(before);
    ensure!(grown < MEMORY_MAX, "memory grew by {} MiB", grown >> 20);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// Bytes of memory of a process.
fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Reads until the last event, and notes how long each was on its way.
async fn listen(mut listening: Listening, latencies: Arc<Mutex<Vec<u64>>>) -> Result<()> {
    let mut next = 0;
    while next < 2 * TOLD {
        let heard =
            timeout(PATIENCE, listening.next()).await.context("a healthy subscriber hears nothing")??;
        if let Heard::Event(event, _) = heard {
            let (number, at) = event.mark.split_once(' ').context("mark")?;
            ensure!(number.parse::<u64>()? == next, "event {number} came where {next} was due");
            next += 1;
            let took = micros().saturating_sub(at.parse()?);
            latencies.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }
    Ok(())
}

/// Appends to the healthy ones, one after another, and gives the p99 of what they noted, in milliseconds.
async fn told(edge: &Edge, from: u64, latencies: &Mutex<Vec<u64>>) -> Result<f64> {
    for number in from..from + TOLD {
        let data = json!({ "op": format!("{number} {}", micros()) });
        let body = json!({ "entityType": "told", "name": "told.so", "data": data });
        edge.append("told-1", &body).await?;
        crate::window(Duration::from_millis(5)).await;
    }
    let due = usize::try_from(TOLD)? * HEALTHY;
    crate::eventually("the healthy subscribers have everything", PATIENCE, || async {
        let there = latencies.lock().unwrap_or_else(PoisonError::into_inner).len();
        ensure!(there >= due, "{there} of {due} frames came");
        Ok(())
    })
    .await?;
    let mut took = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    took.sort_unstable();
    Ok(took[took.len() * 99 / 100] as f64 / 1_000.0)
}

async fn flood(edge: Edge) -> Result<()> {
    let padding = "x".repeat(FLOOD_BYTES);
    for number in 0..FLOODS {
        let event = json!({ "name": "flood.rose", "data": { "x": padding } });
        let body = json!({ "entityType": "flood", "events": vec![event; FLOOD_EVENTS] });
        edge.append(&format!("flood-{}", number % 8), &body).await?;
    }
    Ok(())
}

/// Reads what the stuck subscriber had been sent, up to the end of its subscription.
async fn ended(stuck: &mut Listening) -> Result<String> {
    let mut last = 0;
    loop {
        match timeout(PATIENCE, stuck.next()).await.context("the stuck subscriber is told nothing")?? {
            Heard::Event(event, _) => {
                ensure!(last == 0 || event.position == last + 1, "{} came after {last}", event.position);
                last = event.position;
            }
            Heard::Ended { code, cursor } => {
                ensure!(code == "slow_subscriber", "it ended with {code}");
                let cursor = cursor.context("it ended without a cursor")?;
                let position = cursor.parse::<weir_types::Cursor>()?.position.0;
                ensure!(position >= last, "its cursor says {position}, and it has {last}");
                return Ok(cursor);
            }
            _ => {}
        }
    }
}

/// With the cursor all that is left comes as history.
async fn goes_on(edge: &Edge, cursor: String) -> Result<u64> {
    let mut next = cursor.parse::<weir_types::Cursor>()?.position.0 + 1;
    let ask = Ask { target: Target::Log, start: Start::Cursor(cursor), heartbeat_ms: 1_000 };
    let mut again = Listening::open(Door::Sse, edge, &ask).await?;
    let mut count = 0;
    loop {
        match timeout(PATIENCE, again.next()).await.context("the rest does not come")?? {
            Heard::Event(event, _) => {
                ensure!(event.position == next, "{} came where {next} was due", event.position);
                (next, count) = (next + 1, count + 1);
            }
            Heard::CaughtUp { .. } => return Ok(count),
            _ => {}
        }
    }
}
