//! The past of streams: pages, states and snapshots as of versions and recorded
//! times, through an invariant, a virtual projection and an upcaster that is
//! set again under fire. Event `n` of a stream is its `n`th, so that every
//! answer of any node can be judged by itself, whatever was acknowledged.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::v1::{EventView, ReadPage, SnapshotRead, StateView, paths};

use super::{Context, Workload, caller::Caller, crew::Crew, draft::Draft, told::Told};
use crate::{
    PATIENCE,
    edge::{Edge, encoded},
    eventually,
};

/// Its name, that of its projection, and the type of its entities.
const NAME: &str = "moments";
const STREAMS: u64 = 5;
const WRITERS: usize = 2;
const READERS: usize = 3;
/// Between two appends of one client.
const WRITE_PACE: Duration = Duration::from_millis(100);
/// Between two reads of one client.
const READ_PACE: Duration = Duration::from_millis(120);
/// Between two times that the upcaster is set.
const UPCASTER_PACE: Duration = Duration::from_millis(3_500);
const TRIES: usize = 4;

/// Leads `n` to a data that says it twice as well.
const UPCASTER: &str = "export function upcast(data) { data.twice = 2 * data.n; }";
const INVARIANT: &str = "
export const initialState = { count: 0, sum: 0 };
export function fold({ count, sum }, { data }) { return { count: count + 1, sum: sum + data.twice }; }
export function check(state) { if (state.count > 1e9) return 'too many'; }
";
const PROJECTION: &str = "
export const name = 'moments'; export const kind = 'virtual'; export const events = ['moments.*'];
export const initialState = () => ({ count: 0, sum: 0 });
export function handler(state, { data }) { state.count += 1; state.sum += data.twice; }
";

/// The past of streams.
#[derive(Debug, Clone, Copy)]
pub struct Moments;

#[async_trait]
impl Workload for Moments {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        eventually("streams have what folds their past", PATIENCE, || async {
            let (_, edge) = context.nodes.all().into_iter().next().expect("a cluster has nodes");
            // In this order: a projection is folded by the upcasters that stand when it is deployed.
            ensure!(set_upcaster(&edge).await? == 200, "the upcaster is not set");
            let rules = json!({ "invariant": INVARIANT });
            ensure!(put(&edge, &paths::rules_of(Some(NAME)), &rules).await? == 200, "the rules are not set");
            edge.deploy(PROJECTION).await.map(drop)
        })
        .await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..WRITERS {
            crew.hire(write(Caller::new(context, NAME)));
        }
        for _ in 0..READERS {
            crew.hire(read(Caller::new(context, NAME)));
        }
        crew.hire(change_upcaster(Caller::new(context, NAME)));
        crew.end().await
    }

    /// Every node tells the same past of all streams.
    async fn settle(&self, context: &Context) -> Result<()> {
        let caller = Caller::new(context, NAME);
        for (node, edge) in context.nodes.all() {
            for number in 0..STREAMS {
                let what = format!("node {node} tells the past of `{}`", stream(number));
                eventually(&what, PATIENCE, || async {
                    let path = format!("{}?limit=1", paths::fill(paths::STREAM_EVENTS, &stream(number)));
                    let page = edge.get(&path).await?;
                    let version = page["version"].as_u64().context("a page has no version")?;
                    for as_of in [version / 3, version] {
                        let path = state_path(&stream(number), Some(NAME), &format!("as_of_version={as_of}"));
                        let state = edge.get(&path).await?;
                        audit(as_of, &state["state"]).map_err(anyhow::Error::msg)?;
                    }
                    Ok(())
                })
                .await?;
                caller.count("settled");
            }
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "moments.ok",
            "moments.page",
            "moments.raw_page",
            "moments.by_invariant",
            "moments.by_projection",
            "moments.as_of",
            "moments.kept",
            "moments.from_snapshot",
            "moments.upcaster_set",
            "moments.settled",
        ]
    }
}

fn stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

fn state_path(stream: &str, projection: Option<&str>, query: &str) -> String {
    let projection = projection.map(|name| format!("projection={name}&")).unwrap_or_default();
    format!("{}?{projection}{query}", paths::fill(paths::STREAM_STATE, stream))
}

/// The status of the answer to a PUT.
async fn put(edge: &Edge, path: &str, body: &Value) -> Result<u16> {
    let body = body.to_string().into_bytes();
    Ok(edge.send(Method::PUT, path, Some(("application/json", body))).await?.status)
}

async fn set_upcaster(edge: &Edge) -> Result<u16> {
    put(edge, &paths::upcaster("moments.written", 1), &json!({ "source": UPCASTER })).await
}

async fn change_upcaster(mut caller: Caller) -> Result<()> {
    while caller.pace(UPCASTER_PACE).await {
        let (_, edge) = caller.node();
        // No answer, or a refusal, is what faults do.
        if let Ok(Ok(200)) = tokio::time::timeout(Duration::from_secs(5), set_upcaster(&edge)).await {
            caller.count("upcaster_set");
        }
    }
    caller.end()
}

async fn write(mut caller: Caller) -> Result<()> {
    let mut versions = [0_u64; STREAMS as usize];
    while caller.pace(WRITE_PACE).await {
        let number = caller.rng.within(0..STREAMS);
        let version = &mut versions[usize::try_from(number).unwrap_or_default()];
        let (mark, key) = (caller.mark(), caller.mark());
        let draft = Draft::new(&stream(number), NAME, &[mark]).with(json!({ "n": *version + 1 }));
        match caller.append_until_known(&draft.keyed(&key).guarded(*version), TRIES).await {
            Told::Acked(ack) => *version = ack.last_version,
            Told::Refused { actual: Some(actual), .. } => *version = actual,
            _ => {}
        }
    }
    caller.end()
}

async fn read(mut caller: Caller) -> Result<()> {
    while caller.pace(READ_PACE).await {
        let stream = stream(caller.rng.within(0..STREAMS));
        let (_, edge) = caller.node();
        let Some(page) = look(&mut caller, &edge, &stream).await else { continue };
        match caller.rng.within(0..4) {
            0 => state_of_version(&mut caller, &stream, &page).await,
            1 => state_of_time(&mut caller, &stream, &page).await,
            2 => keep(&mut caller, &stream, &page).await,
            _ => from_snapshot(&mut caller, &edge, &stream).await,
        }
    }
    caller.end()
}

/// A page from anywhere in a stream, as it was at a version or now.
async fn look(caller: &mut Caller, edge: &Edge, stream: &str) -> Option<ReadPage> {
    let raw = caller.rng.chance(20);
    let direction = if caller.rng.chance(50) { "&direction=backward" } else { "" };
    let path = format!("{}?raw={raw}&limit=20{direction}", paths::fill(paths::STREAM_EVENTS, stream));
    let page: ReadPage = get(caller, edge, &path).await?;
    caller.count(if raw { "raw_page" } else { "page" });
    for event in &page.events {
        if let Err(why) = audit_event(event, raw) {
            caller.wrong(format!("{path}: {why}"));
        }
    }
    Some(page)
}

/// Any node tells the state of a version that another one has.
async fn state_of_version(caller: &mut Caller, stream: &str, page: &ReadPage) {
    let as_of = caller.rng.within(0..page.version + 1);
    let query = format!("as_of_version={as_of}&min_position={}", page.position);
    state(caller, stream, &query, as_of).await;
}

/// What was recorded until an event, and before the next one, is known for ever.
async fn state_of_time(caller: &mut Caller, stream: &str, page: &ReadPage) {
    let mut events: Vec<&EventView> = page.events.iter().collect();
    events.sort_by_key(|event| event.version);
    let Some(pair) = events.windows(2).find(|pair| pair[0].recorded_at < pair[1].recorded_at) else { return };
    let time = encoded(&pair[0].recorded_at);
    let query = format!("as_of={time}&min_position={}", page.position);
    if state(caller, stream, &query, pair[0].version).await {
        caller.count("as_of");
    }
}

/// A state that must be of a version. Whether an answer came.
async fn state(caller: &mut Caller, stream: &str, query: &str, as_of: u64) -> bool {
    let (_, edge) = caller.node();
    let projection = caller.rng.chance(50).then_some(NAME);
    let path = state_path(stream, projection, query);
    let Some(found) = get::<StateView>(caller, &edge, &path).await else { return false };
    caller.count(if projection.is_some() { "by_projection" } else { "by_invariant" });
    let state = found.state.to_value().unwrap_or_default();
    if found.as_of_version != as_of {
        caller.wrong(format!("{path}: the state is of version {}, not {as_of}", found.as_of_version));
    } else if let Err(why) = audit(as_of, &state) {
        caller.wrong(format!("{path}: {why}"));
    }
    true
}

/// Keeps the state of a version as a snapshot.
async fn keep(caller: &mut Caller, stream: &str, page: &ReadPage) {
    let version = page.version;
    let (_, edge) = caller.node();
    let body = json!({ "entityVersion": version, "state": of_version(version) }).to_string().into_bytes();
    let path = paths::fill(paths::STREAM_SNAPSHOTS, stream);
    if version > 0
        && let Ok(answer) = caller.exchange(&edge, Method::POST, &path, Some(body)).await
        && answer.is_ok()
    {
        caller.count("kept");
    }
}

/// A snapshot and the events after it make the state of the last of them.
async fn from_snapshot(caller: &mut Caller, edge: &Edge, stream: &str) {
    let path = format!("{}?limit=1000", paths::fill(paths::STREAM_FROM_SNAPSHOT, stream));
    let Some(read) = get::<SnapshotRead>(caller, edge, &path).await else { return };
    let Some(snapshot) = &read.snapshot else { return };
    caller.count("from_snapshot");
    let state = snapshot.state.to_value().unwrap_or_default();
    let next = |(at, event): (u64, &EventView)| event.version == snapshot.entity_version + at;
    if let Err(why) = audit(snapshot.entity_version, &state) {
        caller.wrong(format!("{path}: {why}"));
    } else if !(1..).zip(&read.events).all(next) {
        let version = snapshot.entity_version;
        caller.wrong(format!("{path}: events do not follow the snapshot of version {version}"));
    }
}

/// GETs what faults may make late or missing, and nothing else.
async fn get<T: serde::de::DeserializeOwned>(caller: &mut Caller, edge: &Edge, path: &str) -> Option<T> {
    let answer = caller.exchange(edge, Method::GET, path, None).await;
    let answer = answer.ok()?;
    if !answer.is_ok() {
        let code = answer.error().code;
        caller.count(&format!("missed.{code}"));
        // Nothing that a fault does makes the code fail, or leaves a gap.
        if ["state_failed", "upcast_failed", "upcast_gap", "internal"].contains(&code.as_str()) {
            caller.wrong(format!("{path} was answered with {code}"));
        }
        return None;
    }
    answer.parsed().ok()
}

/// The state of a version.
fn of_version(version: u64) -> Value {
    json!({ "count": version, "sum": version * (version + 1) })
}

fn audit(version: u64, state: &Value) -> Result<(), String> {
    let expected = of_version(version);
    if *state == expected { Ok(()) } else { Err(format!("the state of version {version} is {state}")) }
}

fn audit_event(event: &EventView, raw: bool) -> Result<(), String> {
    let data = event.data.to_value().unwrap_or_default();
    let (n, twice) = (data["n"].as_u64(), data["twice"].as_u64());
    let schema = if raw { (1, None) } else { (2, Some(2 * event.version)) };
    if n == Some(event.version) && (event.schema_version, twice) == schema {
        return Ok(());
    }
    Err(format!("event {} of schema {} holds {data}", event.version, event.schema_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_of_one_version() {
        assert!(audit(3, &json!({ "count": 3, "sum": 12 })).is_ok());
        for wrong in [json!({ "count": 3, "sum": 11 }), json!({ "count": 4, "sum": 20 }), Value::Null] {
            assert!(audit(3, &wrong).is_err(), "{wrong}");
        }
    }
}
