//! What the edges call: one node's part in its group, over the ports.
//!
//! An edge never asks where something is done. `Engine` decides here what the
//! leader decides, forwards the rest once, and answers reads from what this
//! node has applied.

mod append;
mod cluster;
mod consumers;
mod find_event;
mod forward;
mod inspected;
mod kv;
mod meter;
mod observe;
mod outbox;
mod past;
mod projections;
mod read;
mod readiness;
mod rebuilds;
mod rules;
mod snapshots;
mod sql;
mod states;
mod subscribe;
mod upcasters;
mod waits;
mod watch;
mod workers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weir_actors::{OutboxHandle, RouterHandle, live::Hub, projection::ProjectionsHandle, states::States};
use weir_raft::{PeerNode, RaftNode};
use weir_types::{
    GroupId, NodeId, Timestamp, limits,
    ports::{Ports, TableStore},
};

pub(crate) use self::consumers::Taken;
use self::meter::Meter;
pub(crate) use self::projections::refusal as view_refusal;
use crate::{buckets::Buckets, consumers::Consumers, workers::Workers};

/// The parts that an engine is made of.
pub struct EngineParts {
    /// This node.
    pub node: NodeId,
    /// How others reach this node.
    pub own: PeerNode,
    /// The ports.
    pub ports: Ports,
    /// The replicated log: membership and the link to the leader.
    pub raft: Arc<RaftNode>,
    /// Where appends are decided.
    pub router: RouterHandle,
    /// Where changes of the key-value buckets enter the log.
    pub(crate) buckets: Arc<Buckets>,
    /// Where events are folded.
    pub projections: ProjectionsHandle,
    /// Where the tables of projections are.
    pub tables: Arc<dyn TableStore>,
    /// Where events are followed.
    pub live: Hub,
    /// Where consumer groups are served while this node leads.
    pub(crate) consumers: Arc<Consumers>,
    /// Where workers have projections while this node leads.
    pub(crate) workers: Arc<Workers>,
    /// Where events leave; absent without a bus.
    pub outbox: Option<OutboxHandle>,
    /// How long a request waits for a leader.
    pub leader_wait: Duration,
    /// Cancelled when the edge closes: what waits for something to happen then answers.
    pub closing: CancellationToken,
}

/// One node's part in its group.
pub struct Engine {
    node: NodeId,
    own: PeerNode,
    group: GroupId,
    ports: Ports,
    raft: Arc<RaftNode>,
    router: RouterHandle,
    buckets: Arc<Buckets>,
    projections: ProjectionsHandle,
    tables: Arc<dyn TableStore>,
    /// The places of those who ask in SQL.
    sql_turns: Semaphore,
    live: Hub,
    consumers: Arc<Consumers>,
    /// The places of those who wait for projections.
    waits: Arc<Semaphore>,
    /// The places of those who follow the states of projections.
    watches: Arc<Semaphore>,
    workers: Arc<Workers>,
    /// Where states of streams are folded when they are asked for.
    states: States,
    outbox: Option<OutboxHandle>,
    leader_wait: Duration,
    closing: CancellationToken,
    meter: Meter,
    draining: AtomicBool,
    /// Whether the whole cluster stops: no leader is waited for.
    hopeless: AtomicBool,
    /// Whether the node was seen to belong to a cluster: it stays so.
    in_cluster: AtomicBool,
}

impl Engine {
    /// An engine for the default group.
    #[must_use]
    pub fn new(parts: EngineParts) -> Self {
        let EngineParts {
            node,
            own,
            ports,
            raft,
            router,
            buckets,
            projections,
            tables,
            live,
            consumers,
            workers,
            outbox,
            leader_wait,
            closing,
        } = parts;
        let states = States::new(GroupId::DEFAULT, ports.reader.clone(), ports.rules.clone());
        Self {
            node,
            own,
            group: GroupId::DEFAULT,
            ports,
            raft,
            router,
            buckets,
            projections,
            tables,
            sql_turns: Semaphore::new(limits::SQL_QUERIES_MAX),
            live,
            consumers,
            waits: Arc::new(Semaphore::new(limits::PROJECTION_WAITS_MAX)),
            watches: Arc::new(Semaphore::new(limits::PROJECTION_WATCHES_MAX)),
            workers,
            states,
            outbox,
            leader_wait,
            closing,
            meter: Meter::new(),
            draining: AtomicBool::new(false),
            hopeless: AtomicBool::new(false),
            in_cluster: AtomicBool::new(false),
        }
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Whether this node decides appends.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.ports.leadership.current().decides
    }

    /// Cancelled when the edge closes.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Makes the node not ready: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Answers what waits for a leader from now on: the whole cluster stops.
    pub fn expect_no_leader(&self) {
        self.hopeless.store(true, Ordering::Release);
    }
}
