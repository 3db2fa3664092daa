//! A projection into tables of a PostgreSQL outside, which is killed as nodes are, while the projection is rebuilt:
//! whatever the database shows is the fold of exactly what lies up to the position that it names.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    Context, Outside, Workload,
    caller::Caller,
    crew::Crew,
    projections::digests_agree,
    tables::rebuild,
    tallies::{self, Seen},
    writer::write,
};
use crate::{PATIENCE, eventually, postgres::connect, window};

/// Its name, and that of its projection.
const NAME: &str = "sink";
const STREAMS: u64 = 6;
/// Between two appends of one client.
const WRITE_PACE: Duration = Duration::from_millis(100);
/// Between two questions.
const READ_PACE: Duration = Duration::from_millis(250);
/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Between two rebuilds.
const REBUILD_PACE: Duration = Duration::from_secs(13);
/// Between two kills of PostgreSQL.
const KILL_PACE: Duration = Duration::from_secs(12);
/// How long it is away, at most.
const AWAY_MS: u64 = 4_000;

const SOURCE: &str = "
export const name = 'sink'; export const kind = 'sql'; export const sink = 'chaos'; export const events = ['sink.*'];
export const tables = `create table counts (
  stream text primary key, count bigint not null, last bigint not null, hash bigint not null)`;
export function handler(event) {
  return ['insert into counts values ($1, 1, $2::bigint, (217 + $2::bigint) % 1000003) on conflict (stream) do update \
set count = counts.count + 1, last = excluded.last, hash = (counts.hash * 31 + excluded.last) % 1000003',
    event.entityId, event.position];
}
";
/// In one statement, so that all of it is of one moment.
const QUESTION: &str = "select position,
    coalesce((select json_agg(json_build_array(stream, count, last, hash)) from sink.counts), '[]')::text
    from weir.projection where schema = 'sink' and not dropped";

/// A projection into a PostgreSQL.
#[derive(Debug, Clone, Default)]
pub struct Sink {
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[async_trait]
impl Workload for Sink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs_postgres(&self) -> bool {
        true
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        eventually("the sink is deployed", PATIENCE, || async {
            let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
            edge.deploy(SOURCE).await.map(drop)
        })
        .await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        crew.hire(rebuild(Caller::new(context, NAME), NAME, REBUILD_PACE));
        crew.hire(read(Caller::new(context, NAME), self.seen.clone()));
        crew.hire(kill(Caller::new(context, NAME)));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
        let log = tallies::log(&edge, NAME).await?;
        let last = log.last().map_or(0, |(position, _)| *position);
        for (node, edge) in context.nodes.all() {
            eventually(&format!("node {node} has ended its rebuilds of `{NAME}`"), PATIENCE, || async {
                let status = edge.projection(NAME).await?;
                ensure!(status.rebuild.is_none() && status.checkpoint >= last, "not at {last}: {status:?}");
                Ok(())
            })
            .await?;
        }
        digests_agree(&mut caller, context, NAME).await?;
        let url = outside(context)?.url;
        let shown = eventually("PostgreSQL shows all", PATIENCE, || async {
            let seen = ask(&url).await?;
            ensure!(seen.position >= last, "it is at {}, and not at {last}", seen.position);
            Ok(seen)
        })
        .await?;
        caller.count("last_answer");
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        seen.push(shown);
        for wrong in tallies::audit(seen, &log) {
            caller.wrong(wrong);
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["sink.ok", "sink.answered", "sink.killed", "sink.rebuilt", "sink.last_answer"]
    }
}

fn outside(context: &Context) -> Result<Outside> {
    context.postgres.clone().context("there is no PostgreSQL")
}

async fn read(mut caller: Caller, all: Arc<Mutex<Vec<Seen>>>) -> Result<()> {
    let url = outside(&caller.context)?.url;
    while caller.pace(READ_PACE).await {
        match timeout(ANSWER_WAIT, ask(&url)).await {
            Ok(Ok(seen)) => {
                caller.count("answered");
                all.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            }
            Ok(Err(_)) | Err(_) => caller.count("missed"),
        }
    }
    caller.end()
}

/// What the database shows, and of which position.
async fn ask(url: &str) -> Result<Seen> {
    let row = connect(url).await?.query_one(QUESTION, &[]).await?;
    let rows: Vec<Vec<Value>> = serde_json::from_str(row.try_get(1)?)?;
    Ok(Seen {
        by: "PostgreSQL".to_owned(),
        position: u64::try_from(row.try_get::<_, i64>(0)?)?,
        rows: rows.iter().filter_map(|row| tallies::row_of(row)).collect(),
    })
}

async fn kill(mut caller: Caller) -> Result<()> {
    let server = outside(&caller.context)?.server;
    while caller.pace(KILL_PACE).await {
        let mut postgres = server.lock().await;
        postgres.kill()?;
        caller.count("killed");
        window(Duration::from_millis(caller.rng.within(0..AWAY_MS))).await;
        postgres.restart().await?;
    }
    caller.end()
}
