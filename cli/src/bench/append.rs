use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use uuid::Uuid;
use weir_client::{Appender, Client, ErrorCode};
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventName, EventSource, ExpectedVersion, GroupId,
    IdempotencyKey, NewEvent, StreamVersion,
};

use super::{
    machine::Machine,
    run::{Bench, Tally, Window, measure},
};
use crate::{duration::parse_duration, error::CliError, output::Output};

#[derive(Debug, clap::Args)]
pub struct AppendArgs {
    /// Callers that append at once; several numbers are several runs
    #[arg(long, default_value = "1,64,512", value_delimiter = ',', value_name = "N[,N…]")]
    in_flight: Vec<u16>,
    /// How long each run measures
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// How long each run goes before it measures
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// Streams to append to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// All appends over one session (default)
    #[arg(long, conflicts_with = "unary")]
    session: bool,
    /// One HTTP request for each append
    #[arg(long)]
    unary: bool,
    /// Give each append an idempotency key
    #[arg(long)]
    keys: bool,
}

/// How long a caller waits for one append before it counts an error.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &AppendArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let machine = Machine::here();
    let mut runs = Vec::new();
    for in_flight in &args.in_flight {
        let in_flight = usize::from(*in_flight).max(1);
        let appender = match args.unary {
            true => Appender::unary(client.clone()),
            false => Appender::session(client.clone(), in_flight),
        };
        let run = Uuid::new_v4().simple().to_string();
        let load = Arc::new(Load::new(args, &run[..8], in_flight)?);
        let window = Window::new(args.warmup, args.duration);
        let line = measure(in_flight, window, |lane, tally| {
            Arc::clone(&load).lane(lane, appender.clone(), client.clone(), tally)
        });
        runs.push(line.await?);
    }
    let mode = if args.unary { "unary" } else { "session" };
    let (size, streams) = (args.size as usize, args.streams as usize);
    Bench { operation: "append", mode, size, streams, machine, runs }.show(output)
}

/// The streams of a run, dealt to its lanes.
struct Load {
    streams: Vec<EntityId>,
    lanes: usize,
    entity_type: EntityType,
    event: NewEvent,
    keys: bool,
}

impl Load {
    fn new(args: &AppendArgs, run: &str, lanes: usize) -> Result<Self, CliError> {
        let name = |error: weir_types::NameError| CliError::Failed(error.to_string());
        let count = (args.streams as usize).max(lanes);
        let streams = (0..count).map(|number| EntityId::new(format!("bench-{run}-{number}")));
        Ok(Self {
            streams: streams.collect::<Result<_, _>>().map_err(name)?,
            lanes,
            entity_type: EntityType::new("bench").map_err(name)?,
            event: event_of(args.size as usize).map_err(name)?,
            keys: args.keys,
        })
    }

    async fn lane(
        self: Arc<Self>,
        lane: usize,
        appender: Appender,
        client: Client,
        mut tally: Tally,
    ) -> Tally {
        let mut streams: Vec<(usize, u64)> =
            (lane..self.streams.len()).step_by(self.lanes).map(|stream| (stream, 0)).collect();
        loop {
            for (stream, version) in &mut streams {
                if tally.is_over() {
                    return tally;
                }
                let request = self.request(*stream, *version);
                let begin = Instant::now();
                match appender.append(&request, PATIENCE).await {
                    Ok(ack) => {
                        tally.count(begin, Ok(1));
                        *version = ack.last_version.0;
                    }
                    Err(error) => {
                        tally.count(begin, Err(&error));
                        *version = version_now(&client, &request.entity_id, *version).await;
                    }
                }
            }
        }
    }

    fn request(&self, stream: usize, version: u64) -> AppendRequest {
        let entity_id = self.streams[stream].clone();
        let key = self.keys.then(|| format!("{entity_id}:{version}"));
        AppendRequest {
            group: GroupId::DEFAULT,
            entity_type: self.entity_type.clone(),
            expected: ExpectedVersion::Exact(StreamVersion(version)),
            idempotency_key: key.and_then(|key| IdempotencyKey::new(key).ok()),
            events: vec![self.event.clone()],
            entity_id,
        }
    }
}

/// After an error the stream is where it is, which only the server knows.
async fn version_now(client: &Client, entity_id: &EntityId, before: u64) -> u64 {
    match client.stream(entity_id.as_str()).await {
        Ok(stream) => stream.version,
        Err(error) if error.code() == Some(ErrorCode::StreamNotFound) => 0,
        Err(_) => before,
    }
}

/// An event whose data has this many bytes, as JSON.
pub(super) fn event_of(size: usize) -> Result<NewEvent, weir_types::NameError> {
    let frame = r#"{"fill":""}"#.len();
    let data = format!(r#"{{"fill":"{}"}}"#, "x".repeat(size.saturating_sub(frame)));
    Ok(NewEvent {
        name: EventName::new("bench.appended")?,
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from(data),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_was_asked_for() {
        for size in [16, 256, 100_000] {
            assert_eq!(event_of(size).unwrap().data.len(), size);
        }
    }
}
