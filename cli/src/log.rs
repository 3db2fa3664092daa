//! `weir log`: events of all streams, by position.

use weir_client::{
    Client,
    v1::{EventView, Freshness, LogQuery},
};

use crate::{error::CliError, output::Output};

/// Events of one page.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// First position; the start, or the end with --backward, if not given
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// Events to show; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    backward: bool,
    /// Only events of this name, or of names that begin so: order.*
    #[arg(long, value_name = "NAME|PREFIX.*")]
    name: Option<String>,
    /// Only events of entities of this type
    #[arg(long = "type", value_name = "TYPE")]
    entity_type: Option<String>,
    /// Only events with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Be content with what the answering node has applied
    #[arg(long, conflicts_with = "min_position")]
    local: bool,
    /// A position that the answer must reflect
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    /// Events as they are in the log, without upcasters
    #[arg(long)]
    raw: bool,
}

pub(crate) async fn run(args: &LogArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut query = args.query();
    let mut rows = Vec::new();
    while left > 0 {
        query.limit = Some(left.min(PAGE) as u64);
        let page = client.search_log(&query).await?;
        left = left.saturating_sub(page.events.len());
        for event in &page.events {
            match output.is_json() {
                true => output.json(event)?,
                false => rows.push(row(event)),
            }
        }
        let whole = if args.backward { page.next_position == 0 } else { page.next_position > page.position };
        if whole {
            break;
        }
        query.from_position = Some(page.next_position);
        // The first page was fresh enough, and those after it need be no fresher.
        (query.consistency, query.min_position) = (None, Some(page.position));
    }
    if output.is_json() {
        return Ok(());
    }
    output.table(["POSITION", "ENTITY", "VERSION", "NAME", "RECORDED", "DATA"], &rows)
}

impl LogArgs {
    fn query(&self) -> LogQuery {
        LogQuery {
            from_position: self.from,
            direction: self.backward.then(|| "backward".to_owned()),
            name: self.name.clone(),
            entity_type: self.entity_type.clone(),
            tag: self.tag.clone(),
            consistency: match (self.local, self.min_position) {
                (true, _) => Some(Freshness::Local),
                (false, Some(_)) => None,
                (false, None) => Some(Freshness::Linearizable),
            },
            min_position: self.min_position,
            raw: self.raw,
            ..LogQuery::default()
        }
    }
}

fn row(event: &EventView) -> [String; 6] {
    [
        event.position.to_string(),
        event.entity_id.clone(),
        event.version.to_string(),
        event.name.clone(),
        event.recorded_at.clone(),
        event.data.get().to_owned(),
    ]
}
