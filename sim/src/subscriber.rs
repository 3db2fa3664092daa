//! Subscribers: each goes on with its cursor at another node when it is cut, for as long as it can. Each event comes
//! once, in order (S1).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use weir_check::{
    history::{Call, CaughtUp, Delivered, Filter, Seen, Source},
    rng::Rng,
};

use crate::{
    client::Client,
    desk::{Answer, Following, News, Target, Told, take},
    folds::{ACCOUNT, MOVED},
    notes::Notes,
};

/// Subscribers of a run.
pub const SUBSCRIBERS: u64 = 3;

/// One subscriber at work.
pub struct Subscriber {
    /// How it calls.
    pub client: Client,
    /// What it chooses by.
    pub rng: Rng,
    /// The nodes that it knows.
    pub nodes: u64,
    /// Set when it is to end.
    pub stop: Arc<AtomicBool>,
    /// Where it leaves its place.
    pub notes: Notes,
}

/// What a subscriber is about, and how far it is.
#[derive(Debug, Clone)]
pub struct Place {
    name: String,
    target: Target,
    expression: Option<String>,
    filter: Filter,
    cursor: Option<String>,
    /// The position of the last event that it has.
    position: u64,
}

/// What one connection gave.
#[derive(Default)]
struct Stretch {
    events: Vec<Delivered>,
    caught_up: Option<CaughtUp>,
}

impl Subscriber {
    /// Subscribes until it is told to stop.
    pub async fn run(mut self, number: u64) {
        let mut place = Place::draw(&mut self.rng, number);
        while !self.stop.load(Relaxed) {
            let node = self.rng.within(1..self.nodes + 1);
            let lasts = Duration::from_millis(self.rng.within(100..3_000));
            place.stretch(&self.client, node, lasts, false).await;
            sleep(Duration::from_millis(self.rng.within(5..200))).await;
        }
        self.notes.open().places.push(place);
    }
}

impl Place {
    fn draw(rng: &mut Rng, number: u64) -> Self {
        let pattern = |pattern: &str| Target::Pattern(pattern.to_owned());
        let of_stream = |stream: &str| Filter::Stream { stream: stream.to_owned() };
        let named = |name: &str| Filter::Names { names: vec![name.to_owned()] };
        let (target, expression, filter) = match rng.within(0..6) {
            0 => (pattern(">"), None, Filter::All),
            1 => {
                let prefix = Filter::Prefix { prefix: format!("{ACCOUNT}-") };
                (pattern(&format!("entity:{ACCOUNT}.*")), None, prefix)
            }
            2 => (pattern(&format!("events:{MOVED}")), None, named(MOVED)),
            3 => (pattern("events:thing.*"), None, named("thing.done")),
            4 => (pattern(">"), Some("event.entityId == 'hot-1' && has(data.op)"), of_stream("hot-1")),
            _ => (Target::Stream("hot-0".to_owned()), None, of_stream("hot-0")),
        };
        let (name, expression) = (format!("s{number}"), expression.map(ToOwned::to_owned));
        Self { name, target, expression, filter, cursor: None, position: 0 }
    }

    /// One connection, for so long at most, or until history ends. Whether history ended.
    pub async fn stretch(&mut self, client: &Client, node: u64, lasts: Duration, to_the_end: bool) -> bool {
        let (target, filter) = (self.target.clone(), self.expression.clone());
        let asked = Following { target, filter, cursor: self.cursor.clone() };
        let Some(mut stream) = client.follow(node, &asked).await else { return false };
        let after = self.position;
        let (consumer, source, filter) = (self.name.clone(), Source::Subscription, self.filter.clone());
        let pending = client.begin(Call::Observe { consumer, source, filter, after });
        let (until, mut stretch) = (Instant::now() + lasts, Stretch::default());
        while let Ok(Ok(answer)) = timeout_at(until, take::<Answer>(&mut stream)).await {
            let Answer::Told(told) = answer else { break };
            self.hear(told, &mut stretch);
            if to_the_end && stretch.caught_up.is_some() {
                break;
            }
        }
        let Stretch { events, caught_up } = stretch;
        let told = (events.len(), self.position, caught_up);
        client.note(format_args!("{} followed {node} after {after}: {told:?}", self.name));
        let complete_to = caught_up.filter(|_| to_the_end).map(|told| told.position);
        pending.ok(Seen::Observed { events, gap_to: None, complete_to, caught_up });
        complete_to.is_some()
    }

    /// The place is what it has, and not what the node says that it has: a cursor that is too high shows as a hole.
    fn hear(&mut self, told: Told, stretch: &mut Stretch) {
        match told.what {
            News::Event(event) => {
                self.position = event.position;
                stretch.events.push(event);
            }
            News::CaughtUp => {
                let events = stretch.events.len() as u64;
                stretch.caught_up = Some(CaughtUp { position: told.position, events });
            }
            News::Nothing | News::Ended(_) => {}
        }
        self.cursor = Some(told.cursor);
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
