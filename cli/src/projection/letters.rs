use weir_client::{
    Client,
    v1::{DeadLettersQuery, ProjectionDeadLettersQuery, ProjectionFault, WorkerLetter},
};

use crate::{error::CliError, output::Output};

/// What a projection passed, after a position and at most so many, wherever it is folded.
pub(super) async fn list(
    name: &str,
    (after, limit): (Option<u64>, Option<u64>),
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    if client.projection_status(name).await?.worker.is_some() {
        return given_up(name, &DeadLettersQuery { after, limit }, client, output).await;
    }
    let page = client.projection_dead_letters(name, &ProjectionDeadLettersQuery { after, limit }).await?;
    if output.is_json() {
        return output.json(&page);
    }
    let row = |bad: &ProjectionFault| {
        let stream = format!("{}@{}", bad.entity_id, bad.version);
        [bad.position.to_string(), bad.event_name.clone(), stream, bad.event_id.clone(), bad.message.clone()]
    };
    let rows: Vec<_> = page.dead_letters.iter().map(row).collect();
    output.table(["POSITION", "EVENT", "STREAM", "ID", "ERROR"], &rows)?;
    eprintln!("{} of {}", page.returned, page.total);
    Ok(())
}

/// The same of one that workers fold, or that the cluster sends outside.
async fn given_up(
    name: &str,
    query: &DeadLettersQuery,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let page = client.worker_dead_letters(name, query).await?;
    if output.is_json() {
        return output.json(&page);
    }
    let row = |letter: &WorkerLetter| {
        let WorkerLetter { event_id, name, position, partition, deliveries } = letter.clone();
        [position.to_string(), name, partition, event_id, deliveries.to_string()]
    };
    let rows: Vec<_> = page.dead_letters.iter().map(row).collect();
    output.table(["POSITION", "EVENT", "PARTITION", "ID", "DELIVERIES"], &rows)?;
    if let Some(next) = page.next {
        eprintln!("there may be more: --after {next}");
    }
    Ok(())
}

pub(super) async fn replay(
    name: &str,
    positions: Option<Vec<u64>>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let replayed = client.replay_dead_letters(name, positions).await?;
    let told = serde_json::json!({ "replayed": replayed });
    output.json_or(&told, |_| output.line(&format!("{replayed} sent again")))
}
