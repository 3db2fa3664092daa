//! `weir snapshot …`

use clap::Subcommand;
use weir_client::{
    Client, JsonText, ReadOptions,
    v1::{EventView, SnapshotBody},
};

use crate::{
    error::CliError, moment::PrefixArgs, output::Output, payload::read_payload, projection::done, stream,
};

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Keep the state that a stream has folded to at a version
    Create {
        /// The entity
        entity: String,
        /// The state: a JSON object, `@file`, or `-` for stdin
        state: String,
        /// The version of the last event that is in the state
        #[arg(long, value_name = "N")]
        version: u64,
    },
    /// Print the newest snapshot of a stream
    Get {
        /// The entity
        entity: String,
        /// The newest of this version or an earlier one
        #[arg(long, value_name = "N")]
        before: Option<u64>,
    },
    /// List the versions of which snapshots are kept
    #[command(alias = "ls")]
    List {
        /// The entity
        entity: String,
    },
    /// Drop a snapshot
    #[command(alias = "rm")]
    Delete {
        /// The entity
        entity: String,
        /// The version that it is of
        #[arg(long, value_name = "N")]
        version: u64,
    },
    /// Print the newest snapshot and the events after it
    Read {
        /// The entity
        entity: String,
        #[command(flatten)]
        moment: PrefixArgs,
    },
}

pub(crate) async fn run(command: &SnapshotCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        SnapshotCommand::Create { entity, state, version } => {
            let state = JsonText::of_stored(&read_payload(state)?);
            let body = SnapshotBody { entity_type: None, entity_version: *version, state };
            let created = client.create_snapshot(entity, &body).await?;
            if output.is_json() {
                return output.json(&created);
            }
            done(output, &format!("snapshot `{}` kept", created.snapshot_id))
        }
        SnapshotCommand::Get { entity, before } => {
            let snapshot = client.snapshot(entity, *before).await?;
            if output.is_json() {
                return output.json(&snapshot);
            }
            output.facts(&[
                ("version", snapshot.entity_version.to_string()),
                ("created", snapshot.created_at.clone()),
                ("state", snapshot.state.get().to_owned()),
            ])
        }
        SnapshotCommand::List { entity } => {
            let list = client.snapshots(entity).await?;
            if output.is_json() {
                return output.json(&list);
            }
            let rows: Vec<_> = list.versions.iter().map(|version| [version.to_string()]).collect();
            output.table(["VERSION"], &rows)
        }
        SnapshotCommand::Delete { entity, version } => {
            client.delete_snapshot(entity, *version).await?;
            done(output, &format!("snapshot of version {version} dropped"))
        }
        SnapshotCommand::Read { entity, moment } => read(entity, moment, client, output).await,
    }
}

async fn read(entity: &str, moment: &PrefixArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let options = ReadOptions { moment: moment.to_moment()?, ..ReadOptions::default() };
    let page = client.read_from_snapshot(entity, options).await?;
    if output.is_json() {
        return output.json(&page);
    }
    if let Some(snapshot) = &page.snapshot {
        output.line(&format!("snapshot of version {}: {}", snapshot.entity_version, snapshot.state.get()))?;
    }
    let rows: Vec<_> = page.events.iter().map(|event: &EventView| stream::read::row(event)).collect();
    output.table(stream::read::HEAD, &rows)?;
    match page.next_version {
        Some(next) => done(output, &format!("more from version {next} on")),
        None => Ok(()),
    }
}
