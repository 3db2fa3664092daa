//! `weir bench …`: closed loops, so that a number of appends in flight is a
//! number of callers that wait.

mod append;
mod machine;
mod read;
mod run;

use clap::Subcommand;
use weir_client::Client;

use crate::{error::CliError, output::Output};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure appends, each guarded by its exact version
    Append(append::AppendArgs),
    /// Measure reads of whole streams of 100 events
    Read(read::ReadArgs),
}

pub(crate) async fn run(command: &BenchCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        BenchCommand::Append(args) => append::run(args, client, output).await,
        BenchCommand::Read(args) => read::run(args, client, output).await,
    }
}
