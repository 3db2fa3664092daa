//! One simulated machine and the node that lives on it, again and again.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::time;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_check::{
    history::{Call, NodeReport, Recorder, Seen},
    rng::Rng,
};
use weir_node::{
    config::{ClusterConfig, LimitsConfig, Member, NodePlan, Repair},
    engine::Engine,
    platform::{Platform, Stores},
    wire::wire,
};
use weir_raft::{PeerNetwork, RaftTiming};
use weir_storage::{
    disk::Disk,
    folder::{DataFolder, Identity},
    log::{LogConfig, LogThread},
};
use weir_types::{ClusterId, NodeId, Timestamp, ports::Clock};

use crate::{
    bus::bus,
    desk::Desk,
    disk::{NodeDisk, POWER_IS_OFF, SYNC_FAILED},
    network::{EDGE_PORT, PEER_PORT, Wires, host},
    plant::Plant,
    pump::{Asked, NEVER, Pump},
    report::report,
    trace::Trace,
};

/// The client number of the monitor.
const MONITOR: u64 = u64::MAX;
/// Between two reports of a node.
const LOOK: Duration = Duration::from_millis(100);
/// The clock's start: 2026-01-01, in microseconds.
pub const EPOCH_US: i64 = 1_767_225_600_000_000;

/// What all machines of a run have in common.
pub struct Site {
    /// Chooses everything.
    pub seed: u64,
    /// What is wrong.
    pub plant: Option<Plant>,
    /// Where it is taken down.
    pub trace: Trace,
    /// The history.
    pub recorder: Recorder,
    /// The members that the cluster begins with.
    pub voters: u64,
    /// What must be equal on all nodes.
    pub shared: ClusterConfig,
    /// Whether there is a bus.
    pub bus: bool,
    /// How the log is laid out.
    pub log: LogConfig,
}

/// One machine.
pub struct Machine {
    /// The node on it.
    pub node: u64,
    /// Its disk.
    pub disk: NodeDisk,
    site: Arc<Site>,
    life: AtomicU64,
    /// How far its clock is off, in microseconds.
    pub skew_us: AtomicI64,
    /// How long a write of the log takes, in microseconds, up to.
    pub sync_us: AtomicU64,
    /// It was told to run a node.
    pub invited: AtomicBool,
    /// The log failed: the process has ended itself.
    pub aborted: AtomicBool,
    now: Mutex<Now>,
}

/// The node as it is.
#[derive(Default)]
struct Now {
    engine: Option<Arc<Engine>>,
    report: Option<NodeReport>,
    failed: Option<String>,
    members: Vec<u64>,
    pump: Option<Pump>,
}

impl Machine {
    /// A machine without a node so far.
    #[must_use]
    pub fn new(node: u64, site: Arc<Site>) -> Arc<Self> {
        let invited = node <= site.voters;
        let disk = NodeDisk::new(node, site.seed, site.trace.clone(), site.plant);
        Arc::new(Self {
            node,
            disk,
            site,
            life: AtomicU64::new(0),
            skew_us: AtomicI64::new(0),
            sync_us: AtomicU64::new(2_000),
            invited: AtomicBool::new(invited),
            aborted: AtomicBool::new(false),
            now: Mutex::default(),
        })
    }

    /// The last thing that the node said of itself in this life.
    #[must_use]
    pub fn report(&self) -> Option<NodeReport> {
        self.now().report.clone()
    }

    /// The members that it knew of then.
    #[must_use]
    pub fn members(&self) -> Vec<u64> {
        self.now().members.clone()
    }

    /// Why the node did not start, or stopped by itself.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.now().failed.clone()
    }

    /// Where its index and its state lie, below the current folder: a path that is the same in every run.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        host(self.node).into()
    }

    /// Whether its disk failed or lost its power, which ends a node, or keeps it from starting.
    #[must_use]
    pub fn was_ended_by_its_disk(&self) -> bool {
        let expected =
            |reason: &String| [POWER_IS_OFF, SYNC_FAILED].iter().any(|known| reason.contains(known));
        self.aborted.load(Relaxed) || self.now().failed.as_ref().is_some_and(expected)
    }

    /// Lets go of the node: it is about to end.
    pub fn forget(&self) {
        // Dropped without the lock, which what it drops may take.
        let gone = std::mem::take(&mut *self.now());
        drop(gone);
        self.aborted.store(false, Relaxed);
    }

    /// Lives until it is ended from outside.
    ///
    /// # Errors
    /// Never by itself: what went wrong is kept for whoever looks.
    pub async fn live(self: Arc<Self>) -> turmoil::Result {
        let machine = self.clone();
        // A task, so that all of the node ends within its runtime.
        let life = tokio::spawn(async move {
            if machine.invited.load(Relaxed)
                && let Err(error) = machine.clone().run().await
            {
                machine.now().failed = Some(format!("{error:#}"));
            }
            std::future::pending::<()>().await;
        });
        life.await?;
        Ok(())
    }

    async fn run(self: Arc<Self>) -> Result<()> {
        let life = self.life.fetch_add(1, Relaxed) + 1;
        let identity = Identity { cluster: cluster(), node: NodeId(self.node) };
        let folder = DataFolder::open_on(Disk::Sim(self.disk.now()), self.dir(), identity)?;
        let (site, plant) = (&self.site, self.site.plant);
        let wires = Wires { node: self.node, trace: site.trace.clone(), plant };
        let door = wires.door().await.context("the peers' port")?;
        let shared = &site.shared;
        let stores = Stores::open(&folder, site.log, self.log_thread(life)).await?;
        let platform = Platform {
            folder,
            stores,
            network: PeerNetwork { listener: Box::new(door), dialer: Arc::new(wires.clone()) },
            bus: site.bus.then(|| bus(plant)),
            http: Arc::new(wires),
            timing: timing(shared),
            clock: self.clone(),
            seed: (u128::from(site.seed) << 64) | u128::from(self.node << 32 | life),
        };
        let parts = wire(&self.plan(), platform, CancellationToken::new()).await?;
        let engine = parts.engine.clone();
        self.now().engine = Some(engine.clone());
        tokio::spawn(self.clone().monitor(engine.clone(), life));
        Desk { engine, life, plant }.serve().await?;
        drop(parts);
        Ok(())
    }

    /// Tells the history what the node says of itself, again and again.
    async fn monitor(self: Arc<Self>, engine: Arc<Engine>, life: u64) {
        loop {
            let since = self.site.recorder.now_us();
            let report = report(&engine, life).await;
            self.now().report = Some(report.clone());
            self.now().members = engine.status().members.iter().map(|member| member.node_id).collect();
            if let Some(reason) = engine.stopped() {
                self.now().failed = Some(reason);
            }
            self.site.recorder.note(MONITOR, since, Call::NodeState { node: self.node }, Seen::Node(report));
            time::sleep(LOOK).await;
        }
    }

    fn plan(&self) -> NodePlan {
        let members: Vec<Member> = (1..=self.site.voters).map(member).collect();
        NodePlan {
            node: NodeId(self.node),
            cluster: Some(cluster()),
            data_dir: self.dir(),
            listen: ([0, 0, 0, 0], EDGE_PORT).into(),
            peer_listen: ([0, 0, 0, 0], PEER_PORT).into(),
            own: member(self.node),
            bootstrap: self.node <= self.site.voters,
            members,
            repair: Repair::Off,
            nats: None,
            sinks: std::collections::BTreeMap::new(),
            limits: LimitsConfig { leader_wait_ms: 1_500, ..LimitsConfig::default() },
            shared: self.site.shared.clone(),
        }
    }

    /// The log is written between two steps of the simulation.
    fn log_thread(self: &Arc<Self>, life: u64) -> LogThread {
        let asked = Asked::new(AtomicU64::new(NEVER));
        let (machine, when, clock) = (self.clone(), asked.clone(), self.site.trace.clone());
        let fatal = Box::new(move |_: &io::Error| machine.aborted.store(true, Relaxed));
        let wake = Box::new(move || {
            when.fetch_min(clock.now_us(), Relaxed);
        });
        let thread = LogThread::pumped(fatal, wake);
        let rng = Rng::named(self.site.seed, &format!("log-{}-{life}", self.node));
        self.now().pump = Some(Pump::new(thread.clone(), asked, rng));
        thread
    }

    /// Carries out what is due of what the log was asked to write.
    pub fn pump(&self) {
        // Taken out, because what is told of it may ask this machine for the time.
        let pump = self.now().pump.take();
        if let Some(mut pump) = pump {
            pump.step(self.site.trace.now_us(), self.sync_us.load(Relaxed));
            self.now().pump = Some(pump);
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.site.trace.now_us()).unwrap_or(i64::MAX);
        Timestamp(EPOCH_US + elapsed + self.skew_us.load(Relaxed))
    }
}

/// The cluster of every run.
fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(0xC1))
}

fn member(node: u64) -> Member {
    let host = host(node);
    Member {
        node: NodeId(node),
        peer: format!("{host}:{PEER_PORT}"),
        edge: format!("http://{host}:{EDGE_PORT}"),
    }
}

fn timing(shared: &ClusterConfig) -> RaftTiming {
    let millis = Duration::from_millis;
    RaftTiming {
        heartbeat_interval: millis(shared.heartbeat_ms),
        election_timeout_min: millis(shared.election_timeout_min_ms),
        election_timeout_max: millis(shared.election_timeout_max_ms),
        read_wait_max: millis(1_000),
        outcome_wait_max: millis(2_000),
        peer_silence_max: millis(shared.election_timeout_max_ms),
    }
}
