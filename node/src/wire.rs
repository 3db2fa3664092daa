//! The composition root: builds every part once, in order, and ends them in the reverse.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_actors::{
    AdmissionBounds, EventIds, OutboxHandle, RouterConfig, RouterHandle,
    live::Hub,
    projection::{ProjectionsArguments, ProjectionsHandle},
    reducer::ReducerLimits,
    upcast::Upcasting,
};
use weir_raft::{RaftNode, RaftOptions, RaftTiming};
use weir_storage::{folder::DataFolder, log::LogThread};
use weir_types::{
    GroupId,
    ports::{Ports, TableStore},
};

use crate::{
    begin::{begin_cluster, peer_node},
    buckets::Buckets,
    bus::Bus,
    config::NodePlan,
    consumers::Consumers,
    deciding::DeskParts,
    engine::{Engine, EngineParts},
    forward::{Deciders, LeaderSide},
    keeper,
    node::StartError,
    platform::{Platform, Stores},
    tables,
    workers::{Workers, sinks},
};

/// How long a leader that stops waits for another to take over. It takes
/// milliseconds, unless the others are stopping too.
const HAND_OVER_WAIT: Duration = Duration::from_millis(1_500);

/// Everything that runs in a node, the edge apart.
pub struct Parts {
    /// What the edges call.
    pub engine: Arc<Engine>,
    raft: Arc<RaftNode>,
    router: RouterHandle,
    projections: ProjectionsHandle,
    outbox: Option<OutboxHandle>,
    /// Has dropped what is due.
    keeper: JoinHandle<()>,
    tending: JoinHandle<()>,
    /// Carries out what the cluster itself sends.
    effects: JoinHandle<()>,
    /// The last handle of the log's thread: it flushes when it is dropped.
    log_thread: LogThread,
    /// The lock on the data folder, held until all else has ended.
    folder: DataFolder,
}

/// Builds a node's parts. `closing` is cancelled when its edge closes.
///
/// # Errors
/// [`StartError`] of the part that did not start.
pub async fn wire(
    plan: &NodePlan,
    platform: Platform,
    closing: CancellationToken,
) -> Result<Parts, StartError> {
    let Platform { folder, stores, network, timing, bus, http, clock, seed } = platform;
    let Stores { store, log_thread } = stores;
    let node = folder.identity().node;
    let leader_side = LeaderSide::default();
    let cluster = folder.identity().cluster;
    let options = RaftOptions {
        cluster,
        node,
        incarnation: folder.incarnation(),
        network,
        config_checksum: plan.shared.checksum(),
        store,
        timing,
        forward: Arc::new(leader_side.clone()),
    };
    let raft = RaftNode::start(options).await.map_err(|error| StartError::part("raft", &error))?;
    let raft = Arc::new(raft);
    let ports = Ports {
        clock,
        leadership: raft.leadership(),
        proposer: raft.proposer(),
        reader: raft.reader(),
        views: raft.views(),
        rules: raft.rules(),
    };
    let ids = EventIds::seeded(seed);
    let router = RouterHandle::start(router_config(plan), ports.clone(), ids).await;
    let router = router.map_err(|error| StartError::part("router", &error))?;
    let buckets = Buckets::new(&ports, raft.buckets());
    let deciders =
        Deciders { router: router.clone(), proposer: ports.proposer.clone(), buckets: buckets.clone() };
    leader_side.begin(deciders);
    let outbox = start_outbox(&ports, bus.as_ref()).await?;
    let upcasting = Arc::new(Upcasting::new(GroupId::DEFAULT, ports.rules.clone()));
    let tables = tables::of(&folder, &plan.sinks, closing.clone());
    let projections = start_projections(&ports, &upcasting, bus.as_ref(), tables.clone()).await?;
    begin_cluster(plan, &raft, closing.clone()).await?;
    let keeper = tokio::spawn(keeper::keep(ports.clone(), raft.buckets(), buckets.clone(), closing.clone()));
    let live = Hub::start(ports.reader.clone(), upcasting.clone(), cluster, GroupId::DEFAULT);
    let desks = DeskParts {
        node,
        ports: ports.clone(),
        reader: raft.buckets(),
        buckets: buckets.clone(),
        stop: closing.clone(),
    };
    let consumers = Consumers::new(desks.clone(), live.clone());
    let workers = Workers::new(desks, upcasting, http, bus.and_then(|bus| bus.subjects));
    let effects = tokio::spawn(sinks::carry_out(workers.clone()));
    let engine = Arc::new(Engine::new(EngineParts {
        node,
        own: peer_node(&plan.own).1,
        ports,
        raft: raft.clone(),
        router: router.clone(),
        buckets,
        projections: projections.clone(),
        tables,
        live,
        consumers,
        workers,
        outbox: outbox.clone(),
        leader_wait: plan.leader_wait(),
        closing,
    }));
    let tended = engine.clone();
    let tending = tokio::spawn(async move { tended.tend_subscriptions().await });
    Ok(Parts { engine, raft, router, projections, outbox, keeper, tending, effects, log_thread, folder })
}

impl Parts {
    /// Gives leadership away, if this node has it and somebody can take it.
    pub async fn hand_over(&self) {
        let Ok(handed) = timeout(HAND_OVER_WAIT, self.raft.hand_over()).await else {
            warn!(wait_ms = HAND_OVER_WAIT.as_millis(), "leadership not handed over in time");
            return;
        };
        match handed {
            Ok(Some(to)) => info!(to = to.0, "leadership handed over"),
            Ok(None) => {}
            // The others elect a leader by themselves, only later.
            Err(error) => warn!(%error, "leadership not handed over"),
        }
    }

    /// Ends everything and makes it durable.
    pub async fn stop(self) {
        let Self { engine, raft, router, projections, outbox, keeper, tending, effects, log_thread, folder } =
            self;
        // They hold the stores. The edge has closed, by which the second ends, and ends all subscriptions.
        keeper.abort();
        let _ = (keeper.await, tending.await, effects.await);
        engine.stop_live().await;
        if let Some(outbox) = outbox {
            outbox.stop();
        }
        projections.stop().await;
        router.stop();
        if let Err(error) = raft.shutdown().await {
            warn!(%error, "index or state not flushed; the next start replays more");
        }
        drop((engine, raft, router));
        // Dropping the last handle waits for the thread's last write.
        if let Err(error) = tokio::task::spawn_blocking(move || drop((log_thread, folder))).await {
            error!(%error, "log thread ended badly");
        }
    }
}

pub(crate) fn timing(plan: &NodePlan) -> RaftTiming {
    let millis = Duration::from_millis;
    RaftTiming {
        heartbeat_interval: millis(plan.shared.heartbeat_ms),
        election_timeout_min: millis(plan.shared.election_timeout_min_ms),
        election_timeout_max: millis(plan.shared.election_timeout_max_ms),
        ..RaftTiming::default()
    }
}

fn router_config(plan: &NodePlan) -> RouterConfig {
    let admission = AdmissionBounds {
        appends: plan.limits.in_flight_appends,
        bytes: plan.limits.in_flight_bytes,
        ..AdmissionBounds::default()
    };
    RouterConfig { admission, active_streams_max: plan.limits.active_streams, ..RouterConfig::default() }
}

async fn start_outbox(ports: &Ports, bus: Option<&Bus>) -> Result<Option<OutboxHandle>, StartError> {
    let Some(bus) = bus else { return Ok(None) };
    let outbox = OutboxHandle::start(GroupId::DEFAULT, ports, bus.publisher.clone()).await;
    outbox.map(Some).map_err(|error| StartError::part("outbox", &error))
}

async fn start_projections(
    ports: &Ports,
    upcasting: &Arc<Upcasting>,
    bus: Option<&Bus>,
    tables: Arc<dyn TableStore>,
) -> Result<ProjectionsHandle, StartError> {
    let arguments = ProjectionsArguments {
        group: GroupId::DEFAULT,
        reader: ports.reader.clone(),
        views: ports.views.clone(),
        feed: bus.map(|bus| bus.feed.clone()),
        upcasting: upcasting.clone(),
        tables: Some(tables),
        limits: ReducerLimits::default(),
    };
    ProjectionsHandle::start(arguments).await.map_err(|error| StartError::part("projections", &error))
}
