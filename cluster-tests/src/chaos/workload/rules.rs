//! Events that must keep to a schema, to a rule of metadata and to a retroactive invariant: the balance is never below
//! zero, in the order in which they occurred. Some have a flaw, some are only validated; neither may ever be there. What
//! occurred until a time is the same on every node, and the log by a tag, a name or a type is what it is by hand.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::v1::{EventView, LogPage, ReadPage, StateView, paths};

use super::{
    Context, Workload,
    caller::{Caller, Way, mark_of},
    crew::Crew,
    draft::Draft,
    told::Told,
};
use crate::{
    PATIENCE,
    edge::{Edge, encoded},
    eventually,
};

/// Its name, and the type of its entities.
const NAME: &str = "rules";
const EVENT: &str = "rules.moved";
const STREAMS: u64 = 4;
const WRITERS: usize = 3;
const READERS: usize = 2;
/// Between two appends of one client.
const WRITE_PACE: Duration = Duration::from_millis(150);
/// Between two reads of one client.
const READ_PACE: Duration = Duration::from_millis(200);
/// Between two times that the rules are set.
const RULES_PACE: Duration = Duration::from_millis(4_000);
const TRIES: usize = 4;
/// What the marks of events begin with that are only validated, and of those with a flaw.
const PROBE: &str = "probe-";
const FLAWED: &str = "flawed-";

const INVARIANT: &str = "
export const initialState = { balance: 0, events: 0 };
export function fold({ balance, events }, { data }) {
  return { balance: balance + data.amount, events: events + 1 };
}
export function check({ balance }) { if (balance < 0) return `balance would be ${balance}`; }
export const retroactive = true;
";

/// Rules.
#[derive(Debug, Clone, Copy)]
pub struct Rules;

#[async_trait]
impl Workload for Rules {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        eventually("events have rules", PATIENCE, || async {
            let (_, edge) = context.nodes.all().into_iter().next().expect("a cluster has nodes");
            ensure!(set_rules(&edge).await?, "the rules are not set");
            Ok(())
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
        crew.hire(change_rules(Caller::new(context, NAME)));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        for (node, edge) in context.nodes.all() {
            let all = log(node, &edge, "&direction=forward").await?;
            let ours: Vec<EventView> =
                all.iter().filter(|event| event.entity_type == NAME).cloned().collect();
            audit(&ours).with_context(|| format!("rules on node {node}"))?;
            for (filter, takes) in filters() {
                let expected = ours.iter().filter(|event| takes(event)).map(|event| event.position);
                let expected: Vec<u64> = expected.collect();
                let mut found = log(node, &edge, &format!("&direction=backward&{filter}")).await?;
                found.reverse();
                for found in [found, log(node, &edge, &format!("&{filter}")).await?] {
                    let found: Vec<u64> = found.iter().map(|event| event.position).collect();
                    ensure!(
                        found == expected,
                        "node {node}: the log by {filter} is {found:?}, not {expected:?}"
                    );
                }
            }
            context.counters.count("rules.settled");
        }
        Ok(())
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "rules.ok",
            "rules.refused.event_invalid",
            "rules.refused.invariant_violated",
            "rules.validated",
            "rules.not_valid",
            "rules.at",
            "rules.set",
            "rules.settled",
        ]
    }
}

type Takes = fn(&EventView) -> bool;

/// Filters of the log that take nothing but events of this workload, and what each takes.
fn filters() -> [(&'static str, Takes); 4] {
    [
        ("tag=rules:odd", |event| tag(amount(event)) == "rules:odd"),
        ("name=rules.moved", |_| true),
        ("name=rules.*&tag=rules:even", |event| tag(amount(event)) == "rules:even"),
        ("entity_type=rules&tag=rules:odd", |event| tag(amount(event)) == "rules:odd"),
    ]
}

fn stream(number: u64) -> String {
    format!("{NAME}-{number}")
}

fn tag(amount: i64) -> &'static str {
    if amount % 2 == 0 { "rules:even" } else { "rules:odd" }
}

/// Whether they are set.
async fn set_rules(edge: &Edge) -> Result<bool> {
    let schema = json!({
        "event_name": EVENT,
        "schema": {
            "type": "object", "required": ["amount"], "properties": { "amount": { "type": "integer" } },
        },
    });
    let rules = json!({
        "schemas": "required", "metadata": { "teller": { "type": "string" } }, "invariant": INVARIANT,
    });
    let send = async |method, path: &str, body: &Value| {
        let body = ("application/json", body.to_string().into_bytes());
        anyhow::Ok(edge.send(method, path, Some(body)).await?.status)
    };
    let schema_set = send(Method::POST, paths::EVENT_SCHEMAS, &schema).await?;
    Ok(matches!(schema_set, 200 | 201)
        && send(Method::PUT, &paths::rules_of(Some(NAME)), &rules).await? == 200)
}

async fn change_rules(mut caller: Caller) -> Result<()> {
    while caller.pace(RULES_PACE).await {
        let (_, edge) = caller.node();
        // No answer, or a refusal, is what faults do.
        if let Ok(Ok(true)) = tokio::time::timeout(Duration::from_secs(5), set_rules(&edge)).await {
            caller.count("set");
        }
    }
    caller.end()
}

async fn write(mut caller: Caller) -> Result<()> {
    while caller.pace(WRITE_PACE).await {
        let (mark, key) = (caller.mark(), caller.mark());
        let flaw = caller.rng.within(0..14);
        let mark = if flaw < 2 { format!("{FLAWED}{mark}") } else { mark };
        if caller.rng.chance(15) {
            let draft = draft(&mut caller, &format!("{PROBE}{mark}"), flaw);
            validate(&mut caller, &draft, flaw < 2).await;
            continue;
        }
        let draft = draft(&mut caller, &mark, flaw).keyed(&key);
        let told = append_until_known(&mut caller, &draft).await;
        let wrong = match &told {
            Told::Acked(_) => flaw < 2,
            Told::Refused { code, .. } => code == "event_invalid" && flaw >= 2,
            Told::Unknown(_) => false,
        };
        if wrong {
            caller.wrong(format!("{draft:?} was told {told:?}"));
        }
    }
    caller.end()
}

/// An event; 0 and 1 are flaws.
fn draft(caller: &mut Caller, mark: &str, flaw: u64) -> Draft {
    let (size, gives) = (caller.rng.within(1..60), caller.rng.chance(45));
    let size = i64::try_from(size).unwrap_or(1);
    let amount = if gives { size } else { -size };
    let mut more = json!({ "tags": [tag(amount)] });
    if flaw != 1 {
        more["metadata"] = json!({ "teller": "chaos" });
    }
    if caller.rng.chance(70) {
        let (hour, minute) = (caller.rng.within(0..24), caller.rng.within(0..60));
        more["occurredAt"] = json!(format!("2026-01-02T{hour:02}:{minute:02}:00Z"));
    }
    let amount = if flaw == 0 { json!(amount.to_string()) } else { json!(amount) };
    let number = caller.rng.within(0..STREAMS);
    let mut draft = Draft::new(&stream(number), NAME, &[mark.to_owned()]).with(json!({ "amount": amount }));
    EVENT.clone_into(&mut draft.events[0].name);
    draft.events[0].more = more;
    draft
}

async fn append_until_known(caller: &mut Caller, draft: &Draft) -> Told {
    let (mut node, mut edge) = caller.node();
    for again in 0.. {
        let told = caller.append_at(Way::Rest, node, &edge, draft).await;
        if again == TRIES || !told.is_open() {
            return told;
        }
        caller.count("retry");
        (node, edge) = caller.other_node(node);
        crate::pause().await;
    }
    Told::not_sent()
}

/// Asks what an append would be told. That nothing is written, the end shows.
async fn validate(caller: &mut Caller, draft: &Draft, flawed: bool) {
    let (_, edge) = caller.node();
    let mut body = draft.rest();
    body["validateOnly"] = json!(true);
    let path = paths::fill(paths::STREAM_EVENTS, &draft.stream);
    let asked = caller.exchange(&edge, Method::POST, &path, Some(body.to_string().into_bytes()));
    let Ok(answer) = asked.await else { return };
    match answer.is_ok() {
        true => caller.count("validated"),
        false => caller.count(&format!("not_validated.{}", answer.error().code)),
    }
    let invalid = !answer.is_ok() && answer.error().code.as_str() == "event_invalid";
    if invalid {
        caller.count("not_valid");
    }
    if (flawed && answer.is_ok()) || (!flawed && invalid) {
        caller.wrong(format!("{draft:?} was validated with {}", answer.status));
    }
}

async fn read(mut caller: Caller) -> Result<()> {
    while caller.pace(READ_PACE).await {
        let stream = stream(caller.rng.within(0..STREAMS));
        let (_, edge) = caller.node();
        let path = format!("{}?limit=1000", paths::fill(paths::STREAM_EVENTS, &stream));
        let Ok(answer) = caller.exchange(&edge, Method::GET, &path, None).await else { continue };
        let Ok(page) = answer.parsed::<ReadPage>() else { continue };
        if answer.is_ok() && page.version == page.events.len() as u64 && page.version > 0 {
            state_at(&mut caller, &stream, &page).await;
        }
    }
    caller.end()
}

/// Any node tells what occurred until a time, of the events that another one has.
async fn state_at(caller: &mut Caller, stream: &str, page: &ReadPage) {
    let (hour, last) = (caller.rng.within(0..25), caller.rng.within(1..page.version + 1));
    let at =
        if hour == 24 { "2100-01-01T00:00:00Z".to_owned() } else { format!("2026-01-02T{hour:02}:30:00Z") };
    let held = page.events.iter().filter(|event| event.version <= last && *occurred(event) <= *at);
    let (count, sum) = held.fold((0_u64, 0_i64), |(count, sum), event| (count + 1, sum + amount(event)));
    let query = format!("at={}&as_of_version={last}&min_position={}", encoded(&at), page.position);
    let path = format!("{}?{query}", paths::fill(paths::STREAM_STATE, stream));
    let (_, edge) = caller.node();
    let Ok(answer) = caller.exchange(&edge, Method::GET, &path, None).await else { return };
    if !answer.is_ok() {
        return caller.count(&format!("missed.{}", answer.error().code));
    }
    caller.count("at");
    let state = answer.parsed::<StateView>().ok().and_then(|found| found.state.to_value().ok());
    let expected = json!({ "balance": sum, "events": count });
    if state.as_ref() != Some(&expected) {
        caller.wrong(format!("{path}: the state is {state:?}, not {expected}"));
    }
}

/// All events of a node that a filter takes, in the order in which they come.
async fn log(node: u64, edge: &Edge, filter: &str) -> Result<Vec<EventView>> {
    let (mut events, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("{}?limit=1000{filter}{from}", paths::LOG);
        let page = eventually(&format!("node {node} shows its log"), PATIENCE, || async {
            Ok(serde_json::from_value::<LogPage>(edge.get(&path).await?)?)
        })
        .await?;
        events.extend(page.events);
        if page.next_position == 0 || page.next_position > page.position {
            return Ok(events);
        }
        from = format!("&from_position={}", page.next_position);
    }
}

/// Nothing is there that has a flaw or was only validated, and at each version every stream keeps to its invariant in
/// the order in which its events occurred.
fn audit(events: &[EventView]) -> Result<()> {
    let mut streams: BTreeMap<&str, Vec<(&str, u64, i64)>> = BTreeMap::new();
    for event in events {
        let mark = mark_of(event);
        if mark.starts_with(PROBE) || mark.starts_with(FLAWED) {
            bail!("`{mark}` is at position {}", event.position);
        }
        let timeline = streams.entry(event.entity_id.as_str()).or_default();
        let this = (occurred(event), event.version, amount(event));
        let at = timeline.partition_point(|one| *one < this);
        timeline.insert(at, this);
        let mut balance = 0;
        let below = timeline.iter().find(|(_, _, amount)| {
            balance += amount;
            balance < 0
        });
        if let Some((when, version, _)) = below {
            let (stream, to) = (&event.entity_id, event.version);
            bail!("`{stream}` is below zero at {when} by version {version}, as of version {to}");
        }
    }
    Ok(())
}

/// Texts of times in this form are ordered as the times are.
fn occurred(event: &EventView) -> &str {
    event.occurred_at.as_deref().unwrap_or(&event.recorded_at)
}

fn amount(event: &EventView) -> i64 {
    let data = event.data.to_value().unwrap_or_default();
    data["amount"].as_i64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(version: u64, amount: i64, occurred: Option<&str>, mark: &str) -> EventView {
        let mut view = json!({
            "id": "00000000-0000-0000-0000-000000000001", "entityId": "rules-1", "entityType": NAME,
            "name": EVENT, "version": version, "position": version, "schemaVersion": 1,
            "data": { "op": mark, "amount": amount },
            "recordedAt": "2026-11-02T03:04:05.000000Z", "source": "api",
        });
        if let Some(occurred) = occurred {
            view["occurredAt"] = json!(occurred);
        }
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn a_stream_is_never_below_zero_in_the_order_in_which_its_events_occurred() {
        let (morning, noon) = (Some("2026-01-02T08:00:00.000000Z"), Some("2026-01-02T12:00:00.000000Z"));
        for (events, fine) in [
            (vec![event(1, 5, None, "a"), event(2, -5, None, "b")], true),
            (vec![event(1, 5, noon, "a"), event(2, -5, morning, "b")], false),
            (vec![event(1, 5, morning, "a"), event(2, -5, noon, "b")], true),
            (vec![event(1, 5, morning, "a"), event(2, -5, None, "b"), event(3, -1, noon, "c")], false),
            (vec![event(1, -5, morning, "a"), event(2, 5, morning, "b")], false),
            (vec![event(1, 5, None, "probe-a")], false),
            (vec![event(1, 5, None, "flawed-a")], false),
        ] {
            assert_eq!(audit(&events).is_ok(), fine, "{events:?}");
        }
    }
}
