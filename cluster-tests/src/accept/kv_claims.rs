//! Commands that arrive many times, by every node, while leaders are killed:
//! each is handled once, whoever crashes over it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{FutureExt as _, future::join_all};
use serde_json::json;
use weir_check::rng::Rng;
use weir_client::{Append, Claim, Client, ClientError, ClientOptions, CommandDedup, FinalizeError};

use super::{Flags, Outcome, Recipe};
use crate::{Cluster, ClusterSpec, report::Report, window};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/kv-claims",
    summary: "64 clients claim the same commands by every node while leaders die and claimants crash: each is handled once",
    release: false,
    run: |flags, report| story(flags, report, 64, 60, 4).boxed(),
};

/// How long a claim lives: longer than a change of leader.
const LEASE: Duration = Duration::from_secs(6);
/// How often another command arrives.
const COMMAND_EVERY: Duration = Duration::from_millis(400);
/// Of a hundred claimants so many crash with the claim.
const CRASH_PERCENT: u64 = 15;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Default)]
struct Tally {
    claimed: AtomicU64,
    crashed: AtomicU64,
    finalized: AtomicU64,
    lost: AtomicU64,
    unknown: AtomicU64,
}

/// `clients` handle `commands` commands, all of them each, while `kills` leaders die.
///
/// # Errors
/// When a command is handled twice or not at all.
pub async fn story(
    flags: &Flags,
    report: &mut Report,
    clients: u64,
    commands: u64,
    kills: u64,
) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    report.phase("cluster is ready");
    let (began, tally, killed) =
        (Instant::now(), Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let work: Vec<_> = (0..clients)
        .map(|number| {
            let rng = Rng::named(flags.seed, &format!("claimant-{number}"));
            tokio::spawn(handle_all(rng, urls.clone(), number, commands, tally.clone(), killed.clone()))
        })
        .collect();
    for number in 1..=kills {
        window(Duration::from_secs(3)).await;
        let leader = cluster.replace_leader().await?;
        report.phase(&format!("kill {number}: node {leader} led, died and is back"));
    }
    killed.store(true, Ordering::Relaxed);
    let mut results = Vec::new();
    for result in join_all(work).await {
        results.push(result.context("a client panicked")??);
    }
    report.phase("every client has an answer to every command");
    for told in &results[1..] {
        ensure!(*told == results[0], "two clients were told different results");
    }
    handled_once(&urls, &results[0]).await?;
    let figure = |count: &AtomicU64| count.load(Ordering::Relaxed);
    ensure!(figure(&tally.finalized) <= commands, "more results than commands");
    report.note("clients", clients);
    report.note("commands", commands);
    report.note("leaders_killed", kills);
    report.note("claims", figure(&tally.claimed));
    report.note("crashed_claimants", figure(&tally.crashed));
    report.note("claims_lost", figure(&tally.lost));
    report.note("finalize_unknown", figure(&tally.unknown));
    report.note("finalized", figure(&tally.finalized));
    report.note("seconds", began.elapsed().as_secs());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// The results of all commands, as one client was told them.
async fn handle_all(
    mut rng: Rng,
    mut urls: Vec<String>,
    number: u64,
    commands: u64,
    tally: Arc<Tally>,
    killed: Arc<AtomicBool>,
) -> Result<BTreeMap<String, String>> {
    let nodes = urls.len();
    urls.rotate_left(usize::try_from(number)? % nodes);
    let client = Client::new(&urls, ClientOptions::default())?;
    let dedup = CommandDedup::new(client.clone(), "commands").lease(LEASE);
    let (mut results, began) = (BTreeMap::new(), Instant::now());
    let end = began + PATIENCE;
    while results.len() < usize::try_from(commands)? || !killed.load(Ordering::Relaxed) {
        ensure!(Instant::now() < end, "client {number} has only {} results", results.len());
        // Commands come one after the other, so that leaders die over some of them.
        let arrived = u64::try_from(began.elapsed().as_millis() / COMMAND_EVERY.as_millis())? + 1;
        let command = format!("cmd/{}", rng.within(0..arrived.min(commands)));
        if results.contains_key(&command) && !rng.chance(5) {
            window(Duration::from_millis(5)).await;
            continue;
        }
        let claim = match dedup.try_claim::<String>(&command).await {
            Ok(claim) => claim,
            Err(error) if error.is_retryable() || error.outcome_unknown() => continue,
            Err(error) => return Err(error.into()),
        };
        match claim {
            Claim::Done(result) => {
                if let Some(before) = results.insert(command.clone(), result.clone()) {
                    ensure!(before == result, "{command} led to {before} and then to {result}");
                }
            }
            Claim::InProgress(_) => window(Duration::from_millis(20)).await,
            Claim::Mine(held) => {
                tally.claimed.fetch_add(1, Ordering::Relaxed);
                if rng.chance(CRASH_PERCENT) {
                    tally.crashed.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let result = match handle(&client, &command).await {
                    Ok(result) => result,
                    // As if it had crashed: whoever takes the command over finds out.
                    Err(error) if error.is_retryable() => {
                        tally.crashed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let counted = match dedup.finalize(&held, &result).await {
                    Ok(()) => &tally.finalized,
                    Err(FinalizeError::Lost) => &tally.lost,
                    Err(FinalizeError::Client(_)) => &tally.unknown,
                };
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(results)
}

/// The command's effect: one event. Whoever takes a command over meets what the
/// one before it has done, by the command's id as idempotency key.
async fn handle(client: &Client, command: &str) -> Result<String, ClientError> {
    let append = Append::to(command, "command").expect_version(0).idempotency_key(command);
    let ack = client.append(&append.event("command.handled", &json!({ "id": command })).build()?).await?;
    Ok(ack.event_ids.first().map(ToString::to_string).unwrap_or_default())
}

async fn handled_once(urls: &[String], results: &BTreeMap<String, String>) -> Result<()> {
    let client = Client::new(urls, ClientOptions::default())?;
    for (command, result) in results {
        let page = client.read_page(command, weir_client::ReadOptions::default()).await?;
        ensure!(page.events.len() == 1, "{command} was handled {} times", page.events.len());
        ensure!(
            page.events[0].id == *result,
            "{command} was answered with {result}, and did {}",
            page.events[0].id
        );
    }
    Ok(())
}
