//! Consumer groups, one of them with a filter, whose consumers, at any node, settle events, give them back, give them
//! up, and forget them, while somebody pauses each group, resumes it and changes its terms. Every event of a group is
//! settled or dead in the end, in order for each entity, none that is settled comes again, none comes that its filter
//! leaves out, and none while it is paused ([`judge`](weir_check::groups::judge)).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;
use weir_api::v1::{
    ConsumerGroupView, DeadLetterPage, GroupStatus, PullResult, SettleResult, SettlementKind, paths,
};
use weir_check::groups::{Fact, judge};

use super::{Context, Workload, caller::Caller, crew::Crew, writer::write};
use crate::window;

/// Its name.
const NAME: &str = "groups";
const STREAMS: u64 = 5;
/// Of each group.
const CONSUMERS: usize = 3;
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(50);
/// Between two pulls of one consumer.
const PULL_PACE: Duration = Duration::from_millis(60);
/// How long a consumer has for an event: those that are forgotten come again.
const ACK_DEADLINE_MS: u64 = 1_200;
/// How long a consumer that takes its time has its events.
const HOLD: Duration = Duration::from_millis(600);
/// Between two changes of a group.
const CHANGE_PACE: Duration = Duration::from_secs(3);
/// How long a group is paused.
const PAUSE: Duration = Duration::from_millis(700);
/// How long the last events may take.
const LAST: Duration = Duration::from_secs(60);

/// Their names and filters.
const GROUPS: [(&str, Option<&str>); 2] =
    [(NAME, None), ("groups-but-one", Some("event.entityId != 'groups-0'"))];

/// One of them, and what is known of it.
struct Group {
    name: &'static str,
    filter: Option<&'static str>,
    facts: Mutex<Vec<Fact>>,
}

impl Group {
    /// Whether the events of a stream are the group's.
    fn takes(&self, stream: &str) -> bool {
        self.filter.is_none() || stream != "groups-0"
    }

    async fn make(&self, context: &Context) -> Result<()> {
        let body = json!({
            "name": self.name, "pattern": format!("entity:{NAME}.*"), "filter": self.filter, "afterPosition": 0,
            "maxInFlight": 20, "ackDeadlineMs": ACK_DEADLINE_MS, "maxRedeliveries": 8, "redeliverDelayMs": 100,
        });
        context.make(paths::CONSUMER_GROUPS, &body, &[201, 409]).await
    }
}

/// All of them.
pub struct Groups {
    all: [Arc<Group>; GROUPS.len()],
}

impl Default for Groups {
    fn default() -> Self {
        Self { all: GROUPS.map(|(name, filter)| Arc::new(Group { name, filter, facts: Mutex::default() })) }
    }
}

#[async_trait]
impl Workload for Groups {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        for group in &self.all {
            group.make(context).await?;
        }
        Ok(())
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        for group in &self.all {
            for _ in 0..CONSUMERS {
                crew.hire(Consumer::new(context, group).work());
            }
            crew.hire(Consumer::new(context, group).keep());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        for group in &self.all {
            Consumer::new(context, group).finish().await?;
        }
        Ok(())
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "groups.delivered",
            "groups.redelivered",
            "groups.settled",
            "groups.redelivers",
            "groups.dead",
            "groups.replayed",
            "groups.forgotten",
            "groups.held",
            "groups.elsewhere",
            "groups.paused",
            "groups.resumed",
            "groups.changed",
        ]
    }
}

/// When the first of them began: the clock of all facts.
fn began() -> Instant {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}

struct Consumer {
    caller: Caller,
    group: Arc<Group>,
    began: Instant,
}

/// An event that a consumer has.
struct Held {
    position: u64,
    attempt: u32,
    desk: u64,
}

impl Consumer {
    fn new(context: &Context, group: &Arc<Group>) -> Self {
        Self { caller: Caller::new(context, NAME), group: group.clone(), began: began() }
    }

    /// A path of the group.
    fn path(&self, path: &str) -> String {
        paths::fill(path, self.group.name)
    }

    fn facts(&self) -> MutexGuard<'_, Vec<Fact>> {
        self.group.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn work(mut self) -> Result<()> {
        while self.caller.pace(PULL_PACE).await {
            let most = self.caller.rng.within(1..8);
            let given = self.pull(most, 300).await;
            // Leaders fall, and are cut off, while events are with somebody.
            if !given.is_empty() && self.caller.rng.chance(20) {
                self.caller.count("held");
                window(HOLD).await;
            }
            for held in given {
                let verdict = match self.caller.rng.within(0..100) {
                    0..12 => "nak",
                    12..15 => "term",
                    15..19 => "release",
                    19..26 => {
                        self.caller.count("forgotten");
                        continue;
                    }
                    _ => "ack",
                };
                self.say(&held, verdict).await;
            }
            if self.caller.rng.chance(3) {
                self.replay().await;
            }
        }
        self.caller.end()
    }

    /// Pauses the group, resumes it, and changes its terms. Nobody else does, or it would not be known when it is paused.
    async fn keep(mut self) -> Result<()> {
        while self.caller.pace(CHANGE_PACE).await {
            let (deadline, most) =
                (self.caller.rng.within(ACK_DEADLINE_MS..2 * ACK_DEADLINE_MS), self.caller.rng.within(5..30));
            let terms = json!({ "ackDeadlineMs": deadline, "maxInFlight": most });
            if self.change(&terms).await {
                self.caller.count("changed");
            }
            if self.change(&json!({ "status": "paused" })).await {
                self.caller.count("paused");
                let ended = self.now();
                self.facts().push(Fact::Paused { ended });
                window(PAUSE).await;
            }
            // Whatever came of the pause: one whose answer was lost may stand.
            self.resume().await;
        }
        self.caller.end()
    }

    /// Has the group go on. Whether it is known to.
    async fn resume(&mut self) -> bool {
        let began = self.now();
        // Before it is answered: what is handed out from now on may be by it.
        self.facts().push(Fact::Resumed { began, answered: false });
        let answered = self.change(&json!({ "status": "active" })).await;
        if answered {
            self.caller.count("resumed");
            let known = |fact: &mut Fact| {
                if let Fact::Resumed { began: of, answered } = fact
                    && *of == began
                {
                    *answered = true;
                }
            };
            self.facts().iter_mut().for_each(known);
        }
        answered
    }

    /// Whether the group is known to be changed.
    async fn change(&mut self, change: &serde_json::Value) -> bool {
        let (_, edge) = self.caller.node();
        let path = self.path(paths::CONSUMER_GROUP);
        self.send::<serde_json::Value>(Method::PATCH, &edge, &path, Some(change)).await.is_some()
    }

    /// Takes what is left, and judges.
    async fn finish(mut self) -> Result<()> {
        let end = Instant::now() + LAST;
        let (_, edge) = self.caller.node();
        let log = edge.replica(1).await?.events;
        let log: Vec<(u64, String)> = log
            .into_iter()
            .filter(|event| event.entity_type == NAME && self.group.takes(&event.entity_id))
            .map(|event| (event.position, event.entity_id))
            .collect();
        let last = log.last().map_or(0, |(position, _)| *position);
        let path = self.path(paths::CONSUMER_GROUP);
        loop {
            for held in self.pull(100, 300).await {
                self.say(&held, "ack").await;
            }
            let view: Option<ConsumerGroupView> =
                match self.caller.context.nodes.pick(&mut self.caller.rng).1.get(&path).await {
                    Ok(view) => serde_json::from_value(view).ok(),
                    Err(_) => None,
                };
            // It is paused by who was cut off before it could resume it, or by a request that came late.
            if view.as_ref().is_some_and(|view| view.group.status == Some(GroupStatus::Paused)) {
                self.resume().await;
            }
            let at_rest = view.as_ref().is_some_and(|view| view.in_flight + view.resting + view.waiting == 0);
            if at_rest && view.as_ref().is_some_and(|view| view.checkpoint >= last) {
                break;
            }
            ensure!(
                Instant::now() < end,
                "the consumer group {} does not come to {last}: {view:?}",
                self.group.name
            );
            crate::pause().await;
        }
        let dead = self.dead_letters().await?;
        let facts = std::mem::take(&mut *self.facts());
        for wrong in judge(&log, &facts, &dead) {
            self.caller.wrong(format!("{}: {wrong}", self.group.name));
        }
        self.caller.end()
    }

    async fn pull(&mut self, most: u64, wait_ms: u64) -> Vec<Held> {
        let path = format!("{}?max={most}&waitMs={wait_ms}", self.path(paths::CONSUMER_GROUP_PULL));
        let ((_, edge), began) = (self.caller.node(), self.now());
        let Some(pulled) = self.ask::<PullResult>(&edge, &path, None).await else { return Vec::new() };
        let ended = self.now();
        let mut held = Vec::with_capacity(pulled.deliveries.len());
        for delivery in pulled.deliveries {
            let (position, attempt) = (delivery.event.position, delivery.attempt);
            self.caller.count(if attempt > 1 { "redelivered" } else { "delivered" });
            held.push(Held { position, attempt, desk: delivery.desk });
            let stream = delivery.event.entity_id;
            self.facts().push(Fact::Given { position, stream, attempt, began, ended });
        }
        held
    }

    async fn say(&mut self, held: &Held, verdict: &str) {
        let Held { position, attempt, desk } = held;
        let said = json!({ "position": position, "attempt": attempt, "desk": desk, "verdict": verdict });
        let body = json!({ "settlements": [said] });
        let ((_, edge), began) = (self.caller.node(), self.now());
        self.caller.count("elsewhere");
        let path = self.path(paths::CONSUMER_GROUP_SETTLE);
        let told = self.ask::<SettleResult>(&edge, &path, Some(&body)).await;
        let outcome = told.and_then(|told| told.results.first().map(|result| result.outcome));
        let is_settled = match outcome {
            Some(SettlementKind::Settled) => {
                self.caller.count("settled");
                true
            }
            Some(SettlementKind::Dead) => {
                self.caller.count("dead");
                true
            }
            Some(SettlementKind::Redelivers) => {
                self.caller.count("redelivers");
                false
            }
            Some(SettlementKind::AlreadySettled) => true,
            Some(SettlementKind::Stale | SettlementKind::NotDelivered) | None => false,
        };
        let ended = is_settled.then(|| self.now());
        self.facts().push(Fact::Said { position: *position, began, ended });
    }

    async fn replay(&mut self) {
        let (_, edge) = self.caller.node();
        let path = self.path(paths::CONSUMER_GROUP_DEAD_LETTERS);
        let Ok(page) = edge.get(&path).await else { return };
        let Ok(page) = serde_json::from_value::<DeadLetterPage>(page) else { return };
        let Some(letter) = self.caller.rng.pick(&page.dead_letters) else { return };
        let position = letter.position;
        let body = json!({ "positions": [position] });
        // What it is handed out for from now on is no mistake, whatever the answer is.
        let began = self.now();
        self.facts().push(Fact::Replayed { position, began });
        let path = self.path(paths::CONSUMER_GROUP_REPLAY);
        if self.ask::<serde_json::Value>(&edge, &path, Some(&body)).await.is_some() {
            self.caller.count("replayed");
        }
    }

    async fn dead_letters(&mut self) -> Result<Vec<u64>> {
        let (mut dead, mut after) = (Vec::new(), Some(0));
        while let Some(from) = after {
            let (_, edge) = self.caller.node();
            let path = format!("{}?after={from}", self.path(paths::CONSUMER_GROUP_DEAD_LETTERS));
            let page: DeadLetterPage = serde_json::from_value(edge.get(&path).await?)?;
            dead.extend(page.dead_letters.iter().map(|letter| letter.position));
            after = page.next;
        }
        Ok(dead)
    }

    /// The answer to a POST, if there is one and it is no refusal.
    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        edge: &crate::edge::Edge,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<T> {
        self.send(Method::POST, edge, path, body).await
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &mut self,
        method: Method,
        edge: &crate::edge::Edge,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<T> {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        let answer = edge.send(method, path, body).await.ok()?;
        if answer.status != 200 {
            self.caller.count(&format!("refused.{}", answer.code()));
            if answer.status < 429 || answer.code() == "internal" {
                self.caller.wrong(format!("{path} was answered with {answer:?}"));
            }
            return None;
        }
        match serde_json::from_value(answer.body) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.caller.wrong(format!("{path}: {error}"));
                None
            }
        }
    }
}
