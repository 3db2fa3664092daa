//! What three nodes do beyond single appends: large appends, an open loop, reads of streams, catch-up.

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{Flags, Outcome, Recipe};
use crate::{Cluster, ClusterSpec, report::Report, weir};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/speed",
    summary: "appends of 100 events, an open loop, stream reads, catch-up reads of the log",
    release: true,
    run: |flags, report| story(report, flags).boxed(),
};

/// A measurement: its name, the arguments of `weir bench`, the figure that has a goal, and the goal.
const MEASURED: [(&str, &[&str], &str, f64); 4] = [
    (
        "appends_of_100_events",
        &["append", "--events", "100", "--in-flight", "16,64", "--streams", "10000"],
        "eventsPerSecond",
        300_000.0,
    ),
    ("open_loop_5000", &["append", "--rate", "5000", "--in-flight", "1024"], "callsPerSecond", 4_950.0),
    ("stream_reads", &["read", "--in-flight", "16", "--streams", "200"], "callsPerSecond", 10_000.0),
    (
        "catch_up",
        &["read", "--log", "--page", "4096", "--in-flight", "1,4", "--streams", "2000"],
        "eventsPerSecond",
        800_000.0,
    ),
];

/// Measures, notes every figure, and then compares them with the goals.
///
/// # Errors
/// Naming the goals that are missed.
pub async fn story(report: &mut Report, flags: &Flags) -> Result<Outcome> {
    let mut missed = Vec::new();
    for (name, args, figure, goal) in MEASURED {
        let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
        let runs = measure(&cluster, args, flags).await?;
        let best = runs.iter().filter_map(|run| run[figure].as_f64()).fold(0.0, f64::max);
        report.phase(&format!("{name}: {best:.0} ({figure}), goal {goal:.0}"));
        report.note(name, runs);
        if best < goal {
            missed.push(format!("{name}: {best:.0} of {goal:.0}"));
        }
        cluster.finish(&[])?;
    }
    ensure!(missed.is_empty(), "goals missed: {}", missed.join("; "));
    Ok(Outcome::Holds)
}

/// The runs of `weir bench` with these arguments, for as long as the flags say.
pub(super) async fn measure(cluster: &Cluster, args: &[&str], flags: &Flags) -> Result<Vec<Value>> {
    let window = format!("{}s", flags.window.as_secs());
    let mut words = vec!["bench"];
    words.extend(args);
    words.extend(["--duration", &window]);
    let printed = weir::run(&cluster.edges(), &words).await?;
    let report = printed.last().context("`weir bench` printed nothing")?;
    let kept = |run: &Value| {
        let cpu = run["cpu"].as_array().into_iter().flatten();
        let cpu: Vec<Value> = cpu.map(|line| json!([line["name"], line["secondsPer1000Calls"]])).collect();
        json!({
            "inFlight": run["inFlight"],
            "callsPerSecond": run["callsPerSecond"],
            "eventsPerSecond": run["eventsPerSecond"],
            "p50Micros": run["p50Micros"],
            "p99Micros": run["p99Micros"],
            "errors": run["errors"],
            "unanswered": run["unanswered"],
            "cpuSecondsPer1000Calls": cpu,
        })
    };
    Ok(report["runs"].as_array().context("the bench reports no runs")?.iter().map(kept).collect())
}
