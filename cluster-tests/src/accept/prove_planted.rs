//! The harness proves itself: every bug of [`Planted`] is planted alone into a
//! cluster that chaos attacks, and chaos must tell the right reason within ten minutes.

mod attack;
mod catch;
mod expected;
mod plan;
mod table;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::{Value, json};
use weir_types::Planted;

use self::{attack::attack, expected::expected, plan::PLANS, table::Table};
use super::{Flags, Outcome, Recipe};
use crate::{
    binary::{beside, workspace},
    process::Process,
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/planted",
    summary: "bugs planted one by one: chaos catches each within ten minutes, and for the right reason",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

/// How long the harness may take to catch a bug, over all its runs.
const BUDGET: Duration = Duration::from_secs(600);
/// A build of the node on two cores.
const BUILD_WITHIN: Duration = Duration::from_secs(30 * 60);

/// How a bug was caught.
struct Caught {
    by: String,
    took: Duration,
    seed: u64,
}

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let plants = chosen(flags)?;
    build(report).await?;
    if flags.only.is_none() {
        control(flags, report).await?;
    }
    let (mut rows, mut missed, mut table) = (Vec::new(), Vec::new(), Table::create()?);
    report.phase(&format!("the table grows in {}", table.path().display()));
    for plant in plants {
        match catch(*plant, flags.seed).await? {
            Ok(Caught { by, took, seed }) => {
                let seconds = took.as_secs();
                report.phase(&table.row(&format!("| `{plant}` | {by} | {seconds} | {seed} |"))?);
                rows.push(json!({ "plant": plant.name(), "caughtBy": by, "seconds": seconds, "seed": seed }));
            }
            Err(told) => {
                report.phase(&table.row(&format!("| `{plant}` | not caught: {told} | | |"))?);
                missed.push(plant.name());
            }
        }
    }
    report.note("planted", rows.len() + missed.len());
    report.note("caught", rows.len());
    report.note("plants", Value::Array(rows));
    ensure!(missed.is_empty(), "not caught: {}", missed.join(", "));
    Ok(Outcome::Holds)
}

fn chosen(flags: &Flags) -> Result<Vec<&'static Planted>> {
    let Some(only) = &flags.only else {
        return Ok(Planted::ALL.iter().collect());
    };
    for name in only {
        name.parse::<Planted>()?;
    }
    Ok(Planted::ALL.iter().filter(|plant| only.iter().any(|name| plant.name() == name)).collect())
}

/// `weir-planted`, beside `weir` and never in its place.
async fn build(report: &Report) -> Result<()> {
    report.phase("building weir-planted");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--package", "weir-node", "--features", "planted", "--bin", "weir-planted"]);
    cargo.current_dir(workspace());
    let folder = tempfile::Builder::new().prefix("weir-planted-").tempdir()?;
    let mut process = Process::start("cargo", &mut cargo, &folder.path().join("printed.log"))?;
    let status = process.ended(BUILD_WITHIN).await?;
    ensure!(status.success(), "weir-planted was not built: {}", process.printed()?);
    beside("weir-planted").map(drop)
}

/// Without a bug the same binary under the same plans gives no finding.
async fn control(flags: &Flags, report: &mut Report) -> Result<()> {
    for plan in PLANS {
        let told = attack(plan, None, plan.lengths_s()[0], flags.seed).await?;
        ensure!(!told.is_broken(), "nothing was planted, and plan {plan:?} found {told}");
        report.phase(&format!("nothing planted, plan {plan:?}: no finding"));
    }
    report.note("control", "no finding");
    Ok(())
}

/// Attacks ever longer until the bug shows as it should. Else what was told last.
async fn catch(plant: Planted, seed: u64) -> Result<Result<Caught, String>> {
    let (plan, catches) = expected(plant);
    let begun = Instant::now();
    let mut last = String::new();
    for (seed, length_s) in (seed..).zip(plan.lengths_s()) {
        if begun.elapsed() + Duration::from_secs(length_s) > BUDGET {
            break;
        }
        let told = attack(plan, Some(plant), length_s, seed).await?;
        if let Some(by) = catches.iter().find(|catch| told.shows(catch)) {
            return Ok(Ok(Caught { by: by.to_string(), took: begun.elapsed(), seed }));
        }
        last = told.to_string();
    }
    Ok(Err(last))
}
