//! The model of the index buffer's hand-over, under many interleavings.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use futures::FutureExt;

use super::{Flags, Outcome, Recipe};
use crate::{binary::workspace, process::Process, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/interleavings",
    summary: "the index buffer's hand-over to the engine under many interleavings of its threads",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Interleavings for each second of `--window`, about as many as one core explores.
const RUNS_A_SECOND: u64 = 1_000;

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("weir-interleavings-").tempdir()?;
    let runs = flags.window.as_secs().max(1) * RUNS_A_SECOND;
    report.phase(&format!("cargo test with --cfg shuttle, {runs} interleavings of each kind"));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "-p", "weir-storage", "--lib", "handover", "--", "--nocapture"]);
    command.current_dir(workspace()).env("RUSTFLAGS", "--cfg shuttle");
    command.env("CARGO_TARGET_DIR", workspace().join("target/shuttle"));
    command.env("WEIR_INTERLEAVINGS", runs.to_string());
    let mut process = Process::start("cargo", &mut command, &folder.path().join("printed.log"))?;
    let status = process.ended(PATIENCE).await?;
    let printed = process.printed()?;
    let lines: Vec<&str> = printed.lines().collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n");
    ensure!(
        status.success(),
        "the model ended with {status}; shuttle names the schedule that replays it:\n{tail}"
    );
    let models = lines.iter().filter(|line| line.contains("figures ")).count() as u64;
    ensure!(models > 0, "no model ran:\n{tail}");
    report.note("models", models);
    report.note("interleavings", models * 2 * runs);
    Ok(Outcome::Holds)
}
