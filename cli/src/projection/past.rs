//! `weir projection get --at-position` and `--as-of`: a projection as it was.

use serde_json::{Map, Value};
use weir_client::{
    Client,
    v1::{PastFold, PastPageQuery, PastQuery, PastStatus},
};

use crate::{error::CliError, output::Output};

/// How long one call waits for the fold, in milliseconds.
const WAIT_MS: u64 = 1_000;

/// The moment that is asked for, and of what.
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) position: Option<u64>,
    pub(super) as_of: Option<&'a str>,
}

pub(super) async fn one(
    asked: &Asked<'_>,
    partition: Option<&str>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let query = PastQuery {
        position: asked.position,
        as_of: asked.as_of.map(str::to_owned),
        partition: partition.map(str::to_owned),
        wait_ms: Some(WAIT_MS),
    };
    let view = loop {
        let view = client.past_state(asked.name, &query).await?;
        match view.fold.status {
            PastStatus::Ready => break view,
            PastStatus::Folding => tell(&view.fold),
        }
    };
    if output.is_json() {
        return output.json(&view);
    }
    output.line(&pretty(&view.state.unwrap_or_default())?)?;
    eprintln!("partition {}, as of position {}", view.partition, view.fold.checkpoint);
    Ok(())
}

/// All partitions, as one object by their keys.
pub(super) async fn all(asked: &Asked<'_>, client: &Client, output: &Output) -> Result<(), CliError> {
    let mut query = PastPageQuery {
        position: asked.position,
        as_of: asked.as_of.map(str::to_owned),
        after: None,
        limit: None,
        wait_ms: Some(WAIT_MS),
    };
    let mut states = Map::new();
    let fold = loop {
        let page = client.past_states(asked.name, &query).await?;
        if page.fold.status == PastStatus::Folding {
            tell(&page.fold);
            continue;
        }
        states.extend(page.partitions.into_iter().map(|one| (one.partition, one.state)));
        query.after = page.next;
        if query.after.is_none() {
            break page.fold;
        }
    };
    let states = Value::Object(states);
    if output.is_json() {
        return output.json(&states);
    }
    output.line(&pretty(&states)?)?;
    eprintln!("as of position {}", fold.checkpoint);
    Ok(())
}

fn pretty(value: &Value) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::Failed(error.to_string()))
}

fn tell(fold: &PastFold) {
    let left = fold.estimated_remaining.as_deref().unwrap_or("?");
    let percent = fold.progress * 100.0;
    eprintln!("{percent:.1} %, {} of {}, {left} left", fold.checkpoint, fold.target);
}
