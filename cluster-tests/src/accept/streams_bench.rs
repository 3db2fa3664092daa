//! What streams cost beyond single appends to many of them: one that all write, an invariant, transactions,
//! subscribers.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Flags, Outcome, Recipe, prove_speed::measure};
use crate::{Cluster, ClusterSpec, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/bench",
    summary: "one hot stream, appends that an invariant judges, transactions over two streams, 1 to 1,000 subscribers",
    release: true,
    run: |flags, report| story(report, flags).boxed(),
};

/// A measurement: its name and the arguments of `weir bench`. None has a goal yet but to be answered.
const MEASURED: [(&str, &[&str]); 5] = [
    ("hot_stream", &["append", "--hot", "--in-flight", "1,16,64,256"]),
    ("many_streams", &["append", "--in-flight", "1,16,64,256"]),
    ("under_an_invariant", &["append", "--invariant", "--in-flight", "1,16,64,256"]),
    ("transactions_over_2", &["transact", "--in-flight", "1,16,64"]),
    ("subscribers", &["subscribe", "--in-flight", "1,10,100,1000"]),
];

/// Measures and notes every figure.
///
/// # Errors
/// When a call was refused or not answered.
pub async fn story(report: &mut Report, flags: &Flags) -> Result<Outcome> {
    for (name, args) in MEASURED {
        let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
        let runs = measure(&cluster, args, flags).await?;
        for run in &runs {
            let errors = run["errors"].as_object().is_none_or(|errors| !errors.is_empty());
            ensure!(
                !errors && run["callsPerSecond"].as_f64() > Some(0.0),
                "{name} was not all answered: {run}"
            );
        }
        report.phase(&format!("{name}: measured"));
        report.note(name, runs);
        cluster.finish(&[])?;
    }
    Ok(Outcome::Holds)
}
