//! Damage of every kind to every part of a store.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe, prove_storage::run};
use crate::report::Report;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/damage-sweep",
    summary: "every bit of a store flipped, every length, every block: refused by name or harmless",
    release: false,
    run: |_, report| story(report).boxed(),
};

/// Bytes of the index and of the state that are flipped.
const STORE_FLIPS: &str = "400";

async fn story(report: &mut Report) -> Result<Outcome> {
    let log = run("damage_sweep", &[("WEIR_DAMAGE_SWEEP", "all")], report).await?;
    let silent: u64 = log.values().map(|test| test["silent"].as_u64().unwrap_or(1)).sum();
    ensure!(silent == 0, "{silent} damages of the log were not seen");
    let stores = run("damage_stores", &[("WEIR_DAMAGE_STORES_FLIPS", STORE_FLIPS)], report).await?;
    let wrong = stores["index-flips"]["wrong"].as_u64();
    ensure!(wrong == Some(0), "the index gave {wrong:?} wrong answers");
    Ok(Outcome::Holds)
}
