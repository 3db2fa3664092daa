//! Reads at every consistency, on every node, both ways, whole and in pages,
//! by page over REST and gRPC, history, summary and list; of streams that change under them.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use weir_api::v1::{ListPage, ReadPage, paths};
use weir_check::history::{ReadConsistency, ReadDirection};

use super::{
    Context, Workload,
    caller::{Caller, Look, mark_of},
    crew::Crew,
    draft::Draft,
    guarded,
    told::Told,
    unguarded,
};
use crate::edge::Edge;

/// Its name.
const NAME: &str = "reads";
/// Streams of its own, so that there is something to read when it is alone.
const STREAMS: u64 = 6;
/// Many more are the way to many operations: an event costs everybody that stores, publishes and folds it many times what a
/// read of it costs one node, so that on a small machine more writers only wait for each other.
const READERS: u32 = 5;
/// Between two reads of one client.
const PACE: Duration = Duration::from_millis(70);
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(60);
/// Pages of one walk.
const PAGES_MAX: u64 = 6;

/// Reads of every kind.
#[derive(Debug, Clone, Copy)]
pub struct Reads;

#[async_trait]
impl Workload for Reads {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME)));
        for _ in 0..READERS * context.readers {
            crew.hire(read(Reader { caller: Caller::new(context, NAME), position: 0 }));
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        let mut there = Vec::new();
        for number in 0..STREAMS {
            let mut pages = Vec::new();
            for (node, edge) in context.nodes.all() {
                let look = Look { limit: 4_096, ..Look::at(&own_stream(number)) };
                pages.extend(caller.read_at(node, &edge, &look).await);
            }
            there.extend(pages.iter().any(|page| page.version > 0).then(|| own_stream(number)));
            if pages.windows(2).any(|pair| pair[0].events != pair[1].events) {
                caller.wrong(format!("nodes answer `{}` differently", own_stream(number)));
            }
        }
        for (node, edge) in context.nodes.all() {
            lists_all(&mut caller, node, &edge, &there).await;
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "reads.ok",
            "reads.linearizable",
            "reads.local",
            "reads.at_least",
            "reads.backward",
            "reads.paged",
            "reads.read_by_session",
            "reads.waited",
            "reads.history",
            "reads.info",
            "reads.list",
        ]
    }
}

/// A list of all streams of the kind leaves none out.
async fn lists_all(caller: &mut Caller, node: u64, edge: &Edge, there: &[String]) {
    let path = format!("{}?limit=1000&entity_type={NAME}", paths::STREAMS);
    let Some(page) = caller.get::<ListPage>(edge, &path).await else { return };
    let listed = |stream: &&String| page.streams.iter().any(|row| row.entity_id == **stream);
    if let Some(stream) = there.iter().find(|stream| !listed(stream)) {
        caller.wrong(format!("node {node} does not list `{stream}`, which has events"));
    }
}

fn own_stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

async fn write(mut caller: Caller) -> Result<()> {
    while caller.pace(WRITE_PACE).await {
        let stream = own_stream(caller.rng.within(0..STREAMS));
        let mark = caller.mark();
        // A refusal or an unknown outcome is written down, and that is all.
        let _: Told = caller.append(&Draft::new(&stream, NAME, &[mark])).await;
    }
    caller.end()
}

struct Reader {
    caller: Caller,
    /// The highest position that this client was told of.
    position: u64,
}

async fn read(mut reader: Reader) -> Result<()> {
    while reader.caller.pace(PACE).await {
        let (node, edge) = reader.caller.node();
        let (stream, fresh) = (reader.any_stream(), reader.any_consistency());
        match reader.caller.rng.within(0..100) {
            0..40 => reader.page(node, &edge, stream, fresh).await,
            40..60 => reader.walk(node, &edge, stream, fresh).await,
            60..75 => reader.history(node, &edge, stream, fresh).await,
            75..90 => drop(reader.caller.info_at(node, &edge, &stream, fresh).await),
            90..94 => reader.list(node, &edge, fresh).await,
            _ => reader.wait(node, &edge, stream, fresh).await,
        }
    }
    reader.caller.end()
}

impl Reader {
    fn any_stream(&mut self) -> String {
        match self.caller.rng.within(0..10) {
            0..5 => own_stream(self.caller.rng.within(0..STREAMS)),
            5..9 => guarded::stream(self.caller.rng.draw()),
            _ => unguarded::any_stream(&mut self.caller),
        }
    }

    fn any_consistency(&mut self) -> ReadConsistency {
        let (what, fresh) = match self.caller.rng.within(0..10) {
            0..5 => ("linearizable", ReadConsistency::Linearizable),
            5..8 => ("local", ReadConsistency::Local),
            _ => ("at_least", ReadConsistency::AtLeast(self.position)),
        };
        self.caller.count(what);
        fresh
    }

    /// One page from anywhere.
    async fn page(&mut self, node: u64, edge: &Edge, stream: String, consistency: ReadConsistency) {
        // Mostly a few events: the next look at the stream tells more than the rest of a long page.
        let most = if self.caller.rng.chance(75) { 5 } else { 60 };
        let mut look = Look { consistency, limit: self.caller.rng.within(1..most), ..Look::at(&stream) };
        if self.caller.rng.chance(60) {
            look.direction = ReadDirection::Backward;
            self.caller.count("backward");
        }
        if self.caller.rng.chance(30) {
            look.from = Some(self.caller.rng.within(1..400));
        }
        if let Some(page) = self.caller.read_at(node, edge, &look).await {
            self.check(&look, &page);
        }
    }

    /// Page after page, each at another node: what was seen stays as it was.
    async fn walk(&mut self, node: u64, edge: &Edge, stream: String, consistency: ReadConsistency) {
        let mut look = Look { consistency, limit: self.caller.rng.within(3..20), ..Look::at(&stream) };
        let backward = self.caller.rng.chance(50);
        if backward {
            look.direction = ReadDirection::Backward;
        } else {
            look.from = Some(self.caller.rng.within(1..200));
        }
        let (mut at, mut edge) = (node, edge.clone());
        for page_number in 0..PAGES_MAX {
            let Some(page) = self.caller.read_at(at, &edge, &look).await else { return };
            self.check(&look, &page);
            if page_number > 0 {
                self.caller.count("paged");
            }
            let Some(next) = page.next_version else { return };
            look.from = Some(next);
            // Another node may be behind, unless it must have what this one had.
            look.consistency = ReadConsistency::AtLeast(page.position);
            (at, edge) = self.caller.other_node(at);
        }
    }

    async fn history(&mut self, node: u64, edge: &Edge, stream: String, consistency: ReadConsistency) {
        let limit = self.caller.rng.within(1..50);
        let mut look = Look { consistency, limit, ..Look::at(&stream) };
        if self.caller.rng.chance(50) {
            look.direction = ReadDirection::Backward;
        }
        if self.caller.history_at(node, edge, &look).await.is_some() {
            self.caller.count("history");
        }
    }

    async fn list(&mut self, node: u64, edge: &Edge, consistency: ReadConsistency) {
        let kind = *self.caller.rng.pick(&[NAME, "guarded", "unguarded"]).unwrap_or(&NAME);
        if let Some(page) = self.caller.list_at(node, edge, kind, consistency).await
            && let Some(other) = page.streams.iter().find(|row| row.entity_type != kind)
        {
            self.caller.wrong(format!("a list of `{kind}` holds {other:?}"));
        }
    }

    /// Waits at the end of a stream for what comes next.
    async fn wait(&mut self, node: u64, edge: &Edge, stream: String, consistency: ReadConsistency) {
        let Some(version) = self.caller.info_at(node, edge, &stream, ReadConsistency::Local).await else {
            return;
        };
        let look = Look { consistency, from: Some(version + 1), wait_ms: 400, ..Look::at(&stream) };
        if let Some(page) = self.caller.read_at(node, edge, &look).await {
            self.check(&look, &page);
            if !page.events.is_empty() {
                self.caller.count("waited");
            }
        }
    }

    /// What a page must be, whatever the history.
    fn check(&mut self, look: &Look, page: &ReadPage) {
        let versions: Vec<u64> = page.events.iter().map(|event| event.version).collect();
        let forward = look.direction == ReadDirection::Forward;
        let step = |pair: &[u64]| if forward { pair[0] + 1 == pair[1] } else { pair[1] + 1 == pair[0] };
        let mut flaws = Vec::new();
        if !versions.windows(2).all(step) {
            flaws.push("its versions are not consecutive");
        }
        if versions.len() as u64 > look.limit {
            flaws.push("it is longer than its limit");
        }
        if let (Some(from), Some(first)) = (look.from, versions.first())
            && (if forward { *first != from } else { *first != from.min(page.version) })
        {
            flaws.push("it begins elsewhere");
        }
        if let ReadConsistency::AtLeast(position) = look.consistency
            && page.position < position
        {
            flaws.push("it is older than it was asked to be");
        }
        if page.events.iter().any(|event| event.entity_id != look.stream || event.position > page.position) {
            flaws.push("it holds an event of another stream, or one from beyond what was applied");
        }
        if page.events.iter().any(|event| mark_of(event).is_empty()) {
            flaws.push("it holds an event without a mark");
        }
        if !flaws.is_empty() {
            self.caller.wrong(format!(
                "{look:?} was answered with versions {versions:?} of {}: {flaws:?}",
                page.version
            ));
        }
        self.position = self.position.max(page.position);
    }
}
