//! `weir projection get`: one partition, as it is or as it was.

use serde_json::Value;
use weir_client::{
    Client,
    v1::{Freshness, ViewQuery},
};

use super::past::{self, Asked};
use crate::{error::CliError, output::Output};

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The projection
    name: String,
    /// The partition's key
    #[arg(long, value_name = "KEY")]
    partition: Option<String>,
    /// A position that must be folded before the answer
    #[arg(long, value_name = "POSITION", conflicts_with = "linearizable")]
    min_position: Option<u64>,
    /// Fold all that was acknowledged before, then answer
    #[arg(long)]
    linearizable: bool,
    /// As it was when the log ended with this position
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["min_position", "linearizable"])]
    at_position: Option<u64>,
    /// As it was at this time, in RFC 3339: before the first event that was recorded later
    #[arg(long, value_name = "TIME", conflicts_with_all = ["min_position", "linearizable", "at_position"])]
    as_of: Option<String>,
    /// All partitions, of the past only
    #[arg(long, conflicts_with_all = ["partition", "min_position", "linearizable"])]
    all: bool,
}

pub(super) async fn run(args: &GetArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let (name, partition) = (args.name.as_str(), args.partition.as_deref());
    let asked = Asked { name, position: args.at_position, as_of: args.as_of.as_deref() };
    match (asked.position.is_some() || asked.as_of.is_some(), args.all) {
        (true, true) => past::all(&asked, client, output).await,
        (true, false) => past::one(&asked, partition, client, output).await,
        (false, true) => {
            Err(CliError::Usage("--all is of the past: give --at-position or --as-of too".into()))
        }
        (false, false) => now(args, client, output).await,
    }
}

async fn now(args: &GetArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let query = ViewQuery {
        partition: args.partition.clone(),
        min_position: args.min_position,
        consistency: args.linearizable.then_some(Freshness::Linearizable),
    };
    let view = client.projection(&args.name, &query).await?;
    if output.is_json() {
        return output.json(&view);
    }
    let state = view.state.map_or(Value::Null, |state| state.state);
    let text = serde_json::to_string_pretty(&state).map_err(|error| CliError::Failed(error.to_string()))?;
    output.line(&text)?;
    eprintln!("partition {}, checkpoint {}, lag {}", view.partition, view.status.checkpoint, view.status.lag);
    Ok(())
}
