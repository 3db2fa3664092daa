use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout_at};
use uuid::Uuid;
use weir_client::{Append, Client, Notice, Subscribe};

use super::{
    append::watched,
    machine::Machine,
    measure::Run,
    plan::PlanArgs,
    report::{Report, Work, load_of},
    tally::{Tally, Window},
};
use crate::{error::CliError, output::Output};

/// Appends a second, unless it is said.
const RATE: u32 = 50;

#[derive(Debug, Args)]
pub struct SubscribeArgs {
    /// `--in-flight` is the number of subscribers, `--rate` that of appends a second (50)
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Bytes of data of an event
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    size: u32,
    /// Streams that are appended to
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
}

/// Subscribers to all events of a type, and one that appends: the time from before an append to its frame at
/// each subscriber.
pub(super) async fn run(args: &SubscribeArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    client.find_leader().await?;
    let machine = Machine::here();
    let watch = watched(&args.plan, client).await;
    let mut runs = Vec::new();
    for subscribers in &args.plan.in_flight {
        let window = Window::new(args.plan.warmup, args.plan.duration, true);
        let fan = Fan {
            client: client.clone(),
            entity_type: format!("bench-{}", &Uuid::new_v4().simple().to_string()[..8]),
            begun: Instant::now(),
            until: window.until,
            size: args.size as usize,
            streams: args.streams,
            rate: args.plan.rate.unwrap_or(RATE),
        };
        let in_flight = usize::from(*subscribers).max(1);
        let run = Run { in_flight, rate: None, window, watch: &watch };
        runs.push(run.measure(|lane, _, tally| fan.clone().lane(lane, tally)).await?);
    }
    let work = Work {
        operation: "subscribe",
        mode: "sse",
        load: load_of(Some(args.plan.rate.unwrap_or(RATE))),
        guard: None,
        size: args.size as usize,
        events_per_append: 1,
        streams: args.streams as usize,
        invariant: false,
    };
    Report::new(work, machine, runs, Vec::new()).show(output)
}

#[derive(Debug, Clone)]
struct Fan {
    client: Client,
    entity_type: String,
    begun: Instant,
    until: Instant,
    size: usize,
    streams: u32,
    rate: u32,
}

impl Fan {
    /// The first subscriber appends too.
    async fn lane(self, lane: usize, tally: Tally) {
        match lane {
            0 => drop(tokio::join!(self.append(&tally), self.subscribe(&tally))),
            _ => self.subscribe(&tally).await,
        }
    }

    async fn append(&self, tally: &Tally) {
        let mut due = interval(Duration::from_secs(1) / self.rate);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let padding = "x".repeat(self.size.saturating_sub(32));
        let mut number = 0_u64;
        loop {
            due.tick().await;
            let begin = Instant::now();
            if begin >= self.until {
                return;
            }
            number += 1;
            let stream = format!("{}-{}", self.entity_type, number % u64::from(self.streams));
            let micros = u64::try_from((begin - self.begun).as_micros()).unwrap_or(u64::MAX);
            let data = json!({ "at": micros, "x": padding });
            let append = Append::to(&stream, &self.entity_type).event("bench.sent", &data).build();
            let appended = match append {
                Ok(append) => self.client.append(&append).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = appended {
                tally.count(begin, Err(&error));
            }
        }
    }

    async fn subscribe(&self, tally: &Tally) {
        let mut subscription =
            self.client.subscribe(Subscribe::pattern(&format!("entity:{}.*", self.entity_type)));
        // What was appended at the window's end is on its way a little longer.
        let end = self.until + Duration::from_secs(1);
        while let Ok(notice) = timeout_at(end.into(), subscription.next()).await {
            match notice {
                Ok(Notice::Event(event)) => {
                    let at = event.data.to_value().ok().and_then(|data| data["at"].as_u64());
                    if let Some(at) = at {
                        tally.count(self.begun + Duration::from_micros(at), Ok(1));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tally.count(Instant::now(), Err(&error));
                    return;
                }
            }
        }
    }
}
