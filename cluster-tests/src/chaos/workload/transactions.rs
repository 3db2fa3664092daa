//! Transactions: each writes two or three streams at once, guarded or not, and
//! rests on the version of a stream that it does not write, and on a seat that
//! nobody took since the client looked. In the end each one is there whole or
//! not at all, in positions without a hole, and all that it rested on was true
//! where it stands.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::v1::{EventView, LogPage, TransactionResult, paths};
use weir_check::history::{Call, Expected, Pending};

use super::{
    Context, Workload,
    caller::{Caller, Look, mark_of},
    crew::Crew,
    told::{Ack, Told},
};
use crate::{PATIENCE, edge::Edge, eventually};

/// Its name.
const NAME: &str = "transactions";
const STREAMS: u64 = 8;
/// Seats of which each transaction takes one, as a tag.
const SEATS: u64 = 4;
const CLIENTS: usize = 3;
/// Between two transactions of one client.
const PACE: Duration = Duration::from_millis(180);
const TRIES: usize = 4;

/// Transactions over streams of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transactions;

/// One transaction. It can be sent again, as it is, to anybody.
struct Plan {
    key: String,
    parts: Vec<Part>,
    body: Value,
}

struct Part {
    stream: String,
    expected: Expected,
    marks: Vec<String>,
}

#[async_trait]
impl Workload for Transactions {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(work(Caller::new(context, NAME)));
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        for (node, edge) in context.nodes.all() {
            let events = events_of(node, &edge).await?;
            audit(&events).with_context(|| format!("transactions on node {node}"))?;
        }
        Ok(())
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["transactions.ok", "transactions.refused.transaction_refused"]
    }
}

fn stream(number: u64) -> String {
    format!("{NAME}-{}", number % STREAMS)
}

async fn work(mut caller: Caller) -> Result<()> {
    while caller.pace(PACE).await {
        if let Some(plan) = plan(&mut caller).await {
            send_until_known(&mut caller, &plan).await;
        }
    }
    caller.end()
}

/// A transaction on what the client sees now.
async fn plan(caller: &mut Caller) -> Option<Plan> {
    let first = caller.rng.within(0..STREAMS);
    let count = caller.rng.within(2..4);
    let (checked, seat) = (stream(first + count), format!("seat:{}", caller.rng.within(0..SEATS)));
    let (check, now) = version_of(caller, &checked).await?;
    // Who looked long ago is refused, mostly.
    let after = if caller.rng.chance(10) { now / 2 } else { now };
    let key = caller.mark();
    let facts = json!({
        "tx": key, "streams": count, "check": [checked, check], "after": after, "seat": seat,
    });
    let (mut parts, mut appends) = (Vec::new(), Vec::new());
    for number in first..first + count {
        let name = stream(number);
        let (expected, guard) = match caller.rng.within(0..10) {
            0..6 => {
                let version = version_of(caller, &name).await?.0;
                (Expected::Exact(version), json!(version))
            }
            6 => (Expected::Any, json!("exists")),
            _ => (Expected::Any, json!("any")),
        };
        let events = caller.rng.within(1..3);
        let marks = caller.marks(events);
        let event = |mark: &String| {
            let mut data = facts.clone();
            data["op"] = json!(mark);
            json!({ "name": format!("{NAME}.written"), "data": data, "tags": [seat] })
        };
        let events: Vec<Value> = marks.iter().map(event).collect();
        let append =
            json!({ "entityId": name, "entityType": NAME, "expectedVersion": guard, "events": events });
        appends.push(append);
        parts.push(Part { stream: name, expected, marks });
    }
    let body = json!({
        "idempotencyKey": key,
        "appends": appends,
        "checks": [{ "entityId": checked, "expectedVersion": check }],
        "conditions": [{ "after": after, "names": [format!("{NAME}.written")], "tags": [seat] }],
    });
    Some(Plan { key, parts, body })
}

/// A stream's version, and the position at which it was that.
async fn version_of(caller: &mut Caller, stream: &str) -> Option<(u64, u64)> {
    let (node, edge) = caller.node();
    let page = caller.read_at(node, &edge, &Look { limit: 1, ..Look::at(stream) }).await?;
    Some((page.version, page.position))
}

/// Sends it, each time to another node, until its fate is known.
async fn send_until_known(caller: &mut Caller, plan: &Plan) {
    let (mut node, mut edge) = caller.node();
    for again in 0..TRIES {
        if again > 0 {
            caller.count("retry");
            (node, edge) = caller.other_node(node);
            crate::pause().await;
        }
        if !send(caller, plan, node, &edge).await {
            return;
        }
    }
}

/// Sends it once, and writes each stream's part down as an append. Whether it may be sent again.
async fn send(caller: &mut Caller, plan: &Plan, node: u64, edge: &Edge) -> bool {
    let invoke = |part: &Part| {
        let call = Call::Append {
            stream: part.stream.clone(),
            expected: part.expected,
            key: Some(plan.key.clone()),
            marks: part.marks.clone(),
            node,
        };
        // Each part is a client of its own: a client's calls are one after another.
        caller.context.recorder.invoke(caller.context.client(), call)
    };
    let pending: Vec<Pending> = plan.parts.iter().map(invoke).collect();
    let told = tell(caller, plan, edge).await;
    match &told[0] {
        Told::Acked(_) => caller.count("ok"),
        Told::Refused { code, .. } => caller.count(&format!("refused.{code}")),
        Told::Unknown(_) => caller.count("unknown"),
    }
    for (pending, told) in pending.into_iter().zip(&told) {
        told.record(pending, true);
    }
    told[0].is_open()
}

/// What it was told of each part.
async fn tell(caller: &Caller, plan: &Plan, edge: &Edge) -> Vec<Told> {
    let body = plan.body.to_string().into_bytes();
    let all = |told: Told| vec![told; plan.parts.len()];
    let answer = match caller.exchange(edge, Method::POST, paths::TRANSACTIONS, Some(body)).await {
        Ok(answer) if answer.is_ok() => answer,
        Ok(answer) => return all(Told::of_error(&answer.error())),
        Err(super::caller::Lost::NotSent) => return all(Told::not_sent()),
        Err(super::caller::Lost::Sent(reason)) => return all(Told::Unknown(reason)),
    };
    match answer.parsed::<TransactionResult>() {
        Ok(result) if result.streams.len() == plan.parts.len() => {
            let ack = |stream: &weir_api::v1::AppendResult| {
                Told::Acked(Ack {
                    first_version: stream.first_version,
                    last_version: stream.last_version,
                    first_position: stream.first_position,
                    event_id: stream.event_id.clone(),
                    repeated: Some(stream.repeated),
                })
            };
            result.streams.iter().map(ack).collect()
        }
        Ok(result) => all(Told::Unknown(format!("an answer of {} streams", result.streams.len()))),
        Err(error) => all(Told::Unknown(format!("not understood: {error:#}"))),
    }
}

/// Every event of the workload on one node, by position.
async fn events_of(node: u64, edge: &Edge) -> Result<Vec<EventView>> {
    let (mut events, mut from) = (Vec::new(), 1);
    loop {
        let path = format!("{}?from_position={from}&limit=1000", paths::LOG);
        let page = eventually(&format!("node {node} shows its log"), PATIENCE, || async {
            Ok(serde_json::from_value::<LogPage>(edge.get(&path).await?)?)
        })
        .await?;
        if page.events.is_empty() {
            return Ok(events);
        }
        from = page.next_position;
        events.extend(page.events.into_iter().filter(|event| event.entity_id.starts_with(NAME)));
    }
}

/// Whole or not at all, and where it stands all that it rested on was true.
fn audit(events: &[EventView]) -> Result<()> {
    let mut whole: BTreeMap<String, Vec<&EventView>> = BTreeMap::new();
    for event in events {
        let facts = facts_of(event)?;
        let id =
            facts["tx"].as_str().with_context(|| format!("event {} is of no transaction", mark_of(event)))?;
        whole.entry(id.to_owned()).or_default().push(event);
    }
    for (id, parts) in &whole {
        audit_one(events, parts).with_context(|| format!("transaction {id}"))?;
    }
    Ok(())
}

fn audit_one(events: &[EventView], parts: &[&EventView]) -> Result<()> {
    let facts = facts_of(parts[0])?;
    let first = parts[0].position;
    let dense = (first..).zip(parts).all(|(position, event)| event.position == position);
    ensure!(dense, "others are between its events, from position {first} on");
    let mut streams: Vec<&str> = parts.iter().map(|event| event.entity_id.as_str()).collect();
    streams.sort_unstable();
    streams.dedup();
    ensure!(Some(streams.len() as u64) == facts["streams"].as_u64(), "only {streams:?} have events of it");
    let before = &events[..events.partition_point(|event| event.position < first)];
    let checked = facts["check"][0].as_str().unwrap_or_default();
    let version = before.iter().filter(|event| event.entity_id == checked).count() as u64;
    let expected = facts["check"][1].as_u64();
    ensure!(Some(version) == expected, "it expected `{checked}` at {expected:?}, which was at {version}");
    let (after, seat) = (facts["after"].as_u64().unwrap_or(0), &facts["seat"]);
    for event in before.iter().filter(|event| event.position > after) {
        let taken = facts_of(event)?["seat"] == *seat;
        ensure!(!taken, "{seat} was free after {after}, and was taken at position {}", event.position);
    }
    Ok(())
}

fn facts_of(event: &EventView) -> Result<Value> {
    event.data.to_value().with_context(|| format!("data of event {}", event.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: u64, stream: u64, version: u64, facts: Value) -> EventView {
        let view = json!({
            "id": "00000000-0000-0000-0000-000000000001", "entityId": super::stream(stream), "entityType": NAME,
            "name": "n", "version": version, "position": position, "schemaVersion": 1, "data": facts,
            "recordedAt": "2026-01-02T03:04:05Z", "source": "api",
        });
        serde_json::from_value(view).unwrap()
    }

    fn facts(tx: &str, check: (u64, u64), after: u64, seat: u64) -> Value {
        json!({ "op": tx, "tx": tx, "streams": 2, "check": [super::stream(check.0), check.1], "after": after,
                "seat": format!("seat:{seat}") })
    }

    #[test]
    fn what_is_not_whole_or_rested_on_what_was_not_true_is_found() {
        let a = facts("a", (3, 0), 0, 1);
        let b = facts("b", (0, 1), 2, 1);
        let good = vec![
            event(1, 0, 1, a.clone()),
            event(2, 1, 1, a.clone()),
            event(4, 2, 1, b.clone()),
            event(5, 3, 1, b.clone()),
        ];
        audit(&good).unwrap();
        let broken = |change: &dyn Fn(&mut Vec<EventView>)| {
            let mut events = good.clone();
            change(&mut events);
            audit(&events).unwrap_err().root_cause().to_string()
        };
        assert!(broken(&|events| drop(events.pop())).starts_with("only "));
        assert!(broken(&|events| events[3].position = 6).starts_with("others are between"));
        let stale = facts("b", (0, 0), 2, 1);
        assert!(
            broken(&|events| (2..4)
                .for_each(|at| events[at] = event(4 + at as u64 - 2, at as u64, 1, stale.clone())))
            .starts_with("it expected")
        );
        let taken = facts("b", (0, 1), 1, 1);
        assert!(
            broken(&|events| (2..4)
                .for_each(|at| events[at] = event(4 + at as u64 - 2, at as u64, 1, taken.clone())))
            .contains("was taken at position 2")
        );
    }
}
