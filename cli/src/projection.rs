//! `weir projection …`

mod difference;
mod get;
mod given;
mod letters;
mod past;
mod register;
mod source;
mod starter;
mod trial;
mod watch;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use weir_client::{
    Client,
    v1::{PartitionsQuery, ProjectionStatus, ProjectionStatusKind, WaitResult},
};

use self::source::source;
use crate::{
    duration::parse_duration,
    error::CliError,
    output::Output,
    rebuild::{RebuildArgs, diff, rebuild},
    sandbox::Sandbox,
    verify::verify,
};

#[derive(Debug, Subcommand)]
pub enum ProjectionCommand {
    /// Write a projection to begin with, given events and the states that come of them
    New(starter::StarterArgs),
    /// Fold given events on the spot, with no server; exit code 5 when other states come of it
    Test(trial::TrialArgs),
    /// Deploy a projection from its JavaScript file
    Deploy {
        /// The file
        file: PathBuf,
    },
    /// Make a projection that workers fold, or whose events the cluster sends outside; or change one
    Register(register::RegisterArgs),
    /// List projections
    #[command(alias = "ls")]
    List,
    /// Print the state of one partition
    Get(get::GetArgs),
    /// Show how far a projection is; exit code 5 when it is parked
    Status {
        /// The projection
        name: String,
    },
    /// List the keys of a projection's partitions
    Partitions {
        /// The projection
        name: String,
        /// Only keys after this one
        #[arg(long)]
        after: Option<String>,
        /// Only keys that begin with this text
        #[arg(long)]
        prefix: Option<String>,
        /// Only keys that hold this text
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Keys to show
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
    /// List the events that a projection passed because they could not be folded or sent
    DeadLetters {
        /// The projection
        name: String,
        /// Only those after this position
        #[arg(long, value_name = "POSITION")]
        after: Option<u64>,
        /// Dead letters to show
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Send dead letters again that the cluster sends outside
    Replay {
        /// The projection
        name: String,
        /// Which
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "POSITION")]
        positions: Vec<u64>,
        /// As many as may be at once
        #[arg(long)]
        all: bool,
    },
    /// Fold a projection again beside what answers, which it replaces when it has caught up
    Rebuild(RebuildArgs),
    /// Compare two projections at one position; exit code 5 when they differ
    Diff {
        /// The one
        left: String,
        /// The other
        right: String,
        /// Partitions to name that differ
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Let each of two names answer from what the other one did
    Switch {
        /// The one
        name: String,
        /// The other
        with: String,
    },
    /// Compare a projection on all nodes at one position; exit code 1 when a node differs
    Verify {
        /// The projection
        name: String,
    },
    /// Fold nothing until it is resumed, on every node
    Pause {
        /// The projection
        name: String,
    },
    /// Go on after a pause, and try again where it is parked
    #[command(alias = "retry")]
    Resume {
        /// The projection
        name: String,
    },
    /// Wait until a projection has folded a position or an event; exit code 5 when it has not in time
    Wait {
        /// The projection
        name: String,
        /// The position, such as an append answers it
        #[arg(value_name = "POSITION", required_unless_present = "event")]
        position: Option<u64>,
        /// An event's id in place of a position
        #[arg(long, value_name = "ID", conflicts_with = "position")]
        event: Option<String>,
        /// How long to wait, at most 60s
        #[arg(long, default_value = "30s", value_parser = parse_duration)]
        timeout: Duration,
    },
    /// Print the states of a projection, first as they are and then every new one, until Ctrl-C
    Watch {
        /// The projection
        name: String,
        /// One partition; without it all of them
        partition: Option<String>,
        /// Only states that changed after this position
        #[arg(long, value_name = "POSITION")]
        after: Option<u64>,
        /// End after this many states
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Remove a projection with its states
    #[command(alias = "rm")]
    Remove {
        /// The projection
        name: String,
    },
}

pub(crate) async fn run(
    command: &ProjectionCommand,
    client: &Client,
    sandbox: Option<&dyn Sandbox>,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        ProjectionCommand::New(args) => starter::run(args, output),
        ProjectionCommand::Test(args) => trial::run(args, sandbox, output).await,
        ProjectionCommand::Deploy { file } => deploy(file, sandbox, client, output).await,
        ProjectionCommand::List => list(client, output).await,
        ProjectionCommand::Get(args) => get::run(args, client, output).await,
        ProjectionCommand::Status { name } => status(name, client, output).await,
        ProjectionCommand::Partitions { name, after, prefix, search, limit } => {
            let query = PartitionsQuery {
                after: after.clone(),
                q: search.clone(),
                prefix: prefix.clone(),
                limit: Some(*limit),
            };
            partitions(name, &query, client, output).await
        }
        ProjectionCommand::Watch { name, partition, after, limit } => {
            let watch = client.watch_projection(name, partition.as_deref());
            let watch = match after {
                Some(position) => watch.after(*position),
                None => watch,
            };
            tokio::select! {
                ended = watch::follow(watch, limit.unwrap_or(u64::MAX), output) => ended,
                interrupted = tokio::signal::ctrl_c() => interrupted.map_err(CliError::io("listen for Ctrl-C")),
            }
        }
        ProjectionCommand::Wait { name, position, event, timeout } => {
            wait(name, (*position, event.as_deref()), *timeout, client)
                .await
                .and_then(|result| waited(name, &result, output))
        }
        ProjectionCommand::Register(args) => register::register(args, client, output).await,
        ProjectionCommand::Rebuild(args) => rebuild(args, client, output).await,
        ProjectionCommand::Diff { left, right, limit } => diff(left, right, *limit, client, output).await,
        ProjectionCommand::Switch { name, with } => switch(name, with, client, output).await,
        ProjectionCommand::Verify { name } => verify(name, client, output).await,
        ProjectionCommand::DeadLetters { name, after, limit } => {
            letters::list(name, (*after, *limit), client, output).await
        }
        ProjectionCommand::Replay { name, positions, all } => {
            letters::replay(name, (!all).then(|| positions.clone()), client, output).await
        }
        ProjectionCommand::Pause { name } => {
            let status = client.pause_projection(name).await?;
            changed(&status, output)
        }
        ProjectionCommand::Resume { name } => {
            let status = client.resume_projection(name).await?;
            changed(&status, output)
        }
        ProjectionCommand::Remove { name } => {
            client.remove_projection(name).await?;
            done(output, &format!("projection `{name}` removed"))
        }
    }
}

async fn wait(
    name: &str,
    (position, event): (Option<u64>, Option<&str>),
    timeout: Duration,
    client: &Client,
) -> Result<WaitResult, CliError> {
    Ok(match event {
        Some(event) => client.wait_for_event(name, event, timeout).await?,
        None => client.wait_for_projection(name, position.unwrap_or(0), timeout).await?,
    })
}

async fn switch(name: &str, with: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let status = client.switch_projections(name, with).await?;
    output.json_or(&status, |now| {
        eprintln!(
            "projection `{name}` answers from deployment {}, and `{with}` from what it did",
            now.deployed
        );
        Ok(())
    })
}

/// Says that a change is made, where it does not disturb the data.
pub(crate) fn done(output: &Output, text: &str) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(&serde_json::json!({ "ok": true }));
    }
    eprintln!("{text}");
    Ok(())
}

async fn deploy(
    file: &Path,
    sandbox: Option<&dyn Sandbox>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let source = source(file, sandbox).await?;
    let result = client.deploy_projection(&source).await?;
    if output.is_json() {
        return output.json(&result);
    }
    output.facts(&[
        ("projection", result.name),
        ("deployed", result.deployed.to_string()),
        ("events", result.events.join(", ")),
        ("partition key", result.partition_key.unwrap_or_else(|| "-".into())),
    ])
}

fn changed(status: &ProjectionStatus, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(status);
    }
    eprintln!("projection `{}` is {}", status.name, status.status.as_str());
    Ok(())
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let list = client.projections().await?;
    if output.is_json() {
        return output.json(&list);
    }
    let row = |projection: &ProjectionStatus| {
        [
            projection.name.clone(),
            projection.status.as_str().into(),
            projection.checkpoint.to_string(),
            projection.lag.to_string(),
            projection.events.join(", "),
            projection.error_message.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = list.projections.iter().map(row).collect();
    output.table(["PROJECTION", "STATUS", "CHECKPOINT", "LAG", "EVENTS", "ERROR"], &rows)
}

async fn partitions(
    name: &str,
    query: &PartitionsQuery,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let page = client.partitions(name, query).await?;
    if output.is_json() {
        return output.json(&page);
    }
    page.partitions.iter().try_for_each(|key| output.line(key))?;
    if let Some(next) = &page.next {
        eprintln!("there may be more: --after {next:?}");
    }
    Ok(())
}

fn waited(name: &str, result: &WaitResult, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        output.json(result)?;
    } else {
        output.facts(&[
            ("projection", name.to_owned()),
            ("caught up", result.caught_up.to_string()),
            ("folded", result.current_seq.to_string()),
            ("waited for", result.target_seq.to_string()),
        ])?;
    }
    match result.caught_up {
        true => Ok(()),
        false => Err(CliError::NotHealthy(format!("projection `{name}` has not caught up in time"))),
    }
}

/// One that is not folded by nodes is of no kind: it is for workers, or for what its events lead to outside.
fn kind_of(status: &ProjectionStatus) -> String {
    match status.mode.as_str() {
        _ if status.worker.is_none() => status.kind.clone(),
        "external" => "external".into(),
        _ => "by workers".into(),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.to_owned() }
}

async fn status(name: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let status = client.projection_status(name).await?;
    if output.is_json() {
        output.json(&status)?;
    } else {
        output.facts(&[
            ("projection", status.name.clone()),
            ("kind", kind_of(&status)),
            ("status", status.status.as_str().into()),
            ("checkpoint", status.checkpoint.to_string()),
            ("lag", status.lag.to_string()),
            ("folded events", status.folded_events.to_string()),
            ("digest", or_dash(&status.digest)),
            ("on error", status.on_error.clone()),
            ("dead letters", status.dead_letters.to_string()),
            ("without a key", status.unkeyed_events.to_string()),
            ("error", status.error_message.clone().unwrap_or_else(|| "-".into())),
        ])?;
    }
    match status.status {
        ProjectionStatusKind::Rebuilding if status.error.is_some() => {
            Err(CliError::NotHealthy(format!("what is to take the place of projection `{name}` is parked")))
        }
        ProjectionStatusKind::Active | ProjectionStatusKind::Paused | ProjectionStatusKind::Rebuilding => {
            Ok(())
        }
        ProjectionStatusKind::Error => Err(CliError::NotHealthy(format!("projection `{name}` is parked"))),
    }
}
