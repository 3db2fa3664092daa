use anyhow::Context as _;
use uuid::Uuid;

use super::{DevFlags, banner, folder::DevFolder};
use crate::{
    config::NodeConfig,
    node::{self, RunningNode},
    shutdown::{self, Signals},
    telemetry::{self, tell},
};

/// Runs one node in this process until a signal.
pub async fn run(
    flags: &DevFlags,
    folder: &DevFolder,
    nats: Option<String>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    telemetry::log_to_stderr(flags.log_format, &flags.log_filter).map_err(anyhow::Error::msg)?;
    let running = start(folder, nats).await?;
    banner::welcome(folder);
    tokio::select! {
        _ = shutdown::reason(signals, false) => {}
        reason = running.failed() => anyhow::bail!("node has failed: {reason}"),
    }
    tell("stopping");
    running.stop().await;
    Ok(())
}

/// Starts the node and waits until it answers.
pub async fn start(folder: &DevFolder, nats: Option<String>) -> anyhow::Result<RunningNode> {
    let plan = config(folder, folder.cluster, nats).check().context("checking the dev node's config")?;
    let running = node::start(plan).await?;
    running.ready().await?;
    Ok(running)
}

fn config(folder: &DevFolder, cluster: Uuid, nats: Option<String>) -> NodeConfig {
    let node = &folder.nodes[0];
    NodeConfig {
        node_id: Some(node.id),
        cluster_id: Some(cluster),
        data_dir: folder.node_dir(node.id),
        listen: node.listen,
        peer_listen: node.peer_listen,
        bootstrap: true,
        nats: nats.into_iter().collect(),
        ..NodeConfig::default()
    }
}
