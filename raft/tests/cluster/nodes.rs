//! Nodes in one process, over real loopback TCP, with real stores in a temporary folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use uuid::Uuid;
use weir_raft::{
    ClusterStatus, ForwardHandler, Founders, JoinOptions, PeerNetwork, PeerNode, RaftNode, RaftOptions,
    RaftTiming, RepairError, RepairOptions, Standing, ask_for_seat, repair,
};
use weir_storage::{
    folder::{DataFolder, Identity},
    group_store::GroupStore,
    log::{LogConfig, LogThread},
};
use weir_types::{
    AppendError, AppendOutcome, ClusterId, ContentType, DecidedAppend, DecidedEvent, DecidedWrite, EntityId,
    EntityType, EventId, EventName, EventSource, GroupId, Incarnation, NodeId, StreamVersion, Term,
    Timestamp, WriteOutcome,
};

/// How long a condition may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(0xC1));

pub fn timing() -> RaftTiming {
    RaftTiming {
        heartbeat_interval: Duration::from_millis(100),
        election_timeout_min: Duration::from_millis(500),
        election_timeout_max: Duration::from_millis(1_000),
        ..RaftTiming::default()
    }
}

/// Waits until `condition` gives something.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Answers what is forwarded with who asked, and what.
struct Echo;

#[async_trait::async_trait]
impl ForwardHandler for Echo {
    async fn handle(&self, from: NodeId, body: Bytes) -> Bytes {
        [format!("node {from} said ").as_bytes(), &body].concat().into()
    }
}

/// All nodes of a test.
pub struct Nodes {
    dir: TempDir,
    running: BTreeMap<u64, RaftNode>,
    ports: BTreeMap<u64, u16>,
    /// Of the nodes that are started from now on.
    pub config_checksum: u64,
    pub timing: RaftTiming,
}

impl Nodes {
    /// Starts nodes that belong to no cluster yet.
    pub async fn start(nodes: impl IntoIterator<Item = u64>) -> Self {
        Self::start_with(timing(), nodes).await
    }

    async fn start_with(timing: RaftTiming, nodes: impl IntoIterator<Item = u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (running, ports) = (BTreeMap::new(), BTreeMap::new());
        let mut all = Self { dir, running, ports, config_checksum: 1, timing };
        for node in nodes {
            all.start_node(node).await;
        }
        all
    }

    /// Starts a cluster of these voters.
    pub async fn cluster(voters: impl IntoIterator<Item = u64> + Clone) -> Self {
        Self::cluster_with(timing(), voters).await
    }

    /// The same with other timings.
    pub async fn cluster_with(timing: RaftTiming, voters: impl IntoIterator<Item = u64> + Clone) -> Self {
        let all = Self::start_with(timing, voters.clone()).await;
        let first = voters.clone().into_iter().next().unwrap();
        let members = voters.into_iter().map(|node| (NodeId(node), all.peer(node))).collect();
        all.node(first).initialize(members, Founders::Majority).await.unwrap();
        all.leader().await;
        all
    }

    pub async fn start_node(&mut self, node: u64) {
        self.start_node_of(node, CLUSTER).await;
    }

    /// Starts a node, again on its port and in its folder if it ran before.
    pub async fn start_node_of(&mut self, node: u64, cluster: ClusterId) {
        let port = self.ports.get(&node).copied().unwrap_or(0);
        let listener =
            eventually("the port is free", async || TcpListener::bind(("127.0.0.1", port)).await.ok()).await;
        self.ports.insert(node, listener.local_addr().unwrap().port());
        let folder = self.open_folder(node, cluster).await;
        let incarnation = folder.incarnation();
        let store = open_store(&folder);
        let options = RaftOptions {
            cluster,
            node: folder.identity().node,
            incarnation,
            network: PeerNetwork::tcp(listener),
            config_checksum: self.config_checksum,
            store,
            timing: self.timing.clone(),
            forward: Arc::new(Echo),
        };
        self.running.insert(node, RaftNode::start(options).await.unwrap());
    }

    /// Opens a node's stores, once whatever had them has let go.
    pub async fn open_store(&self, node: u64, cluster: ClusterId) -> GroupStore {
        open_store(&self.open_folder(node, cluster).await)
    }

    /// Stops a node and empties its folder.
    pub async fn wipe(&mut self, node: u64) {
        self.stop(node).await;
        drop(self.open_store(node, CLUSTER).await);
        std::fs::remove_dir_all(self.folder(node)).unwrap();
    }

    /// How a node's folder, or none, stands with the nodes that run; with `wants` it is admitted.
    pub async fn standing(&self, node: u64, incarnation: Option<Incarnation>, wants: bool) -> Standing {
        let options = JoinOptions {
            cluster: CLUSTER,
            config_checksum: self.config_checksum,
            seat: NodeId(node),
            incarnation,
            own: self.ports.get(&node).map_or_else(PeerNode::default, |_| self.peer(node)),
            peers: self.running.keys().map(|other| self.peer(*other).peer).collect(),
        };
        ask_for_seat(&options, wants).await
    }

    /// Takes the seat of a node whose folder was wiped, and starts it. Returns the id that it has now.
    pub async fn take_seat(&mut self, node: u64) -> u64 {
        let folder = self.open_folder(node, CLUSTER).await;
        let incarnation = Some(folder.incarnation());
        let given = eventually("the folder is admitted", async || {
            match self.standing(node, incarnation, true).await {
                Standing::Member(given) => Some(given),
                Standing::Later(_) | Standing::Taken { .. } | Standing::NoLeader | Standing::NoCluster => {
                    None
                }
                other => panic!("{other:?}"),
            }
        })
        .await;
        drop(folder.seated(given).unwrap());
        self.start_node(node).await;
        given.0
    }

    /// Mends the log of a node that does not run; how many places were damaged.
    pub async fn repair(&self, node: u64) -> Result<usize, RepairError> {
        let folder = self.open_folder(node, CLUSTER).await;
        let config_checksum = self.config_checksum;
        let peers = BTreeSet::new();
        repair(&RepairOptions { folder, group: GroupId::DEFAULT, config_checksum, peers }).await
    }

    async fn open_folder(&self, node: u64, cluster: ClusterId) -> DataFolder {
        let path = self.folder(node);
        eventually("the folder is free", async || {
            DataFolder::open(&path, Identity { cluster, node: NodeId(node) }).ok()
        })
        .await
    }

    pub fn folder(&self, node: u64) -> std::path::PathBuf {
        self.dir.path().join(format!("node-{node}"))
    }

    pub async fn stop(&mut self, node: u64) {
        let stopped = self.running.remove(&node).expect("the node runs");
        stopped.shutdown().await.unwrap();
    }

    pub fn node(&self, node: u64) -> &RaftNode {
        &self.running[&node]
    }

    pub fn ids(&self) -> Vec<u64> {
        self.running.keys().copied().collect()
    }

    pub fn peer(&self, node: u64) -> PeerNode {
        let port = self.ports[&node];
        PeerNode::at(format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port ^ 1))
    }

    pub fn status(&self, node: u64) -> ClusterStatus {
        self.node(node).status()
    }

    /// The node that decides, and its term.
    pub async fn leader(&self) -> (u64, Term) {
        eventually("a leader decides", async || {
            let statuses = self.running.values().map(RaftNode::status);
            statuses.filter(|status| status.decides).map(|status| (status.node.seat().0, status.term)).next()
        })
        .await
    }

    /// Appends one event at the leader, finding it again when it has changed.
    pub async fn append(&self, entity: &str, base: u64) -> WriteOutcome {
        eventually("the append is answered", async || {
            let (leader, term) = self.leader().await;
            match self.node(leader).proposer().write(term, decided(entity, base, 1)).await {
                Ok(outcome) => Some(outcome),
                Err(AppendError::NotLeader { .. } | AppendError::Unavailable { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await
    }

    /// Waits until all running nodes have applied the same, at least `position`.
    pub async fn agree_at(&self, position: u64) -> Vec<ClusterStatus> {
        eventually("all nodes have applied the same", async || {
            let statuses: Vec<_> = self.running.values().map(RaftNode::status).collect();
            let first = statuses.first()?;
            let same = statuses.iter().all(|status| {
                (status.applied, status.position, status.digest)
                    == (first.applied, first.position, first.digest)
            });
            (same && first.position.0 >= position).then_some(statuses)
        })
        .await
    }
}

fn open_store(folder: &DataFolder) -> GroupStore {
    let thread = LogThread::start(Box::new(|error| panic!("log failed: {error}"))).unwrap();
    GroupStore::open(folder, GroupId::DEFAULT, LogConfig::default(), &thread).unwrap().store
}

/// An append of `count` small events to a stream at version `base`.
pub fn decided(entity: &str, base: u64, count: usize) -> DecidedWrite {
    let event = |number: usize| DecidedEvent {
        id: EventId(Uuid::from_u128(u128::from(base) + number as u128)),
        name: EventName::new("order.placed").unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from_static(b"{\"amount\":12}"),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    };
    DecidedWrite::Append(DecidedAppend {
        judged: None,
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        base: StreamVersion(base),
        idempotency: None,
        recorded_at: Timestamp(1),
        events: (0..count).map(event).collect(),
    })
}

/// Whether an append was taken at exactly this version.
pub fn appended_at(outcome: &WriteOutcome, version: u64) -> bool {
    matches!(outcome, WriteOutcome::Append(AppendOutcome::Appended { first_version, .. }) if first_version.0 == version)
}
