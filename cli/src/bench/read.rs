use std::{sync::Arc, time::Duration};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;
use weir_client::{Appender, Client, ClientError, ReadOptions, ReadSession, v1::Freshness};
use weir_types::{
    AppendRequest, EntityId, EntityType, ExpectedVersion, GroupId, IdempotencyKey, StreamVersion,
};

use super::{
    append::watched,
    load::event_of,
    log,
    machine::Machine,
    measure::Run,
    pace::Pace,
    plan::PlanArgs,
    report::{Report, Work, load_of},
    tally::{Tally, Window},
};
use crate::{error::CliError, output::Output};

/// Events of a stream that is read.
const STREAM_EVENTS: usize = 100;

#[derive(Debug, Args)]
pub struct ReadArgs {
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=40_000))]
    size: u32,
    /// Streams of 100 events, written before
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// Be content with what the answering node has applied
    #[arg(long)]
    local: bool,
    /// Read the whole log, page after page, instead of streams
    #[arg(long, conflicts_with = "local")]
    log: bool,
    /// Read over REST, whose pages are JSON, instead of gRPC
    #[arg(long)]
    rest: bool,
    /// Events in a page of the log
    #[arg(long, default_value_t = 1_000, value_name = "N", requires = "log",
          value_parser = clap::value_parser!(u64).range(1..=4_096))]
    page: u64,
}

pub(super) async fn run(args: &ReadArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let streams = Arc::new(prepare(args, client).await?);
    let reader = Reader::open(args, client).await?;
    let machine = Machine::here();
    let watch = watched(&args.plan, client).await;
    let mut runs = Vec::new();
    for in_flight in &args.plan.in_flight {
        let window = Window::new(args.plan.warmup, args.plan.duration, args.plan.rate.is_some());
        let in_flight = usize::from(*in_flight).max(1);
        let run = Run { in_flight, rate: args.plan.rate, window, watch: &watch };
        runs.push(match args.log {
            true => run.measure(|_, pace, tally| log::walk(reader.clone(), args.page, pace, tally)).await?,
            false => {
                run.measure(|lane, pace, tally| walk(args, &streams, lane, &reader, pace, tally)).await?
            }
        });
    }
    let work = Work {
        operation: if args.log { "log" } else { "read" },
        mode: match (args.local || args.log, args.rest) {
            (true, false) => "local",
            (true, true) => "local, REST",
            (false, false) => "linearizable",
            (false, true) => "linearizable, REST",
        },
        load: load_of(args.plan.rate),
        guard: None,
        size: args.size as usize,
        events_per_append: STREAM_EVENTS,
        streams: streams.len(),
        invariant: false,
    };
    Report::new(work, machine, runs, Vec::new()).show(output)
}

/// What asks for pages.
#[derive(Clone)]
pub(super) enum Reader {
    Rest(Client),
    Grpc(ReadSession),
}

impl Reader {
    async fn open(args: &ReadArgs, client: &Client) -> Result<Self, CliError> {
        match args.rest {
            true => Ok(Self::Rest(client.clone())),
            false => {
                Ok(Self::Grpc(ReadSession::open(&client.current_url(), client.options().deadline).await?))
            }
        }
    }

    /// The events of a page of a stream.
    async fn page(&self, entity_id: &str, options: ReadOptions) -> Result<usize, ClientError> {
        match self {
            Self::Rest(client) => Ok(client.read_page(entity_id, options).await?.events.len()),
            Self::Grpc(session) => Ok(session.read_page(entity_id, options).await?.events.len()),
        }
    }
}

/// Each caller walks through all streams from a place of its own, so that callers do not follow each other.
fn walk(
    args: &ReadArgs,
    streams: &Arc<Vec<EntityId>>,
    lane: usize,
    reader: &Reader,
    pace: Pace,
    tally: Tally,
) -> impl Future<Output = ()> + Send + use<> {
    let options = ReadOptions {
        page: Some(STREAM_EVENTS as u64),
        freshness: args.local.then_some(Freshness::Local),
        ..ReadOptions::default()
    };
    let (streams, reader) = (Arc::clone(streams), reader.clone());
    let mut at = lane * 7_919;
    async move {
        while let Some(begin) = pace.next().await {
            at = (at + 104_729) % streams.len();
            match reader.page(streams[at].as_str(), options).await {
                Ok(events) => tally.count(begin, Ok(events as u64)),
                Err(error) => tally.count(begin, Err(&error)),
            }
        }
    }
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
    let requests = ids.clone().into_iter().map(move |entity_id| AppendRequest {
        group: GroupId::DEFAULT,
        entity_type: entity_type.clone(),
        expected: ExpectedVersion::Exact(StreamVersion::ZERO),
        idempotency_key: IdempotencyKey::new(entity_id.as_str()).ok(),
        events: vec![event.clone(); STREAM_EVENTS],
        entity_id,
    });
    let written = stream::iter(requests).map(|request| {
        let appender = appender.clone();
        async move { appender.append(&request, Duration::from_secs(60)).await }
    });
    written.buffer_unordered(16).try_for_each(|_| async { Ok(()) }).await?;
    Ok(ids)
}
