//! Every fault under every workload, from one seed, in five minutes with all
//! that comes before and after.

use std::time::Duration;

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

/// How long faults come; to start, to heal and to judge takes the rest of five minutes.
const FAULTS_LAST: Duration = Duration::from_secs(255);

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/chaos",
    summary: "five minutes of random faults under all workloads: every invariant holds, and nothing was hollow",
    release: false,
    run: |flags, report| story(flags, report).boxed(),
};

async fn story(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    let options = Options { length: FAULTS_LAST, ..Options::new(flags.seed) };
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
