//! The bus, in the place of JetStream: one stream of events at a host of its own. It refuses what does not follow what it
//! holds, falls silent before or after it took something, and now and then goes back to what it held before; whoever
//! follows it is given some events twice and others not at all.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};
use turmoil::net::{TcpListener, TcpStream};
use weir_actors::jetstream::envelope::{self, Data, Decoded};
use weir_check::rng::Rng;
use weir_node::bus::Bus;
use weir_types::{
    EventId, GroupId, Position, ProjectionId, RecordedEvent,
    ports::{BusError, Feed, Publisher, Subscription},
};

use crate::{
    desk::{put, take},
    plant::Plant,
    trace::Trace,
};

/// The name of its host.
pub const HOST: &str = "bus";
const PORT: u16 = 4222;
/// How long a node waits for an answer.
const PATIENCE: Duration = Duration::from_millis(400);
/// How long it lets a subscriber wait for something new.
const LULL: Duration = Duration::from_millis(200);
/// Events that are given at once.
const GIVEN_MAX: usize = 64;

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
enum Say {
    /// How far are you?
    Published,
    /// Which event is at this position?
    EventAt(u64),
    /// Take these events after this position.
    Publish(u64, Vec<String>),
    /// What comes after this position?
    Next(u64),
    /// Forget everything.
    Reset,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    /// The last position that it holds.
    Held(u64),
    /// Events.
    Events(Vec<String>),
    /// It holds something else.
    Refused(u64),
}

/// The stream. Clones share it.
#[derive(Clone, Default)]
pub struct Stream(Arc<Shared>);

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    grown: Notify,
}

#[derive(Default)]
struct Held {
    /// The bodies of its messages; the first is at position 1.
    bodies: Vec<String>,
    /// Every id that was ever at a position.
    ever: BTreeMap<u64, EventId>,
    /// How often it went back.
    went_back: u64,
    /// What must not be.
    wrong: Vec<String>,
}

impl Held {
    fn end(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// Takes what follows: each body at the position that its event names.
    fn add(&mut self, body: String) {
        let at = self.end() + 1;
        match event(&body) {
            Ok(event) => {
                let before = self.ever.insert(at, event.id);
                if event.position.0 != at || before.is_some_and(|before| before != event.id) {
                    self.wrong.push(format!("the bus holds {} at {at}, after {before:?}", event.id));
                }
            }
            Err(error) => self.wrong.push(format!("the bus holds no event at {at}: {error}")),
        }
        self.bodies.push(body);
    }
}

/// How the stream ended.
#[derive(Debug, Clone, Default)]
pub struct StreamEnd {
    /// The ids of the events that it holds, in order.
    pub ids: Vec<String>,
    /// How often it went back.
    pub went_back: u64,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Stream {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what follows.
    fn add(&self, bodies: Vec<String>) {
        let mut held = self.held();
        bodies.into_iter().for_each(|body| held.add(body));
        self.0.grown.notify_waiters();
    }

    /// What comes after a position.
    fn page(&self, after: u64, most: usize) -> Vec<String> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        self.held().bodies.iter().skip(after).take(most).cloned().collect()
    }

    /// How far it is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.held().end()
    }

    /// What it holds when all is over.
    #[must_use]
    pub fn end(&self) -> StreamEnd {
        let held = self.held();
        let ids = held
            .bodies
            .iter()
            .map(|body| event(body).map_or_else(|error| error, |event| event.id.to_string()));
        StreamEnd { ids: ids.collect(), went_back: held.went_back, wrong: held.wrong.clone() }
    }
}

/// The server of the stream.
pub struct Server {
    /// What it chooses by.
    pub rng: Rng,
    /// What it holds.
    pub stream: Stream,
    /// Set when nothing is to go wrong any more.
    pub kind: Arc<AtomicBool>,
    /// Where it is taken down.
    pub trace: Trace,
}

impl Server {
    /// Answers until the run ends.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn serve(self) -> turmoil::Result {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let server = Arc::new(Mutex::new(self));
        loop {
            let (stream, _) = listener.accept().await?;
            // The node is gone, or cut off.
            tokio::spawn(attend(server.clone(), stream));
        }
    }

    /// What it answers, if it says so.
    fn answer(&mut self, say: Say) -> Option<Told> {
        let kind = self.kind.load(Relaxed);
        if !kind && self.rng.chance(1) {
            self.go_back();
        }
        let (deaf, short, silent) = match self.rng.within(0..100) {
            _ if kind => (false, false, false),
            draw => (draw < 3, (3..6).contains(&draw), (6..9).contains(&draw)),
        };
        if deaf {
            return None;
        }
        let told = match say {
            Say::Published => Told::Held(self.stream.position()),
            Say::EventAt(position) => Told::Events(self.stream.page(position.saturating_sub(1), 1)),
            Say::Publish(after, _) if after != self.stream.position() => {
                Told::Refused(self.stream.position())
            }
            Say::Publish(_, mut bodies) => {
                // Each is taken by itself.
                if short {
                    bodies.truncate(bodies.len() / 2);
                }
                self.stream.add(bodies);
                if short || silent {
                    return None;
                }
                Told::Held(self.stream.position())
            }
            Say::Next(after) => {
                let begin = match (short, silent) {
                    (true, _) => after.saturating_sub(2),
                    (_, true) => after + 1,
                    _ => after,
                };
                Told::Events(self.stream.page(begin, GIVEN_MAX))
            }
            Say::Reset => {
                *self.stream.held() = Held::default();
                Told::Held(0)
            }
        };
        Some(told)
    }

    fn go_back(&mut self) {
        let mut held = self.stream.held();
        let gone = usize::try_from(self.rng.within(1..20)).unwrap_or(1).min(held.bodies.len());
        let end = held.bodies.len() - gone;
        held.bodies.truncate(end);
        held.went_back += 1;
        self.trace.note(format_args!("bus goes back to {end}"));
    }
}

async fn attend(server: Arc<Mutex<Server>>, mut connection: TcpStream) -> io::Result<()> {
    let answer = |say| server.lock().unwrap_or_else(PoisonError::into_inner).answer(say);
    let stream = server.lock().unwrap_or_else(PoisonError::into_inner).stream.clone();
    loop {
        let say: Say = take(&mut connection).await?;
        if let Say::Next(after) = say {
            let until = Instant::now() + LULL;
            while stream.position() <= after {
                let grown = stream.0.grown.notified();
                if timeout_at(until, grown).await.is_err() {
                    break;
                }
            }
        }
        match answer(say) {
            Some(told) => put(&mut connection, &told).await?,
            // It hangs up.
            None => return Ok(()),
        }
    }
}

/// A node's way to it.
#[derive(Clone)]
pub struct Lead {
    plant: Option<Plant>,
}

/// A node's bus.
#[must_use]
pub fn bus(plant: Option<Plant>) -> Bus {
    let lead = Lead { plant };
    Bus { publisher: Arc::new(lead.clone()), feed: Arc::new(lead), subjects: None }
}

async fn ask(say: &Say) -> Result<Told, BusError> {
    let asked = async {
        let mut connection = TcpStream::connect((HOST, PORT)).await?;
        put(&mut connection, say).await?;
        take::<Told>(&mut connection).await
    };
    let answered = timeout(PATIENCE, asked).await.unwrap_or_else(|late| Err(late.into()));
    answered.map_err(|error| BusError::Unavailable { reason: error.to_string() })
}

fn event(body: &str) -> Result<RecordedEvent, String> {
    match envelope::decode(body.as_bytes()) {
        Ok(Decoded::Event(event)) => Ok(*event),
        Ok(Decoded::Omitted(position)) => Err(format!("event at {position} is left out")),
        Err(error) => Err(error.to_string()),
    }
}

fn unavailable(reason: impl ToString) -> BusError {
    BusError::Unavailable { reason: reason.to_string() }
}

#[async_trait]
impl Publisher for Lead {
    async fn published(&self, _: GroupId) -> Result<Position, BusError> {
        match ask(&Say::Published).await? {
            Told::Held(position) => Ok(Position(position)),
            odd => Err(unavailable(format!("{odd:?}"))),
        }
    }

    async fn publish(
        &self,
        _: GroupId,
        after: Position,
        events: &[RecordedEvent],
    ) -> Result<Position, BusError> {
        let body = |event| String::from_utf8_lossy(&envelope::encode(event, Data::Whole)).into_owned();
        let bodies: Vec<_> = events.iter().map(body).collect();
        let mut told = ask(&Say::Publish(after.0, bodies.clone())).await?;
        if let (Told::Refused(held), Some(Plant::PublishedUnfenced)) = (&told, self.plant) {
            told = ask(&Say::Publish(*held, bodies)).await?;
        }
        match told {
            Told::Held(position) => Ok(Position(position)),
            odd => Err(unavailable(format!("{odd:?}"))),
        }
    }

    async fn event_at(&self, _: GroupId, position: Position) -> Result<Option<EventId>, BusError> {
        match ask(&Say::EventAt(position.0)).await? {
            Told::Events(bodies) => bodies
                .first()
                .map(|body| event(body))
                .transpose()
                .map_err(unavailable)
                .map(|event| event.map(|event| event.id)),
            odd => Err(unavailable(format!("{odd:?}"))),
        }
    }

    async fn reset(&self, _: GroupId) -> Result<(), BusError> {
        ask(&Say::Reset).await.map(drop)
    }
}

#[async_trait]
impl Feed for Lead {
    async fn subscribe(
        &self,
        _: GroupId,
        _: &ProjectionId,
        checkpoint: Position,
    ) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(Following { after: checkpoint.0 }))
    }

    async fn unsubscribe(&self, _: GroupId, _: &ProjectionId) -> Result<(), BusError> {
        Ok(())
    }
}

struct Following {
    after: u64,
}

#[async_trait]
impl Subscription for Following {
    async fn next(&mut self) -> Result<Vec<RecordedEvent>, BusError> {
        loop {
            let Told::Events(bodies) = ask(&Say::Next(self.after)).await? else { continue };
            let events: Vec<_> =
                bodies.iter().map(|body| event(body)).collect::<Result<_, _>>().map_err(unavailable)?;
            if let Some(last) = events.last() {
                self.after = self.after.max(last.position.0);
                return Ok(events);
            }
        }
    }

    async fn done(&mut self, _: Position) -> Result<(), BusError> {
        Ok(())
    }
}
