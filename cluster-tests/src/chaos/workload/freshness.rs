//! Read your own writes: the position in an append's answer is the
//! `min_position` of reads on other nodes, of the stream, its summary and its view.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use weir_check::history::ReadConsistency;

use super::{
    Context, Workload,
    caller::{Caller, Look, mark_of},
    crew::Crew,
    draft::Draft,
    folds::FRESHNESS,
    projections::{deploy, last_view},
    told::Ack,
};

/// Its name.
const NAME: &str = "freshness";
const STREAMS: u64 = 8;
const CLIENTS: usize = 3;
/// Between two appends of one client.
const PACE: Duration = Duration::from_millis(180);

/// Reads with `min_position`.
#[derive(Debug, Clone, Copy)]
pub struct Freshness;

#[async_trait]
impl Workload for Freshness {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        deploy(context, &FRESHNESS).await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(work(Caller::new(context, NAME)));
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for (node, edge) in context.nodes.all() {
            for number in 0..STREAMS {
                last_view(&mut caller, node, &edge, FRESHNESS.name, &stream(number)).await?;
            }
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["freshness.ok", "freshness.seen_in_stream", "freshness.seen_in_summary", "freshness.seen_in_view"]
    }
}

fn stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

async fn work(mut caller: Caller) -> Result<()> {
    while caller.pace(PACE).await {
        let (stream, mark) = (stream(caller.rng.within(0..STREAMS)), caller.mark());
        let (node, edge) = caller.node();
        let draft = Draft::new(&stream, NAME, &[mark]);
        let way = caller.way(&draft);
        let told = caller.append_at(way, node, &edge, &draft).await;
        let Some(ack) = told.ack() else { continue };
        see_in_stream(&mut caller, node, &draft, ack).await;
        match caller.rng.chance(50) {
            true => see_in_summary(&mut caller, node, &draft, ack).await,
            false => see_in_view(&mut caller, node, &draft, ack).await,
        }
    }
    caller.end()
}

async fn see_in_stream(caller: &mut Caller, written_at: u64, draft: &Draft, ack: &Ack) {
    let (node, edge) = caller.other_node(written_at);
    let position = ack.last_position();
    let consistency = ReadConsistency::AtLeast(position);
    let look = Look { consistency, from: Some(ack.last_version), limit: 3, ..Look::at(&draft.stream) };
    let Some(page) = caller.read_at(node, &edge, &look).await else { return };
    let mark = &draft.events[0].mark;
    let shown = page.events.first().is_some_and(|event| {
        (event.version, event.position) == (ack.last_version, position) && mark_of(event) == *mark
    });
    match shown && page.position >= position {
        true => caller.count("seen_in_stream"),
        false => caller.wrong(format!(
            "`{mark}` was acknowledged as {ack:?}, and a read at position {position} on node {node} gave {page:?}"
        )),
    }
}

async fn see_in_summary(caller: &mut Caller, written_at: u64, draft: &Draft, ack: &Ack) {
    let (node, edge) = caller.other_node(written_at);
    let position = ReadConsistency::AtLeast(ack.last_position());
    match caller.info_at(node, &edge, &draft.stream, position).await {
        Some(version) if version >= ack.last_version => caller.count("seen_in_summary"),
        Some(version) => {
            let stream = &draft.stream;
            caller
                .wrong(format!("`{stream}` is at {version} on node {node}, after {ack:?} was acknowledged"));
        }
        None => {}
    }
}

async fn see_in_view(caller: &mut Caller, written_at: u64, draft: &Draft, ack: &Ack) {
    let (node, edge) = caller.other_node(written_at);
    let position = ReadConsistency::AtLeast(ack.last_position());
    let Some(view) = caller.view_at(node, &edge, FRESHNESS.name, &draft.stream, position).await else {
        return;
    };
    let count = view.state.as_ref().and_then(|state| state.state["count"].as_u64()).unwrap_or(0);
    match count >= ack.last_version {
        true => caller.count("seen_in_view"),
        false => {
            let stream = &draft.stream;
            caller.wrong(format!(
                "the view of `{stream}` on node {node} counts {count}, after {ack:?} was acknowledged"
            ));
        }
    }
}
