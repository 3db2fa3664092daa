//! Guarded appends to four hot streams: many clients race for every version,
//! over all nodes and by every way in. Each version has one winner.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use weir_check::history::ReadConsistency;

use super::{
    Context, Workload,
    caller::{Caller, Look},
    crew::Crew,
    draft::Draft,
    told::Told,
};

/// Its name.
const NAME: &str = "guarded";
/// The streams that everybody wants.
const STREAMS: u64 = 4;
const CLIENTS: usize = 6;
/// Between two appends of one client.
const PACE: Duration = Duration::from_millis(70);
/// Appends of a pipeline.
const PIPELINE: u64 = 3;
/// Tries of the last append to each stream.
const LAST_TRIES: usize = 8;

/// Guarded appends, hot.
#[derive(Debug, Clone, Copy)]
pub struct Guarded;

#[async_trait]
impl Workload for Guarded {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(race(Racer { caller: Caller::new(context, NAME), heads: [0; STREAMS as usize] }));
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for number in 0..STREAMS {
            for (node, edge) in context.nodes.all() {
                let look = Look { limit: 4_096, ..Look::at(&stream(number)) };
                caller.read_at(node, &edge, &look).await;
            }
            serves(&mut caller, &stream(number)).await;
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "guarded.ok",
            "guarded.rest",
            "guarded.connect",
            "guarded.session",
            "guarded.pipelined",
            "guarded.conflict",
        ]
    }
}

/// The name of a hot stream; the workload of reads looks at them too.
pub(super) fn stream(number: u64) -> String {
    format!("{NAME}-{}", number % STREAMS)
}

/// When all is healed, a stream takes an append, whatever was done to it.
async fn serves(caller: &mut Caller, stream: &str) {
    let (key, marks) = (caller.mark(), caller.marks(1));
    let told = caller.append_until_known(&Draft::new(stream, NAME, &marks).keyed(&key), LAST_TRIES).await;
    if told.ack().is_none() {
        caller.wrong(format!("`{stream}` takes no append although all is healed: {told:?}"));
    }
}

struct Racer {
    caller: Caller,
    /// The versions that this client believes in.
    heads: [u64; STREAMS as usize],
}

async fn race(mut racer: Racer) -> Result<()> {
    while racer.caller.pace(PACE).await {
        let at = usize::try_from(racer.caller.rng.within(0..STREAMS)).unwrap_or(0);
        if racer.caller.rng.chance(8) {
            racer.pipeline(at).await;
        } else {
            racer.append(at).await;
        }
    }
    racer.caller.end()
}

impl Racer {
    async fn append(&mut self, at: usize) {
        let mark = self.caller.mark();
        let events = match self.caller.rng.chance(20) {
            true => self.caller.rng.within(2..6),
            false => 1,
        };
        let marks = self.caller.marks(events);
        let mut draft = Draft::new(&stream(at as u64), NAME, &marks).guarded(self.guess(at));
        if self.caller.rng.chance(30) {
            draft = draft.keyed(&mark);
        }
        match self.caller.append(&draft).await {
            Told::Unknown(_) if draft.key.is_some() => {
                let told = self.caller.append_until_known(&draft, 2).await;
                self.learn(at, &told).await;
            }
            told => self.learn(at, &told).await,
        }
    }

    /// Mostly the version that it believes in, sometimes one that cannot be right.
    fn guess(&mut self, at: usize) -> u64 {
        let head = self.heads[at];
        match self.caller.rng.within(0..20) {
            0 => head.saturating_sub(1),
            1 => head + self.caller.rng.within(2..9),
            _ => head,
        }
    }

    /// Consecutive versions at once, none waiting for the one before. Another
    /// client may take the version of one that is refused, and those behind it
    /// then fit again: what came of them is for the checkers.
    async fn pipeline(&mut self, at: usize) {
        let (head, stream) = (self.heads[at], stream(at as u64));
        let marks = self.caller.marks(PIPELINE);
        let drafts: Vec<Draft> = (head..)
            .zip(marks)
            .map(|(version, mark)| Draft::new(&stream, NAME, &[mark]).guarded(version))
            .collect();
        let (node, edge) = self.caller.node();
        let all = self.caller.append_pipelined(node, &edge, &drafts).await;
        if !all.is_empty() {
            self.caller.count("pipelined");
        }
        if let Some(last) = all.last() {
            self.learn(at, last).await;
        }
    }

    async fn learn(&mut self, at: usize, told: &Told) {
        match told {
            Told::Acked(ack) => self.heads[at] = ack.last_version,
            Told::Refused { actual: Some(actual), .. } => {
                self.caller.count("conflict");
                self.heads[at] = *actual;
            }
            Told::Refused { .. } => {}
            Told::Unknown(_) => {
                let (node, edge) = self.caller.node();
                let fresh = match self.caller.rng.chance(50) {
                    true => ReadConsistency::Linearizable,
                    false => ReadConsistency::Local,
                };
                if let Some(version) = self.caller.info_at(node, &edge, &stream(at as u64), fresh).await {
                    self.heads[at] = version;
                }
            }
        }
    }
}
