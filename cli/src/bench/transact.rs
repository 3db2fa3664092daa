use clap::Args;
use uuid::Uuid;
use weir_client::{Client, ErrorCode};
use weir_types::{
    EntityId, EntityType, ExpectedVersion, GroupId, IdempotencyKey, NameError, NewEvent, StreamAppend,
    StreamVersion, TransactionAck, TransactionRequest,
};

use super::{
    append::{own_prefix, watched},
    load::event_of,
    machine::Machine,
    measure::Run,
    pace::Pace,
    plan::PlanArgs,
    report::{Report, Work, load_of},
    tally::{Tally, Window},
};
use crate::{error::CliError, output::Output};

#[derive(Debug, Args)]
pub struct TransactArgs {
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Streams that a transaction appends to
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    over: u16,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// Streams of all callers together
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    streams: u32,
}

pub(super) async fn run(args: &TransactArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let machine = Machine::here();
    let watch = watched(&args.plan, client).await;
    let event = event_of(args.size as usize).map_err(|error| CliError::Failed(error.to_string()))?;
    let mut runs = Vec::new();
    for in_flight in &args.plan.in_flight {
        let in_flight = usize::from(*in_flight).max(1);
        let prefix = own_prefix();
        let window = Window::new(args.plan.warmup, args.plan.duration, args.plan.rate.is_some());
        let run = Run { in_flight, rate: args.plan.rate, window, watch: &watch };
        let caller = |lane| Caller {
            prefix: format!("{prefix}-{lane}"),
            client: client.clone(),
            event: event.clone(),
            over: usize::from(args.over),
            versions: vec![0; (args.streams as usize / in_flight).max(usize::from(args.over))],
            at: 0,
        };
        runs.push(run.measure(|lane, pace, tally| caller(lane).run(pace, tally)).await?);
    }
    let work = Work {
        operation: "transact",
        mode: "unary",
        load: load_of(args.plan.rate),
        guard: Some("exact"),
        size: args.size as usize,
        events_per_append: usize::from(args.over),
        streams: args.streams as usize,
        invariant: false,
    };
    Report::new(work, machine, runs, Vec::new()).show(output)
}

/// One caller with streams of its own, so that what it is refused is not another's work.
#[derive(Debug)]
struct Caller {
    prefix: String,
    client: Client,
    event: NewEvent,
    over: usize,
    versions: Vec<u64>,
    at: usize,
}

impl Caller {
    async fn run(mut self, pace: Pace, tally: Tally) {
        while let Some(begin) = pace.next().await {
            let streams: Vec<usize> =
                (0..self.over).map(|step| (self.at + step) % self.versions.len()).collect();
            self.at = (self.at + self.over) % self.versions.len();
            let Ok(request) = self.request(&streams) else { return };
            match self.client.transact(&request).await {
                Ok(ack) => {
                    tally.count(begin, Ok(self.over as u64));
                    self.took(&streams, &ack);
                }
                Err(error) => {
                    tally.count(begin, Err(&error));
                    self.ask(&streams, &request).await;
                }
            }
        }
    }

    fn request(&self, streams: &[usize]) -> Result<TransactionRequest, NameError> {
        let append = |stream: &usize| {
            Ok(StreamAppend {
                entity_id: EntityId::new(format!("{}-{stream}", self.prefix))?,
                entity_type: EntityType::new("bench")?,
                expected: ExpectedVersion::Exact(StreamVersion(self.versions[*stream])),
                events: vec![self.event.clone()],
            })
        };
        Ok(TransactionRequest {
            group: GroupId::DEFAULT,
            idempotency_key: Some(IdempotencyKey::new(Uuid::new_v4().to_string())?),
            appends: streams.iter().map(append).collect::<Result<_, _>>()?,
            checks: Vec::new(),
            conditions: Vec::new(),
        })
    }

    fn took(&mut self, streams: &[usize], ack: &TransactionAck) {
        for (stream, (_, written)) in streams.iter().zip(&ack.streams) {
            self.versions[*stream] = written.last_version.0;
        }
    }

    /// After an error the streams are where they are, which only the server knows.
    async fn ask(&mut self, streams: &[usize], request: &TransactionRequest) {
        for (stream, append) in streams.iter().zip(&request.appends) {
            match self.client.stream(append.entity_id.as_str()).await {
                Ok(found) => self.versions[*stream] = found.version,
                Err(error) if error.code() == Some(ErrorCode::StreamNotFound) => self.versions[*stream] = 0,
                Err(_) => {}
            }
        }
    }
}
