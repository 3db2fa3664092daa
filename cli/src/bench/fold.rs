use std::time::{Duration, Instant};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;
use weir_client::{
    Append, Client,
    v1::{RebuildBody, RebuildStatus},
};

use super::machine::Machine;
use crate::{error::CliError, output::Output};

/// Events of one append.
const BATCH: u64 = 500;
/// Between two looks at how far a fold is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The type of what is appended.
const KIND: &str = "bench-order";

/// Counts.
const COUNTER: &str = "export const initialState = () => ({ n: 0 });\n\
                       export const handler = (state) => { state.n += 1; };\n";
/// Keeps an order's lines, total and last change, one partition an order.
const ORDERS: &str = "export const partitionKey = '$.entityId';\n\
                      export const initialState = () => ({ lines: {}, total: 0, status: 'open', changed: null });\n\
                      export function handler(state, event) {\n\
                      \x20 const { sku, quantity, price } = event.data;\n\
                      \x20 state.lines[sku] = (state.lines[sku] ?? 0) + quantity;\n\
                      \x20 state.total += quantity * price;\n\
                      \x20 state.changed = event.timestamp;\n\
                      }\n";

#[derive(Debug, Args)]
pub struct FoldArgs {
    /// Events that are folded; as many are appended before, if there are fewer of them
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Streams over which they are spread
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    streams: u64,
    /// Threads of the bench
    #[arg(long, default_value_t = 1, hide = true)]
    pub(super) threads: u8,
}

/// One fold from the log's beginning.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    fold: &'static str,
    events: u64,
    seconds: f64,
    events_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Folds {
    machine: Machine,
    folds: Vec<Line>,
}

pub(super) async fn run(args: &FoldArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let run = Uuid::new_v4().simple().to_string();
    append(args, client, &run[..8]).await?;
    let mut folds = Vec::new();
    for (fold, name, body) in
        [("counter", "bench-counter", COUNTER), ("orders, a partition each", "bench-orders", ORDERS)]
    {
        let source = format!(
            "export const name = '{name}'; // {run}\nexport const events = ['bench.order.*'];\n{body}"
        );
        // The answer to a deploy may wait until it is folded.
        let began = Instant::now();
        let deployed = client.deploy_projection(&source).await?.deployed;
        folds.push(folded(fold, name, deployed, began, client).await?);
        if fold == "counter" {
            let began = Instant::now();
            client.rebuild_projection(name, &RebuildBody::default()).await?;
            folds.push(rebuilt(name, began, client).await?);
        }
        client.remove_projection(name).await?;
    }
    let folds = Folds { machine: Machine::here(), folds };
    output.json_or(&folds, |folds| {
        let row = |line: &Line| {
            let rate = format!("{:.0}", line.events_per_second);
            [line.fold.to_owned(), line.events.to_string(), format!("{:.2}", line.seconds), rate]
        };
        output.table(
            ["FOLD", "EVENTS", "SECONDS", "EVENTS/S"],
            &folds.folds.iter().map(row).collect::<Vec<_>>(),
        )
    })
}

async fn append(args: &FoldArgs, client: &Client, run: &str) -> Result<(), CliError> {
    eprintln!("writing {} events", args.events);
    let appends = (0..args.events.div_ceil(BATCH)).map(|number| {
        let stream = format!("{KIND}-{run}-{}", number % args.streams);
        let mut append = Append::to(&stream, KIND);
        for line in 0..BATCH.min(args.events - number * BATCH) {
            let data = json!({ "sku": format!("sku-{}", line % 7), "quantity": 1 + line % 3, "price": 125 });
            append = append.event("bench.order.lineAdded", &data);
        }
        append.build()
    });
    let sent = stream::iter(appends).map(|append| async move {
        client.append(&append?).await?;
        Ok::<_, CliError>(())
    });
    sent.buffer_unordered(8).try_collect().await
}

/// Waits until a deployment has folded all that there is.
async fn folded(
    fold: &'static str,
    name: &str,
    deployed: u64,
    began: Instant,
    client: &Client,
) -> Result<Line, CliError> {
    loop {
        let status = client.projection_status(name).await?;
        if let Some(error) = status.error_message {
            return Err(CliError::Failed(error));
        }
        if status.deployed == deployed && status.lag == 0 {
            return Ok(line(fold, status.checkpoint, began.elapsed()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn rebuilt(name: &str, began: Instant, client: &Client) -> Result<Line, CliError> {
    loop {
        let job = client.rebuild_job(name).await?;
        match job.status {
            RebuildStatus::Completed => {
                return Ok(line("rebuild of the counter", job.total_events, began.elapsed()));
            }
            RebuildStatus::Rebuilding => tokio::time::sleep(LOOK_EVERY).await,
            other => return Err(CliError::Failed(format!("rebuild is {other:?}: {:?}", job.error))),
        }
    }
}

fn line(fold: &'static str, events: u64, took: Duration) -> Line {
    let seconds = took.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate is a float")]
    Line { fold, events, seconds, events_per_second: events as f64 / seconds }
}
