//! One node: its ports, its folder, its process.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::{binary, edge::Edge, port::free_ports, process::Process};

/// A node of a cluster under test.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: u64,
    /// Its REST.
    pub edge: Edge,
    /// Whether the cluster begins with it.
    pub founder: bool,
    data: PathBuf,
    log: PathBuf,
    edge_port: u16,
    peer_port: u16,
    repair: &'static str,
    environment: Vec<(&'static str, String)>,
    paused: bool,
    process: Option<Process>,
}

impl Node {
    /// The founding nodes of a cluster, with ports of their own.
    ///
    /// # Errors
    /// When there are no ports.
    pub fn plan(folder: &Path, count: usize) -> Result<Vec<Self>> {
        let ports = free_ports(count * 2)?;
        let pairs = ports.chunks_exact(2);
        Ok((1..).zip(pairs).map(|(id, pair)| Self::new(folder, id, pair[0], pair[1], true)).collect())
    }

    /// A node that does not run yet.
    #[must_use]
    pub fn new(folder: &Path, id: u64, edge_port: u16, peer_port: u16, founder: bool) -> Self {
        let (data, log) = (folder.join(format!("n{id}")), folder.join(format!("n{id}.log")));
        let edge = Edge::new(&format!("http://127.0.0.1:{edge_port}"));
        Self {
            id,
            edge,
            founder,
            data,
            log,
            edge_port,
            peer_port,
            repair: "auto",
            environment: Vec::new(),
            paused: false,
            process: None,
        }
    }

    /// `1=127.0.0.1:9124,http://127.0.0.1:9123`.
    #[must_use]
    pub fn member(&self) -> String {
        format!("{}={},{}", self.id, self.peer(), self.edge.base())
    }

    /// Where its peers reach it.
    #[must_use]
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.peer_port)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it does about a damaged or lost folder from its next start on: `auto`, `mend` or `off`.
    pub fn set_repair(&mut self, repair: &'static str) {
        self.repair = repair;
    }

    /// What is in its environment from its next start on, beside that of the test.
    pub fn set_environment(&mut self, environment: &[(&'static str, String)]) {
        self.environment = environment.to_vec();
    }

    /// Starts it; a founder is given `members` and may begin the cluster with them.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&mut self, cluster: Uuid, members: &[String], nats: Option<&str>) -> Result<()> {
        if self.process.is_some() {
            bail!("node {} runs already", self.id);
        }
        let mut command = Command::new(binary::weir()?);
        command.arg("node").args(["--node-id", &self.id.to_string(), "--cluster-id", &cluster.to_string()]);
        command.arg("--data-dir").arg(&self.data);
        command.args(["--listen", &format!("127.0.0.1:{}", self.edge_port), "--peer-listen", &self.peer()]);
        if self.founder {
            command.arg("--bootstrap").args(members.iter().flat_map(|member| ["--peer", member]));
        }
        command.args(nats.iter().flat_map(|url| ["--nats", url])).args([
            "--log-format",
            "json",
            "--exit-with-parent",
        ]);
        command.env("WEIR_REPAIR", self.repair);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Nodes of a test share the machine, as those of `weir dev --nodes 3` do.
        command.env("TOKIO_WORKER_THREADS", "1");
        let name = format!("node {}", self.id);
        self.process = Some(Process::start(&name, &mut command, &self.log)?);
        Ok(())
    }

    /// Whether it was started, not ended by us, and is not paused.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.id())
    }

    /// SIGKILL; nothing if it does not run.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.paused = false;
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.pause()?;
        self.paused = true;
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.resume()?;
        self.paused = false;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the node does not run")?;
        process.terminate()?;
        process.ended(within).await
    }

    /// Waits for an end that nobody asked for: a start that is refused.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the node does not run")?;
        process.ended(within).await
    }

    /// All that it has logged, over all its lives.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn logged(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Checks that it logged no error and no panic beyond those in `expected`.
    ///
    /// # Errors
    /// With the first such line.
    pub fn logged_no_error(&self, expected: &[&str]) -> Result<()> {
        if !self.log.exists() {
            return Ok(());
        }
        let logged = self.logged()?;
        let bad = |line: &&str| line.contains("\"level\":\"ERROR\"") || line.contains("panicked at");
        let known = |line: &&str| expected.iter().any(|expected| line.contains(expected));
        match logged.lines().filter(bad).find(|line| !known(line)) {
            Some(line) => bail!("node {} logged: {line}", self.id),
            None => Ok(()),
        }
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().with_context(|| format!("node {} does not run", self.id))
    }
}
