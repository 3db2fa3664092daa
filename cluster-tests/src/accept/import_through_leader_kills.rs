//! The main job on real data: an import that goes through two kills of the leader.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::{Flags, Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec,
    audit::audit,
    dataset::{ACTIVITY, CASE, DEPARTMENT, Dataset, Row, TIME},
    edge::Edge,
    eventually,
    history::History,
    projections::{self, CASES, DEPARTMENTS},
    replica::{Replica, StoredEvent},
    report::Report,
    weir,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/import-through-leader-kills",
    summary: "the permit file into three nodes, the leader killed -9 twice: streams, positions, JetStream and views are right",
    release: false,
    run: |flags, report| run(flags, report).boxed(),
};

/// How long the import may take, kills included.
const IMPORT: Duration = Duration::from_secs(600);

async fn run(flags: &Flags, report: &mut Report) -> Result<Outcome> {
    match flags.data.clone().or_else(Dataset::real) {
        Some(path) => story(report, &Dataset::read(&path)?).await,
        None => Ok(Outcome::Skipped(
            "the permit file is not here: name it by --data or WEIR_PERMIT_DATA".to_owned(),
        )),
    }
}

/// Imports, kills at a third and at two thirds, imports again, and compares everything with the file.
///
/// # Errors
/// The first thing that is not as the file says.
pub async fn story(report: &mut Report, data: &Dataset) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    for name in [DEPARTMENTS, CASES] {
        let source = projections::example(name)?;
        cluster.node(1).edge.deploy(&source).await?;
    }
    let total = data.events() as u64;
    report.phase(&format!("import of {total} events begins"));
    import_under_fire(&mut cluster, data, report).await?;
    let again = import(&cluster.edges(), data).await.context("import run again")?;
    let repeated = again.last().context("import printed nothing")?;
    ensure!(
        repeated["appended"] == 0 && repeated["alreadyThere"] == total,
        "import run again says {repeated}"
    );
    report.phase("imported, and imported again");
    cluster.all_ready().await?;
    let replicas = audit(&cluster, &History::default()).await?;
    report.phase("versions, positions and JetStream are right");
    for replica in &replicas {
        ensure!(
            replica.events.len() as u64 == total,
            "node {} has {} events",
            replica.node,
            replica.events.len()
        );
        equals_the_file(replica, data)?;
    }
    reads_back(&cluster.node(2).edge, data).await?;
    report.phase("every stream reads back equal to the file");
    for name in [DEPARTMENTS, CASES] {
        projections::folded(&cluster, name, total).await?;
    }
    projections::equal_the_fold(&cluster, &data.path).await?;
    report.phase("the views on every node equal the independent fold");
    report.note("events", total);
    report.note("streams", data.cases.len());
    report.note("leader_kills", 2);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

async fn import_under_fire(cluster: &mut Cluster, data: &Dataset, report: &Report) -> Result<()> {
    let total = data.events() as u64;
    let (edges, data) = (cluster.edges(), data.clone());
    let mut running = tokio::spawn(async move { import(&edges, &data).await });
    for goal in [total / 3, total * 2 / 3] {
        tokio::select! {
            reached = reaches(cluster, goal) => reached?,
            ended = &mut running => bail!("the import ended before position {goal}: {:?}", ended?),
        }
        let leader = cluster.leader().await?;
        cluster.node_mut(leader).kill()?;
        report.phase(&format!("node {leader}, the leader, is killed past position {goal}"));
        cluster.leader_other_than(Some(leader)).await?;
        cluster.start_node(leader)?;
    }
    let printed = tokio::time::timeout(IMPORT, running).await.context("the import does not end")???;
    report.phase(&format!("import says {}", printed.last().unwrap_or(&Value::Null)));
    Ok(())
}

async fn import(edges: &[Edge], data: &Dataset) -> Result<Vec<Value>> {
    let file = data.path.to_str().context("the file's path is not UTF-8")?;
    let args = [
        "import",
        "--csv",
        file,
        "--entity-type",
        "permit",
        "--entity-id",
        CASE,
        "--event-name",
        ACTIVITY,
        "--occurred-at",
        TIME,
    ];
    weir::run(edges, &args).await
}

async fn reaches(cluster: &Cluster, goal: u64) -> Result<()> {
    eventually(&format!("the import reaches position {goal}"), IMPORT, || async {
        for node in cluster.nodes.iter().filter(|node| node.is_up()) {
            if node.edge.status().await.is_ok_and(|status| status.applied_position >= goal) {
                return Ok(());
            }
        }
        Err(anyhow!("no node is there yet"))
    })
    .await
}

fn equals_the_file(replica: &Replica, data: &Dataset) -> Result<()> {
    let streams = replica.streams();
    ensure!(streams.len() == data.cases.len(), "node {} has {} streams", replica.node, streams.len());
    for (case, rows) in &data.cases {
        let events = streams.get(case.as_str()).with_context(|| format!("no stream of {case}"))?;
        ensure!(
            events.len() == rows.len(),
            "stream {case} has {} events, the file {}",
            events.len(),
            rows.len()
        );
        for (event, row) in events.iter().zip(rows) {
            equals_the_row(event, row).with_context(|| format!("{case} version {}", event.version))?;
        }
    }
    Ok(())
}

fn equals_the_row(event: &StoredEvent, row: &Row) -> Result<()> {
    ensure!(event.name == row[ACTIVITY], "its name is {}, the file's {}", event.name, row[ACTIVITY]);
    ensure!(event.occurred_at.is_some(), "it has no occurred time");
    for (column, value) in row.iter().filter(|(column, _)| ![CASE, ACTIVITY, TIME].contains(&column.as_str()))
    {
        let held = &event.data[column];
        let same = held.as_str() == Some(value) || (value.is_empty() && held.is_null());
        ensure!(same, "column {column} is {held}, the file's {value:?}");
    }
    ensure!(event.data[DEPARTMENT] == row[DEPARTMENT], "the department is gone");
    Ok(())
}

/// The same by the read that clients use, linearizable, on one node.
async fn reads_back(edge: &Edge, data: &Dataset) -> Result<()> {
    for (case, rows) in &data.cases {
        let page = edge.read(case, "limit=4000").await?;
        let held: Vec<&str> = page.events.iter().map(|event| event.name.as_str()).collect();
        let told: Vec<&str> = rows.iter().map(|row| row[ACTIVITY].as_str()).collect();
        ensure!(held == told, "stream {case} reads {held:?}, the file {told:?}");
    }
    Ok(())
}
