//! The commands of `weir`: the node's own here, the admin commands from the `cli` crate.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use futures::future::LocalBoxFuture;

use crate::{
    build_info,
    config::{ConfigError, ConfigFlags, NodeConfig},
    dev::{self, DemoFlags, DevFlags},
    guard,
    node::{self, RunningNode, StartError},
    shutdown::{self, Scope, Signals},
    telemetry::{self, show, tell},
    tryout::Tryout,
};

/// The exit code of a command that was told something illegal.
const BAD_CONFIG: u8 = 2;

/// An event store: ordered, versioned streams of events, kept by a cluster.
#[derive(Debug, Parser)]
#[command(name = "weir", version = build_info::VERSION)]
pub struct Weir {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a store to try on this machine, with nothing to set up
    Dev(DevFlags),
    /// Show the main job once: import, read, project
    Demo(DemoFlags),
    /// Run one node of a cluster
    Node(NodeFlags),
    /// Look at a node's config
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run a program that ends when this one's parent does
    #[command(hide = true)]
    Guard {
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    #[command(flatten)]
    Cli(weir_cli::Command),
}

#[derive(Debug, Args)]
struct NodeFlags {
    #[command(flatten)]
    config: ConfigFlags,
    /// Print the config that the file, the environment and the flags make, and end.
    #[arg(long)]
    dump_config: bool,
    /// End when stdin ends, as it does when the parent process is gone.
    #[arg(long)]
    exit_with_parent: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a config file is legal; changes nothing
    Check {
        /// The file.
        file: PathBuf,
    },
}

impl Weir {
    /// Runs the command. Errors are on stderr, as `error[code]: text`.
    pub async fn run(self) -> ExitCode {
        match self.command {
            Command::Dev(flags) => ended(dev::run(flags).await),
            Command::Demo(flags) => ended(dev::demo(flags).await),
            Command::Node(flags) => run_node(flags).await,
            Command::Config(ConfigCommand::Check { file }) => check_config(file),
            Command::Guard { command } => match guard::run(command).await {
                Ok(code) => ExitCode::from(code),
                Err(error) => ended(Err(error)),
            },
            Command::Cli(command) => command.run(Some(&Tryout)).await,
        }
    }
}

async fn run_node(flags: NodeFlags) -> ExitCode {
    let config = match flags.config.load() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    if flags.dump_config {
        print!("{}", config.dump());
        return ExitCode::SUCCESS;
    }
    match until_stopped(config, flags.exit_with_parent).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Config(error)) => refuse(&error),
        Err(error) => {
            tell(format_args!("error[{}]: {error}", error.code()));
            ExitCode::FAILURE
        }
    }
}

async fn until_stopped(config: NodeConfig, with_parent: bool) -> Result<(), StartError> {
    telemetry::log_to_stderr(config.log_format, &config.log_filter)
        .map_err(|reason| ConfigError::Value { field: "log_filter", reason })?;
    let plan = config.check()?;
    let mut signals = Signals::listen().map_err(|error| StartError::Signals { reason: error.to_string() })?;
    let mut starting: LocalBoxFuture<'static, Result<RunningNode, StartError>> = Box::pin(node::start(plan));
    loop {
        let running = tokio::select! {
            started = starting => started?,
            // Nothing is served yet; what is half done is done again by the next start.
            _ = shutdown::reason(&mut signals, with_parent) => return Ok(()),
        };
        tokio::select! {
            scope = shutdown::reason(&mut signals, with_parent) => {
                match scope {
                    Scope::Node => running.stop().await,
                    Scope::Parent => running.stop_with_cluster().await,
                }
                return Ok(());
            }
            // Nothing is left to hand over or to flush; the next start reads what is on disk.
            reason = running.failed() => return Err(StartError::Failed { reason }),
            () = running.superseded() => {}
        }
        starting = Box::pin(running.rejoin());
    }
}

fn check_config(file: PathBuf) -> ExitCode {
    let flags = ConfigFlags { config: Some(file), ..ConfigFlags::default() };
    match flags.load().and_then(NodeConfig::check) {
        Ok(plan) => {
            show(format_args!(
                "config of node {} is legal; cluster checksum {:016x}",
                plan.node,
                plan.shared.checksum()
            ));
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &ConfigError) -> ExitCode {
    tell(format_args!("error[{}]: {error}", error.code()));
    ExitCode::from(BAD_CONFIG)
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
