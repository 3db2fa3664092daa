//! `weir stream …`

mod append;
pub(crate) mod read;
mod watch;

use clap::Subcommand;
use weir_client::{
    Client,
    v1::{ListQuery, StateView, StreamSummary},
};

use crate::{error::CliError, moment::MomentArgs, output::Output};

#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// Append an event, or many at once
    Append(append::AppendArgs),
    /// Read events
    Read(read::ReadArgs),
    /// Show what is known of a stream
    Info {
        /// The entity
        entity: String,
    },
    /// Show the state of a stream, through the invariant of its entity type or a virtual projection
    State {
        /// The entity
        entity: String,
        /// The virtual projection that folds it
        #[arg(long, value_name = "NAME")]
        projection: Option<String>,
        #[command(flatten)]
        moment: MomentArgs,
    },
    /// List streams, in the order of their creation
    #[command(alias = "ls")]
    List(ListArgs),
    /// Follow a stream as it grows
    Watch(watch::WatchArgs),
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only streams of this type
    #[arg(long = "type", value_name = "TYPE")]
    entity_type: Option<String>,
    /// Streams to show
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,
    /// Streams to pass over
    #[arg(long, default_value_t = 0)]
    offset: u64,
}

pub(crate) async fn run(command: &StreamCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        StreamCommand::Append(args) => append::run(args, client, output).await,
        StreamCommand::Read(args) => read::run(args, client, output).await,
        StreamCommand::Info { entity } => info(entity, client, output).await,
        StreamCommand::State { entity, projection, moment } => {
            let found = client.state(entity, projection.as_deref(), moment.to_moment()?).await?;
            state(&found, output)
        }
        StreamCommand::List(args) => list(args, client, output).await,
        StreamCommand::Watch(args) => watch::run(args, client, output).await,
    }
}

fn state(found: &StateView, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(found);
    }
    output.line(found.state.get())
}

async fn info(entity: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let stream = client.stream(entity).await?;
    if output.is_json() {
        return output.json(&stream);
    }
    output.facts(&[
        ("entity", stream.entity_id),
        ("type", stream.entity_type),
        ("version", stream.version.to_string()),
        ("first position", stream.first_position.to_string()),
        ("last position", stream.last_position.to_string()),
        ("created", stream.created_at),
        ("updated", stream.updated_at),
    ])
}

async fn list(args: &ListArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let query = ListQuery {
        entity_type: args.entity_type.clone(),
        limit: Some(args.limit),
        offset: Some(args.offset),
        ..ListQuery::default()
    };
    let page = client.streams(&query).await?;
    if output.is_json() {
        return output.json(&page);
    }
    let row = |stream: &StreamSummary| {
        [
            stream.entity_id.clone(),
            stream.entity_type.clone(),
            stream.version.to_string(),
            stream.last_position.to_string(),
            stream.updated_at.clone(),
        ]
    };
    let rows: Vec<_> = page.streams.iter().map(row).collect();
    output.table(["ENTITY", "TYPE", "VERSION", "POSITION", "UPDATED"], &rows)?;
    let shown = args.offset + rows.len() as u64;
    if shown < page.total_count {
        eprintln!("{shown} of {} streams, more with --offset {shown}", page.total_count);
    }
    Ok(())
}
