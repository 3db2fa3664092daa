//! Followers: clients that read the log, or one stream, from its start and then
//! wait for what comes next, at one node after another. Page by page they are
//! given every event once, in order, whoever leads and whatever was cut (S1).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use tokio::time::Instant;
use weir_api::v1::{EventView, LogPage, paths};
use weir_check::history::{Call, Delivered, Filter, ReadConsistency, Seen, Source};

use super::{
    Context, Workload,
    caller::{Caller, Look, mark_of},
    crew::Crew,
    writer::write,
};
use crate::edge::Edge;

/// Its name.
const NAME: &str = "follow";
/// Streams of its own, each with a follower.
const STREAMS: u64 = 2;
/// Followers of the whole log.
const OF_THE_LOG: u64 = 2;
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(80);
/// Between two pages, when there was nothing new.
const PAGE_PACE: Duration = Duration::from_millis(120);
/// How long a page of a stream may wait for an event.
const WAIT_MS: u64 = 400;
/// How long the last events may take.
const LAST: Duration = Duration::from_secs(60);

/// Followers of the log and of streams.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Who follows what, and how far each is.
    followers: Arc<Vec<(Followed, Mutex<Place>)>>,
}

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Followed {
    Log,
    Stream(String),
}

/// How far a follower is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The position of the last event that it has.
    position: u64,
    /// Where its next page begins: by position in the log, by version in a stream; 0 is the start.
    next: u64,
}

impl Default for Follow {
    fn default() -> Self {
        let logs = (0..OF_THE_LOG).map(|_| Followed::Log);
        let all = logs.chain((0..STREAMS).map(|number| Followed::Stream(stream(number))));
        Self { followers: Arc::new(all.map(|followed| (followed, Mutex::default())).collect()) }
    }
}

#[async_trait]
impl Workload for Follow {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        for number in 0..self.followers.len() {
            crew.hire(Follower::new(context, self, number).work());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        for number in 0..self.followers.len() {
            Follower::new(context, self, number).finish().await?;
        }
        Ok(())
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["follow.ok", "follow.log", "follow.stream", "follow.live", "follow.elsewhere"]
    }
}

fn stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

struct Follower {
    caller: Caller,
    all: Follow,
    number: usize,
    place: Place,
    node: u64,
}

/// A page as a follower takes it.
struct Page {
    events: Vec<EventView>,
    /// Whether the node said that there was nothing behind it.
    last: bool,
    /// The position that the node had applied.
    applied: u64,
}

impl Follower {
    fn new(context: &Context, all: &Follow, number: usize) -> Self {
        let place = *all.followers[number].1.lock().unwrap_or_else(PoisonError::into_inner);
        Self { caller: Caller::new(context, NAME), all: all.clone(), number, place, node: 0 }
    }

    fn followed(&self) -> &Followed {
        &self.all.followers[self.number].0
    }

    async fn work(mut self) -> Result<()> {
        while !self.caller.context.stop.is_told() {
            let until = Instant::now() + Duration::from_millis(self.caller.rng.within(300..4_000));
            self.stretch(until, false).await;
            self.caller.pace(PAGE_PACE).await;
        }
        *self.all.followers[self.number].1.lock().unwrap_or_else(PoisonError::into_inner) = self.place;
        self.caller.end()
    }

    /// Follows to the end of what is there.
    async fn finish(mut self) -> Result<()> {
        let end = Instant::now() + LAST;
        while !self.stretch(end, true).await {
            ensure!(
                Instant::now() < end,
                "{:?} is not followed to its end: {:?}",
                self.followed(),
                self.place
            );
            crate::pause().await;
        }
        self.caller.end()
    }

    /// Pages of one node until `until`, or until one is missing, or to the end. Whether the end was reached.
    async fn stretch(&mut self, until: Instant, to_the_end: bool) -> bool {
        let (node, edge) = self.caller.other_node(self.node);
        if self.node != 0 && node != self.node && self.place.position > 0 {
            self.caller.count("elsewhere");
        }
        self.node = node;
        let call = Call::Observe {
            consumer: format!("{NAME}-{}", self.number),
            source: Source::Subscription,
            filter: self.filter(),
            after: self.place.position,
        };
        let pending = self.caller.context.recorder.invoke(self.caller.context.client(), call);
        let (mut events, mut complete_to, mut live) = (Vec::new(), None, false);
        while Instant::now() < until && (to_the_end || !self.caller.context.stop.is_told()) {
            let Some(page) = self.page(node, &edge, to_the_end).await else { break };
            complete_to = (to_the_end && page.last).then_some(page.applied);
            self.take(&page, &mut events);
            if live && !page.events.is_empty() {
                self.caller.count("live");
            }
            live |= page.last;
            if complete_to.is_some() {
                break;
            }
            if page.last && !self.caller.pace(PAGE_PACE).await && !to_the_end {
                break;
            }
        }
        pending.ok(Seen::Observed { events, gap_to: None, complete_to, caught_up: None });
        complete_to.is_some()
    }

    fn filter(&self) -> Filter {
        match self.followed() {
            Followed::Log => Filter::All,
            Followed::Stream(stream) => Filter::Stream { stream: stream.clone() },
        }
    }

    async fn page(&mut self, node: u64, edge: &Edge, to_the_end: bool) -> Option<Page> {
        let limit = self.caller.rng.within(1..400);
        match self.followed().clone() {
            Followed::Log => {
                let path = format!("{}?from_position={}&limit={limit}", paths::LOG, self.place.next);
                let page = self.caller.get::<LogPage>(edge, &path).await?;
                self.place.next = page.next_position;
                let (last, applied) = (page.next_position > page.position, page.position);
                Some(Page { last, applied, events: page.events })
            }
            Followed::Stream(stream) => {
                let from = Some(self.place.next.max(1));
                let wait_ms = if to_the_end { 0 } else { WAIT_MS };
                let consistency = ReadConsistency::Linearizable;
                let look = Look { from, limit, wait_ms, consistency, ..Look::at(&stream) };
                let page = self.caller.read_at(node, edge, &look).await?;
                self.place.next = page.events.last().map_or(self.place.next, |last| last.version + 1);
                let (last, applied) = (page.next_version.is_none(), page.position);
                Some(Page { last, applied, events: page.events })
            }
        }
    }

    fn take(&mut self, page: &Page, events: &mut Vec<Delivered>) {
        let what = match self.followed() {
            Followed::Log => "log",
            Followed::Stream(_) => "stream",
        };
        for event in &page.events {
            self.caller.count(what);
            // What comes out of order is written down as it came, and followed from there.
            self.place.position = event.position;
            events.push(Delivered {
                position: event.position,
                stream: event.entity_id.clone(),
                version: event.version,
                mark: mark_of(event),
            });
        }
    }
}
