//! `weir bench …`: closed loops, where a number of appends in flight is a
//! number of callers that wait, and open loops, where appends begin by the
//! clock and a slow answer delays none of them.

mod append;
mod cpu;
mod disk;
mod fold;
mod hot;
mod line;
mod load;
mod local;
mod log;
mod machine;
mod measure;
mod pace;
mod plan;
mod read;
mod report;
mod sessions;
mod subscribe;
mod tally;
mod transact;
mod view;

use std::thread;

use clap::Subcommand;
use tokio::runtime::Builder;
use weir_client::Client;

use crate::{error::CliError, output::Output};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure appends, each guarded by its exact version
    Append(append::AppendArgs),
    /// Measure transactions over several streams, each guarded by its exact version
    Transact(transact::TransactArgs),
    /// Measure reads of whole streams of 100 events, or of the log
    Read(read::ReadArgs),
    /// Measure how fast projections fold the log, and are rebuilt
    Fold(fold::FoldArgs),
    /// Measure how long an append takes to reach many subscribers
    Subscribe(subscribe::SubscribeArgs),
    /// Measure how long an acknowledged event takes to be in a projection's view
    View(view::ViewArgs),
}

/// Runs on threads of its own, one unless more are asked for: on a machine that
/// it shares with the nodes, what the bench takes is taken from them.
pub(crate) async fn run(command: &BenchCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    let threads = match command {
        BenchCommand::Append(args) => args.plan.threads,
        BenchCommand::Transact(args) => args.plan.threads,
        BenchCommand::Read(args) => args.plan.threads,
        BenchCommand::Subscribe(args) => args.plan.threads,
        BenchCommand::View(args) => args.plan.threads,
        BenchCommand::Fold(args) => args.threads,
    };
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(usize::from(threads)).enable_all().build();
    let runtime = runtime.map_err(CliError::io("start the bench's threads"))?;
    let measured = async {
        match command {
            BenchCommand::Append(args) => append::run(args, client, output).await,
            BenchCommand::Transact(args) => transact::run(args, client, output).await,
            BenchCommand::Read(args) => read::run(args, client, output).await,
            BenchCommand::Subscribe(args) => subscribe::run(args, client, output).await,
            BenchCommand::Fold(args) => fold::run(args, client, output).await,
            BenchCommand::View(args) => view::run(args, client, output).await,
        }
    };
    // A runtime must not be dropped on a thread of another one.
    let alone = move || {
        let ended = runtime.block_on(measured);
        runtime.shutdown_background();
        ended
    };
    let ended = thread::scope(|scope| scope.spawn(alone).join());
    ended.unwrap_or_else(|_| Err(CliError::Failed("the bench panicked".to_owned())))
}
