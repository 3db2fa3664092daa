//! Unguarded appends over a thousand streams, in batches of 1 to 100 events:
//! a batch is in its stream whole and together, or not at all.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use super::{
    Context, Workload,
    caller::{Caller, Look},
    crew::Crew,
    draft::Draft,
    told::Told,
};

/// Its name.
const NAME: &str = "unguarded";
const STREAMS: u64 = 1_000;
const CLIENTS: usize = 4;
/// Between two appends of one client.
const PACE: Duration = Duration::from_millis(130);
/// Tries of an append that has a key.
const TRIES: usize = 3;

/// Unguarded appends, wide.
#[derive(Debug, Clone, Copy)]
pub struct Unguarded;

#[async_trait]
impl Workload for Unguarded {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(pour(Caller::new(context, NAME)));
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for _ in 0..60 {
            let ((node, edge), stream) = (caller.node(), any_stream(&mut caller));
            caller.read_at(node, &edge, &Look { limit: 1_000, ..Look::at(&stream) }).await;
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["unguarded.ok", "unguarded.rest", "unguarded.session", "unguarded.big_batch"]
    }
}

/// The name of one of the streams; the workload of reads looks at them too.
pub(super) fn any_stream(caller: &mut Caller) -> String {
    format!("{NAME}-{}", caller.rng.within(0..STREAMS))
}

async fn pour(mut caller: Caller) -> Result<()> {
    while caller.pace(PACE).await {
        let (stream, key) = (any_stream(&mut caller), caller.mark());
        let count = match caller.rng.within(0..100) {
            0..70 => caller.rng.within(1..4),
            70..96 => caller.rng.within(4..21),
            _ => caller.rng.within(21..101),
        };
        let draft = Draft::new(&stream, NAME, &caller.marks(count));
        let told = match caller.rng.chance(50) {
            true => caller.append_until_known(&draft.keyed(&key), TRIES).await,
            false => caller.append(&draft).await,
        };
        if let Told::Acked(ack) = &told {
            let told_of = ack.last_version.saturating_sub(ack.first_version) + 1;
            if told_of != count {
                caller.wrong(format!("`{stream}`: {count} events were acknowledged as {ack:?}"));
            }
            if count > 20 {
                caller.count("big_batch");
            }
        }
    }
    caller.end()
}
