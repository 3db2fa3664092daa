use std::pin::pin;

use futures::{StreamExt as _, TryStreamExt as _};
use weir_client::{
    Client, ReadOptions, Start,
    v1::{EventView, Freshness},
};
use weir_types::Direction;

use crate::{error::CliError, moment::MomentArgs, output::Output};

#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// The entity
    entity: String,
    /// First version
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    /// Events to show; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    backward: bool,
    /// Be content with what the answering node has applied
    #[arg(long, conflicts_with = "min_position")]
    local: bool,
    /// A position that the answer must reflect
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    /// Events as they are in the log, without upcasters
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    moment: MomentArgs,
}

pub(super) async fn run(args: &ReadArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let options = ReadOptions {
        start: args.from.map_or(Start::Edge, Start::Version),
        direction: if args.backward { Direction::Backward } else { Direction::Forward },
        page: args.limit.map(|limit| limit.clamp(1, 1_000) as u64),
        freshness: args.local.then_some(Freshness::Local),
        min_position: args.min_position,
        raw: args.raw,
        moment: args.moment.to_moment()?,
        ..ReadOptions::default()
    };
    let mut events = pin!(client.read(&args.entity, options).take(args.limit.unwrap_or(usize::MAX)));
    let mut rows = Vec::new();
    while let Some(event) = events.try_next().await? {
        match output.is_json() {
            true => output.json(&event)?,
            false => rows.push(row(&event)),
        }
    }
    if output.is_json() {
        return Ok(());
    }
    output.table(HEAD, &rows)
}

pub(crate) const HEAD: [&str; 5] = ["VERSION", "POSITION", "NAME", "RECORDED", "DATA"];

pub(crate) fn row(event: &EventView) -> [String; 5] {
    [
        event.version.to_string(),
        event.position.to_string(),
        event.name.clone(),
        event.recorded_at.clone(),
        event.data.get().to_owned(),
    ]
}
