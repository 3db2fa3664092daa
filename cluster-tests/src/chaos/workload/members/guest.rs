use std::{
    net::{IpAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result};
use weir_api::v1::{ClusterStatus, paths};

use super::super::{Context, Outside, caller::Caller};
use crate::{binary, edge::Edge, process::Process};

/// A node that is there for a while. Its process ends with it, and its folder goes with it.
pub(super) struct Guest {
    pub(super) id: u64,
    pub(super) edge: Edge,
    /// Where its peers reach it.
    pub(super) peer: String,
    listen: String,
    cluster: String,
    nats: Vec<String>,
    outside: Option<Outside>,
    folder: PathBuf,
    process: Option<Process>,
}

impl Guest {
    /// Starts one that is no member yet; nothing when nobody tells which cluster this is.
    pub(super) async fn start(context: &Context, id: u64) -> Option<Self> {
        let caller = Caller::new(context, super::NAME);
        let mut cluster = None;
        for (_, edge) in context.nodes.all() {
            let status: Option<ClusterStatus> = caller.get(&edge, paths::CLUSTER).await;
            cluster = cluster.or(status.and_then(|status| status.cluster_id).map(|cluster| (cluster, edge)));
        }
        let (cluster, beside) = cluster?;
        let mut guest = Self::plan(context, id, cluster, &beside).ok()?;
        match guest.run() {
            Ok(()) => Some(guest),
            Err(error) => {
                eprintln!("guest {id} does not start: {error:#}");
                None
            }
        }
    }

    fn plan(context: &Context, id: u64, cluster: String, beside: &Edge) -> Result<Self> {
        let address = address_towards(beside)?;
        let ports = [TcpListener::bind((address, 0))?, TcpListener::bind((address, 0))?];
        let [listen, peer] = ports.map(|port| port.local_addr());
        let (listen, peer) = (listen?.to_string(), peer?.to_string());
        let edge = Edge::new(&format!("http://{listen}"));
        let (folder, nats) = (context.folder.join(format!("guest-{id}")), context.nats.clone());
        let outside = context.postgres.clone();
        Ok(Self { id, edge, peer, listen, cluster, nats, outside, folder, process: None })
    }

    /// Kills it and starts it again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn restart(&mut self) -> Result<()> {
        drop(self.process.take());
        self.run()
    }

    fn run(&mut self) -> Result<()> {
        let mut command = Command::new(binary::weir()?);
        command.arg("node").args(["--node-id", &self.id.to_string(), "--cluster-id", &self.cluster]);
        command.arg("--data-dir").arg(&self.folder);
        command.args(["--listen", &self.listen, "--peer-listen", &self.peer]);
        command.args(self.nats.iter().flat_map(|url| ["--nats", url]));
        // A setting of the whole cluster: a node with another one is refused by its peers.
        command.args(["--nats-replicas", &self.nats.len().max(1).to_string()]);
        command.args(["--log-format", "json", "--exit-with-parent"]);
        // It shares the machine with the others.
        command.env("TOKIO_WORKER_THREADS", "1");
        command.envs(self.outside.iter().map(Outside::as_variable));
        let log = self.folder.with_extension("log");
        self.process = Some(Process::start(&format!("guest {}", self.id), &mut command, &log)?);
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.process.take());
        // A folder that stays behind is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// This machine's own address on the way to a node, which may live in a network of its own.
fn address_towards(edge: &Edge) -> Result<IpAddr> {
    let host = edge.base().trim_start_matches("http://");
    let socket = UdpSocket::bind(("0.0.0.0", 0)).context("no socket")?;
    // Nothing is sent: the system only chooses its end of the way.
    socket.connect(host).with_context(|| format!("no way to {host}"))?;
    Ok(socket.local_addr()?.ip())
}
