//! One nats-server of a JetStream cluster under attack.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{leash::Leash, place::Site};
use crate::{binary, process::Process};

/// A nats-server. It runs unless a fault holds it down.
#[derive(Debug)]
pub struct Bus {
    /// Its number, from 1.
    pub id: u64,
    /// Where it is.
    pub site: Site,
    /// Its process, and who wants it down or still.
    pub leash: Leash,
    ports: (u16, u16),
    folder: PathBuf,
    log: PathBuf,
}

impl Bus {
    /// A server that does not run yet; its ports are for clients and for routes.
    #[must_use]
    pub fn new(id: u64, site: Site, ports: (u16, u16), folder: &Path, log: &Path) -> Self {
        let (folder, log) = (folder.to_owned(), log.to_owned());
        Self { id, site, leash: Leash::default(), ports, folder, log }
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

    /// Starts it unless it runs or is held down.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn start(&mut self, routes: &[String]) -> Result<()> {
        if self.leash.process().is_some_and(|process| process.runs()) || self.leash.is_held() {
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
        self.leash.take(Process::start(&format!("nats{}", self.id), &mut command, &self.log)?);
        Ok(())
    }
}
