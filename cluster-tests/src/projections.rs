//! The example projections: deployed as they are shipped, and compared with a fold that shares no code with them.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_api::v1::paths;

use crate::{
    Cluster, PATIENCE,
    binary::workspace,
    edge::{Edge, encoded},
    eventually,
    invariants::{
        replicas_agree::{self, AppliedState},
        view_is_fold::{self, Views},
    },
};

/// Counts events and cases per department.
pub const DEPARTMENTS: &str = "permit-departments";
/// Keeps each case's last activity.
pub const CASES: &str = "permit-cases";

/// The source of a shipped example.
///
/// # Errors
/// When it is not there.
pub fn example(name: &str) -> Result<String> {
    let file = workspace().join("docs/examples").join(format!("{name}.js"));
    std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// Waits until every node that runs has folded up to `last`, and checks R1: at
/// one checkpoint, one digest.
///
/// # Errors
/// Naming the node that has not, and where it is parked if it is; or the digests that differ.
pub async fn folded(cluster: &Cluster, name: &str, last: u64) -> Result<()> {
    let mut states = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        eventually(&format!("node {} has folded `{name}`", node.id), PATIENCE, || async {
            let status = node.edge.projection(name).await?;
            ensure!(
                status.checkpoint >= last,
                "checkpoint {} of {last}; {:?}",
                status.checkpoint,
                status.error_message
            );
            Ok(())
        })
        .await?;
        let status = node.edge.projection(name).await?;
        states.push(AppliedState { node: node.id, index: status.checkpoint, digest: status.digest });
    }
    Ok(replicas_agree::check(&states)?)
}

/// All partitions of a projection on one node.
///
/// # Errors
/// When no answer comes or it is a refusal.
pub async fn views(edge: &Edge, name: &str) -> Result<Views> {
    let (mut views, mut after) = (Views::new(), String::new());
    loop {
        let path = paths::fill(paths::PROJECTION_PARTITIONS, name);
        let page = edge.get(&format!("{path}?limit=1000&after={}", encoded(&after))).await?;
        let keys: Vec<&str> =
            page["partitions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let Some(last) = keys.last() else { return Ok(views) };
        after = (*last).to_owned();
        for key in keys {
            let view = edge.view(name, &format!("consistency=local&partition={}", encoded(key))).await?;
            views.insert(key.to_owned(), view["state"]["state"].clone());
        }
    }
}

/// The same views by `fold_permits.py`: of [`DEPARTMENTS`] and of [`CASES`].
///
/// # Errors
/// When Python is missing or the file is not what it should be.
pub fn independent_fold(file: &Path) -> Result<(Views, Views)> {
    let script = workspace().join("cluster-tests/scripts/fold_permits.py");
    let out = Command::new("python3").arg(script).arg(file).output().context("cannot start python3")?;
    ensure!(out.status.success(), "fold_permits.py failed: {}", String::from_utf8_lossy(&out.stderr));
    let folded: Value = serde_json::from_slice(&out.stdout).context("fold_permits.py printed no JSON")?;
    let views = |key: &str| -> Result<Views> { Ok(serde_json::from_value(folded[key].clone())?) };
    Ok((views(DEPARTMENTS)?, views(CASES)?))
}

/// Checks P2: both examples on every node that runs are what the file folds to.
///
/// # Errors
/// The first partition that is not.
pub async fn equal_the_fold(cluster: &Cluster, file: &Path) -> Result<()> {
    let (departments, cases) = independent_fold(file)?;
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        for (name, fold) in [(DEPARTMENTS, &departments), (CASES, &cases)] {
            view_is_fold::check(node.id, name, &views(&node.edge, name).await?, fold)?;
        }
    }
    Ok(())
}
