//! `weir dev`: a store to try, on this machine, with nothing to set up.
//!
//! One node runs inside this process. Several run as children of it, each a
//! real `weir node` with its own folder and ports; they end with it, however
//! it ends (see [`crate::parent`]).

mod banner;
mod child;
mod cluster;
mod demo;
mod folder;
mod nats;
mod ports;
mod probe;
mod single;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::{config::LogFormat, shutdown::Signals};

pub use demo::{DemoFlags, run as demo};

/// Nodes that `weir dev` may run.
const NODES_MAX: u64 = 7;

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct DevFlags {
    /// The folder of everything; made when there is none.
    #[arg(long, default_value = "./weir-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Nodes of the cluster. 1 runs in this process.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=NODES_MAX))]
    pub nodes: u64,
    /// Where the first node answers clients; its peers' port is one more.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Between the ports of one node and the next.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1_000))]
    pub port_step: u16,
    /// Run a nats-server too, and publish every event to it.
    #[arg(long)]
    pub nats: bool,
    /// The nats-server to run; else the one on PATH.
    #[arg(long, env = "WEIR_NATS_SERVER", value_name = "FILE")]
    pub nats_server_path: Option<PathBuf>,
    /// How log lines are written.
    #[arg(long, env = "WEIR_LOG_FORMAT", default_value = "pretty", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Which log lines are written.
    #[arg(long, env = "WEIR_LOG", default_value = "warn", value_name = "FILTER")]
    pub log_filter: String,
}

impl DevFlags {
    /// One node with its data in `data`, and all else as it is by default.
    fn one_node(data: PathBuf) -> Self {
        Self {
            data,
            nodes: 1,
            listen: None,
            port_step: 100,
            nats: false,
            nats_server_path: None,
            log_format: LogFormat::Pretty,
            log_filter: "warn".into(),
        }
    }
}

/// Runs until a signal, then stops everything that it started.
///
/// # Errors
/// When the folder, a port or a child cannot be had; the text says which.
pub async fn run(flags: DevFlags) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("taking the signals")?;
    let folder = folder::DevFolder::open(&flags)?;
    let nats = match flags.nats {
        true => Some(nats::start(&flags, &folder).await?),
        false => None,
    };
    let url = nats.as_ref().map(|server| server.url.clone());
    let ended = match flags.nodes {
        1 => single::run(&flags, &folder, url, &mut signals).await,
        _ => cluster::run(&flags, &folder, url, &mut signals).await,
    };
    if let Some(server) = nats {
        server.child.stop().await;
    }
    ended
}
