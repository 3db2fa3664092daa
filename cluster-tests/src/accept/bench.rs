//! What three local nodes do, with fsync on a quorum before every answer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::{Value, json};
use weir_api::v1::paths;

use super::{Flags, Outcome, Recipe};
use crate::{Cluster, ClusterSpec, Node, report::Report, weir, window};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/bench",
    summary: "appends/s and latency at 1, 16, 64, 256 in flight; idle CPU; memory at 100,000 streams",
    release: true,
    run: |flags, report| story(report, flags).boxed(),
};

/// The bars of the first issue, on two cores shared by client and nodes.
const APPENDS_PER_SECOND_MIN: f64 = 20_000.0;
const P50_MS_MAX: f64 = 0.8;
const IDLE_CORE_MAX: f64 = 0.01;
/// How long a cluster may take to be idle after its last append.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// Streams that are touched.
const STREAMS: u64 = 100_000;

/// Measures, notes every figure, and then compares them with the bars.
///
/// # Errors
/// Naming the bars that are missed.
pub async fn story(report: &mut Report, flags: &Flags) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let idle = idle(&cluster, flags.window).await?;
    report.phase(&format!("idle: {idle:?} of a core per node"));
    report.note("idle_core_per_node", idle.clone());
    let runs = appends(&cluster, flags.window).await?;
    runs.iter().for_each(|run| report.phase(&run.to_string()));
    report.note("appends", runs.clone());
    report.note("rss_mb_before_streams", resident(&cluster)?);
    let streams = touch_streams(&cluster).await?;
    let memory = resident(&cluster)?;
    report.phase(&format!("{streams} streams touched: {memory:?} MB resident"));
    report.note("streams_touched", streams);
    report.note("rss_mb_per_node", memory);
    let begun = Instant::now();
    let mut settled = self::idle(&cluster, flags.window).await?;
    // The index is still being compacted, and the actors passivated.
    while settled.iter().any(|core| *core >= IDLE_CORE_MAX) && begun.elapsed() < SETTLES_WITHIN {
        settled = self::idle(&cluster, flags.window).await?;
    }
    report.note("idle_core_per_node_after", settled.clone());
    report.note("settled_after_s", begun.elapsed().as_secs());
    bars(&runs, &idle, &settled)?;
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

fn bars(runs: &[Value], idle: &[f64], settled: &[f64]) -> Result<()> {
    let figure = |run: &Value, name: &str| run[name].as_f64().with_context(|| format!("{run} has no {name}"));
    let (first, last) = (runs.first().context("no run")?, runs.last().context("no run")?);
    let (rate, p50) = (figure(last, "appends_per_s")?, figure(first, "p50_ms")?);
    let mut missed = Vec::new();
    if rate < APPENDS_PER_SECOND_MIN {
        missed.push(format!("{rate:.0} appends/s at 256 in flight, under {APPENDS_PER_SECOND_MIN}"));
    }
    if p50 >= P50_MS_MAX {
        missed.push(format!("p50 of {p50} ms at 1 in flight, not under {P50_MS_MAX}"));
    }
    if let Some(busy) = idle.iter().chain(settled).find(|core| **core >= IDLE_CORE_MAX) {
        missed.push(format!("an idle node takes {busy:.4} of a core, not under {IDLE_CORE_MAX}"));
    }
    ensure!(missed.is_empty(), "bars missed: {}", missed.join("; "));
    Ok(())
}

/// One run for each number in flight, by the client that is shipped.
async fn appends(cluster: &Cluster, length: Duration) -> Result<Vec<Value>> {
    let length = format!("{}s", length.as_secs());
    let args = ["bench", "append", "--session", "--in-flight", "1,16,64,256", "--duration", &length];
    let printed = weir::run(&cluster.edges(), &args).await?;
    let bench = printed.last().context("`weir bench append` printed nothing")?;
    let run = |run: &Value| {
        let ms = |name: &str| run[name].as_f64().unwrap_or(f64::NAN) / 1_000.0;
        json!({
            "in_flight": run["inFlight"],
            "appends_per_s": run["callsPerSecond"],
            "p50_ms": ms("p50Micros"),
            "p99_ms": ms("p99Micros"),
            "p999_ms": ms("p999Micros"),
            "errors": run["errors"],
        })
    };
    Ok(bench["runs"].as_array().context("bench reports no runs")?.iter().map(run).collect())
}

/// Appends to a hundred thousand new streams; how many streams there are then.
async fn touch_streams(cluster: &Cluster) -> Result<u64> {
    let streams = STREAMS.to_string();
    let args =
        ["bench", "append", "--session", "--in-flight", "256", "--streams", &streams, "--duration", "20s"];
    weir::run(&cluster.edges(), &args).await?;
    let list = cluster.node(1).edge.get(&format!("{}?limit=1", paths::STREAMS)).await?;
    let total =
        list["totalCount"].as_u64().or(list["total_count"].as_u64()).context("list names no total")?;
    ensure!(total >= STREAMS, "only {total} streams were touched");
    Ok(total)
}

/// The share of a core that each node takes while nobody asks anything.
async fn idle(cluster: &Cluster, length: Duration) -> Result<Vec<f64>> {
    let before = cluster.nodes.iter().map(cpu_seconds).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    window(length).await;
    let took = begun.elapsed().as_secs_f64();
    let after = cluster.nodes.iter().map(cpu_seconds).collect::<Result<Vec<_>>>()?;
    let share = |(after, before): (f64, f64)| ((after - before) / took * 10_000.0).round() / 10_000.0;
    Ok(after.into_iter().zip(before).map(share).collect())
}

/// User and system time of a node so far. A process's clock ticks are 1/100 s on Linux.
fn cpu_seconds(node: &Node) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid()?)).context("no /proc here")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Resident memory of each node, in megabytes.
fn resident(cluster: &Cluster) -> Result<Vec<u64>> {
    let of = |node: &Node| -> Result<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", node.pid()?)).context("no /proc here")?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
        let kilobytes: u64 = line.split_whitespace().next().context("VmRSS has no number")?.parse()?;
        Ok(kilobytes / 1024)
    };
    cluster.nodes.iter().map(of).collect()
}
