use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;
use weir_client::{Appender, Client, ReadOptions, v1::Freshness};
use weir_types::{
    AppendRequest, EntityId, EntityType, ExpectedVersion, GroupId, IdempotencyKey, StreamVersion,
};

use super::{
    append::event_of,
    machine::Machine,
    run::{Bench, Tally, Window, measure},
};
use crate::{duration::parse_duration, error::CliError, output::Output};

/// Events of a stream that is read.
const STREAM_EVENTS: usize = 100;

#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// Callers that read at once; several numbers are several runs
    #[arg(long, default_value = "1,8,64", value_delimiter = ',', value_name = "N[,N…]")]
    in_flight: Vec<u16>,
    /// How long each run measures
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// How long each run goes before it measures
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=40_000))]
    size: u32,
    /// Streams of 100 events, written before
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// Be content with what the answering node has applied
    #[arg(long)]
    local: bool,
}

pub(super) async fn run(args: &ReadArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let streams = Arc::new(prepare(args, client).await?);
    let machine = Machine::here();
    let options = ReadOptions {
        page: Some(STREAM_EVENTS as u64),
        freshness: args.local.then_some(Freshness::Local),
        ..ReadOptions::default()
    };
    let mut runs = Vec::new();
    for in_flight in &args.in_flight {
        let in_flight = usize::from(*in_flight).max(1);
        let window = Window::new(args.warmup, args.duration);
        let line = measure(in_flight, window, |lane, tally| {
            read_lane(Arc::clone(&streams), lane, client.clone(), options, tally)
        });
        runs.push(line.await?);
    }
    let mode = if args.local { "unary local" } else { "unary linearizable" };
    Bench { operation: "read", mode, size: args.size as usize, streams: streams.len(), machine, runs }
        .show(output)
}

/// Each lane walks through all streams with its own stride, so that lanes do not follow each other.
async fn read_lane(
    streams: Arc<Vec<EntityId>>,
    lane: usize,
    client: Client,
    options: ReadOptions,
    mut tally: Tally,
) -> Tally {
    let mut at = lane * 7_919;
    while !tally.is_over() {
        at = (at + 104_729) % streams.len();
        let begin = Instant::now();
        match client.read_page(streams[at].as_str(), options).await {
            Ok(page) => tally.count(begin, Ok(page.events.len() as u64)),
            Err(error) => tally.count(begin, Err(&error)),
        }
    }
    tally
}

async fn prepare(args: &ReadArgs, client: &Client) -> Result<Vec<EntityId>, CliError> {
    let name = |error: weir_types::NameError| CliError::Failed(error.to_string());
    let run = Uuid::new_v4().simple().to_string();
    let entity_type = EntityType::new("bench").map_err(name)?;
    let event = event_of(args.size as usize).map_err(name)?;
    let ids = (0..args.streams).map(|number| EntityId::new(format!("bench-{}-{number}", &run[..8])));
    let ids: Vec<EntityId> = ids.collect::<Result<_, _>>().map_err(name)?;
    let appender = Appender::session(client.clone(), 16);
    eprintln!("writing {} streams of {STREAM_EVENTS} events", ids.len());
    let requests = ids.iter().map(|entity_id| AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: entity_id.clone(),
        entity_type: entity_type.clone(),
        expected: ExpectedVersion::Exact(StreamVersion::ZERO),
        idempotency_key: IdempotencyKey::new(entity_id.as_str()).ok(),
        events: vec![event.clone(); STREAM_EVENTS],
    });
    let written = stream::iter(requests).map(|request| {
        let appender = appender.clone();
        async move { appender.append(&request, Duration::from_secs(60)).await }
    });
    written.buffer_unordered(16).try_for_each(|_| async { Ok(()) }).await?;
    Ok(ids)
}
