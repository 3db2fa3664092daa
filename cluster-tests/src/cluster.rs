//! A cluster of real `weir` processes on loopback, and the story's verbs:
//! kill, pause, resume, stop, start.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;
use weir_api::v1::NodeState;

use crate::{edge::Edge, eventually, nats::NatsServer, node::Node, port::free_ports};

/// How long a cluster may take to elect, to heal and to catch up on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Clusters at once in one test program: `cargo test` runs its tests on
/// threads, and these cores carry no more.
static TURNS: Semaphore = Semaphore::const_new(1);

/// What a cluster is made of.
#[derive(Debug, Clone, Copy)]
pub struct ClusterSpec {
    /// Voting members to begin with.
    pub nodes: usize,
    /// Whether there is a NATS.
    pub nats: bool,
}

/// A running cluster. Its processes end with it; its folder stays when it is
/// dropped without [`Cluster::finish`], because then something went wrong.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, in order of their ids from 1.
    pub nodes: Vec<Node>,
    /// The NATS, if there is one.
    pub nats: Option<NatsServer>,
    id: Uuid,
    folder: Option<TempDir>,
    _turn: SemaphorePermit<'static>,
}

impl Cluster {
    /// Starts a cluster and waits until every node knows the leader.
    ///
    /// # Errors
    /// When a program is missing, or no leader is there in time.
    pub async fn start(spec: ClusterSpec) -> Result<Self> {
        Self::start_in(spec, &[]).await
    }

    /// The same, with this in the environment of its nodes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_in(spec: ClusterSpec, environment: &[(&'static str, String)]) -> Result<Self> {
        Self::start_prepared(spec, |node| {
            node.set_environment(environment);
            Ok(())
        })
        .await
    }

    /// The same, with something done to each node before it starts.
    ///
    /// # Errors
    /// As [`Self::start`], and what `prepare` fails with.
    pub async fn start_prepared(
        spec: ClusterSpec,
        prepare: impl FnMut(&mut Node) -> Result<()>,
    ) -> Result<Self> {
        let turn = TURNS.acquire().await.context("the turns were closed")?;
        let folder = tempfile::Builder::new().prefix("weir-cluster-").tempdir()?;
        let nats = match spec.nats {
            true => Some(NatsServer::start(&folder.path().join("nats")).await?),
            false => None,
        };
        let mut nodes = Node::plan(folder.path(), spec.nodes)?;
        nodes.iter_mut().try_for_each(prepare)?;
        let mut cluster = Self { nodes, nats, id: Uuid::new_v4(), folder: Some(folder), _turn: turn };
        for node in 1..=spec.nodes as u64 {
            cluster.start_node(node)?;
        }
        cluster.all_ready().await?;
        Ok(cluster)
    }

    /// Where its data and its logs are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the cluster is finished").path()
    }

    /// A node by its id, from 1.
    #[must_use]
    pub fn node(&self, id: u64) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("a test names nodes that it made")
    }

    /// As [`Cluster::node`], to change it.
    pub fn node_mut(&mut self, id: u64) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).expect("a test names nodes that it made")
    }

    /// The edges of all nodes, dead ones too.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        self.nodes.iter().map(|node| node.edge.clone()).collect()
    }

    /// Starts a node on its folder and its ports; does not wait for it.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn start_node(&mut self, id: u64) -> Result<()> {
        let members: Vec<String> = self.nodes.iter().filter(|node| node.founder).map(Node::member).collect();
        let (cluster, nats) = (self.id, self.nats.as_ref().map(NatsServer::url));
        self.node_mut(id).start(cluster, &members, nats.as_deref())
    }

    /// Makes one more node, which is no member yet, and starts it. Returns its id.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn add_node(&mut self) -> Result<u64> {
        let id = self.nodes.len() as u64 + 1;
        let ports = free_ports(2)?;
        let folder = self.path().to_owned();
        self.nodes.push(Node::new(&folder, id, ports[0], ports[1], false));
        self.start_node(id)?;
        Ok(id)
    }

    /// The id of the node that leads, once one does and says so itself.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader(&self) -> Result<u64> {
        self.leader_other_than(None).await
    }

    /// The id of a leader that is not `old`.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn leader_other_than(&self, old: Option<u64>) -> Result<u64> {
        eventually("the cluster has a leader", PATIENCE, || async {
            for node in self.nodes.iter().filter(|node| Some(node.id) != old && node.is_up()) {
                if let Ok(status) = node.edge.status().await
                    && status.state == NodeState::Leader
                    && status.leader == Some(status.node_id)
                {
                    return Ok(node.id);
                }
            }
            Err(anyhow!("no node says that it leads"))
        })
        .await
    }

    /// Waits until every node that runs is ready.
    ///
    /// # Errors
    /// Naming the node that is not.
    pub async fn all_ready(&self) -> Result<()> {
        for node in self.nodes.iter().filter(|node| node.is_up()) {
            eventually(&format!("node {} is ready", node.id), PATIENCE, || node.edge.ready()).await?;
        }
        Ok(())
    }

    /// Kills the leader, and starts it again once another leads. Returns the id of the one that was killed.
    ///
    /// # Errors
    /// When there is no leader in time, or it does not come back.
    pub async fn replace_leader(&mut self) -> Result<u64> {
        let old = self.leader().await?;
        self.node_mut(old).kill()?;
        self.leader_other_than(Some(old)).await?;
        self.start_node(old)?;
        self.all_ready().await?;
        Ok(old)
    }

    /// Waits until every node that runs has applied the same last position, and returns it.
    ///
    /// # Errors
    /// Naming the positions that differ.
    pub async fn settled(&self) -> Result<u64> {
        eventually("all nodes have applied the same", PATIENCE, || async {
            let mut applied = Vec::new();
            for node in self.nodes.iter().filter(|node| node.is_up()) {
                let status = node.edge.status().await?;
                applied.push((status.applied_index, status.applied_position));
            }
            let first = *applied.first().context("no node runs")?;
            ensure!(applied.iter().all(|other| *other == first), "applied (index, position): {applied:?}");
            Ok(first.1)
        })
        .await
    }

    /// Waits until one node has applied all that the leader has committed by now.
    ///
    /// # Errors
    /// Naming how far it is.
    pub async fn catches_up(&self, id: u64) -> Result<()> {
        let goal = self.node(self.leader().await?).edge.status().await?.committed_index;
        eventually(&format!("node {id} catches up"), PATIENCE, || async {
            let applied = self.node(id).edge.status().await?.applied_index;
            ensure!(applied >= goal, "it has applied {applied} of {goal}");
            Ok(())
        })
        .await
    }

    /// Waits until JetStream holds every position up to `last`.
    ///
    /// # Errors
    /// Naming what it holds.
    pub async fn published(&self, last: u64, within: Duration) -> Result<()> {
        let nats = self.nats.as_ref().context("the cluster has no NATS")?;
        eventually("the outbox has caught up", within, || async {
            let extent = nats.extent().await?;
            ensure!(extent.last >= last, "JetStream holds {extent:?} of {last} events");
            Ok(())
        })
        .await
    }

    /// Ends the story well: stops all, checks that no node logged an error
    /// beyond those in `expected`, and removes the folder.
    ///
    /// # Errors
    /// Naming the error that a node logged.
    pub fn finish(mut self, expected: &[&str]) -> Result<()> {
        for node in &mut self.nodes {
            node.kill()?;
        }
        if let Some(nats) = &mut self.nats {
            nats.kill()?;
        }
        for node in &self.nodes {
            node.logged_no_error(expected)?;
        }
        let folder = self.folder.take().context("the folder is gone")?;
        folder.close().context("cannot remove the cluster's folder")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            let kept: PathBuf = folder.keep();
            eprintln!("the cluster's data and logs are kept in {}", kept.display());
        }
    }
}
