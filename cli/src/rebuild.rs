//! `weir projection rebuild` and `diff`.

use std::time::Duration;

use weir_client::{
    Client,
    v1::{ComparisonView, DiffQuery, RebuildBody, RebuildJob, RebuildStatus},
};

use crate::{error::CliError, output::Output, projection::done};

/// Between two looks at a job.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    /// The projection
    name: String,
    /// Only fold and compare, on the node that is asked: nothing answers from it
    #[arg(long)]
    dry_run: bool,
    /// Fold only this partition again; the others stay as they are
    #[arg(long, value_name = "KEY", conflicts_with_all = ["status", "cancel"])]
    partition: Option<String>,
    /// Of a dry run: fold up to this event and no further
    #[arg(long, value_name = "ID", requires = "dry_run")]
    to_event: Option<String>,
    /// Show how far it is until it ends
    #[arg(long)]
    watch: bool,
    /// Show how far the last one is, and begin none
    #[arg(long, conflicts_with_all = ["dry_run", "cancel"])]
    status: bool,
    /// Give it up
    #[arg(long, conflicts_with = "dry_run")]
    cancel: bool,
}

pub(crate) async fn rebuild(args: &RebuildArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    if args.cancel {
        client.cancel_rebuild(&args.name).await?;
        return done(output, "cancelled");
    }
    let mut job = match args.status {
        true => client.rebuild_job(&args.name).await?,
        false => {
            let to_event_id = args.to_event.clone();
            let partition = args.partition.clone();
            let body =
                RebuildBody { dry_run: args.dry_run, to_event_id, partition, ..RebuildBody::default() };
            client.rebuild_projection(&args.name, &body).await?
        }
    };
    while args.watch && !is_over(job.status) {
        eprintln!("{}", line(&job));
        tokio::time::sleep(LOOK_EVERY).await;
        job = client.rebuild_job(&args.name).await?;
    }
    show(&job, output)?;
    match job.status {
        RebuildStatus::Failed => {
            Err(CliError::NotHealthy(job.error.unwrap_or_else(|| "rebuild failed".into())))
        }
        RebuildStatus::DryRunDiffers => {
            Err(CliError::NotHealthy("what answers is not what the log folds to".into()))
        }
        _ => Ok(()),
    }
}

fn is_over(status: RebuildStatus) -> bool {
    !matches!(status, RebuildStatus::Rebuilding | RebuildStatus::Paused)
}

fn line(job: &RebuildJob) -> String {
    let left = match (job.status, &job.estimated_remaining) {
        (RebuildStatus::Paused, _) => ", and the projection is paused".to_owned(),
        (_, Some(left)) => format!(", {left} left"),
        (_, None) => String::new(),
    };
    format!(
        "{:5.1} %  {} of {} events, {:.0}/s{left}",
        job.progress * 100.0,
        job.events_processed,
        job.total_events,
        job.events_per_second
    )
}

fn show(job: &RebuildJob, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(job);
    }
    let status = serde_json::to_value(job.status).ok();
    output.facts(&[
        ("job", job.job_id.clone()),
        ("status", status.and_then(|status| status.as_str().map(str::to_owned)).unwrap_or_default()),
        ("partition", job.partition.clone().unwrap_or_else(|| "all".into())),
        ("progress", line(job).trim().to_owned()),
        ("error", job.error.clone().unwrap_or_else(|| "-".into())),
    ])?;
    job.result.as_ref().map_or(Ok(()), |result| differences(result, output))
}

pub(crate) async fn diff(
    left: &str,
    right: &str,
    limit: Option<u64>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let compared = client.diff_projections(left, &DiffQuery { with: right.into(), limit }).await?;
    match output.is_json() {
        true => output.json(&compared)?,
        false => differences(&compared, output)?,
    }
    match compared.equal {
        true => Ok(()),
        false => Err(CliError::NotHealthy(format!(
            "`{left}` and `{right}` differ at position {}",
            compared.position
        ))),
    }
}

fn differences(compared: &ComparisonView, output: &Output) -> Result<(), CliError> {
    let text = |state: &Option<serde_json::Value>| state.as_ref().map_or("-".to_owned(), ToString::to_string);
    let rows: Vec<_> = compared
        .differences
        .iter()
        .map(|one| [one.partition.clone(), text(&one.left), text(&one.right)])
        .collect();
    if !rows.is_empty() {
        output.table(["PARTITION", "LEFT", "RIGHT"], &rows)?;
    }
    let more = if compared.truncated { ", and more" } else { "" };
    let equal = if compared.equal { "equal" } else { "different" };
    eprintln!(
        "{equal} at position {}: {} / {}{more}",
        compared.position, compared.left_digest, compared.right_digest
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_rebuild_says_what_it_waits_for() {
        let mut job: RebuildJob = serde_json::from_value(serde_json::json!({
            "jobId": "p-7", "projectionName": "p", "name": "p", "status": "rebuilding", "eventsProcessed": 50,
            "totalEvents": 200, "progress": 0.25, "eventsPerSecond": 10.0, "estimatedRemaining": "15s", "dryRun": false,
        }))
        .unwrap();
        assert_eq!(line(&job), " 25.0 %  50 of 200 events, 10/s, 15s left");
        job.status = RebuildStatus::Paused;
        assert_eq!(line(&job), " 25.0 %  50 of 200 events, 10/s, and the projection is paused");
        assert!(!is_over(job.status));
    }
}
