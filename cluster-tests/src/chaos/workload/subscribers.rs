//! Subscribers of every kind, through every door: each goes on with its cursor at another node when it is
//! cut, or begins anew with the newest events. Each event comes once, in order, whatever happens (S1).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use tokio::time::{Instant, timeout, timeout_at};
use weir_check::history::{Call, CaughtUp, Delivered, Filter, Seen, Source};

use super::{Context, Workload, caller::Caller, crew::Crew, writer::write};
use crate::live::{Ask, DOORS, Door, Heard, Listening, Start, Target};

/// Its name.
const NAME: &str = "subscribers";
/// Streams of its own.
const STREAMS: u64 = 3;
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(60);
/// Between two stretches.
const STRETCH_PACE: Duration = Duration::from_millis(150);
/// How long a node may take to open a subscription.
const OPEN: Duration = Duration::from_secs(4);
/// Heartbeats are short, so that they matter.
const HEARTBEAT_MS: u64 = 400;
/// How long the last events may take.
const LAST: Duration = Duration::from_secs(60);

/// Subscribers.
#[derive(Clone)]
pub struct Subscribers {
    /// Who, and how far each is.
    all: Arc<Vec<(Kind, Mutex<Place>)>>,
}

/// One subscriber.
#[derive(Debug, Clone)]
struct Kind {
    door: Door,
    target: Target,
    /// Begins every stretch with the newest events, and keeps no cursor.
    forgetful: bool,
}

/// How far a subscriber is.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The position of the last event that it has.
    position: u64,
    cursor: Option<String>,
}

impl Default for Subscribers {
    fn default() -> Self {
        let stream = |number: u64| Target::Stream { kind: NAME.to_owned(), id: format!("{NAME}-{number}") };
        let mut all = Vec::new();
        for (number, door) in (0..).zip(DOORS) {
            let filtered = Target::Filtered { kind: NAME.to_owned(), id: format!("{NAME}-{number}") };
            for target in [Target::Log, Target::Type(NAME.to_owned()), stream(number % STREAMS), filtered] {
                // A WebSocket's topic does not say where the event's type ends, and strangers' types hold dots.
                if !matches!((door, &target), (Door::Socket, Target::Log)) {
                    all.push(Kind { door, target, forgetful: false });
                }
            }
            all.push(Kind { door, target: Target::Type(NAME.to_owned()), forgetful: true });
        }
        Self { all: Arc::new(all.into_iter().map(|kind| (kind, Mutex::default())).collect()) }
    }
}

#[async_trait]
impl Workload for Subscribers {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        for number in 0..self.all.len() {
            crew.hire(Subscriber::new(context, self, number).work());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        for number in 0..self.all.len() {
            Subscriber::new(context, self, number).finish().await?;
        }
        Ok(())
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "subscribers.ok",
            "subscribers.event",
            "subscribers.sse",
            "subscribers.socket",
            "subscribers.grpc",
            "subscribers.caught-up",
            "subscribers.heartbeat",
            "subscribers.elsewhere",
            "subscribers.live",
        ]
    }
}

struct Subscriber {
    caller: Caller,
    all: Subscribers,
    number: usize,
    kind: Kind,
    place: Place,
    node: u64,
    stretches: u64,
}

/// What one stretch gave.
#[derive(Default)]
struct Stretch {
    events: Vec<Delivered>,
    caught_up: Option<CaughtUp>,
    left_out: bool,
}

impl Subscriber {
    fn new(context: &Context, all: &Subscribers, number: usize) -> Self {
        let (kind, place) = &all.all[number];
        let (kind, place) = (kind.clone(), place.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let caller = Caller::new(context, NAME);
        Self { caller, all: all.clone(), number, kind, place, node: 0, stretches: 0 }
    }

    async fn work(mut self) -> Result<()> {
        while !self.caller.context.stop.is_told() {
            let until = Instant::now() + Duration::from_millis(self.caller.rng.within(400..5_000));
            self.stretch(until, false).await;
            self.caller.pace(STRETCH_PACE).await;
        }
        let place = std::mem::take(&mut self.place);
        *self.all.all[self.number].1.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.caller.end()
    }

    /// Goes on until history ends: then it has everything.
    async fn finish(mut self) -> Result<()> {
        let end = Instant::now() + LAST;
        while !self.stretch(end, true).await {
            ensure!(Instant::now() < end, "{:?} does not come to its end: {:?}", self.kind, self.place);
            crate::pause().await;
        }
        self.caller.end()
    }

    fn ask(&self) -> Ask {
        let start = match &self.place.cursor {
            Some(cursor) if !self.kind.forgetful => Start::Cursor(cursor.clone()),
            _ if self.kind.forgetful => Start::Last(20),
            _ => Start::Beginning,
        };
        Ask { target: self.kind.target.clone(), start, heartbeat_ms: HEARTBEAT_MS }
    }

    /// One connection, until `until`, until it is cut, or until history ends. Whether history ended.
    async fn stretch(&mut self, until: Instant, to_the_end: bool) -> bool {
        let (node, edge) = self.caller.other_node(self.node);
        let ask = self.ask();
        let resumes = matches!(ask.start, Start::Cursor(_));
        let opened = async {
            let mut listening = Listening::open(self.kind.door, &edge, &ask).await?;
            let first = listening.next().await?;
            Ok::<_, anyhow::Error>((listening, first))
        };
        let (mut listening, first) = match timeout(OPEN, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return self.not_opened(&error),
            Err(_) => return false,
        };
        let Heard::Opened { position, cursor, .. } = first else {
            if !matches!(first, Heard::Ended { .. }) {
                self.caller.wrong(format!("the first that {:?} heard is {first:?}", self.kind));
            }
            return false;
        };
        if resumes && node != self.node && self.place.position > 0 {
            self.caller.count("elsewhere");
        }
        (self.node, self.stretches) = (node, self.stretches + 1);
        self.caller.count("ok");
        self.caller.count(self.kind.door.name());
        if !resumes {
            self.place = Place { position, cursor: Some(cursor) };
        }
        // What it has, and not what the node says that it has: a cursor that is too high shows as a hole.
        let after = self.place.position;
        let pending = self.caller.context.recorder.invoke(self.caller.context.client(), self.call(after));
        let stretch = self.listen(&mut listening, until, to_the_end).await;
        let complete_to = stretch.caught_up.filter(|_| to_the_end).map(|told| told.position);
        let gap_to = stretch.left_out.then_some(u64::MAX);
        let Stretch { events, caught_up, .. } = stretch;
        pending.ok(Seen::Observed { events, gap_to, complete_to, caught_up });
        complete_to.is_some()
    }

    fn not_opened(&mut self, error: &anyhow::Error) -> bool {
        let told = format!("{error:#}");
        let illegal = ["invalid_cursor", "invalid_request", "INVALID_ARGUMENT", "invalid_argument"];
        if illegal.iter().any(|code| told.contains(code)) {
            self.caller.wrong(format!("{:?} was refused: {told}", self.kind));
        }
        false
    }

    fn call(&self, after: u64) -> Call {
        let filter = match &self.kind.target {
            Target::Log => Filter::All,
            Target::Type(_) => Filter::Prefix { prefix: format!("{NAME}-") },
            Target::Stream { id, .. } | Target::Filtered { id, .. } => Filter::Stream { stream: id.clone() },
        };
        // One that begins anew each time is another consumer each time.
        let consumer = match self.kind.forgetful {
            true => format!("{NAME}-{}-{}", self.number, self.caller.context.client()),
            false => format!("{NAME}-{}", self.number),
        };
        Call::Observe { consumer, source: Source::Subscription, filter, after }
    }

    async fn listen(&mut self, listening: &mut Listening, until: Instant, to_the_end: bool) -> Stretch {
        let mut stretch = Stretch::default();
        while to_the_end || !self.caller.context.stop.is_told() {
            let heard = match timeout_at(until, listening.next()).await {
                Ok(Ok(heard)) => heard,
                Ok(Err(error)) => {
                    if format!("{error:#}").contains("cursor") {
                        self.caller.wrong(format!("{:?}: {error:#}", self.kind));
                    }
                    break;
                }
                Err(_) => break,
            };
            if !self.take(heard, &mut stretch) || (to_the_end && stretch.caught_up.is_some()) {
                break;
            }
        }
        stretch
    }

    /// Takes what was heard. Whether to listen on.
    fn take(&mut self, heard: Heard, stretch: &mut Stretch) -> bool {
        match heard {
            Heard::Event(event, cursor) => {
                self.caller.count("event");
                if stretch.caught_up.is_some() {
                    self.caller.count("live");
                }
                self.place = Place { position: event.position, cursor: Some(cursor) };
                let (position, stream) = (event.position, event.stream);
                stretch.events.push(Delivered { position, stream, version: event.version, mark: event.mark });
            }
            Heard::CaughtUp { position, cursor } => {
                self.caller.count("caught-up");
                self.place.cursor = Some(cursor);
                stretch.caught_up = Some(CaughtUp { position, events: stretch.events.len() as u64 });
            }
            Heard::Heartbeat { cursor, .. } => {
                self.caller.count("heartbeat");
                self.place.cursor = Some(cursor);
            }
            Heard::LeftOut(_) => {
                self.caller.wrong(format!("{:?} did not ask for events to be left out", self.kind));
                stretch.left_out = true;
                return false;
            }
            Heard::Ended { code, .. } => {
                self.caller.count(&format!("ended.{code}"));
                return false;
            }
            Heard::Opened { .. } => self.caller.wrong(format!("{:?} was opened twice", self.kind)),
        }
        true
    }
}
