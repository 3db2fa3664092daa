//! The orders of `examples/orders`, whose commands arrive many times at many handlers while leaders are killed and
//! handlers crash: each command has one effect and one answer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::{FutureExt as _, future::join_all};
use tokio::time::{Instant, timeout};
use weir_check::rng::Rng;
use weir_client::{Client, ClientOptions, CommandDedup, ReadOptions};
use weir_example_orders::{
    catalog::Catalog,
    command::{CommandMetadata, PlaceOrder, Wish},
    handler::{HandleError, Handled, Orders},
};

use super::{Flags, Outcome, Recipe};
use crate::{Cluster, ClusterSpec, pause, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/orders",
    summary: "the orders of the example: each command arrives at 12 handlers while leaders die and handlers crash, and counts once",
    release: false,
    run: |flags, report| story(flags, report, 12, 40, flags.kills.clamp(3, 6)).boxed(),
};

/// How long a claim lives: longer than a change of leader.
const LEASE: Duration = Duration::from_secs(6);
/// How often another order arrives.
const ORDER_EVERY: Duration = Duration::from_millis(500);
/// Of a hundred tries so many are left amid their work, as by a crash.
const CRASH_PERCENT: u64 = 10;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the command of an order led to: placed, then shipped.
type Answers = BTreeMap<(u64, bool), Handled>;

#[derive(Default)]
struct Tally {
    tries: AtomicU64,
    crashed: AtomicU64,
    in_progress: AtomicU64,
    again: AtomicU64,
}

/// `handlers` handle the commands of `orders` orders, all of them each, while `kills` leaders die.
///
/// # Errors
/// When a command has two effects or none, or handlers were told different answers.
pub async fn story(
    flags: &Flags,
    report: &mut Report,
    handlers: u64,
    orders: u64,
    kills: u64,
) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let (tally, killed) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let work: Vec<_> = (0..handlers)
        .map(|number| {
            let rng = Rng::named(flags.seed, &format!("handler-{number}"));
            tokio::spawn(handle_all(rng, urls.clone(), number, orders, tally.clone(), killed.clone()))
        })
        .collect();
    for number in 1..=kills {
        crate::window(Duration::from_secs(3)).await;
        let leader = cluster.replace_leader().await?;
        report.phase(&format!("kill {number}: node {leader} led, died and is back"));
    }
    killed.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for answer in join_all(work).await {
        answers.push(answer.context("a handler panicked")??);
    }
    for told in &answers[1..] {
        ensure!(*told == answers[0], "two handlers were told different answers");
    }
    had_one_effect(&urls, &answers[0], orders).await?;
    let figure = |count: &AtomicU64| count.load(Ordering::Relaxed);
    report.note("handlers", handlers);
    report.note("commands", 2 * orders);
    report.note("leaders_killed", kills);
    report.note("tries", figure(&tally.tries));
    report.note("handlers_crashed", figure(&tally.crashed));
    report.note("in_progress", figure(&tally.in_progress));
    report.note("sent_again", figure(&tally.again));
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// The answers to all commands, as one handler was told them.
async fn handle_all(
    mut rng: Rng,
    mut urls: Vec<String>,
    number: u64,
    orders: u64,
    tally: Arc<Tally>,
    killed: Arc<AtomicBool>,
) -> Result<Answers> {
    let nodes = urls.len();
    urls.rotate_left(usize::try_from(number)? % nodes);
    let client = Client::new(&urls, ClientOptions::default())?;
    let dedup = CommandDedup::new(client.clone(), "order-commands").lease(LEASE);
    let handler = Orders::new(client, Catalog::default()).with_dedup(dedup);
    let (mut answers, began) = (Answers::new(), Instant::now());
    while answers.len() < usize::try_from(2 * orders)? || !killed.load(Ordering::Relaxed) {
        let there = answers.len();
        ensure!(began.elapsed() < PATIENCE, "handler {number} has only {there} answers");
        // Orders come one after the other, so that leaders die over some of them.
        let arrived = u64::try_from(began.elapsed().as_millis() / ORDER_EVERY.as_millis())? + 1;
        let order = rng.within(0..arrived.min(orders));
        let ships = answers.contains_key(&(order, false)) && rng.chance(60);
        if answers.contains_key(&(order, ships)) && !rng.chance(5) {
            pause().await;
            continue;
        }
        tally.tries.fetch_add(1, Ordering::Relaxed);
        let attempt = attempt(&handler, order, ships);
        let handled = match rng.chance(CRASH_PERCENT) {
            true => match timeout(Duration::from_millis(rng.within(1..25)), attempt).await {
                Ok(handled) => handled,
                Err(_) => {
                    tally.crashed.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            },
            false => attempt.await,
        };
        match handled {
            Ok(answer) => {
                if let Some(before) = answers.insert((order, ships), answer.clone()) {
                    ensure!(before == answer, "order {order} led to {before:?} and then to {answer:?}");
                }
            }
            Err(HandleError::InProgress) => {
                tally.in_progress.fetch_add(1, Ordering::Relaxed);
                pause().await;
            }
            Err(HandleError::Refused(error)) => return Err(error.into()),
            Err(HandleError::Finalize(_) | HandleError::Client(_)) => {
                tally.again.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(answers)
}

async fn attempt(handler: &Orders, order: u64, ships: bool) -> Result<Handled, HandleError> {
    let verb = if ships { "ship" } else { "place" };
    let metadata = CommandMetadata {
        command_id: format!("{verb}-{order}"),
        issued_by: "ada".into(),
        correlation_id: None,
        tenant_id: None,
    };
    if ships {
        return handler.ship(&id(order), &format!("track-{order}"), &metadata).await;
    }
    let items = vec![Wish { product_id: "tea".into(), quantity: 2 }];
    let command = PlaceOrder { order_id: id(order), customer_id: "ada".into(), items };
    handler.place(&command, &metadata).await
}

fn id(order: u64) -> String {
    format!("order-{order}")
}

/// Each order was placed and shipped, once, by the events that the answers name.
async fn had_one_effect(urls: &[String], answers: &Answers, orders: u64) -> Result<()> {
    let client = Client::new(urls, ClientOptions::default())?;
    for order in 0..orders {
        let page = client.read_page(&id(order), ReadOptions::default()).await?;
        let found: Vec<_> =
            page.events.iter().map(|event| (event.name.as_str(), event.id.to_string())).collect();
        let told =
            |ships| answers.get(&(order, ships)).map(|answer| answer.event_id.clone()).unwrap_or_default();
        let expected = [("order.placed", told(false)), ("order.shipped", told(true))];
        ensure!(found == expected, "{} holds {found:?}, and handlers were told {expected:?}", id(order));
    }
    Ok(())
}
