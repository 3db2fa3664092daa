use std::sync::Arc;

use clap::{Args, ValueEnum};
use uuid::Uuid;
use weir_client::{Client, v1::RulesBody};
use weir_types::{EntityType, NameError};

use super::{
    cpu::Watch,
    disk::{Appended, Bytes},
    hot::Hot,
    line::Line,
    load::{Load, event_of},
    local,
    machine::Machine,
    measure::Run,
    plan::PlanArgs,
    report::{Report, Work, load_of},
    sessions::Way,
    tally::Window,
};
use crate::{error::CliError, output::Output};

#[derive(Debug, Args)]
pub struct AppendArgs {
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// Events of an append
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    events: u16,
    /// Streams to append to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// What the streams' names begin with; each run has streams of its own unless it is given
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Number of the first stream
    #[arg(long, default_value_t = 0, value_name = "N", requires = "prefix")]
    first: u32,
    /// All appends to one stream, sent one behind the other without waiting: each is guarded by the version that the
    /// one before it leaves, unless `--guard any`
    #[arg(long, conflicts_with_all = ["streams", "prefix", "once", "unary"])]
    hot: bool,
    /// What each append expects of its stream; `any` is for streams that are there before
    #[arg(long, default_value = "exact")]
    guard: Guard,
    /// Append to each stream once, however long it takes
    #[arg(long, conflicts_with_all = ["rate", "duration", "warmup"])]
    once: bool,
    /// All appends over one session (default)
    #[arg(long, conflicts_with = "unary")]
    session: bool,
    /// One HTTP request for each append
    #[arg(long)]
    unary: bool,
    /// Give each append an idempotency key
    #[arg(long)]
    keys: bool,
    /// Have each append judged by an invariant, which folds the stream and is removed afterwards
    #[arg(long, conflicts_with = "hot")]
    invariant: bool,
}

/// The type of the entities that are appended to, and of those whose appends an invariant judges.
const KIND: &str = "bench";
const JUDGED_KIND: &str = "bench-judged";
/// Counts the events of a stream, and refuses none.
const INVARIANT: &str = "export const initialState = { events: 0 };
export function fold({ events }) { return { events: events + 1 }; }
export function check({ events }) { if (events > 1e9) return 'stream is full'; }
";

/// What an append expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Guard {
    /// The exact version.
    Exact,
    /// Nothing.
    Any,
}

pub(super) async fn run(args: &AppendArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    if !args.invariant {
        return measured(args, client, output).await;
    }
    let rules = RulesBody { invariant: Some(INVARIANT.to_owned()), ..RulesBody::default() };
    client.set_rules(Some(JUDGED_KIND), &rules).await?;
    let measured = measured(args, client, output).await;
    client.delete_rules(Some(JUDGED_KIND)).await?;
    measured
}

async fn measured(args: &AppendArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let machine = Machine::here();
    let watch = watched(&args.plan, client).await;
    let before: Vec<Bytes> = args.plan.data.iter().map(|folder| Bytes::of(folder)).collect();
    let begun_at = client.cluster().await?.applied_position;
    let mut runs = Vec::new();
    for in_flight in &args.plan.in_flight {
        runs.push(one_run(args, client, &watch, usize::from(*in_flight).max(1)).await?);
    }
    let total = client.cluster().await?.applied_position;
    let appended = Appended { events: total.saturating_sub(begun_at), size: u64::from(args.size), total };
    let folders = args.plan.data.iter().zip(before);
    let data = folders.map(|(folder, before)| Bytes::of(folder).line(before, folder, appended)).collect();
    let work = Work {
        operation: "append",
        mode: match (args.unary, args.hot) {
            (true, _) => "unary",
            (false, true) => "session, one stream",
            (false, false) => "session",
        },
        load: load_of(args.plan.rate),
        guard: Some(if args.guard == Guard::Exact { "exact" } else { "any" }),
        size: args.size as usize,
        events_per_append: usize::from(args.events),
        streams: if args.hot { 1 } else { args.streams as usize },
        invariant: args.invariant,
    };
    Report::new(work, machine, runs, data).show(output)
}

async fn one_run(
    args: &AppendArgs,
    client: &Client,
    watch: &Watch,
    in_flight: usize,
) -> Result<Line, CliError> {
    let load = load(args, in_flight).map_err(|error| CliError::Failed(error.to_string()))?;
    let window = match args.once {
        true => Window::endless(),
        false => Window::new(args.plan.warmup, args.plan.duration, args.plan.rate.is_some()),
    };
    let run = Run { in_flight, rate: args.plan.rate, window, watch };
    if args.hot {
        let hot = Arc::new(Hot::new(client.clone(), load, in_flight));
        return run.measure(|_, pace, tally| Arc::clone(&hot).run(pace, tally)).await;
    }
    let way = match args.unary {
        true => Way::Unary(client.clone()),
        false => Way::session(client.clone(), in_flight),
    };
    run.measure(|lane, pace, tally| load.clone().run(lane, way.clone(), client.clone(), pace, tally)).await
}

fn load(args: &AppendArgs, in_flight: usize) -> Result<Load, NameError> {
    Ok(Load {
        kind: EntityType::new(if args.invariant { JUDGED_KIND } else { KIND })?,
        prefix: args.prefix.clone().unwrap_or_else(own_prefix),
        first: args.first as usize,
        streams: (args.streams as usize).max(in_flight),
        lanes: in_flight,
        events: vec![event_of(args.size as usize)?; usize::from(args.events)],
        keys: args.keys,
        guarded: args.guard == Guard::Exact,
        once: args.once,
    })
}

/// What the names of a run's own streams begin with.
pub(super) fn own_prefix() -> String {
    format!("bench-{}", &Uuid::new_v4().simple().to_string()[..8])
}

/// The nodes on this machine and the processes that were named.
pub(super) async fn watched(plan: &PlanArgs, client: &Client) -> Watch {
    let mut processes = local::nodes(client).await;
    processes.extend(plan.pid.iter().cloned());
    Watch::new(processes)
}
