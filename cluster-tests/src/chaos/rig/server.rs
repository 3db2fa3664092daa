//! One `weir` node under attack: its place, its disk, its process, and who
//! wants it down or still.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{disk::Disk, leash::Leash, place::Site, shim::Page};
use crate::{
    binary,
    chaos::{directory::Directory, workload::Outside},
    edge::Edge,
    process::Process,
};

/// How long after its end a node is started again, as a supervisor would.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How long after a fault was healed an end is still its doing.
const EXCUSED_FOR: Duration = Duration::from_secs(15);

/// What all nodes of a cluster are started with.
#[derive(Debug, Clone)]
pub struct Birth {
    /// The cluster's id.
    pub cluster: uuid::Uuid,
    /// The founding members, as `--peer` takes them.
    pub members: Vec<String>,
    /// The NATS servers.
    pub nats: Vec<String>,
    /// Copies of the JetStream stream.
    pub nats_replicas: usize,
    /// The PostgreSQL that they know.
    pub postgres: Option<Outside>,
}

/// A node. It runs unless a fault holds it down; when it ends by itself, it is started again.
#[derive(Debug)]
pub struct Server {
    /// Its id.
    pub id: u64,
    /// Where it is.
    pub site: Site,
    /// Its REST.
    pub edge: Edge,
    /// Its disk, if it has one of its own.
    pub disk: Option<Disk>,
    /// The faults inside its process, if there is a compiler for them.
    pub page: Option<Page>,
    /// Its process, and who wants it down or still.
    pub leash: Leash,
    directory: Directory,
    founder: bool,
    folder: PathBuf,
    log: PathBuf,
    ports: (u16, u16),
    excuses: BTreeSet<String>,
    excused_until: Option<Instant>,
    restart_at: Option<Instant>,
}

/// Who and where a node is.
pub struct Plan<'a> {
    /// Its id.
    pub id: u64,
    /// Where it is.
    pub site: Site,
    /// Its ports for clients and for peers.
    pub ports: (u16, u16),
    /// Whether the cluster begins with it.
    pub founder: bool,
    /// Its data lie in `folder/data`.
    pub folder: &'a Path,
    /// Where its output goes.
    pub log: &'a Path,
}

/// A node's end that no fault asked for.
#[derive(Debug)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// Whether a fault that was there explains it.
    pub excused: bool,
}

impl Server {
    /// A node that does not run yet; it is entered into the directory.
    #[must_use]
    pub fn new(plan: Plan<'_>, directory: &Directory) -> Self {
        let Plan { id, site, ports, founder, folder, log } = plan;
        let edge = Edge::new(&format!("http://{}:{}", site.address, ports.0));
        directory.enter(id, edge.clone());
        Self {
            id,
            site,
            edge,
            disk: None,
            page: None,
            leash: Leash::default(),
            directory: directory.clone(),
            founder,
            folder: folder.to_owned(),
            log: log.to_owned(),
            ports,
            excuses: BTreeSet::new(),
            excused_until: None,
            restart_at: None,
        }
    }

    /// `1=10.0.0.1:9124,http://10.0.0.1:9123`.
    #[must_use]
    pub fn member(&self) -> String {
        format!("{}={},{}", self.id, self.peer(), self.edge.base())
    }

    /// Where its peers reach it.
    #[must_use]
    pub fn peer(&self) -> String {
        format!("{}:{}", self.site.address, self.ports.1)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether the cluster began with it.
    #[must_use]
    pub fn is_founder(&self) -> bool {
        self.founder
    }

    /// Starts it unless it runs or is held down.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn start(&mut self, birth: &Birth) -> Result<bool> {
        if self.leash.has_process() || self.leash.is_held() {
            return Ok(false);
        }
        let mut command = self.site.command(&binary::weir()?);
        let listen = format!("{}:{}", self.site.address, self.ports.0);
        command.arg("node").args(["--node-id", &self.id.to_string()]);
        command.args(["--cluster-id", &birth.cluster.to_string(), "--exit-with-parent"]);
        command.arg("--data-dir").arg(self.data());
        command.args(["--listen", &listen, "--peer-listen", &self.peer(), "--log-format", "json"]);
        if self.founder {
            command.arg("--bootstrap").args(birth.members.iter().flat_map(|member| ["--peer", member]));
        }
        command.args(birth.nats.iter().flat_map(|url| ["--nats", url]));
        command.args(["--nats-replicas", &birth.nats_replicas.to_string()]);
        // One that joined later knows no peers to ask for its seat: faults put right what they damaged.
        command.env("WEIR_REPAIR", if self.founder { "auto" } else { "off" });
        command.envs(birth.postgres.iter().map(Outside::as_variable));
        // Nodes of a test share the machine.
        command.env("TOKIO_WORKER_THREADS", "1");
        if let Some(page) = &self.page {
            page.give(&mut command);
        }
        self.directory.born(self.id);
        self.leash.take(Process::start(&format!("node {}", self.id), &mut command, &self.log)?);
        self.restart_at = None;
        Ok(true)
    }

    /// Lets go of it: it is started when nobody else holds it.
    pub fn let_go(&mut self, why: &str) {
        self.leash.let_go(why);
        self.restart_at = Some(Instant::now());
    }

    /// From now on an end of it is the doing of `why`.
    pub fn excuse(&mut self, why: &str) {
        self.excuses.insert(why.to_owned());
    }

    /// `why` is over, and soon no excuse any more.
    pub fn excuse_ends(&mut self, why: &str) {
        if self.excuses.remove(why) {
            self.excused_until = Some(Instant::now() + EXCUSED_FOR);
        }
    }

    /// Whether an end of it has an explanation now.
    #[must_use]
    pub fn is_excused(&self) -> bool {
        !self.excuses.is_empty() || self.excused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Looks whether it ended by itself, and starts it again when its time has
    /// come. Returns an end that no fault asked for.
    ///
    /// # Errors
    /// When it cannot be looked at or started.
    pub async fn supervise(&mut self, birth: &Birth) -> Result<Option<Exit>> {
        if let Some(process) = self.leash.process() {
            if process.runs() {
                return Ok(None);
            }
            let status = process.ended(Duration::ZERO).await.context("an ended process has a status")?;
            self.leash.forget();
            self.restart_at = Some(Instant::now() + RESTART_AFTER);
            // Asked to stop, and it did.
            let asked = self.leash.is_held() && status.success();
            return Ok((!asked).then(|| Exit { status, excused: self.is_excused() }));
        }
        if self.restart_at.is_none_or(|at| at <= Instant::now()) {
            self.start(birth)?;
        }
        Ok(None)
    }
}
