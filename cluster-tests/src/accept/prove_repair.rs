//! What a majority holds heals by itself: a damaged record, a wiped folder, a
//! vote that cannot be read. What no majority holds is refused.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use weir_api::v1::{MemberRole, MemberStatus, paths};

use super::{Outcome, Recipe, damage, nats_outage::COUNTER};
use crate::{
    Cluster, ClusterSpec, PATIENCE, audit::audit, edge::CallError, eventually, history::History, projections,
    report::Report, window, workload::Load,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/repair",
    summary: "under load: a damaged record, a wiped follower twice, a wiped leader, a damaged vote; then two wiped of three",
    release: false,
    run: |flags, report| story(report, flags.seed).boxed(),
};

/// Ids are given by the cluster from here on; the last six digits are the configured id.
const SEATS: u64 = 1_000_000;
/// How long an admission may take: a leader waits to know who is silent, and then the log is sent.
const SEAT_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long two wiped nodes are watched.
const WATCHED: Duration = Duration::from_secs(5);

/// All of it.
async fn story(report: &mut Report, seed: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: true }).await?;
    let counter = cluster.node(1).edge.deploy(COUNTER).await?;
    let load = Load::start("load", &cluster.edges(), 4);
    load.makes_progress(500, PATIENCE).await?;
    let victim = follower(&cluster).await?;
    let offset = damage::mends(&mut cluster, victim, seed, report).await?;
    report.note("mended at byte", offset);
    load.makes_progress(100, PATIENCE).await?;
    let mut took = Vec::new();
    for round in ["wiped", "wiped again"] {
        took.push(wipe(&mut cluster, victim, report, round).await?);
        load.makes_progress(100, PATIENCE).await?;
    }
    let leader = cluster.leader().await?;
    took.push(wipe(&mut cluster, leader, report, "wiped as the leader").await?);
    load.makes_progress(100, PATIENCE).await?;
    let condemned = follower(&cluster).await?;
    took.push(damage_vote(&mut cluster, condemned, report).await?);
    load.makes_progress(100, PATIENCE).await?;
    report.note("seat_ms", took);
    let history = load.stop().await?;
    let last = ends_well(&cluster, &history, report).await?;
    folds_on(&cluster, &counter, last).await?;
    report.phase("every node has the projection, and its consumer");
    two_of_three(&mut cluster, &history, report).await?;
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// The short form: one wiped follower, then two wiped of three.
///
/// # Errors
/// What does not hold.
pub async fn small(report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let load = Load::start("load", &cluster.edges(), 4);
    load.makes_progress(100, PATIENCE).await?;
    let victim = follower(&cluster).await?;
    wipe(&mut cluster, victim, report, "wiped").await?;
    load.makes_progress(100, PATIENCE).await?;
    let history = load.stop().await?;
    ends_well(&cluster, &history, report).await?;
    two_of_three(&mut cluster, &history, report).await?;
    cluster.finish(&[])
}

/// The audit. How many events there are.
async fn ends_well(cluster: &Cluster, history: &History, report: &mut Report) -> Result<u64> {
    let replicas = audit(cluster, history).await?;
    let events = replicas.first().context("no node runs")?.events.len();
    report.note("acked", history.acked().len());
    report.note("events", events);
    Ok(u64::try_from(events)?)
}

/// Checks that every node has folded all of `last` events into the same view, and that JetStream has one
/// consumer per seat, which the holder of the seat took over: none is left of ids that are gone.
async fn folds_on(cluster: &Cluster, counter: &str, last: u64) -> Result<()> {
    projections::folded(cluster, counter, last).await?;
    for node in &cluster.nodes {
        let count = node.edge.view(counter, "consistency=local").await?["state"]["state"]["count"].as_u64();
        ensure!(count == Some(last), "the projection of node {} counts {count:?} of {last}", node.id);
    }
    let nats = cluster.nats.as_ref().context("the cluster has no NATS")?;
    eventually("every seat has one consumer, which was given all", PATIENCE, || async {
        let consumers = nats.consumers().await?;
        let all_given = consumers.values().all(|given| *given == last);
        let seats =
            (1..=3).filter(|seat| consumers.keys().any(|name| name.starts_with(&format!("weir-{seat}-"))));
        ensure!(consumers.len() == 3 && seats.count() == 3 && all_given, "{consumers:?}, last is {last}");
        Ok(())
    })
    .await
}

async fn follower(cluster: &Cluster) -> Result<u64> {
    let leader = cluster.leader().await?;
    Ok(leader % 3 + 1)
}

/// Kills a node, empties its folder and starts it; milliseconds until it votes under a new id.
async fn wipe(cluster: &mut Cluster, id: u64, report: &Report, what: &str) -> Result<u64> {
    let old = holder(cluster, id).await?.node_id;
    cluster.node_mut(id).kill()?;
    fs::remove_dir_all(cluster.node(id).data())?;
    report.phase(&format!("node {id} is {what}"));
    seated_above(cluster, id, old, report).await
}

/// Damages a node's vote beyond mending; milliseconds from its start until it votes under a new id.
async fn damage_vote(cluster: &mut Cluster, id: u64, report: &Report) -> Result<u64> {
    let old = holder(cluster, id).await?.node_id;
    cluster.node_mut(id).stop(PATIENCE).await?;
    let data = cluster.node(id).data().to_path_buf();
    let bad = damage::damage_vote(&data)?;
    report.phase(&format!("the vote of node {id} is damaged"));
    let took = seated_above(cluster, id, old, report).await?;
    let kept = fs::read_dir(&data)?.filter_map(Result::ok).map(|entry| entry.path());
    let kept: Vec<_> = kept.filter(|path| is_aside(path)).collect();
    ensure!(kept.len() == 1, "what is aside: {kept:?}");
    ensure!(fs::read(kept[0].join("log/1/vote"))? == bad, "the damaged vote is not kept");
    Ok(took)
}

fn is_aside(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("aside-"))
}

/// Starts a node, and waits until it votes under an id over `old`, which is gone.
async fn seated_above(cluster: &mut Cluster, id: u64, old: u64, report: &Report) -> Result<u64> {
    let begun = Instant::now();
    cluster.start_node(id)?;
    let new = eventually(&format!("node {id} takes its seat again"), SEAT_WAIT_MAX, || async {
        let found = holder(cluster, id).await?;
        ensure!(found.node_id > old, "the seat is still that of node {}", found.node_id);
        ensure!(found.role == MemberRole::Voter, "it does not vote yet");
        Ok(found.node_id)
    })
    .await?;
    let took = u64::try_from(begun.elapsed().as_millis())?;
    eventually(&format!("node {id} is ready"), PATIENCE, || cluster.node(id).edge.ready()).await?;
    let status = cluster.node(id).edge.status().await?;
    ensure!(status.node_id == new, "it takes itself for node {}", status.node_id);
    report.phase(&format!("node {id} votes as node {new}, after {took} ms"));
    Ok(took)
}

/// The one member that has a seat, as the leader sees it.
async fn holder(cluster: &Cluster, seat: u64) -> Result<MemberStatus> {
    let leader = cluster.leader().await?;
    let members = cluster.node(leader).edge.status().await?.members;
    let mut holders = members.into_iter().filter(|member| member.node_id % SEATS == seat);
    let found = holders.next().with_context(|| format!("nobody has seat {seat}"))?;
    ensure!(holders.next().is_none(), "seat {seat} has two holders");
    Ok(found)
}

/// Wipes both followers at once: they are told why they are not admitted, nothing is served, nothing is
/// invented, and they do not begin a second cluster when the one that kept its folder is away.
async fn two_of_three(cluster: &mut Cluster, history: &History, report: &Report) -> Result<()> {
    let leader = leader_who_does_not_begin(cluster).await?;
    let wiped: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    for id in &wiped {
        cluster.node_mut(*id).kill()?;
        fs::remove_dir_all(cluster.node(*id).data())?;
    }
    for id in &wiped {
        cluster.start_node(*id)?;
    }
    report.phase(&format!("nodes {wiped:?} are wiped at once"));
    for id in &wiped {
        eventually(&format!("node {id} says why it waits"), PATIENCE, || async {
            let said = cluster.node(*id).logged()?;
            ensure!(said.contains("no leader answers that a majority of the voters confirms"), "it does not");
            Ok(())
        })
        .await?;
        eventually(&format!("node {id} answers"), PATIENCE, || cluster.node(*id).edge.status()).await?;
    }
    window(WATCHED).await;
    for id in &wiped {
        let status = cluster.node(*id).edge.status().await?;
        ensure!(status.members.is_empty() && status.applied_position == 0, "it was let in: {status:?}");
        let event = json!({ "expectedVersion": -1, "events": [{ "name": "made.up", "data": {} }] });
        let path = paths::fill(paths::STREAM_EVENTS, "invented");
        let refused: Result<_, CallError> = cluster.node(*id).edge.post(&path, &event).await;
        ensure!(refused.is_err(), "it took an append");
    }
    let kept = usize::try_from(cluster.node(leader).edge.status().await?.applied_position)?;
    let acked = history.acked().len();
    ensure!(kept >= acked, "node {leader} holds {kept} of {acked} events");
    no_second_cluster(cluster, &wiped, report).await
}

/// The leader, which is made to be another than node 1: that one begins clusters.
async fn leader_who_does_not_begin(cluster: &Cluster) -> Result<u64> {
    eventually("another node than 1 leads", PATIENCE, || async {
        let leader = cluster.leader().await?;
        if leader == 1 {
            let to = holder(cluster, 2).await?.node_id;
            cluster.node(1).edge.post(paths::CLUSTER_TRANSFER, &json!({ "to": to })).await?;
        }
        ensure!(cluster.leader().await? != 1, "it still leads");
        cluster.leader().await
    })
    .await
}

/// Starts a wiped majority alone, with `bootstrap` set as it was: it does not begin a cluster of its own.
async fn no_second_cluster(cluster: &mut Cluster, wiped: &[u64], report: &Report) -> Result<()> {
    for id in 1..=3 {
        cluster.node_mut(id).kill()?;
    }
    let said_before = cluster.node(1).logged()?.len();
    for id in wiped {
        cluster.start_node(*id)?;
    }
    report.phase("the one that kept its folder is away");
    eventually("node 1 says that it does not begin", PATIENCE, || async {
        let said = cluster.node(1).logged()?.split_off(said_before);
        ensure!(
            said.contains("only 2 of 3 members were met, and 3 are needed to begin"),
            "it does not:\n{said}"
        );
        Ok(())
    })
    .await?;
    for id in wiped {
        let status = cluster.node(*id).edge.status().await?;
        ensure!(status.members.is_empty(), "a second cluster began: {status:?}");
    }
    Ok(())
}
