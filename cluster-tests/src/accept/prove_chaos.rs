//! Five minutes of every fault under every workload, from one seed.

use anyhow::{Result, bail};
use futures::FutureExt as _;

use super::{Flags, Outcome, Recipe};
use crate::{
    chaos::{
        options::Options,
        run::{remove_data, run},
    },
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/chaos",
    summary: "five minutes of random faults under all workloads: every invariant holds, and nothing was hollow",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let options = Options::new(flags.seed);
    let ended = run(&options).await?;
    for (name, value) in ended.line {
        report.note(&name, value);
    }
    if ended.word != "holds" {
        bail!("{}: {:?}; replay: {}", ended.word, ended.broken, options.replay());
    }
    remove_data(&ended.folder)?;
    Ok(Outcome::Holds)
}
