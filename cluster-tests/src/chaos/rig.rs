//! The cluster under attack: `weir` nodes and a JetStream cluster, each at a
//! place of its own where the machine allows it.

pub mod atlas;
pub mod bus;
pub mod disk;
pub mod firewall;
pub mod leash;
pub mod place;
pub mod server;
pub mod shim;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use async_nats::jetstream;
use futures::future::join_all;
use uuid::Uuid;
use weir_api::v1::ClusterStatus;

use self::{
    atlas::Atlas,
    bus::Bus,
    disk::Disk,
    place::Place,
    server::{Birth, Plan, Server},
    shim::Page,
};
use super::{directory::Directory, journal::Journal, lull::Lull, seat, workload::Outside};
use crate::{PATIENCE, eventually, port::free_ports, postgres::Postgres};

/// How long a node may take to tell its state before it counts as silent.
const STATUS_TIMEOUT: Duration = Duration::from_millis(700);
/// The numbers of NATS servers on the bridge begin after this.
const NATS_NUMBERS: u64 = 100;

/// What a rig is made of.
#[derive(Debug, Clone, Copy)]
pub struct RigSpec {
    /// Founding members.
    pub nodes: u64,
    /// NATS servers; 0 for none.
    pub nats: u64,
    /// Whether there is a PostgreSQL.
    pub postgres: bool,
}

/// What this machine allows beyond signals.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// Each process has a network of its own.
    pub network: bool,
    /// Each node has a disk of its own.
    pub disks: bool,
    /// Faults can be put into a node's process.
    pub shim: bool,
    /// Why something is missing.
    pub missing: Vec<String>,
}

/// The running cluster.
#[derive(Debug)]
pub struct Rig {
    /// The nodes by id, those of removed members too.
    pub nodes: Vec<Server>,
    /// The NATS servers by number.
    pub nats: Vec<Bus>,
    /// The PostgreSQL, if there is one.
    pub postgres: Option<Outside>,
    /// What this machine allows.
    pub means: Means,
    /// The REST of the members.
    pub directory: Directory,
    /// What happened.
    pub journal: Journal,
    /// Whether clients are to be silent.
    pub lull: Lull,
    /// Which fault has what.
    pub atlas: Atlas,
    birth: Birth,
    library: Option<PathBuf>,
    folder: PathBuf,
    logs: PathBuf,
    // Last: the places go when the processes are gone.
    place: Place,
}

impl Rig {
    /// Starts it and waits until all is ready. Data lie in `folder`, output in `logs`.
    ///
    /// # Errors
    /// When a program is missing, or the cluster does not come up.
    pub async fn start(spec: RigSpec, folder: &Path, logs: &Path, journal: Journal) -> Result<Self> {
        let (place, no_network) = Place::choose();
        let mut rig = Self {
            nodes: Vec::new(),
            nats: Vec::new(),
            postgres: None,
            means: Means { network: place.is_separate(), ..Means::default() },
            directory: Directory::default(),
            journal,
            lull: Lull::default(),
            birth: Birth {
                cluster: Uuid::new_v4(),
                members: Vec::new(),
                nats: Vec::new(),
                nats_replicas: usize::try_from(spec.nats.max(1))?,
                postgres: None,
            },
            library: None,
            atlas: Atlas::new(usize::try_from(spec.nodes)?),
            folder: folder.to_owned(),
            logs: logs.to_owned(),
            place,
        };
        rig.means.missing.extend(no_network.map(|why| format!("no network namespaces: {why}")));
        rig.probe_means();
        for number in 1..=spec.nats {
            rig.plan_nats(number)?;
        }
        rig.birth.nats = rig.nats.iter().map(Bus::url).collect();
        rig.start_nats()?;
        if spec.postgres {
            rig.start_postgres().await?;
        }
        for id in 1..=spec.nodes {
            rig.plan_node(id, true)?;
        }
        rig.birth.members = rig.nodes.iter().map(Server::member).collect();
        rig.nats_serves(PATIENCE).await?;
        for node in &mut rig.nodes {
            node.start(&rig.birth)?;
        }
        rig.all_ready(PATIENCE).await?;
        Ok(rig)
    }

    /// A node by its id.
    #[must_use]
    pub fn node(&self, id: u64) -> &Server {
        self.nodes.iter().find(|node| node.id == id).expect("a fault names nodes that are there")
    }

    /// As [`Rig::node`], to do something to it.
    pub fn node_mut(&mut self, id: u64) -> &mut Server {
        self.nodes.iter_mut().find(|node| node.id == id).expect("a fault names nodes that are there")
    }

    /// The ids of the nodes.
    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// Where clients come from, where that is a place of its own.
    #[must_use]
    pub fn clients(&self) -> Option<Ipv4Addr> {
        self.place.clients()
    }

    /// Where output goes.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Makes one more node, which is no member yet, and starts it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn add_node(&mut self) -> Result<u64> {
        let id = self.nodes.iter().map(|node| node.id).max().unwrap_or(0) + 1;
        self.plan_node(id, false)?;
        let birth = self.birth.clone();
        self.node_mut(id).start(&birth)?;
        Ok(id)
    }

    /// Ends a node for good.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn drop_node(&mut self, id: u64) -> Result<()> {
        self.directory.strike(id);
        self.node_mut(id).leash.kill()?;
        self.nodes.retain(|node| node.id != id);
        Ok(())
    }

    /// Starts every NATS server that nobody holds down.
    ///
    /// # Errors
    /// When a process cannot be made.
    pub fn start_nats(&mut self) -> Result<()> {
        let routes: Vec<String> = self.nats.iter().map(Bus::route).collect();
        self.nats.iter_mut().try_for_each(|bus| bus.start(&routes))
    }

    /// Restarts what ended by itself, and notes it.
    ///
    /// # Errors
    /// When a process cannot be looked at or made.
    pub async fn supervise(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(exit) = node.supervise(&self.birth).await? {
                self.journal.exit(node.id, &exit);
            }
        }
        self.start_nats()
    }

    /// What every node that answers says of itself.
    pub async fn statuses(&self) -> Vec<ClusterStatus> {
        let asked =
            self.nodes.iter().filter(|node| node.leash.is_up()).map(|node| async {
                tokio::time::timeout(STATUS_TIMEOUT, node.edge.status()).await.ok()?.ok()
            });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Who leads in the highest term of which a leader tells, if any tells.
    pub async fn leader(&self) -> Option<u64> {
        seat::leading(&self.statuses().await).map(|status| seat::seat(status.node_id))
    }

    /// Whether a node takes its seat again by itself when its folder is lost: it must know where others are.
    #[must_use]
    pub fn heals_itself(&self, id: u64) -> bool {
        self.node(id).is_founder() && self.nodes.iter().any(|other| other.id != id && other.is_founder())
    }

    /// Waits until every node is ready.
    ///
    /// # Errors
    /// Naming one that is not.
    pub async fn all_ready(&mut self, within: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            self.supervise().await?;
            let asked = self.nodes.iter().map(|node| async move {
                let ready = tokio::time::timeout(STATUS_TIMEOUT, node.edge.ready()).await;
                ready.map_err(|_| anyhow!("no answer")).flatten().with_context(|| format!("node {}", node.id))
            });
            match join_all(asked).await.into_iter().collect::<Result<Vec<_>>>() {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    return Err(error).context("not every node is ready");
                }
                Err(_) => crate::pause().await,
            }
        }
    }

    /// Waits until all nodes have applied the same, and returns the last position.
    ///
    /// # Errors
    /// Naming what differs.
    pub async fn settled(&mut self, within: Duration) -> Result<u64> {
        self.all_ready(within).await?;
        eventually("all nodes have applied the same", within, || async {
            let statuses = self.statuses().await;
            let applied: Vec<_> = statuses
                .iter()
                .map(|status| (status.node_id, status.applied_index, status.applied_position))
                .collect();
            ensure!(applied.len() == self.nodes.len(), "only these tell: {applied:?}");
            ensure!(applied.iter().all(|one| one.1 == applied[0].1), "applied: {applied:?}");
            Ok(applied[0].2)
        })
        .await
    }

    /// Waits until JetStream answers.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn nats_serves(&self, within: Duration) -> Result<()> {
        if self.nats.is_empty() {
            return Ok(());
        }
        eventually("JetStream serves", within, || async {
            self.jetstream().await?.query_account().await?;
            Ok(())
        })
        .await
    }

    /// JetStream, over whichever server answers.
    ///
    /// # Errors
    /// When none does.
    pub async fn jetstream(&self) -> Result<jetstream::Context> {
        let up: Vec<String> = self.nats.iter().filter(|bus| bus.leash.is_up()).map(Bus::url).collect();
        ensure!(!up.is_empty(), "no NATS server runs");
        let connect = async_nats::connect(up);
        let client = tokio::time::timeout(Duration::from_secs(5), connect).await;
        Ok(jetstream::new(client.context("no NATS server answers")??))
    }

    /// Ends all processes.
    ///
    /// # Errors
    /// When one cannot be killed.
    pub fn stop(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.leash.hold_down("the end")?;
        }
        for bus in &mut self.nats {
            bus.leash.hold_down("the end")?;
        }
        Ok(())
    }

    /// It is where clients are, and not at a place of its own: networks are not taken from it.
    async fn start_postgres(&mut self) -> Result<()> {
        let postgres = Postgres::start(self.clients().unwrap_or(Ipv4Addr::LOCALHOST)).await?;
        let outside = Outside::new(postgres);
        (self.birth.postgres, self.postgres) = (Some(outside.clone()), Some(outside));
        Ok(())
    }

    fn probe_means(&mut self) {
        match shim::build(&self.folder) {
            Ok(library) => self.library = Some(library),
            Err(error) => self.means.missing.push(format!("no faults inside a process: {error:#}")),
        }
        self.means.shim = self.library.is_some();
        let (image, mount) = (self.folder.join("probe.image"), self.folder.join("probe"));
        let probed = Disk::make(&image, &mount).and_then(|disk| disk.cut_power());
        if let Err(error) = &probed {
            self.means.missing.push(format!("no disks: {error:#}"));
        }
        self.means.disks = probed.is_ok();
        // A trace of the probe would only be untidy.
        let _ = std::fs::remove_file(image);
    }

    fn plan_nats(&mut self, number: u64) -> Result<()> {
        let name = format!("nats{number}");
        let site = self.place.site(&name, u8::try_from(NATS_NUMBERS + number)?)?;
        let ports = self.ports(4222, 6222)?;
        let folder = self.folder.join(&name);
        std::fs::create_dir_all(&folder)?;
        let log = self.logs.join(format!("{name}.log"));
        self.nats.push(Bus::new(number, site, ports, &folder, &log));
        Ok(())
    }

    fn plan_node(&mut self, id: u64, founder: bool) -> Result<()> {
        let name = format!("n{id}");
        let site = self.place.site(&name, u8::try_from(id)?)?;
        let ports = self.ports(9123, 9124)?;
        let (folder, log) = (self.folder.join(&name), self.logs.join(format!("{name}.log")));
        std::fs::create_dir_all(&folder)?;
        let plan = Plan { id, site, ports, founder, folder: &folder, log: &log };
        let mut server = Server::new(plan, &self.directory);
        if self.means.disks {
            server.disk = Some(Disk::make(&self.folder.join(format!("{name}.image")), &folder)?);
        }
        if let Some(library) = &self.library {
            server.page = Some(Page::make(library, &self.folder.join(format!("{name}.faults")))?);
        }
        self.nodes.push(server);
        Ok(())
    }

    /// The usual ports where an address is nobody else's, else free ones.
    fn ports(&self, first: u16, second: u16) -> Result<(u16, u16)> {
        if self.means.network {
            return Ok((first, second));
        }
        let free = free_ports(2)?;
        Ok((free[0], free[1]))
    }
}
