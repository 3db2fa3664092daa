//! Transfers between accounts, each one transaction, while leaders are killed:
//! no money is made or lost, no account is overdrawn, and what was acknowledged
//! is there once, whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{FutureExt as _, StreamExt as _, future::try_join_all, pin_mut};
use serde_json::{Value, json};
use weir_api::ErrorCode;
use weir_check::rng::Rng;
use weir_client::{
    Append, Client, ClientOptions, ReadOptions, Transaction,
    v1::{EventView, LogPage, paths},
};
use weir_types::Direction;

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, edge::Edge, eventually, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/transfers",
    summary: "64 clients move money between accounts by transactions while leaders are killed: none made, none lost",
    release: false,
    run: |flags, report| story(report, flags.seed, 64, 5).boxed(),
};

const ACCOUNTS: u64 = 32;
const DEPOSIT: i64 = 100;
/// Acknowledged transfers between two kills.
const BETWEEN: u64 = 150;

/// What all clients share.
#[derive(Default)]
struct Bank {
    acked: Mutex<BTreeSet<String>>,
    transfers: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// `clients` move money; `kills` times the leader is killed and started again.
///
/// # Errors
/// The first thing that does not hold.
pub async fn story(report: &mut Report, seed: u64, clients: u64, kills: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let options = ClientOptions { deadline: Duration::from_secs(60), ..ClientOptions::default() };
    let client = Client::new(&urls, options)?;
    open(&client).await?;
    report.phase("accounts are open");
    let bank = Arc::<Bank>::default();
    let tellers = (0..clients).map(|number| {
        let rng = Rng::named(seed, &format!("teller-{number}"));
        tokio::spawn(teller(client.clone(), bank.clone(), number, rng))
    });
    let tellers: Vec<_> = tellers.collect();
    for kill in 1..=kills {
        let goal = bank.transfers.load(Ordering::Relaxed) + BETWEEN;
        eventually("transfers go on", PATIENCE, || async {
            ensure!(bank.transfers.load(Ordering::Relaxed) >= goal, "too few transfers");
            Ok(())
        })
        .await?;
        let leader = cluster.leader().await?;
        report.phase(&format!("kill {kill}: node {leader} leads"));
        cluster.node_mut(leader).kill()?;
        cluster.start_node(leader)?;
        cluster.all_ready().await?;
    }
    bank.stop.store(true, Ordering::Relaxed);
    try_join_all(tellers).await?.into_iter().collect::<Result<Vec<()>>>()?;
    cluster.settled().await?;
    for edge in cluster.edges() {
        let acked = bank.acked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        audit(&log_of(&edge).await?, &acked)?;
    }
    report.note("transfers", bank.transfers.load(Ordering::Relaxed));
    report.note("refused", bank.refused.load(Ordering::Relaxed));
    report.note("kills", kills);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

fn account(number: u64) -> String {
    format!("account-{number}")
}

async fn open(client: &Client) -> Result<()> {
    let mut opening = Transaction::new();
    for number in 0..ACCOUNTS {
        let data = json!({ "tx": "opening", "delta": DEPOSIT, "balance": DEPOSIT });
        opening =
            opening.append(Append::to(&account(number), "account").expect_version(0).event("opened", &data));
    }
    client.transact(&opening.build()?).await.context("accounts cannot be opened")?;
    Ok(())
}

async fn teller(client: Client, bank: Arc<Bank>, number: u64, mut rng: Rng) -> Result<()> {
    let mut transfer = 0;
    while !bank.stop.load(Ordering::Relaxed) {
        let from = rng.within(0..ACCOUNTS);
        let to = (from + rng.within(1..ACCOUNTS)) % ACCOUNTS;
        let amount = i64::try_from(rng.within(1..60))?;
        transfer += 1;
        if moved(&client, &bank, &format!("t-{number}-{transfer}"), (from, to, amount)).await? {
            bank.transfers.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Whether the transfer was made: the payer had enough, and nobody came between.
async fn moved(client: &Client, bank: &Bank, id: &str, (from, to, amount): (u64, u64, i64)) -> Result<bool> {
    let (payer, payee) = (last_of(client, from).await?, last_of(client, to).await?);
    if payer.1 < amount {
        return Ok(false);
    }
    let part = |number, (version, balance): (u64, i64), delta| {
        let data = json!({ "tx": id, "delta": delta, "balance": balance + delta });
        Append::to(&account(number), "account").expect_version(version).event("moved", &data)
    };
    let transaction = Transaction::new()
        .idempotency_key(id)
        .append(part(from, payer, -amount))
        .append(part(to, payee, amount))
        .build()?;
    match client.transact(&transaction).await {
        Ok(_) => {
            bank.acked.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
            Ok(true)
        }
        Err(error) if error.code() == Some(ErrorCode::TransactionRefused) => {
            bank.refused.fetch_add(1, Ordering::Relaxed);
            Ok(false)
        }
        Err(error) => bail!("transfer {id}: {error}"),
    }
}

/// The version and the balance of an account.
async fn last_of(client: &Client, number: u64) -> Result<(u64, i64)> {
    let options = ReadOptions { direction: Direction::Backward, page: Some(1), ..ReadOptions::default() };
    let events = client.read(&account(number), options);
    pin_mut!(events);
    let last = events.next().await.context("an account is never empty")??;
    Ok((last.version, facts_of(&last)?["balance"].as_i64().context("an event without a balance")?))
}

fn facts_of(event: &EventView) -> Result<Value> {
    event.data.to_value().with_context(|| format!("data of event {}", event.id))
}

async fn log_of(edge: &Edge) -> Result<Vec<EventView>> {
    let (mut events, mut from) = (Vec::new(), 1);
    loop {
        let path = format!("{}?from_position={from}&limit=4096", paths::LOG);
        let page: LogPage = serde_json::from_value(edge.get(&path).await?)?;
        if page.events.is_empty() {
            return Ok(events);
        }
        from = page.next_position;
        events.extend(page.events);
    }
}

fn audit(events: &[EventView], acked: &BTreeSet<String>) -> Result<()> {
    let mut balances: BTreeMap<&str, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let opened = usize::try_from(ACCOUNTS)?;
    let (opening, transfers) = events.split_at(opened.min(events.len()));
    for event in opening {
        ensure!(balances.insert(&event.entity_id, DEPOSIT).is_none(), "{} is opened twice", event.entity_id);
    }
    for pair in transfers.chunks(2) {
        let [first, second] = pair else { bail!("half of a transfer is at position {}", pair[0].position) };
        let (one, two) = (facts_of(first)?, facts_of(second)?);
        let id = one["tx"].as_str().unwrap_or_default().to_owned();
        ensure!(one["tx"] == two["tx"], "others are within transfer {id}");
        ensure!(seen.insert(id.clone()), "transfer {id} is there twice");
        for (event, facts) in [(first, &one), (second, &two)] {
            let delta = facts["delta"].as_i64().unwrap_or_default();
            let balance =
                balances.get_mut(event.entity_id.as_str()).context("an account that was not opened")?;
            *balance += delta;
            ensure!(*balance >= 0, "{} is overdrawn by {id}: {balance}", event.entity_id);
            ensure!(facts["balance"] == json!(*balance), "{id} was decided on another balance");
        }
    }
    let sum: i64 = balances.values().sum();
    let due = i64::try_from(ACCOUNTS)? * DEPOSIT;
    ensure!(sum == due, "the bank holds {sum} of {due}");
    match acked.difference(&seen).next() {
        None => Ok(()),
        Some(lost) => bail!("transfer {lost} was acknowledged and is not there"),
    }
}
