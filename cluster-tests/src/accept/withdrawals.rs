//! Withdrawals from accounts whose invariant is that the balance is not below
//! zero, by clients that do not look before, while leaders are killed and no
//! two clocks agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{FutureExt as _, future::try_join_all};
use serde_json::json;
use weir_api::ErrorCode;
use weir_check::rng::Rng;
use weir_client::{
    Append, Client, ClientOptions, Transaction,
    v1::{EventView, LogPage, RulesBody, paths},
};

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, clocks::Clocks, edge::Edge, eventually, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/withdrawals",
    summary: "64 clients withdraw from accounts with an invariant, clocks skewed and leaders killed: never below zero, all acknowledged there",
    release: false,
    run: |flags, report| story(report, flags.seed, 64, 5).boxed(),
};

const ACCOUNTS: u64 = 16;
/// Acknowledged changes between two kills.
const BETWEEN: u64 = 300;

/// The balance, which must not fall below zero.
const INVARIANT: &str = "
export const initialState = { balance: 0 };
export const handlers = {
  deposited: (state, { data }) => { state.balance += data.amount; },
  withdrawn: (state, { data }) => { state.balance -= data.amount; },
};
export function check({ balance }) { if (balance < 0) return `balance would be ${balance}`; }
";

/// What all clients share.
#[derive(Default)]
struct Bank {
    acked: Mutex<BTreeSet<String>>,
    changes: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// `clients` deposit, withdraw and transfer; `kills` times the leader is killed and started again.
///
/// # Errors
/// The first thing that does not hold.
pub async fn story(report: &mut Report, seed: u64, clients: u64, kills: u64) -> Result<Outcome> {
    let mut clocks = Clocks::build()?;
    let spec = ClusterSpec { nodes: 3, nats: false };
    let mut cluster = Cluster::start_prepared(spec, |node| clocks.give(node)).await?;
    let mut skews = Rng::named(seed, "clocks");
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let options = ClientOptions { deadline: Duration::from_secs(60), ..ClientOptions::default() };
    let client = Client::new(&urls, options)?;
    let rules = RulesBody { invariant: Some(INVARIANT.to_owned()), ..RulesBody::default() };
    client.set_rules(Some("account"), &rules).await.context("the invariant cannot be set")?;
    report.phase("accounts have their invariant");
    let bank = Arc::<Bank>::default();
    let customers = (0..clients).map(|number| {
        let rng = Rng::named(seed, &format!("customer-{number}"));
        tokio::spawn(customer(client.clone(), bank.clone(), number, rng))
    });
    let customers: Vec<_> = customers.collect();
    for kill in 1..=kills {
        clocks.skew(&mut skews)?;
        let goal = bank.changes.load(Ordering::Relaxed) + BETWEEN;
        eventually("changes go on", PATIENCE, || async {
            ensure!(bank.changes.load(Ordering::Relaxed) >= goal, "too few changes");
            Ok(())
        })
        .await?;
        let leader = cluster.leader().await?;
        report.phase(&format!("kill {kill}: node {leader} leads"));
        cluster.node_mut(leader).kill()?;
        cluster.start_node(leader)?;
        cluster.all_ready().await?;
        // To the same, which has what is in flight judged anew.
        client.set_rules(Some("account"), &rules).await.context("the invariant cannot be set again")?;
    }
    bank.stop.store(true, Ordering::Relaxed);
    try_join_all(customers).await?.into_iter().collect::<Result<Vec<()>>>()?;
    cluster.settled().await?;
    let mut lowest = i64::MAX;
    for edge in cluster.edges() {
        let acked = bank.acked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lowest = audit(&log_of(&edge).await?, &acked)?;
    }
    report.note("acknowledged", bank.changes.load(Ordering::Relaxed));
    report.note("refused", bank.refused.load(Ordering::Relaxed));
    report.note("lowest_balance", lowest);
    report.note("kills", kills);
    let looks = clocks.looks()?;
    report.note("looks_at_a_wrong_clock", looks);
    ensure!(looks > 0, "a node never looked at its wrong clock");
    ensure!(
        bank.refused.load(Ordering::Relaxed) > 0,
        "nothing was ever refused: the invariant was not tried"
    );
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

async fn customer(client: Client, bank: Arc<Bank>, number: u64, mut rng: Rng) -> Result<()> {
    let mut change = 0;
    while !bank.stop.load(Ordering::Relaxed) {
        change += 1;
        let id = format!("c-{number}-{change}");
        let amount = rng.within(1..60);
        let from = rng.within(0..ACCOUNTS);
        let answer = match rng.within(0..10) {
            0..3 => client.append(&append(from, "deposited", &id, amount)?).await.map(drop),
            3..8 => client.append(&append(from, "withdrawn", &id, amount)?).await.map(drop),
            _ => {
                let to = (from + rng.within(1..ACCOUNTS)) % ACCOUNTS;
                let part = |account: u64, name: &str| part(account, name, &id, amount);
                let both = Transaction::new().idempotency_key(&id);
                let both = both.append(part(from, "withdrawn")).append(part(to, "deposited")).build()?;
                client.transact(&both).await.map(drop)
            }
        };
        match answer {
            Ok(()) => {
                bank.acked.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                bank.changes.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.code() == Some(ErrorCode::InvariantViolated) => {
                bank.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => bail!("change {id}: {error}"),
        }
    }
    Ok(())
}

fn part(account: u64, name: &str, id: &str, amount: u64) -> Append {
    Append::to(&format!("account-{account}"), "account").event(name, &json!({ "id": id, "amount": amount }))
}

fn append(account: u64, name: &str, id: &str, amount: u64) -> Result<weir_types::AppendRequest> {
    Ok(part(account, name, id, amount).idempotency_key(id).build()?)
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

/// The lowest balance that any account ever had.
fn audit(events: &[EventView], acked: &BTreeSet<String>) -> Result<i64> {
    let mut balances: BTreeMap<&str, i64> = BTreeMap::new();
    let mut seen: BTreeSet<(String, &str)> = BTreeSet::new();
    let mut lowest = 0;
    for event in events {
        let facts = event.data.to_value().with_context(|| format!("data of event {}", event.id))?;
        let id = facts["id"].as_str().unwrap_or_default().to_owned();
        let amount = facts["amount"].as_i64().context("an event without an amount")?;
        let balance = balances.entry(&event.entity_id).or_default();
        *balance += if event.name == "withdrawn" { -amount } else { amount };
        ensure!(*balance >= 0, "{} is at {balance} after {id}, version {}", event.entity_id, event.version);
        ensure!(seen.insert((id.clone(), &event.name)), "change {id} is there twice");
        lowest = lowest.min(*balance);
    }
    let there: BTreeSet<&str> = seen.iter().map(|(id, _)| id.as_str()).collect();
    match acked.iter().find(|id| !there.contains(id.as_str())) {
        None => Ok(lowest),
        Some(lost) => bail!("change {lost} was acknowledged and is not there"),
    }
}
