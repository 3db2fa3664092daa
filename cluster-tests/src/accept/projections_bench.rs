//! How fast projections fold and are rebuilt, and how soon an acknowledged event is in a view, on one node.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::{Flags, Outcome, Recipe, prove_speed::measure};
use crate::{Cluster, ClusterSpec, report::Report, weir};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/bench",
    summary: "folds and a rebuild of 200,000 and of 1,000,000 events; from an answer to its view, with and without NATS",
    release: true,
    run: |flags, report| story(report, flags).boxed(),
};

/// The bars of the issue, on two cores that client and node share.
const COUNTER_EVENTS_PER_SECOND_MIN: f64 = 250_000.0;
const VIEW_P99_MS_MAX: f64 = 20.0;
/// Events of the folds, and how often each is measured. The bar is of the first, by the median: a single run of a second
/// is as likely to measure what else the machine did.
const FOLDS: [(&str, usize); 2] = [("200000", 5), ("1000000", 1)];
/// Views are read at this rate.
const VIEW: [&str; 5] = ["view", "--rate", "1000", "--in-flight", "64"];
const BY: [&str; 2] = ["read", "event"];

/// Measures, notes every figure, and then compares them with the bars.
///
/// # Errors
/// Naming the bars that are missed.
pub async fn story(report: &mut Report, flags: &Flags) -> Result<Outcome> {
    let mut missed = Vec::new();
    for (events, runs) in FOLDS {
        let (mut all, mut counters) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let folds = folds(events).await?;
            let counter = folds.first().and_then(|fold| fold["eventsPerSecond"].as_f64());
            counters.push(counter.context("no fold of a counter")?);
            all.push(folds);
        }
        counters.sort_by(f64::total_cmp);
        let median = counters[runs / 2];
        if events == FOLDS[0].0 && median < COUNTER_EVENTS_PER_SECOND_MIN {
            missed.push(format!("{median:.0} events/s of a counter, under {COUNTER_EVENTS_PER_SECOND_MIN}"));
        }
        report.phase(&format!("{events} events are folded: {median:.0}/s by a counter, median of {runs}"));
        report.note(&format!("folds_of_{events}"), all);
    }
    for nats in [false, true] {
        let name = if nats { "view_by_jetstream" } else { "view_by_log" };
        for (by, run) in views(nats, flags).await? {
            let errors = run["errors"].as_object().is_none_or(|errors| !errors.is_empty());
            ensure!(!errors && run["callsPerSecond"].as_f64() > Some(0.0), "{name} {by} has errors: {run}");
            let p99 = run["p99Micros"].as_f64().context("a run has no p99")? / 1_000.0;
            if p99 >= VIEW_P99_MS_MAX {
                missed.push(format!("{name} {by}: p99 of {p99} ms, not under {VIEW_P99_MS_MAX}"));
            }
            report.phase(&format!("{name} {by}: p99 {p99} ms"));
            report.note(&format!("{name}_{by}"), run);
        }
    }
    ensure!(missed.is_empty(), "bars missed: {}", missed.join("; "));
    Ok(Outcome::Holds)
}

/// Folds of so many events, and the rebuild of one.
async fn folds(events: &str) -> Result<Vec<Value>> {
    let cluster = Cluster::start(ClusterSpec { nodes: 1, nats: false }).await?;
    let printed = weir::run(&cluster.edges(), &["bench", "fold", "--events", events]).await?;
    cluster.finish(&[])?;
    let folds = printed.last().context("`weir bench fold` printed nothing")?["folds"].as_array().cloned();
    folds.context("the bench reports no folds")
}

/// One run for each way in which a view is waited for.
async fn views(nats: bool, flags: &Flags) -> Result<Vec<(&'static str, Value)>> {
    let cluster = Cluster::start(ClusterSpec { nodes: 1, nats }).await?;
    let mut runs = Vec::new();
    for by in BY {
        let args: Vec<&str> = VIEW.into_iter().chain(["--by", by]).collect();
        let run = measure(&cluster, &args, flags).await?.pop().context("the bench reports no run")?;
        runs.push((by, run));
    }
    cluster.finish(&[])?;
    Ok(runs)
}
