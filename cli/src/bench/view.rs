use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;
use weir_client::{Append, Client, ClientError, v1::ViewQuery};

use super::{
    append::{own_prefix, watched},
    machine::Machine,
    measure::Run,
    pace::Pace,
    plan::PlanArgs,
    report::{Report, Work, load_of},
    tally::{Tally, Window},
};
use crate::{error::CliError, output::Output};

/// How long one event may take to be folded.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct ViewArgs {
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// Streams of all callers together, with a partition each
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    streams: u32,
    /// How the event is waited for
    #[arg(long, default_value = "read")]
    by: By,
}

/// How a caller learns that its event is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// A read of its view that reflects the event's position
    Read,
    /// waitForEvent
    Event,
}

/// Callers that append, and wait for the view once they are answered: the time from that answer.
pub(super) async fn run(args: &ViewArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let projection = own_prefix();
    let source = format!(
        "export const name = '{projection}'; export const events = ['{projection}.*'];\n\
         export const partitionKey = '$.entityId'; export const initialState = () => ({{ events: 0 }});\n\
         export function handler(state) {{ state.events += 1; }}"
    );
    client.deploy_projection(&source).await?;
    let measured = measured(args, client, output, &projection).await;
    client.remove_projection(&projection).await?;
    measured
}

async fn measured(
    args: &ViewArgs,
    client: &Client,
    output: &Output,
    projection: &str,
) -> Result<(), CliError> {
    let machine = Machine::here();
    let watch = watched(&args.plan, client).await;
    let mut runs = Vec::new();
    for in_flight in &args.plan.in_flight {
        let in_flight = usize::from(*in_flight).max(1);
        let window = Window::new(args.plan.warmup, args.plan.duration, args.plan.rate.is_some());
        let run = Run { in_flight, rate: args.plan.rate, window, watch: &watch };
        let caller = |lane| Caller {
            client: client.clone(),
            projection: projection.to_owned(),
            by: args.by,
            padding: "x".repeat(args.size as usize - json!({ "fill": "" }).to_string().len()),
            streams: (args.streams as usize / in_flight).max(1),
            lane,
        };
        runs.push(run.measure(|lane, pace, tally| caller(lane).run(pace, tally)).await?);
    }
    let work = Work {
        operation: "view",
        mode: match args.by {
            By::Read => "read",
            By::Event => "event",
        },
        load: load_of(args.plan.rate),
        guard: Some("any"),
        size: args.size as usize,
        events_per_append: 1,
        streams: args.streams as usize,
        invariant: false,
    };
    Report::new(work, machine, runs, Vec::new()).show(output)
}

#[derive(Debug)]
struct Caller {
    client: Client,
    projection: String,
    by: By,
    padding: String,
    streams: usize,
    lane: usize,
}

impl Caller {
    async fn run(self, pace: Pace, tally: Tally) {
        let mut number = 0;
        while pace.next().await.is_some() {
            number += 1;
            let mut answered = Instant::now();
            match self.append_and_wait(number, &mut answered).await {
                Ok(()) => tally.count(answered, Ok(1)),
                Err(error) => tally.count(answered, Err(&error)),
            }
        }
    }

    /// Sets `answered` to the time of the append's answer.
    async fn append_and_wait(&self, number: usize, answered: &mut Instant) -> Result<(), ClientError> {
        let stream = format!("{}-{}-{}", self.projection, self.lane, number % self.streams);
        let data = json!({ "fill": self.padding });
        let name = format!("{}.appended", self.projection);
        let append = Append::to(&stream, "bench").event(&name, &data).build()?;
        let ack = self.client.append(&append).await?;
        *answered = Instant::now();
        match self.by {
            By::Read => {
                let min_position = Some(ack.last_position().0);
                let query = ViewQuery { partition: Some(stream), min_position, ..ViewQuery::default() };
                self.client.projection(&self.projection, &query).await.map(drop)
            }
            By::Event => {
                let id = ack.event_ids[0].to_string();
                self.client.wait_for_event(&self.projection, &id, PATIENCE).await.map(drop)
            }
        }
    }
}
