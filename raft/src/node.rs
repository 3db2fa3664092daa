//! One node of one group: everything put together, started and stopped.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;
use weir_storage::group_store::GroupStore;
use weir_types::{
    ClusterId, GroupId, Incarnation, NodeId,
    ports::{EventReader, LeadershipWatch, Proposer, RuleStore, ViewStore},
};

use crate::{
    admission::{self, Admissions},
    applied::Applied,
    apply::{Applier, ApplyError},
    buckets::BucketReader,
    heard::Heard,
    leadership::{Contact, GroupLeadership},
    log_store::LogStore,
    meeting::Founders,
    membership::{Members, MembershipError},
    network::{
        self, ForwardError, ForwardHandler, LinkFactory, Links, Myself, PeerNetwork, PeerServer,
        ServerOptions,
    },
    observe,
    off_runtime::off_runtime,
    proposer::LogProposer,
    read::{GroupReader, ReadRounds},
    seats::Seats,
    state_machine::StateMachine,
    status::ClusterStatus,
    succession,
    timing::RaftTiming,
    types::{PeerNode, Raft, peer_of},
    views::GroupViews,
};

/// What a node is started with.
pub struct RaftOptions {
    /// The cluster that the data folder belongs to.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// What tells the data folder from every other that the node ever had.
    pub incarnation: Incarnation,
    /// Where peers connect, and how they are reached.
    pub network: PeerNetwork,
    /// A checksum of the settings that must be equal on all nodes; a peer with another one is refused.
    pub config_checksum: u64,
    /// The stores of the group, open.
    pub store: GroupStore,
    /// The clockwork.
    pub timing: RaftTiming,
    /// Answers what other nodes forward to this one.
    pub forward: Arc<dyn ForwardHandler>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The timings contradict each other.
    #[error("raft timing is not legal: {reason}")]
    Timing {
        /// How.
        reason: String,
    },
    /// What is committed could not be replayed into the index.
    #[error("log could not be replayed: {0}")]
    Replay(#[from] ApplyError),
    /// The index or the log could not be read.
    #[error("stores could not be read: {0}")]
    Store(#[from] std::io::Error),
    /// openraft refused what it found.
    #[error("raft did not start: {reason}")]
    Raft {
        /// Why.
        reason: String,
    },
}

/// A sole voter waits for nobody: it stands for election at once.
async fn stand_if_alone(raft: &Raft) -> Result<(), StartError> {
    if raft.voter_ids().eq([*raft.node_id()]) {
        let failed = |fatal: openraft::errors::Fatal<_>| StartError::Raft { reason: fatal.to_string() };
        raft.trigger().elect(false).await.map_err(failed)?;
    }
    Ok(())
}

/// A running node of one group. Dropping it stops the peers' server and all
/// tasks, ungracefully; prefer [`RaftNode::shutdown`].
pub struct RaftNode {
    cluster: ClusterId,
    group: GroupId,
    raft: Raft,
    store: GroupStore,
    timing: RaftTiming,
    links: Arc<Links>,
    applied: watch::Receiver<Applied>,
    leadership: GroupLeadership,
    proposer: Arc<LogProposer>,
    reader: Arc<GroupReader>,
    views: Arc<GroupViews>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl RaftNode {
    /// Replays what the index lacks, starts Raft and begins to answer peers.
    /// The node takes part in its cluster at once; a node that belongs to none
    /// yet waits to be initialised or added.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: RaftOptions) -> Result<Self, StartError> {
        let RaftOptions { cluster, node, incarnation, config_checksum: config, .. } = options;
        let RaftOptions { network: PeerNetwork { listener, dialer }, store, timing, forward, .. } = options;
        let group = store.group();
        let raft_config =
            timing.config().map_err(|error| StartError::Timing { reason: error.to_string() })?;
        replay(node, store.clone()).await?;
        let log = LogStore::new(store.log.clone(), group);
        let machine = StateMachine::new(store.clone(), log.clone())?;
        let applied = machine.applied();
        let silence_max = timing.peer_silence_max;
        let admissions = Arc::new(Admissions::new(node, incarnation));
        let myself = Myself { cluster, node, incarnation, config, silence_max, dialer };
        let links = Arc::new(Links::new(myself, admissions.clone()));
        let factory = LinkFactory::new(links.clone(), group);
        let raft = Raft::new(node.0, Arc::new(raft_config), factory, log, machine)
            .await
            .map_err(|fatal| StartError::Raft { reason: fatal.to_string() })?;
        let stop = CancellationToken::new();
        let following = (raft.clone(), links.clone(), admissions.clone());
        tokio::spawn(follow_members(following, stop.child_token()));
        stand_if_alone(&raft).await?;
        let contact = Contact { heard: Arc::new(Heard::new()), silence_max: timing.leader_silence_max() };
        let seats = Seats::new(raft.clone(), timing.clone());
        let ended = succession::watch(raft.clone(), links.clone(), stop.child_token());
        let server = ServerOptions {
            cluster,
            node,
            incarnation,
            admissions: admissions.clone(),
            config,
            group,
            raft: raft.clone(),
            heard: contact.heard.clone(),
            log: store.log.clone(),
            seats: seats.clone(),
            ended,
            forward,
        };
        tokio::spawn(seats.keep(stop.child_token()));
        tokio::spawn(PeerServer::new(server, stop.child_token()).serve(listener));
        tokio::spawn(observe::publish_gauges(raft.clone(), group, stop.child_token()));
        let recording =
            admission::record(raft.clone(), admissions, timing.outcome_wait_max, stop.child_token());
        tokio::spawn(recording);
        let leadership = GroupLeadership::follow(&raft, applied.clone(), contact, stop.child_token());
        let proposer = LogProposer::start(raft.clone(), leadership.clone(), &timing);
        let rounds =
            ReadRounds::start(raft.clone(), links.clone(), group, leadership.clone(), timing.read_wait_max);
        let reader = GroupReader::new(store.clone(), applied.clone(), rounds, timing.clone());
        let views = GroupViews::new(store.clone(), applied.clone());
        let stop_on_drop = stop.clone().drop_guard();
        info!(node_id = node.0, group = group.0, applied = applied.borrow().index().0, "raft started");
        Ok(Self {
            cluster,
            group,
            raft,
            store,
            timing,
            links,
            applied,
            leadership,
            proposer,
            reader,
            views,
            stop,
            _stop_on_drop: stop_on_drop,
        })
    }

    /// The way into the log.
    #[must_use]
    pub fn proposer(&self) -> Arc<dyn Proposer> {
        self.proposer.clone()
    }

    /// The way out of the log.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn EventReader> {
        self.reader.clone()
    }

    /// Who leads.
    #[must_use]
    pub fn leadership(&self) -> Arc<dyn LeadershipWatch> {
        Arc::new(self.leadership.clone())
    }

    /// What is in the key-value buckets here.
    #[must_use]
    pub fn buckets(&self) -> Arc<BucketReader> {
        BucketReader::new(self.store.clone())
    }

    /// Rules and schemas of events.
    #[must_use]
    pub fn rules(&self) -> Arc<dyn RuleStore> {
        self.views.clone()
    }

    /// Views and checkpoints.
    #[must_use]
    pub fn views(&self) -> Arc<dyn ViewStore> {
        self.views.clone()
    }

    /// What this node knows of its cluster. From memory.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        let now = self.raft.metrics().borrow_watched().clone();
        let (leadership, applied) = (self.leadership.current(), *self.applied.borrow());
        let status = observe::status((self.cluster, self.group), &now, leadership, applied);
        // A state that writes nothing any more would hold back every view until somebody looks.
        let stopped = status.stopped.clone().or_else(|| self.store.state.failure());
        ClusterStatus { stopped, ..status }
    }

    /// A member's addresses; `None` for a node that is no member as far as this node knows.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<PeerNode> {
        peer_of(&self.raft, node)
    }

    /// Sends a request to the [`ForwardHandler`] of a member and waits at most
    /// `wait_max` for its answer.
    ///
    /// # Errors
    /// [`ForwardError::NotSent`] only when it was certainly not handled.
    pub async fn forward(
        &self,
        target: NodeId,
        body: Bytes,
        wait_max: Duration,
    ) -> Result<Bytes, ForwardError> {
        let Some(peer) = self.peer(target) else {
            return Err(ForwardError::NotSent { target, reason: "it is no member of the cluster".into() });
        };
        network::forward(&self.links, (target, &peer.peer), body, wait_max).await
    }

    fn members(&self) -> Members<'_> {
        let (raft, leadership) = (&self.raft, &self.leadership);
        Members { raft, leadership, timing: &self.timing, myself: self.links.myself() }
    }

    /// Begins the cluster with these voters, this node among them. Once in a
    /// cluster's life, on one node; the others learn of it from there. As many of
    /// them as `founders` says must run: their data folders are recorded with them.
    ///
    /// # Errors
    /// [`MembershipError::AlreadyInitialized`] ever after; [`MembershipError::TooFew`]
    /// when fewer were met in 5 seconds.
    pub async fn initialize(
        &self,
        members: BTreeMap<NodeId, PeerNode>,
        founders: Founders,
    ) -> Result<(), MembershipError> {
        self.members().initialize(members, founders).await
    }

    /// Adds a node that follows the log without a vote, or gives a member new
    /// addresses. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MembershipError`]; `NotLeader` anywhere but on the leader.
    pub async fn add_learner(&self, node: NodeId, peer: PeerNode) -> Result<(), MembershipError> {
        self.members().add_learner(node, peer).await
    }

    /// Gives a learner a vote, after waiting until it has caught up.
    ///
    /// # Errors
    /// [`MembershipError`]; `NotLeader` anywhere but on the leader.
    pub async fn promote(&self, node: NodeId) -> Result<(), MembershipError> {
        self.members().promote(node).await
    }

    /// Removes a member, the leader itself included. Its id must not be used again.
    ///
    /// # Errors
    /// [`MembershipError::WouldLoseQuorum`] when too few healthy voters would be left.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        self.members().remove(node).await
    }

    /// Moves leadership to a voter and waits until it has moved.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), MembershipError> {
        self.members().transfer_leader(to).await
    }

    /// Hands leadership, if this node has it, to the most caught-up healthy
    /// voter, and waits. `None` when there was nothing to hand over or nobody to take it.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn hand_over(&self) -> Result<Option<NodeId>, MembershipError> {
        self.members().hand_over().await
    }

    /// Stops: refuses new work, ends Raft and the links, and makes the index and
    /// the state durable so that the next start has little to replay. Hand over first.
    ///
    /// # Errors
    /// When the index or the state could not be made durable. Nothing is lost
    /// then: the next start replays more.
    pub async fn shutdown(&self) -> Result<(), weir_types::ReadError> {
        self.proposer.close();
        if let Err(error) = self.raft.shutdown().await {
            info!(node_id = *self.raft.node_id(), %error, "raft had stopped already");
        }
        self.stop.cancel();
        self.links.close();
        let store = self.store.clone();
        crate::read::off_runtime(store, |store| {
            store.index.persist()?;
            store.state.flush()?;
            Ok(())
        })
        .await
    }
}

/// Brings the index and the state up to what the log knows to be committed.
async fn replay(node: NodeId, store: GroupStore) -> Result<(), StartError> {
    const PROGRESS_EVERY: Duration = Duration::from_secs(1);
    let replayed = off_runtime(store.is_simulated(), move || {
        let mut applier = Applier::new(&store)?;
        let mut told = Instant::now();
        store.replay_committed::<ApplyError>(
            |records| applier.apply(records).map(|_| ()),
            |applied, until| {
                if told.elapsed() >= PROGRESS_EVERY {
                    told = Instant::now();
                    info!(node_id = node.0, applied = applied.0, until = until.0, "log is being replayed");
                }
            },
        )
    });
    let records = replayed.await.map_err(std::io::Error::other)??;
    if records > 0 {
        info!(node_id = node.0, records, "log was replayed");
    }
    Ok(())
}

/// Holds the peers to the newest membership: ends the links to nodes that were removed.
async fn follow_members(
    (raft, links, admissions): (Raft, Arc<Links>, Arc<Admissions>),
    stop: CancellationToken,
) {
    let mut server = raft.server_metrics();
    loop {
        let membership = server.borrow_and_update().membership_config.clone();
        // Before the first membership is known nobody is a member, and peers may already be asked.
        admissions.learn(&membership);
        if membership.nodes().next().is_some() {
            links.retain(|node| membership.get_node(&node.0).is_some());
        }
        tokio::select! {
            changed = server.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}
