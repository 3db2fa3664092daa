//! Weir beside its peers, in turn, on this machine: the table and the plots of `docs/performance.md`, and the goals.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::Value;
use tokio::process::Command;

use super::{Flags, Outcome, Recipe};
use crate::{binary, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/peers",
    summary: "guarded appends beside NATS JetStream, etcd and PostgreSQL; writes docs/performance.md",
    release: true,
    run: |flags, report| story(report, flags).boxed(),
};

/// How the rates of two systems must compare at a number in flight.
const RATES: [(u64, f64, &str); 8] = [
    (1, 2.5, "nats-always"),
    (16, 1.0, "nats-default"),
    (64, 1.0, "nats-default"),
    (256, 1.0, "nats-default"),
    (64, 10.0, "etcd"),
    (256, 10.0, "etcd"),
    (64, 2.0, "postgres"),
    (256, 2.0, "postgres"),
];
const P50_MICROS_MAX_AT_1: f64 = 450.0;
const LOG_BYTES_PER_PAYLOAD_BYTE_MAX: f64 = 1.5;

/// Measures, writes the page, and tells which goals are missed: they are what Weir works towards, and what is shown
/// is where it is.
///
/// # Errors
/// When a system cannot be measured, or the page not be written.
pub async fn story(report: &mut Report, flags: &Flags) -> Result<Outcome> {
    let root = binary::workspace();
    let (scripts, made) = (root.join("bench/peers"), root.join("target/peers"));
    let (results, summary) = (made.join("results"), made.join("summary.json"));
    let window = flags.window.as_secs().to_string();
    let rounds = flags.rounds.to_string();
    let run = ["--rounds", &rounds, "--window", &window, "--out"];
    script(&scripts.join("run"), &run, &[&results]).await?;
    report.phase("measured");
    script(&scripts.join("plot"), &["--results"], &[&results, Path::new("--summary"), &summary]).await?;
    let text = std::fs::read_to_string(&summary).context("cannot read the summary")?;
    let summary: Value = serde_json::from_str(&text).context("the summary is no JSON")?;
    let missed = missed(&summary)?;
    report.phase(&format!("{} goals missed: {}", missed.len(), missed.join("; ")));
    report.note("goals_missed", missed);
    report.note("summary", summary);
    Ok(Outcome::Holds)
}

async fn script(program: &Path, args: &[&str], paths: &[&Path]) -> Result<()> {
    let mut command = Command::new("python3");
    command.arg(program).args(args).args(paths).env("WEIR_BIN", binary::weir()?);
    command.env("WEIR_NATS_SERVER", binary::nats_server()?).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.kill_on_drop(true).status().await.context("cannot start python3")?;
    ensure!(status.success(), "{} failed: {status}", program.display());
    Ok(())
}

/// Every goal that the figures miss, in words.
fn missed(summary: &Value) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    let mut goal = |holds: bool, what: String| {
        if !holds {
            missed.push(what);
        }
    };
    for (in_flight, factor, peer) in RATES {
        let (ours, theirs) = (
            figure(summary, "weir", in_flight, "callsPerSecond")?,
            figure(summary, peer, in_flight, "callsPerSecond")?,
        );
        let what =
            format!("at {in_flight} in flight {ours:.0}/s, under {factor} times {theirs:.0}/s of {peer}");
        goal(ours >= factor * theirs, what);
    }
    let p50 = figure(summary, "weir", 1, "p50Micros")?;
    goal(p50 < P50_MICROS_MAX_AT_1, format!("p50 of {p50:.0} µs at 1 in flight"));
    for (in_flight, name) in [(64, "p99Micros"), (256, "serverCpuPer1000")] {
        let ours = figure(summary, "weir", in_flight, name)?;
        let theirs = figure(summary, "nats-default", in_flight, name)?;
        goal(
            ours <= theirs,
            format!("{name} of {ours:.3} at {in_flight} in flight, over {theirs:.3} of NATS"),
        );
    }
    let bytes = summary["logBytesPerPayloadByte"].as_f64().context("no log bytes were told")?;
    goal(bytes < LOG_BYTES_PER_PAYLOAD_BYTE_MAX, format!("{bytes:.2} bytes of log per byte of data"));
    Ok(missed)
}

fn figure(summary: &Value, system: &str, in_flight: u64, name: &str) -> Result<f64> {
    let find = |list: &Value, key: &str, wanted: &Value| {
        list.as_array().and_then(|list| list.iter().find(|entry| entry[key] == *wanted)).cloned()
    };
    let system_found = find(&summary["systems"], "system", &system.into());
    let runs = system_found.with_context(|| format!("{system} was not measured"))?["runs"].take();
    let run = find(&runs, "inFlight", &in_flight.into());
    let run = run.with_context(|| format!("{system} was not measured at {in_flight} in flight"))?;
    run[name].as_f64().with_context(|| format!("{system} has no {name} at {in_flight} in flight"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary(weir: f64, nats_cpu: f64) -> Value {
        let runs = |rate: f64, cpu: f64| -> Vec<Value> {
            let run = |in_flight: u64| {
                json!({"inFlight": in_flight, "callsPerSecond": rate, "p50Micros": 400, "p99Micros": 9,
                       "serverCpuPer1000": cpu})
            };
            [1, 16, 64, 256].map(run).to_vec()
        };
        let peer = |name: &str, rate, cpu| json!({"system": name, "runs": runs(rate, cpu)});
        json!({"logBytesPerPayloadByte": 1.2, "systems": [
            peer("weir", weir, 0.04), peer("nats-default", 100.0, nats_cpu), peer("nats-always", 100.0, 1.0),
            peer("etcd", 100.0, 1.0), peer("postgres", 100.0, 1.0)]})
    }

    #[test]
    fn each_goal_is_compared_side_by_side() {
        assert_eq!(missed(&summary(1_000.0, 0.05)).expect("all are there"), Vec::<String>::new());
        assert_eq!(missed(&summary(999.0, 0.05)).expect("all are there").len(), 2);
        assert_eq!(missed(&summary(1_000.0, 0.03)).expect("all are there").len(), 1);
        assert!(missed(&json!({"systems": []})).is_err());
    }
}
