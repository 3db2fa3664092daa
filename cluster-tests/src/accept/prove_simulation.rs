//! Simulated clusters: seed after seed, the first ones twice.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::{Flags, Outcome, Recipe};
use crate::{binary::workspace, process::Process, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/simulation",
    summary: "simulated clusters, seed after seed for --window seconds, some twice; then every planted bug",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

/// Seeds that are run twice: their traces must be equal.
const TWICE: u64 = 20;
/// Seeds that may go by before a planted bug is caught.
const SEEDS_PER_PLANT: u64 = 20;
/// For the build, and what the simulation itself says of its end.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let window = flags.window.max(Duration::from_secs(60));
    let (from, seconds, twice) = (flags.seed.to_string(), window.as_secs().to_string(), TWICE.to_string());
    let many = ["many", "--from", &from, "--seconds", &seconds, "--twice", &twice];
    let told = simulate(&many, window, report).await?;
    report.note("seeds", told["tally"].clone());
    ensure!(told["tally"]["twice"].as_u64() >= Some(TWICE), "only {} ran twice", told["tally"]["twice"]);
    let told = simulate(&["plants", "--seeds", &SEEDS_PER_PLANT.to_string()], window, report).await?;
    report.note("caught_by_seed", told["plants"].clone());
    Ok(Outcome::Holds)
}

/// Runs `weir-sim`; the figures that it says last.
async fn simulate(args: &[&str], window: Duration, report: &mut Report) -> Result<Value> {
    report.phase(&format!("weir-sim {}", args.join(" ")));
    let folder = tempfile::Builder::new().prefix("weir-prove-").tempdir()?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "-p", "weir-sim", "--"]).args(args).current_dir(workspace());
    let mut process = Process::start("weir-sim", &mut command, &folder.path().join("printed.log"))?;
    let status = process.ended(window + PATIENCE).await?;
    let printed = process.printed()?;
    let lines: Vec<&str> = printed.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    ensure!(status.success(), "weir-sim ended with {status}:\n{tail}");
    let figures = lines.iter().rev().find_map(|line| serde_json::from_str(line).ok());
    figures.with_context(|| format!("weir-sim said no figures:\n{tail}"))
}
