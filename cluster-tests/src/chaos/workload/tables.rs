//! A projection into tables, asked in SQL while nodes die and it is rebuilt:
//! whatever a node answers is the fold of exactly what lies up to the position
//! that it names.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;
use weir_api::{
    ErrorCode,
    v1::{SqlResult, paths},
};

use super::{
    Context, Workload,
    caller::Caller,
    crew::Crew,
    projections::digests_agree,
    tallies::{self, Seen},
    writer::write,
};
use crate::{PATIENCE, edge::Edge, eventually};

/// Its name, and that of its projection.
const NAME: &str = "tables";
const STREAMS: u64 = 8;
const WRITERS: usize = 2;
const READERS: usize = 2;
/// Between two appends of one client.
const WRITE_PACE: Duration = Duration::from_millis(100);
/// Between two questions of one client.
const READ_PACE: Duration = Duration::from_millis(200);
/// Between two rebuilds.
const REBUILD_PACE: Duration = Duration::from_secs(7);
/// Answers that are kept to be judged.
const SEEN_MAX: usize = 5_000;

const SOURCE: &str = "
export const name = 'tables'; export const kind = 'sql'; export const events = ['tables.*'];
export const tables = `create table counts (
  stream text primary key, count integer not null, last integer not null, hash integer not null);`;
export function handler(event) {
  return ['insert into counts values (?, 1, ?, (217 + ?) % 1000003) on conflict (stream) do update set \
count = count + 1, last = excluded.last, hash = (hash * 31 + excluded.last) % 1000003',
    event.entityId, event.position, event.position];
}
";
const QUESTION: &str = "select stream, count, last, hash from counts order by stream";

/// A projection into tables.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[async_trait]
impl Workload for Tables {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        eventually("the tables are deployed", PATIENCE, || async {
            let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
            edge.deploy(SOURCE).await.map(drop)
        })
        .await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..WRITERS {
            crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        }
        for _ in 0..READERS {
            crew.hire(read(Caller::new(context, NAME), self.seen.clone()));
        }
        crew.hire(rebuild(Caller::new(context, NAME), NAME, REBUILD_PACE));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for (node, edge) in context.nodes.all() {
            let last = eventually("a node answers for its tables", PATIENCE, || async {
                caller.ask(node, &edge, "linearizable").await.context("no answer")
            })
            .await?;
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(last);
            caller.count("last_answer");
        }
        digests_agree(&mut caller, context, NAME).await?;
        let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
        let log = tallies::log(&edge, NAME).await?;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        for wrong in tallies::audit(seen, &log) {
            caller.wrong(wrong);
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["tables.ok", "tables.answered", "tables.linearizable", "tables.rebuilt", "tables.last_answer"]
    }
}

async fn read(mut caller: Caller, all: Arc<Mutex<Vec<Seen>>>) -> Result<()> {
    while caller.pace(READ_PACE).await {
        let (node, edge) = caller.node();
        let consistency = if caller.rng.chance(30) { "linearizable" } else { "local" };
        let Some(seen) = caller.ask(node, &edge, consistency).await else { continue };
        caller.count("answered");
        if consistency == "linearizable" {
            caller.count("linearizable");
        }
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < SEEN_MAX {
            all.push(seen);
        }
    }
    caller.end()
}

/// Has a projection rebuilt again and again, until it is told to stop.
pub(super) async fn rebuild(mut caller: Caller, projection: &str, pace: Duration) -> Result<()> {
    while caller.pace(pace).await {
        let (_, edge) = caller.node();
        let path = paths::fill(paths::PROJECTION_REBUILD, projection);
        match caller.exchange(&edge, Method::POST, &path, None).await {
            Ok(answer) if answer.is_ok() => caller.count("rebuilt"),
            Ok(answer) if answer.error().code == ErrorCode::RebuildConflict => caller.count("not_rebuilt"),
            Ok(answer) if !answer.error().code.is_retryable() => {
                caller.wrong(format!("a rebuild was answered {}: {}", answer.status, answer.error()));
            }
            Ok(_) | Err(_) => caller.count("not_rebuilt"),
        }
    }
    caller.end()
}

impl Caller {
    /// What a node answers; nothing when no answer came.
    async fn ask(&self, node: u64, edge: &Edge, consistency: &str) -> Option<Seen> {
        let body = json!({ "sql": QUESTION, "consistency": consistency, "projections": [NAME] });
        let body = Some(body.to_string().into_bytes());
        let answer = self.exchange(edge, Method::POST, paths::SQL, body).await.ok()?;
        if !answer.is_ok() {
            self.count(&format!("missed.{}", answer.error().code));
            return None;
        }
        let result: SqlResult = answer.parsed().ok()?;
        let position = *result.positions.get(NAME)?;
        let rows = result.rows.iter().filter_map(|row| tallies::row_of(row)).collect();
        Some(Seen { by: format!("node {node}"), position, rows })
    }
}
