//! Members come and go under load: a learner joins and is promoted, leadership
//! is handed over, a member is removed, and SIGTERM of a leader hands over by itself.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use weir_api::v1::{MemberRole, paths};

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec, PATIENCE, audit::audit, edge::Edge, eventually, report::Report, workload::Load,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/members",
    summary: "under load: add a learner, promote it, transfer, remove a member, SIGTERM the leader",
    release: false,
    run: |_, report| story(report).boxed(),
};

/// The whole life of a membership.
///
/// # Errors
/// When a change does not happen, or an invariant is broken.
pub async fn story(report: &mut Report) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let load = Load::start("load", &cluster.edges(), 4);
    load.makes_progress(100, PATIENCE).await?;
    let fourth = join(&mut cluster, report).await?;
    load.makes_progress(50, PATIENCE).await?;
    transfer(&cluster, fourth).await?;
    report.phase("node 4 leads");
    load.makes_progress(50, PATIENCE).await?;
    transfer(&cluster, 1).await?;
    leave(&mut cluster, fourth).await?;
    report.phase("node 4 is gone");
    load.makes_progress(50, PATIENCE).await?;
    let handed_over = stop_leader(&mut cluster).await?;
    report.note("handover_ms", u64::try_from(handed_over)?);
    load.makes_progress(50, PATIENCE).await?;
    let history = load.stop().await?;
    let replicas = audit(&cluster, &history).await?;
    report.note("acked", history.acked().len());
    report.note("events", replicas[0].events.len());
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

async fn join(cluster: &mut Cluster, report: &mut Report) -> Result<u64> {
    let id = cluster.add_node()?;
    let (peer, url) = (cluster.node(id).peer(), cluster.node(id).edge.base().to_owned());
    let body = |voter: bool| json!({ "nodeId": id, "peerAddress": peer, "url": url, "voter": voter });
    change(&cluster.node(1).edge, "the learner is added", &body(false)).await?;
    has_role(cluster, id, Some(MemberRole::Learner)).await?;
    cluster.catches_up(id).await?;
    report.phase("node 4 follows as a learner");
    change(&cluster.node(1).edge, "the learner is promoted", &body(true)).await?;
    has_role(cluster, id, Some(MemberRole::Voter)).await?;
    report.phase("node 4 votes");
    Ok(id)
}

async fn change(edge: &Edge, what: &str, body: &serde_json::Value) -> Result<()> {
    eventually(what, PATIENCE, || async { Ok(edge.post(paths::CLUSTER_MEMBERS, body).await.map(|_| ())?) })
        .await
}

async fn transfer(cluster: &Cluster, to: u64) -> Result<()> {
    eventually(&format!("node {to} leads"), PATIENCE, || async {
        let leads = cluster.node(to).edge.status().await?.leader == Some(to);
        if !leads {
            cluster.node(2).edge.post(paths::CLUSTER_TRANSFER, &json!({ "to": to })).await?;
        }
        ensure!(leads, "it does not lead yet");
        Ok(())
    })
    .await
}

async fn leave(cluster: &mut Cluster, id: u64) -> Result<()> {
    let path = paths::fill(paths::CLUSTER_MEMBER, &id.to_string());
    let edge = cluster.node(1).edge.clone();
    let answer = edge.send(reqwest::Method::DELETE, &path, None).await?;
    ensure!(answer.status < 300, "removal: {} {}", answer.status, answer.body);
    has_role(cluster, id, None).await?;
    cluster.node_mut(id).stop(PATIENCE).await?;
    Ok(())
}

async fn has_role(cluster: &Cluster, id: u64, role: Option<MemberRole>) -> Result<()> {
    eventually(&format!("node {id} is {role:?}"), PATIENCE, || async {
        let status = cluster.node(2).edge.status().await?;
        let found = status.members.iter().find(|member| member.node_id == id).map(|member| member.role);
        ensure!(found == role, "it is {found:?}");
        Ok(())
    })
    .await
}

/// Stops the leader with SIGTERM; milliseconds until another leads. Starts it again.
async fn stop_leader(cluster: &mut Cluster) -> Result<u128> {
    let old = cluster.leader().await?;
    let begun = Instant::now();
    let status = cluster.node_mut(old).stop(PATIENCE).await?;
    ensure!(status.success(), "node {old} ended with {status}");
    cluster.leader_other_than(Some(old)).await.context("nobody took over")?;
    let took = begun.elapsed().as_millis();
    cluster.start_node(old)?;
    cluster.all_ready().await?;
    Ok(took)
}
