//! One nats-server of a JetStream cluster under attack.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::place::Site;
use crate::{binary, process::Process};

/// A nats-server. It runs unless a fault holds it down.
#[derive(Debug)]
pub struct Bus {
    /// Its number, from 1.
    pub id: u64,
    /// Where it is.
    pub site: Site,
    ports: (u16, u16),
    folder: PathBuf,
    log: PathBuf,
    process: Option<Process>,
    held: BTreeSet<String>,
    still: BTreeSet<String>,
}

impl Bus {
    /// A server that does not run yet; its ports are for clients and for routes.
    #[must_use]
    pub fn new(id: u64, site: Site, ports: (u16, u16), folder: &Path, log: &Path) -> Self {
        let (folder, log) = (folder.to_owned(), log.to_owned());
        Self { id, site, ports, folder, log, process: None, held: BTreeSet::new(), still: BTreeSet::new() }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}:{}", self.site.address, self.ports.0)
    }

    /// Where the other servers find it.
    #[must_use]
    pub fn route(&self) -> String {
        format!("nats://{}:{}", self.site.address, self.ports.1)
    }

    /// Where it keeps its streams.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Whether it runs and is not paused.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.is_some() && self.still.is_empty()
    }

    /// Starts it unless it runs or is held down.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn start(&mut self, routes: &[String]) -> Result<()> {
        if self.process.as_mut().is_some_and(Process::runs) || !self.held.is_empty() {
            return Ok(());
        }
        let (client, route) = (self.ports.0.to_string(), self.route());
        // It does not end with its parent by itself.
        let mut command = self.site.command(Path::new("setpriv"));
        command.args(["--pdeathsig", "KILL"]).arg(binary::nats_server()?);
        command.args(["--addr", &self.site.address.to_string(), "--port", &client, "--jetstream"]);
        command.arg("--store_dir").arg(self.store());
        if routes.len() > 1 {
            let name = format!("nats{}", self.id);
            command.args(["--server_name", &name, "--cluster_name", "bus", "--cluster", &route]);
            command.args(["--routes", &routes.join(",")]);
        }
        command.env("GOMAXPROCS", "1");
        self.process = Some(Process::start(&format!("nats{}", self.id), &mut command, &self.log)?);
        Ok(())
    }

    /// SIGKILL, and it stays down until `why` lets go. Whether it ran.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn hold_down(&mut self, why: &str) -> Result<bool> {
        self.held.insert(why.to_owned());
        let Some(mut process) = self.process.take() else { return Ok(false) };
        process.kill()?;
        Ok(true)
    }

    /// Lets go of it; [`Bus::start`] will start it.
    pub fn let_go(&mut self, why: &str) {
        self.held.remove(why);
    }

    /// SIGSTOP, until `why` lets go. Whether it runs.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn pause(&mut self, why: &str) -> Result<bool> {
        let Some(process) = &self.process else { return Ok(false) };
        process.pause()?;
        self.still.insert(why.to_owned());
        Ok(true)
    }

    /// SIGCONT, when nobody else wants it still.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn resume(&mut self, why: &str) -> Result<()> {
        self.still.remove(why);
        match &self.process {
            Some(process) if self.still.is_empty() => process.resume(),
            _ => Ok(()),
        }
    }
}
