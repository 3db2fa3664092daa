//! The final audit of a cluster: every invariant that can be checked from outside.

use anyhow::{Context, Result};

use crate::{
    Cluster, PATIENCE,
    history::History,
    invariants::{
        acked_is_durable, outbox_delivers_all, positions_agree, refused_left_nothing,
        replicas_agree::{self, AppliedState},
        versions_are_dense,
    },
    replica::Replica,
};

/// Waits until all nodes that run have applied the same, reads each of them
/// whole, and checks A1, A2, A4, R1, R2, and O1 when there is a NATS.
/// Returns the replicas.
///
/// # Errors
/// The first broken invariant, or a cluster that does not settle.
pub async fn audit(cluster: &Cluster, history: &History) -> Result<Vec<Replica>> {
    let last = cluster.settled().await?;
    let mut replicas = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        replicas.push(node.edge.replica(node.id).await?);
    }
    for replica in &replicas {
        acked_is_durable::check(history, replica)?;
        refused_left_nothing::check(history, replica)?;
        versions_are_dense::check(replica)?;
    }
    positions_agree::check(&replicas)?;
    replicas_agree::check(&applied(cluster).await?)?;
    if cluster.nats.is_some() {
        cluster.published(last, PATIENCE).await?;
        published(cluster, replicas.first().context("no node runs")?).await?;
    }
    Ok(replicas)
}

/// Checks O1 against one replica, now.
///
/// # Errors
/// When JetStream does not hold exactly the replica's events.
pub async fn published(cluster: &Cluster, replica: &Replica) -> Result<()> {
    let nats = cluster.nats.as_ref().context("the cluster has no NATS")?;
    Ok(outbox_delivers_all::check(&nats.published().await?, replica)?)
}

async fn applied(cluster: &Cluster) -> Result<Vec<AppliedState>> {
    let mut states = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        let (index, digest) = node.edge.digest().await?;
        states.push(AppliedState { node: node.id, index, digest });
    }
    Ok(states)
}
