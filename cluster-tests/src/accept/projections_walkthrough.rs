//! The walkthrough's read models, `order-detail-view` and `customer-orders-list`, folded by the cluster and by workers:
//! whoever appends reads it at once, they are rebuilt while orders come, a second version takes over from the first,
//! and in the end all of them are the fold of the log, on every node.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{FutureExt as _, future::try_join_all};
use serde_json::Value;
use tokio::task::JoinHandle;
use weir_check::rng::Rng;
use weir_client::{
    Client, ClientOptions, Worker, WorkerError,
    v1::{DiffQuery, RebuildBody, RebuildStatus, ViewQuery},
};
use weir_example_orders::{
    catalog::Catalog,
    command::{CommandMetadata, PlaceOrder, Wish},
    handler::{Handled, Orders},
    views::{self, CUSTOMER_ORDERS, Happened, ORDER_DETAIL},
};

use super::{Flags, Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, eventually, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/walkthrough",
    summary: "both read models of the walkthrough, in-cluster and by workers: read-your-writes, rebuilt under load, blue/green",
    release: false,
    run: |flags, report| story(flags, report, 4, 60).boxed(),
};

const DETAIL: &str = "order-detail-view";
const DETAIL_V2: &str = "order-detail-view-v2";
const LIST: &str = "customer-orders-list";
const LIST_V2: &str = "customer-orders-list-v2";
/// What workers fold.
const BY_WORKER: [&str; 2] = ["order-detail-view-by-worker", "customer-orders-list-by-worker"];
const CUSTOMERS: [&str; 3] = ["ada", "grace", "alan"];
/// How long a reader waits for its own write.
const READ_OWN: Duration = Duration::from_secs(10);

type Work = JoinHandle<Result<(), WorkerError>>;

/// `shops` place `orders` orders each, and read each back.
///
/// # Errors
/// Naming the read model that is not what it must be.
pub async fn story(flags: &Flags, report: &mut Report, shops: u64, orders: u64) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let client = Client::new(&urls, ClientOptions::default())?;
    for source in [ORDER_DETAIL, CUSTOMER_ORDERS] {
        client.deploy_projection(source).await?;
    }
    let first = workers(&client);
    report.phase("both are deployed, and two workers fold the same");
    let half = orders / 2;
    let own = sell(flags, &urls, shops, 0..half).await?;
    first.into_iter().for_each(|work| work.abort());
    let second = workers(&client);
    report.phase("every order was read back by whoever placed it; the workers were ended and others began");

    client.rebuild_projection(DETAIL, &RebuildBody::default()).await?;
    let (more, seen) = futures::try_join!(sell(flags, &urls, shops, half..orders), rebuilt(&client))?;
    report.phase("it was rebuilt while orders came, and every reader saw its own");
    blue_green(&cluster, &client).await?;
    report.phase("the second version answers, and the first is gone");

    cluster.settled().await?;
    let log = read_log(&client).await?;
    for edge in cluster.edges() {
        let one = Client::new([edge.base()], ClientOptions::default())?;
        eventually("read models are the fold of the log", PATIENCE, || all_same(&one, &log)).await?;
    }
    second.into_iter().for_each(|work| work.abort());
    report.note("orders", shops * orders);
    report.note("events", log.len());
    report.note("read_own_writes", own + more);
    report.note("events_rebuilt", seen);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// One worker for each read model.
fn workers(client: &Client) -> Vec<Work> {
    let lease = Duration::from_secs(1);
    let of = |name| Worker::projection(client, name).events(views::EVENTS).lease(lease).deliveries_max(1_000);
    let detail = of(BY_WORKER[0]).fold(|state: Option<Value>, event| {
        let data = event.data.to_value()?;
        let happened = Happened { name: &event.name, data: &data, recorded_at: &event.timestamp };
        Ok(views::order_detail(state, &happened))
    });
    let list = of(BY_WORKER[1]).partition_key(views::CUSTOMER).fold(|state: Option<Value>, event| {
        let data = event.data.to_value()?;
        let happened = Happened { name: &event.name, data: &data, recorded_at: &event.timestamp };
        Ok(views::customer_orders(state, &happened))
    });
    vec![tokio::spawn(detail.run()), tokio::spawn(list.run())]
}

/// Orders are placed, shipped and cancelled by `shops` at once, each at a node of its own. How often a shop read what it
/// had written.
async fn sell(flags: &Flags, urls: &[String], shops: u64, numbers: std::ops::Range<u64>) -> Result<u64> {
    let shop = |shop: u64| {
        let url = urls[usize::try_from(shop).unwrap_or_default() % urls.len()].clone();
        let rng = Rng::named(flags.seed, &format!("shop-{shop}-{}", numbers.start));
        tokio::spawn(Shop { shop, url, rng, own: 0 }.sell(numbers.clone()))
    };
    let sold = try_join_all((0..shops).map(shop)).await.context("a shop panicked")?;
    sold.into_iter().sum()
}

struct Shop {
    shop: u64,
    url: String,
    rng: Rng,
    own: u64,
}

impl Shop {
    async fn sell(mut self, numbers: std::ops::Range<u64>) -> Result<u64> {
        let client = Client::new([&self.url], ClientOptions::default())?;
        let orders = Orders::new(client.clone(), Catalog::default());
        for number in numbers {
            let order_id = format!("order-{}-{number}", self.shop);
            let customer = CUSTOMERS[usize::try_from(self.rng.within(0..3)).unwrap_or_default()];
            let item = |product: &str, quantity| Wish { product_id: product.into(), quantity };
            let command = PlaceOrder {
                order_id: order_id.clone(),
                customer_id: customer.into(),
                items: vec![item("tea", 2), item("pot", 1)],
            };
            let placed = orders.place(&command, &metadata("place", &order_id)).await?;
            self.reads_own(&client, &placed, customer, "placed").await?;
            let over = match self.rng.within(0..3) {
                0 => orders
                    .ship(&order_id, "T-1", &metadata("ship", &order_id))
                    .await
                    .map(|done| (done, "shipped")),
                1 => orders
                    .cancel(&order_id, "late", &metadata("cancel", &order_id))
                    .await
                    .map(|done| (done, "cancelled")),
                _ => continue,
            };
            let (over, status) = over?;
            self.reads_own(&client, &over, customer, status).await?;
        }
        Ok(self.own)
    }

    /// By the event's id, as the walkthrough does, and by the answer's position.
    async fn reads_own(
        &mut self,
        client: &Client,
        done: &Handled,
        customer: &str,
        status: &str,
    ) -> Result<()> {
        let waited = client.wait_for_event(DETAIL, &done.event_id, READ_OWN).await?;
        ensure!(waited.caught_up, "{DETAIL} has not folded {} in time", done.event_id);
        let detail = state(client, DETAIL, None, None).await?;
        let found = &detail["orders"][&done.order_id]["status"];
        ensure!(found == status, "{} is {found} in {DETAIL}, and not {status}", done.order_id);
        let list = state(client, LIST, Some(customer), Some(done.position)).await?;
        let rows = list["orders"].as_array().context("a customer has no list")?;
        let row = rows.iter().find(|row| row["orderId"] == *done.order_id);
        let found = row.map(|row| &row["status"]);
        ensure!(found.is_some_and(|found| found == status), "{} is {found:?} in {LIST}", done.order_id);
        self.own += 2;
        Ok(())
    }
}

fn metadata(verb: &str, order_id: &str) -> CommandMetadata {
    CommandMetadata {
        command_id: format!("{verb}-{order_id}"),
        issued_by: "shop".into(),
        correlation_id: None,
        tenant_id: None,
    }
}

async fn state(client: &Client, name: &str, partition: Option<&str>, position: Option<u64>) -> Result<Value> {
    let query =
        ViewQuery { partition: partition.map(str::to_owned), min_position: position, ..ViewQuery::default() };
    let view = client.projection(name, &query).await?;
    Ok(view.state.map(|state| state.state).unwrap_or_default())
}

/// Waits for the end of a rebuild; how many events it folded.
async fn rebuilt(client: &Client) -> Result<u64> {
    let mut folded = 0;
    eventually("the rebuild completes", PATIENCE, || async {
        let job = client.rebuild_job(DETAIL).await?;
        match job.status {
            RebuildStatus::Completed => Ok(job.events_processed),
            RebuildStatus::Failed | RebuildStatus::Cancelled => {
                bail!("the rebuild ended as {:?}", job.status)
            }
            other => bail!("the rebuild is {other:?}"),
        }
    })
    .await
    .map(|events| folded = events)?;
    Ok(folded)
}

/// A second version of each beside the first: one that shows more differs, one that shows the same does not and takes
/// the name over.
async fn blue_green(cluster: &Cluster, client: &Client) -> Result<()> {
    let more = ORDER_DETAIL
        .replace(DETAIL, DETAIL_V2)
        .replace("totalCents: data", "currency: 'EUR', totalCents: data");
    client.deploy_projection(&more).await?;
    client.deploy_projection(&CUSTOMER_ORDERS.replace(LIST, LIST_V2)).await?;
    let diff = |name: &'static str, with: &str| {
        let query = DiffQuery { with: with.to_owned(), limit: None };
        async move { client.diff_projections(name, &query).await }
    };
    let shows_more = diff(DETAIL, DETAIL_V2).await?;
    ensure!(!shows_more.equal, "a version that shows more does not differ");
    let same = diff(LIST, LIST_V2).await?;
    ensure!(same.equal, "the same source came to something else: {:?}", same.differences);
    for (name, next) in [(DETAIL, DETAIL_V2), (LIST, LIST_V2)] {
        client.switch_projections(name, next).await?;
        client.remove_projection(next).await?;
    }
    for edge in cluster.edges() {
        eventually("the second version answers everywhere", PATIENCE, || async {
            let view = edge.view(DETAIL, "").await?;
            let orders = view["state"]["state"]["orders"].as_object().context("there are no orders")?;
            ensure!(orders.values().all(|order| order["currency"] == "EUR"), "an order has no currency");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// An event of the log: its name, data and time.
type Event = (String, Value, String);

async fn read_log(client: &Client) -> Result<Vec<Event>> {
    let (mut all, mut from) = (Vec::new(), 1);
    loop {
        let page = client.read_log(from, 1_000).await?;
        let Some(newest) = page.events.last() else { return Ok(all) };
        from = newest.position + 1;
        for event in page.events {
            all.push((event.name, event.data.to_value()?, event.recorded_at));
        }
    }
}

/// Every read model on one node is the fold of the log.
async fn all_same(client: &Client, log: &[Event]) -> Result<()> {
    let (mut detail, mut lists) = (None, BTreeMap::<String, Option<Value>>::new());
    for (name, data, recorded_at) in log {
        let happened = Happened { name, data, recorded_at };
        detail = Some(views::order_detail(detail, &happened));
        let list = lists.entry(data["customer"]["id"].as_str().unwrap_or_default().to_owned()).or_default();
        *list = Some(views::customer_orders(list.take(), &happened));
    }
    let detail = detail.unwrap_or_default();
    same(BY_WORKER[0], &state(client, BY_WORKER[0], None, None).await?, &detail)?;
    let mut by_cluster = state(client, DETAIL, None, None).await?;
    for order in by_cluster["orders"].as_object_mut().context("there are no orders")?.values_mut() {
        order.as_object_mut().context("an order is no object")?.remove("currency");
    }
    same(DETAIL, &by_cluster, &detail)?;
    for (customer, list) in &lists {
        for name in [LIST, BY_WORKER[1]] {
            same(
                name,
                &state(client, name, Some(customer), None).await?,
                list.as_ref().unwrap_or(&Value::Null),
            )?;
        }
    }
    Ok(())
}

/// Compares, and names the first order that is another.
fn same(name: &str, found: &Value, wanted: &Value) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let (found, wanted) = (&found["orders"], &wanted["orders"]);
    let ids = wanted.as_object().into_iter().flat_map(|orders| orders.keys());
    let differs = ids.into_iter().find(|id| found[id.as_str()] != wanted[id.as_str()]);
    match differs {
        Some(id) => bail!("{name}: {id} is {}, and by the log {}", found[id.as_str()], wanted[id.as_str()]),
        None => bail!("{name} is not the fold of the log: {found}, and by the log {wanted}"),
    }
}
