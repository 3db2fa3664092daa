//! Power cut after every operation of the log's disk.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Flags, Outcome, Recipe, prove_storage::run};
use crate::report::Report;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/crash-points",
    summary: "power cut, kill and failure after every operation of the log's disk: nothing promised is lost",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

/// Crash states that are opened and compared.
const STATES_A_MINUTE_MIN: u64 = 20_000;

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let seconds = flags.window.as_secs().to_string();
    let run = run("crash_points", &[("WEIR_CRASH_POINTS_SECONDS", &seconds)], report).await?;
    let rate = run["cuts"]["states_a_minute"].as_u64().unwrap_or_default();
    ensure!(rate >= STATES_A_MINUTE_MIN, "{rate} states a minute, under {STATES_A_MINUTE_MIN}");
    Ok(Outcome::Holds)
}
