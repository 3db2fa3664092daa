//! Reducers that loop, grow, throw and worse, on every node at once: each is parked where it must be, and appends, a good
//! projection and leadership go on.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec, PATIENCE, audit::audit, eventually, projections, report::Report, workload::Load,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/bad-reducers",
    summary: "reducers that loop, allocate, throw, return a cycle or skip: each is told apart, and harms nothing else",
    release: false,
    run: |_, report| story(report, 500).boxed(),
};

/// What each does with an event, and what it is told.
const BAD: [(&str, &str, &str); 7] = [
    ("loops", "for (;;) {}", "took more than"),
    ("recurses", "const f = () => f(); f()", "Maximum call stack"),
    ("allocates", "const a = []; for (;;) a.push('x'.repeat(100000) + a.length)", "out of memory"),
    ("throws", "throw new RangeError('too far')", "RangeError: too far"),
    ("calls", "state.missing.call()", "TypeError"),
    ("cycles", "state.self = state", "circular"),
    ("promises", "return Promise.resolve(state)", "must not be async"),
];

fn source(name: &str, body: &str, more: &str) -> String {
    format!(
        "export const name = '{name}'; export const events = ['*']; {more}\n\
         export const initialState = () => ({{count: 0}});\n\
         export function handler(state, event) {{ {body} }}\n"
    )
}

/// Appends `appends` beside the bad reducers.
///
/// # Errors
/// Naming what felt them.
pub async fn story(report: &mut Report, appends: u64) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let edge = &cluster.node(1).edge;
    edge.deploy(&source("good", "state.count += 1", "")).await?;
    let third = "if (event.position % 3 === 0) throw new Error('third'); state.count += 1";
    edge.deploy(&source("skips", third, "export const onError = 'skip';")).await?;
    for (name, body, _) in BAD {
        edge.deploy(&source(name, body, "")).await?;
    }
    let load = Load::start("load", &cluster.edges(), 4);
    load.makes_progress(appends, PATIENCE * 2).await?;
    let history = load.stop().await?;
    report.phase("the load is over");
    let replicas = audit(&cluster, &history).await?;
    let last = replicas[0].events.len() as u64;
    projections::folded(&cluster, "good", last).await?;
    for node in &cluster.nodes {
        for (name, _, told) in BAD {
            eventually(&format!("`{name}` is parked on node {}", node.id), PATIENCE, || async {
                let status = node.edge.projection(name).await?;
                let message = status.error.map(|error| (error.position, error.message));
                let right = message.as_ref().is_some_and(|(at, text)| *at == 1 && text.contains(told));
                ensure!(right, "it says {message:?}");
                Ok(())
            })
            .await?;
        }
        let good = node.edge.view("good", "consistency=local").await?["state"]["state"]["count"].as_u64();
        ensure!(good == Some(last), "node {} counts {good:?} of {last}", node.id);
    }
    skipped(&cluster, last).await?;
    report.note("events", last);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// Every third event is a dead letter on every node, up to as many as may be, and digests agree.
async fn skipped(cluster: &Cluster, last: u64) -> Result<()> {
    let due = (last / 3).min(weir_types::limits::PROJECTION_DEAD_LETTERS_MAX);
    let mut digests = Vec::new();
    for node in &cluster.nodes {
        let status = eventually(&format!("`skips` is folded on node {}", node.id), PATIENCE, || async {
            let status = node.edge.projection("skips").await?;
            ensure!(status.lag == 0 || status.error.is_some(), "it lags by {}", status.lag);
            Ok(status)
        })
        .await?;
        ensure!(status.dead_letters == due, "node {} skipped {} of {due}", node.id, status.dead_letters);
        digests.push((status.checkpoint, status.digest));
    }
    ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "nodes differ: {digests:?}");
    Ok(())
}
