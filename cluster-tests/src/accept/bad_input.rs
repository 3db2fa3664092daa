//! Bad input: each gets its documented code, and the process goes on; odd
//! names that are legal are data.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::v1::paths;
use weir_types::limits;

use super::{Outcome, Recipe};
use crate::{
    Cluster, ClusterSpec,
    audit::audit,
    binary,
    edge::{Answer, Edge},
    history::History,
    report::Report,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "foundation/bad-input",
    summary: "empty, long, control, wildcard and unicode names, bad JSON, bodies, versions and configs",
    release: false,
    run: |_, report| story(report).boxed(),
};

/// Every bad request, every odd name, every bad config.
///
/// # Errors
/// Naming the input that was answered otherwise.
pub async fn story(report: &mut Report) -> Result<Outcome> {
    let cluster = Cluster::start(ClusterSpec { nodes: 1, nats: true }).await?;
    let edge = &cluster.node(1).edge;
    let pid = cluster.node(1).pid()?;
    let (refused, odd) = (refusals(edge).await?, odd_names(edge).await?);
    report.phase("every bad request was refused with its code");
    let configs = bad_configs(&cluster)?;
    ensure!(cluster.node(1).pid()? == pid, "the node was restarted");
    edge.ready().await?;
    let replicas = audit(&cluster, &History::default()).await?;
    ensure!(
        replicas[0].events.len() == odd,
        "the log holds {} events, {odd} were legal",
        replicas[0].events.len()
    );
    report.note("refused", refused);
    report.note("odd_names", odd);
    report.note("bad_configs", configs);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

/// A request by its body to the stream `s`, and the answer that it must get.
type Case = (&'static str, Vec<u8>, u16, &'static str);

async fn refusals(edge: &Edge) -> Result<usize> {
    let mut count = 0;
    for (what, body, status, code) in bodies().into_iter().chain(names()) {
        let body = Some(("application/json", body));
        let answer = edge.send(Method::POST, &paths::fill(paths::STREAM_EVENTS, "s"), body).await?;
        is(what, &answer, status, code)?;
        count += 1;
    }
    for (method, path, status, code) in queries() {
        let answer = edge.send(method, &path, None).await?;
        is(&path, &answer, status, code)?;
        count += 1;
    }
    for (what, content_type, body, status, code) in connect() {
        let path = format!("{}AppendEvent", paths::CONNECT_STREAMS);
        let answer = edge.send(Method::POST, &path, Some((content_type, body))).await?;
        is(what, &answer, status, code)?;
        count += 1;
    }
    Ok(count)
}

/// The same service by the Connect protocol, whose codes are its own.
fn connect() -> Vec<(&'static str, &'static str, Vec<u8>, u16, &'static str)> {
    let (json, invalid) = ("application/json", "invalid_argument");
    let body = |id: &str, expected: i64| {
        let body =
            json!({ "entity_id": id, "entityType": "t", "event_name": "n", "expectedVersion": expected });
        body.to_string().into_bytes()
    };
    vec![
        ("Connect: text", "text/plain", b"hello".to_vec(), 415, invalid),
        ("Connect: not JSON", json, b"{".to_vec(), 400, invalid),
        ("Connect: an empty id", json, body("", -1), 400, invalid),
        ("Connect: an id with NUL", json, body("a\0", -1), 400, invalid),
        ("Connect: a version below -2", json, body("s", -3), 400, invalid),
        ("Connect: another version", json, body("s", 7), 409, "aborted"),
    ]
}

fn is(what: &str, answer: &Answer, status: u16, code: &str) -> Result<()> {
    let found = (answer.status, answer.code());
    ensure!(
        found == (status, code),
        "{what}: answered {found:?} {}, not ({status}, {code:?})",
        answer.body["message"]
    );
    Ok(())
}

fn event(changes: Value) -> Vec<u8> {
    let mut body = json!({ "entityType": "t", "name": "n", "data": {} });
    for (key, value) in changes.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body.to_string().into_bytes()
}

fn bodies() -> Vec<Case> {
    let many: Vec<Value> = (0..=limits::APPEND_EVENTS_MAX).map(|_| json!({ "name": "n" })).collect();
    let events = |events: Vec<Value>| json!({ "entityType": "t", "events": events }).to_string().into_bytes();
    let deep = format!(r#"{{"entityType":"t","name":"n","data":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    let big = "x".repeat(limits::EVENT_DATA_BYTES_MAX);
    let invalid = "invalid_request";
    vec![
        ("no body", Vec::new(), 400, invalid),
        ("text", b"hello".to_vec(), 400, invalid),
        ("not JSON", b"{nonsense".to_vec(), 400, invalid),
        ("not UTF-8", b"{\"name\":\"\xff\"}".to_vec(), 400, invalid),
        ("a list", b"[]".to_vec(), 400, invalid),
        ("data that is not JSON", br#"{"entityType":"t","name":"n","data":nope}"#.to_vec(), 400, invalid),
        ("data nested too deep", deep.into_bytes(), 400, invalid),
        ("an unknown field", event(json!({ "expectedVersoin": 1 })), 400, invalid),
        ("metadata that is no object", event(json!({ "metadata": [1] })), 400, invalid),
        ("a version below -2", event(json!({ "expectedVersion": -3 })), 400, invalid),
        (
            "a version past i64",
            event(json!({ "expectedVersion": 9_223_372_036_854_775_808_u64 })),
            400,
            invalid,
        ),
        ("half a version", event(json!({ "expectedVersion": 1.5 })), 400, invalid),
        ("an absurd version", event(json!({ "expectedVersion": i64::MAX })), 409, "version_conflict"),
        ("a time that is none", event(json!({ "occurredAt": "noon" })), 400, invalid),
        ("no events", events(Vec::new()), 400, "empty_append"),
        ("1,001 events", events(many), 413, "too_large"),
        ("data over the limit", event(json!({ "data": big })), 413, "too_large"),
        (
            "metadata over the limit",
            event(json!({ "metadata": { "m": "x".repeat(65_536) } })),
            413,
            "too_large",
        ),
        ("a body over the limit", vec![b' '; limits::BODY_BYTES_MAX + 1], 413, "too_large"),
    ]
}

fn names() -> Vec<Case> {
    let long = "x".repeat(limits::NAME_BYTES_MAX + 1);
    vec![
        ("an empty name", event(json!({ "name": "" })), 400, "invalid_name"),
        ("a name with NUL", event(json!({ "name": "a\0b" })), 400, "invalid_name"),
        ("a name with a newline", event(json!({ "name": "a\nPUB x" })), 400, "invalid_name"),
        ("a name that is too long", event(json!({ "name": long })), 400, "invalid_name"),
        ("an empty type", event(json!({ "entityType": "" })), 400, "invalid_name"),
        ("a type with a control character", event(json!({ "entityType": "a\u{85}" })), 400, "invalid_name"),
        ("a type that is too long", event(json!({ "entityType": long })), 400, "invalid_name"),
        ("a key with a control character", event(json!({ "idempotencyKey": "\u{1}" })), 400, "invalid_name"),
        ("a key that is too long", event(json!({ "idempotencyKey": long })), 400, "invalid_name"),
    ]
}

fn queries() -> Vec<(Method, String, u16, &'static str)> {
    let events = |id: &str| paths::fill(paths::STREAM_EVENTS, id);
    let long = "x".repeat(limits::ENTITY_ID_BYTES_MAX + 1);
    let invalid = "invalid_request";
    vec![
        (Method::GET, events("a\0b"), 400, "invalid_name"),
        (Method::GET, events(&long), 400, "invalid_name"),
        (Method::GET, format!("{}?from_version=-1", events("s")), 400, invalid),
        (Method::GET, format!("{}?limit=0", events("s")), 400, invalid),
        (Method::GET, format!("{}?limit=1000000", events("s")), 413, "too_large"),
        (Method::GET, format!("{}?direction=sideways", events("s")), 400, invalid),
        (Method::GET, format!("{}?unknown=1", events("s")), 400, invalid),
        (Method::GET, paths::fill(paths::STREAM, "never-written"), 404, "stream_not_found"),
        (Method::GET, paths::fill(paths::PROJECTION, "not-deployed"), 404, "projection_not_found"),
        (Method::GET, "/api/v1/nothing".to_owned(), 404, "not_found"),
        (Method::PUT, events("s"), 405, "method_not_allowed"),
    ]
}

/// Names that look like structure and are data.
async fn odd_names(edge: &Edge) -> Result<usize> {
    let long = "x".repeat(limits::ENTITY_ID_BYTES_MAX);
    let ids = [
        "*",
        ">",
        "a.b.c",
        "a b",
        " ",
        "größe-日本-🦀",
        "a/b",
        "a%2Fb",
        "../../etc",
        "$SYS.>",
        "\u{202e}x",
        &long,
    ];
    for id in ids {
        let body = json!({ "entityType": "*", "name": "weir.>", "expectedVersion": 0, "data": { "id": id } });
        edge.append(id, &body).await.with_context(|| format!("legal id {id:?}"))?;
        let page = edge.read(id, "").await.with_context(|| format!("legal id {id:?}"))?;
        ensure!(page.events.len() == 1 && page.events[0].entity_id == id, "id {id:?} reads back as {page:?}");
    }
    // A path cannot end in a dot segment: URL parsers fold it away. Connect carries the id in the body.
    for id in [".", ".."] {
        let body = json!({ "entity_id": id, "entity_type": "t", "event_name": "n", "expected_version": 0, "data": {} });
        edge.post(&format!("{}AppendEvent", paths::CONNECT_STREAMS), &body).await?;
        let read =
            edge.post(&format!("{}ReadStream", paths::CONNECT_STREAMS), &json!({ "entityId": id })).await?;
        ensure!(read["events"].as_array().map(Vec::len) == Some(1), "id {id:?} reads back as {read}");
    }
    Ok(ids.len() + 2)
}

fn bad_configs(cluster: &Cluster) -> Result<usize> {
    let cases = [
        ("version = 1\nnode_id = 1\nshiny = true\n", "config_unknown_field"),
        ("version = 1\nnode_id = 1\n[limits]\nshiny = 1\n", "config_unknown_field"),
        ("version = 2\nnode_id = 1\n", "config_version"),
        ("node_id = 1\n", "config_version"),
        ("version = 1\nnode_id = 0\n", "config_value"),
        ("version = 1\nnode_id = -4\n", "config_value"),
        ("version = 1\nnode_id = \"one\"\n", "config_value"),
        ("version = 1\n", "config_missing_field"),
        ("version = \n", "config_syntax"),
    ];
    for (text, code) in cases {
        let file = cluster.path().join("bad.toml");
        std::fs::write(&file, text)?;
        let mut check = Command::new(binary::weir()?);
        let out = check.args(["config", "check"]).arg(&file).output().context("cannot start weir")?;
        let said = String::from_utf8_lossy(&out.stderr);
        let refused = out.status.code() == Some(2) && said.contains(&format!("error[{code}]"));
        ensure!(refused, "config {text:?} ended with {} and {said}", out.status);
    }
    Ok(cases.len())
}
