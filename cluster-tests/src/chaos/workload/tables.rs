//! A projection into tables, asked in SQL while nodes die and it is rebuilt:
//! whatever a node answers is the fold of exactly what lies up to the position
//! that it names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::{
    ErrorCode,
    v1::{LogPage, SqlResult, paths},
};

use super::{Context, Workload, caller::Caller, crew::Crew, draft::Draft, projections::digests_agree};
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
/// The modulus of the running hash, which every repeat, hole and change of order changes.
const MODULUS: u64 = 1_000_003;

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

/// A row: how many events of a stream, the last position, and the hash of all of them.
type Rows = BTreeMap<String, (u64, u64, u64)>;

/// What a node answered, and of which position.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    node: u64,
    position: u64,
    rows: Rows,
}

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
            crew.hire(write(Caller::new(context, NAME)));
        }
        for _ in 0..READERS {
            crew.hire(read(Caller::new(context, NAME), self.seen.clone()));
        }
        crew.hire(rebuild(Caller::new(context, NAME)));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for (node, edge) in context.nodes.all() {
            let mut last = None;
            eventually("a node answers for its tables", PATIENCE, || async {
                caller.ask(node, &edge, "linearizable").await.context("no answer")
            })
            .await
            .map(|seen| last = Some(seen))?;
            self.keep(last);
            caller.count("last_answer");
        }
        digests_agree(&mut caller, context, NAME).await?;
        let (_, edge) = context.nodes.all().into_iter().next().context("there is no node")?;
        let log = log(&edge).await?;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        for wrong in audit(seen, &log) {
            caller.wrong(wrong);
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["tables.ok", "tables.answered", "tables.linearizable", "tables.rebuilt", "tables.last_answer"]
    }
}

impl Tables {
    fn keep(&self, seen: Option<Seen>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
    }
}

fn stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

async fn write(mut caller: Caller) -> Result<()> {
    while caller.pace(WRITE_PACE).await {
        let (stream, count) = (stream(caller.rng.within(0..STREAMS)), caller.rng.within(1..4));
        let draft = Draft::new(&stream, NAME, &caller.marks(count));
        caller.append(&draft).await;
    }
    caller.end()
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

async fn rebuild(mut caller: Caller) -> Result<()> {
    while caller.pace(REBUILD_PACE).await {
        let (_, edge) = caller.node();
        let path = paths::fill(paths::PROJECTION_REBUILD, NAME);
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
        let rows = result.rows.iter().filter_map(|row| row_of(row.as_slice())).collect();
        Some(Seen { node, position, rows })
    }
}

fn row_of(row: &[Value]) -> Option<(String, (u64, u64, u64))> {
    let [stream, count, last, hash] = row else { return None };
    Some((stream.as_str()?.to_owned(), (count.as_u64()?, last.as_u64()?, hash.as_u64()?)))
}

/// The workload's events: position and stream.
async fn log(edge: &Edge) -> Result<Vec<(u64, String)>> {
    let (mut all, mut from) = (Vec::new(), 1);
    loop {
        let path = format!("{}?from_position={from}&limit=1000&name={NAME}.*", paths::LOG);
        let page: LogPage = serde_json::from_value(edge.get(&path).await?).context("a page of the log")?;
        all.extend(page.events.into_iter().map(|event| (event.position, event.entity_id)));
        ensure!(page.next_position >= from, "the log goes backwards");
        if page.next_position == from {
            return Ok(all);
        }
        from = page.next_position;
    }
}

/// Every answer that is not the fold of the log up to its position.
fn audit(mut seen: Vec<Seen>, log: &[(u64, String)]) -> Vec<String> {
    seen.sort_by_key(|seen| seen.position);
    let (mut rows, mut rest, mut wrong) = (Rows::new(), log, Vec::new());
    for one in seen {
        while let Some(((position, stream), others)) =
            rest.split_first().filter(|(next, _)| next.0 <= one.position)
        {
            let (count, last, hash) = rows.entry(stream.clone()).or_insert((0, 0, 7));
            (*count, *last, *hash) = (*count + 1, *position, (*hash * 31 + position) % MODULUS);
            rest = others;
        }
        if one.rows != rows {
            let Seen { node, position, rows: found } = one;
            wrong.push(format!(
                "node {node} answered {found:?} at position {position}, and the log has {rows:?}"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_be_the_fold_up_to_its_position() {
        let log = [(2, "a".to_owned()), (5, "b".to_owned()), (6, "a".to_owned())];
        let hash = |positions: &[u64]| positions.iter().fold(7, |hash, at| (hash * 31 + at) % MODULUS);
        let rows = |rows: &[(&str, &[u64])]| -> Rows {
            let row = |(stream, at): &(&str, &[u64])| {
                ((*stream).to_owned(), (at.len() as u64, at[at.len() - 1], hash(at)))
            };
            rows.iter().map(row).collect()
        };
        let seen = |position, of: &[(&str, &[u64])]| Seen { node: 1, position, rows: rows(of) };
        let good =
            vec![seen(6, &[("a", &[2, 6]), ("b", &[5])]), seen(1, &[]), seen(5, &[("a", &[2]), ("b", &[5])])];
        assert!(audit(good, &log).is_empty());
        for bad in
            [seen(6, &[("a", &[2]), ("b", &[5])]), seen(2, &[]), seen(5, &[("a", &[2, 2]), ("b", &[5])])]
        {
            assert_eq!(audit(vec![bad], &log).len(), 1);
        }
    }
}
