//! Runs one of the storage crate's own proofs at length and takes its figures.
//! The proofs look inside the store, which no crate but its own may.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::{binary::workspace, process::Process, report::Report};

/// A build on two cores, and the proof after it.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// What a line of figures begins with.
const FIGURES: &str = "figures ";

/// Runs the integration test `test` of `storage` with these variables. Its
/// figures, by the name of each test, are noted in the report and returned.
///
/// # Errors
/// When a test fails, with the last of what it said, or when it says no figures.
pub async fn run(test: &str, variables: &[(&str, &str)], report: &mut Report) -> Result<Map<String, Value>> {
    report.phase(&format!("cargo test -p weir-storage --test {test}, with {variables:?}"));
    let folder = tempfile::Builder::new().prefix("weir-prove-").tempdir()?;
    let mut process = start(test, variables, &folder.path().join("printed.log"))?;
    let status = process.ended(PATIENCE).await?;
    let printed = process.printed()?;
    let lines: Vec<&str> = printed.lines().collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n");
    ensure!(status.success(), "{test} ended with {status}:\n{tail}");
    let mut figures = Map::new();
    for line in lines.iter().filter_map(|line| line.split_once(FIGURES).map(|(_, figures)| figures)) {
        let Value::Object(mut told) = serde_json::from_str(line)? else { continue };
        let name = told.remove("test").context("figures name their test")?;
        let name = name.as_str().context("a test's name is text")?.to_owned();
        report.note(&name, Value::Object(told.clone()));
        figures.insert(name, Value::Object(told));
    }
    ensure!(!figures.is_empty(), "{test} told no figures:\n{tail}");
    Ok(figures)
}

fn start(test: &str, variables: &[(&str, &str)], log: &Path) -> Result<Process> {
    let mut process = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    process.args(["test", "-p", "weir-storage", "--test", test, "--", "--nocapture", "--test-threads", "2"]);
    process.current_dir(workspace()).envs(variables.iter().copied());
    Process::start("cargo", &mut process, log)
}
