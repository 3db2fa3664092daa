//! Subscribers through every door, from every start, while nodes and leaders are killed: each sees every
//! matching event once, in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt as _;
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};
use weir_api::v1::AppendResult;
use weir_check::rng::Rng;

use super::{Flags, Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec, PATIENCE,
    edge::{CallError, Edge},
    eventually,
    live::{Ask, DOORS, Door, Event, Heard, Listening, Start, Target},
    pause,
    replica::StoredEvent,
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/subscribe",
    summary: "SSE, WebSocket and gRPC subscribers, reconnecting while nodes and leaders die: each event once, in order",
    release: false,
    run: |flags, report| story(report, flags, 20_000).boxed(),
};

/// The type of all that is appended.
const KIND: &str = "subscribed";
/// Streams of it.
const STREAMS: u64 = 20;
/// Events of an append.
const BATCH: u64 = 10;
/// Events before the first subscriber comes.
const BEFORE: u64 = 500;
/// Subscribers with the newest events begin with so many.
const LAST: u64 = 50;
/// The longest that one connection is kept.
const STRETCH_MS: u64 = 3_000;
/// How long a node may take to open a subscription.
const OPEN: Duration = Duration::from_secs(5);
/// How long the last event may take to the last subscriber.
const FINISH: Duration = Duration::from_secs(180);

/// Appends `events` while a node and a leader are killed and started, and judges what subscribers saw.
///
/// # Errors
/// Naming the subscriber that saw something else than the log holds.
pub async fn story(report: &mut Report, flags: &Flags, events: u64) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let (done, last) = watch::channel(None);
    let appended = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write(cluster.edges(), events, appended.clone()));
    reaches(&appended, BEFORE).await?;
    let mut followers = JoinSet::new();
    for (number, (door, target, start)) in (0..).zip(everyone()) {
        let rng = Rng::named(flags.seed, &format!("subscriber-{number}"));
        let follower = Follower { door, target, start, edges: cluster.edges(), rng, last: last.clone() };
        followers.spawn(follower.follow());
    }
    report.phase("subscribers are there");
    for (number, share) in [4, 2].into_iter().enumerate() {
        reaches(&appended, events / share).await?;
        let leader = cluster.leader().await?;
        let victim = if number == 0 { leader % 3 + 1 } else { leader };
        cluster.node_mut(victim).kill()?;
        report.phase(&format!("kill -9 of node {victim}, where {leader} leads, after {}", events / share));
        reaches(&appended, events / share + 1_000).await?;
        cluster.start_node(victim)?;
        cluster.all_ready().await?;
    }
    writer.await.context("the writer panicked")??;
    let position = cluster.settled().await?;
    done.send_replace(Some(position));
    report.phase("everything is appended");
    let log = cluster.node(1).edge.replica(1).await?.events;
    let mut reconnects = 0;
    let count = followers.len();
    while let Some(followed) = followers.join_next().await {
        let followed = followed.context("a subscriber panicked")??;
        reconnects += followed.stretches - 1;
        followed.judge(&log)?;
    }
    ensure!(reconnects >= count as u64, "{reconnects} reconnects of {count} subscribers are too few");
    report.note("events", log.len());
    report.note("subscribers", count);
    report.note("reconnects", reconnects);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// Every door with every target and start.
fn everyone() -> Vec<(Door, Target, Start)> {
    let stream = || Target::Stream { kind: KIND.to_owned(), id: format!("{KIND}-3") };
    let kind = || Target::Type(KIND.to_owned());
    let of_door = |door| {
        [
            (door, Target::Log, Start::Beginning),
            (door, kind(), Start::Beginning),
            (door, stream(), Start::Beginning),
            (door, kind(), Start::Last(LAST)),
            (door, stream(), Start::Last(10)),
        ]
    };
    DOORS.into_iter().flat_map(of_door).collect()
}

async fn reaches(appended: &AtomicU64, goal: u64) -> Result<()> {
    eventually("appends go on", PATIENCE * 3, || async {
        let there = appended.load(Ordering::Relaxed);
        ensure!(there >= goal, "{there} of {goal} events are appended");
        Ok(())
    })
    .await
}

async fn write(edges: Vec<Edge>, events: u64, appended: Arc<AtomicU64>) -> Result<()> {
    for batch in 0..events / BATCH {
        let stream = format!("{KIND}-{}", batch % STREAMS);
        let event =
            |number: u64| json!({ "name": "subscribed.to", "data": { "op": format!("{batch}-{number}") } });
        let batch_events: Vec<_> = (0..BATCH).map(event).collect();
        let body = json!({
            "entityType": KIND, "idempotencyKey": format!("batch-{batch}"), "events": batch_events,
        });
        let end = Instant::now() + PATIENCE;
        let mut node = usize::try_from(batch)?;
        while let Err(error) = send(&edges[node % edges.len()], &stream, &body).await {
            ensure!(Instant::now() < end, "batch {batch} is not taken: {error}");
            node += 1;
            pause().await;
        }
        appended.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}

async fn send(edge: &Edge, stream: &str, body: &serde_json::Value) -> Result<AppendResult, CallError> {
    match timeout(OPEN, edge.append(stream, body)).await {
        Ok(answer) => answer,
        Err(late) => Err(CallError::Silent(late.into())),
    }
}

struct Follower {
    door: Door,
    target: Target,
    start: Start,
    edges: Vec<Edge>,
    rng: Rng,
    last: watch::Receiver<Option<u64>>,
}

/// What a subscriber saw.
struct Followed {
    name: String,
    target: Target,
    /// Where it began, if it was said.
    after: Option<u64>,
    found: Option<u64>,
    events: Vec<Event>,
    /// Events before the first word that history had ended, and its position.
    caught_up: Option<(usize, u64)>,
    stretches: u64,
}

impl Follower {
    async fn follow(mut self) -> Result<Followed> {
        let name = format!("{} {:?} {:?}", self.door.name(), self.target, self.start);
        let mut seen = Followed {
            name,
            target: self.target.clone(),
            after: None,
            found: None,
            events: Vec::new(),
            caught_up: None,
            stretches: 0,
        };
        let mut cursor: Option<String> = None;
        let mut end = None;
        loop {
            let done = *self.last.borrow();
            if let Some(last) = done {
                let end = *end.get_or_insert_with(|| Instant::now() + FINISH);
                if cursor.as_deref().is_some_and(|cursor| reached(cursor) >= last) {
                    return Ok(seen);
                }
                ensure!(Instant::now() < end, "{} is at {cursor:?}, not at {last}", seen.name);
            }
            let edge = self.rng.pick(&self.edges).context("there are no nodes")?.clone();
            let start = cursor.clone().map_or(self.start.clone(), Start::Cursor);
            let ask = Ask { target: self.target.clone(), start, heartbeat_ms: 200 };
            let until = Duration::from_millis(self.rng.within(300..STRETCH_MS));
            if let Ok(Ok(mut listening)) = timeout(OPEN, Listening::open(self.door, &edge, &ask)).await {
                // The time is over, or the node is gone: another one goes on.
                let _ = timeout(until, seen.listen(&mut listening, &mut cursor)).await;
            }
            pause().await;
        }
    }
}

fn reached(cursor: &str) -> u64 {
    cursor.parse::<weir_types::Cursor>().map_or(0, |cursor| cursor.position.0)
}

impl Followed {
    async fn listen(&mut self, listening: &mut Listening, cursor: &mut Option<String>) -> Result<()> {
        loop {
            match listening.next().await? {
                Heard::Opened { position, cursor: told, found } => {
                    self.stretches += 1;
                    if cursor.is_none() {
                        (self.after, self.found, *cursor) = (Some(position), found, Some(told));
                    }
                }
                Heard::Event(event, told) => {
                    self.events.push(event);
                    *cursor = Some(told);
                }
                Heard::CaughtUp { position, cursor: told } => {
                    self.caught_up.get_or_insert((self.events.len(), position));
                    *cursor = Some(told);
                }
                Heard::Heartbeat { cursor: told, .. } => *cursor = Some(told),
                Heard::LeftOut(_) => bail!("events were left out"),
                Heard::Ended { code, .. } => bail!("ended: {code}"),
            }
        }
    }

    /// Compares with the log: every matching event after the begin, once, in order.
    fn judge(&self, log: &[StoredEvent]) -> Result<()> {
        let matches = |event: &&StoredEvent| match &self.target {
            Target::Log => true,
            Target::Type(kind) => event.entity_type == *kind,
            Target::Stream { id, .. } | Target::Filtered { id, .. } => event.entity_id == *id,
        };
        // A stream's newest events begin at a version; where that is, the first of them says.
        let first = self.events.first().context("it saw nothing")?.position;
        let after = self.after.filter(|after| *after > 0 || self.found.is_none()).unwrap_or(first - 1);
        let due: Vec<&StoredEvent> =
            log.iter().filter(|event| event.position > after).filter(matches).collect();
        let same = |(due, seen): (&&StoredEvent, &Event)| {
            (due.position, &due.entity_id, due.version, due.op())
                == (seen.position, &seen.stream, seen.version, Some(seen.mark.as_str()))
        };
        ensure!(
            due.len() == self.events.len() && due.iter().zip(&self.events).all(same),
            "{}: saw {} events after {after}, the log has {}; first difference at {:?}",
            self.name,
            self.events.len(),
            due.len(),
            due.iter().zip(&self.events).find(|pair| !same(*pair)).map(|(due, _)| due.position)
        );
        let (before, position) = self.caught_up.with_context(|| format!("{} never caught up", self.name))?;
        let history = due.iter().filter(|event| event.position <= position).count();
        ensure!(before >= history, "{}: caught up after {before} of {history} events", self.name);
        Ok(())
    }
}
