//! Two workers have the same projection. One is paused past its lease, the other goes on; woken, the first one's save is
//! refused.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use weir_client::{Append, Client, ClientOptions};

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec, PATIENCE, eventually,
    folding::{expected, registration, same, start_worker, states},
    process::Process,
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/fencing",
    summary: "two workers of one projection, one paused past its lease and woken: its late save is refused",
    release: false,
    run: |_, report| story(report, 5).boxed(),
};

const NAME: &str = "fenced";
const EVENT: &str = "parcel.moved";
const LEASE: Duration = Duration::from_millis(1_500);
/// How long a worker takes between its events and its save.
const HANDLES: Duration = Duration::from_millis(300);

/// `rounds` times: whoever has the events is paused, the other saves them, the first wakes.
///
/// # Errors
/// When a late save is taken, or what is stored is not the fold.
pub async fn story(report: &mut Report, rounds: u64) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let client = Client::new(&urls, ClientOptions { deadline: PATIENCE, ..ClientOptions::default() })?;
    client.register_projection(&registration(NAME, EVENT, LEASE)).await?;
    let mut refused = 0;
    for round in 0..rounds {
        let first = start_worker(cluster.path(), &urls, (NAME, &format!("first-{round}")), (50, HANDLES))?;
        for event in 0..20 {
            let data = json!({ "partition": format!("p-{}", event % 3) });
            client.append(&Append::to("parcel", "parcel").event(EVENT, &data).build()?).await?;
        }
        said(&first, "polled").await.context("the first worker has no events")?;
        first.pause()?;
        let second =
            start_worker(cluster.path(), &urls, (NAME, &format!("second-{round}")), (50, Duration::ZERO))?;
        let saved = said(&second, "saved").await.context("the second worker saves nothing")?;
        report.phase(&format!("round {round}: the second worker has it: {saved}"));
        let before = states(&client, NAME).await?;
        first.resume()?;
        let told = said(&first, "refused").await.context("the late save was not refused")?;
        ensure!(told.contains("lease_lost"), "the late save was refused otherwise: {told}");
        refused += 1;
        let printed = first.printed()?;
        let saves = printed.lines().take_while(|line| !line.starts_with("refused"));
        // It was paused between its first events and their save.
        ensure!(!saves.clone().any(|line| line.starts_with("saved")) || !before.is_empty(), "{printed}");
        all_folded(&client).await?;
    }
    report.note("rounds", rounds);
    report.note("late_saves_refused", refused);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// The first line of a worker that begins so.
async fn said(worker: &Process, beginning: &str) -> Result<String> {
    eventually(&format!("a worker says {beginning}"), PATIENCE, || async {
        let printed = worker.printed()?;
        let line = printed.lines().find(|line| line.starts_with(beginning));
        line.map(str::to_owned).with_context(|| format!("it said: {printed}"))
    })
    .await
}

/// All that is in the log is in the states, once and in order.
async fn all_folded(client: &Client) -> Result<()> {
    let (wanted, last) = expected(client, EVENT).await?;
    eventually("everything is folded", PATIENCE, || async {
        let status = client.projection_status(NAME).await?;
        ensure!(status.checkpoint >= last, "the checkpoint is {} of {last}", status.checkpoint);
        same(&states(client, NAME).await?, &wanted)
    })
    .await
}
