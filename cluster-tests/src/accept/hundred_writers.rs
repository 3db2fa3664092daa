//! A hundred writers on one stream: one winner per version, and the others
//! learn the version that the stream is at.

use anyhow::{Result, bail, ensure};
use futures::{FutureExt as _, future::join_all};
use weir_api::ErrorCode;

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec,
    audit::audit,
    edge::{CallError, Edge},
    history::{Acked, History},
    report::Report,
    workload::guarded,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/hundred-writers",
    summary: "100 writers on one stream: one winner per version, conflicts name the actual version",
    release: false,
    run: |_, report| story(report, 100, 50).boxed(),
};

/// `rounds` times, `writers` appends at once that all expect the same version.
///
/// # Errors
/// When a version has not exactly one winner, or a conflict names another version.
pub async fn story(report: &mut Report, writers: usize, rounds: u64) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let (edges, mut history) = (cluster.edges(), History::default());
    report.phase("cluster is ready");
    for version in 0..rounds {
        round(&edges, &mut history, writers, version).await?;
    }
    report.phase("every version has one winner");
    let replicas = audit(&cluster, &history).await?;
    ensure!(replicas[0].events.len() as u64 == rounds, "the log holds {} events", replicas[0].events.len());
    report.note("writers", writers);
    report.note("versions", rounds);
    report.note("conflicts", history.refused().len());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

async fn round(edges: &[Edge], history: &mut History, writers: usize, version: u64) -> Result<()> {
    let ops: Vec<String> = (0..writers).map(|writer| format!("v{version}-w{writer}")).collect();
    ops.iter().for_each(|op| history.attempt(op));
    let calls = ops.iter().enumerate().map(|(writer, op)| async move {
        edges[writer % edges.len()].append("contended", &guarded(op, version)).await
    });
    let mut winners = 0;
    for (op, answer) in ops.iter().zip(join_all(calls).await) {
        match answer {
            Ok(told) => {
                winners += 1;
                let (version, position) = (told.last_version, told.last_position);
                history.ack(Acked { op: op.clone(), entity_id: "contended".to_owned(), version, position });
            }
            Err(CallError::Refused { error, .. }) if error.code == ErrorCode::VersionConflict => {
                let actual = error.details.get("actualVersion").and_then(serde_json::Value::as_u64);
                ensure!(actual == Some(version + 1), "op {op} was told that the stream is at {actual:?}");
                history.refuse(op, error.code.as_str());
            }
            Err(error) => bail!("op {op}: {error}"),
        }
    }
    ensure!(winners == 1, "version {} has {winners} winners", version + 1);
    Ok(())
}
