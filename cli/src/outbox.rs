//! `weir outbox …`

use clap::Subcommand;
use weir_client::Client;

use crate::{error::CliError, output::Output, projection::done};

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Show how far JetStream is; exit code 5 when something is wrong
    Status,
    /// Throw JetStream's copy away and publish everything from the log again
    Rebuild {
        /// Yes, delete the JetStream stream
        #[arg(long, required = true)]
        yes: bool,
    },
}

pub(crate) async fn run(command: &OutboxCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        OutboxCommand::Status => status(client, output).await,
        OutboxCommand::Rebuild { .. } => {
            client.rebuild_outbox().await?;
            done(output, "outbox publishes everything again")
        }
    }
}

async fn status(client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await.ok();
    let status = client.outbox().await?;
    let number = |number: Option<u64>| number.map_or_else(|| "-".into(), |number| number.to_string());
    if output.is_json() {
        output.json(&status)?;
    } else {
        output.facts(&[
            ("bus", status.bus.clone()),
            ("active", status.active.to_string()),
            ("published", number(status.published)),
            ("applied", status.applied.to_string()),
            ("lag", number(status.lag)),
            ("error", status.error.clone().unwrap_or_else(|| "-".into())),
        ])?;
    }
    status.error.map_or(Ok(()), |error| Err(CliError::NotHealthy(error)))
}
