//! Projections into a PostgreSQL outside.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_node::config::{NodeConfig, SinkConfig};

use crate::{
    eventually::eventually,
    postgres::Server,
    running::{Running, free},
};

fn source(name: &str, sink: &str, n: &str, more: &str) -> String {
    let source = format!(
        "export const name = '{name}'; export const kind = 'sql'; export const events = ['*'];\n\
         export const sink = '{sink}'; {more}\n\
         export const tables = 'create table log (position bigint primary key, n int check (n < 100))';\n\
         export function handler(event) {{ return ['insert into log values ($1, $2)', event.position, {n}]; }}"
    );
    json!({ "source": source }).to_string()
}

fn config(folder: &TempDir, url: &str) -> NodeConfig {
    let sinks = BTreeMap::from([("reporting".to_owned(), SinkConfig { url: url.to_owned() })]);
    NodeConfig {
        node_id: Some(1),
        data_dir: folder.path().join("node"),
        listen: free(),
        peer_listen: free(),
        bootstrap: true,
        sinks,
        ..NodeConfig::default()
    }
}

async fn node_with(url: &str) -> Running {
    let folder = TempDir::new().unwrap();
    Running::start_with(config(&folder, url), folder).await
}

async fn status(node: &Running, name: &str) -> Value {
    node.get(&format!("/api/v1/projections/{name}/status")).await.1
}

async fn has(server: &Server, sql: &str, expected: i64) {
    eventually(&format!("{sql} is {expected}"), async || server.number(sql).await == Some(expected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_in_postgres_once_and_a_rebuild_takes_its_place() {
    let server = Server::start().await;
    let node = node_with(&server.url()).await;
    for version in 0..5 {
        node.append("a", version).await;
    }
    for (sink, name, status, told) in
        [("reporting", "log", 201, "log"), ("nowhere", "other", 400, "no sink `nowhere`; it has `reporting`")]
    {
        let (got, answer) = node.post("/api/v1/projections", source(name, sink, "1", "")).await;
        assert_eq!(got.as_u16(), status, "{answer}");
        assert!(answer.to_string().contains(told), "{answer}");
    }
    has(&server, "select count(*) from log.log", 5).await;
    for version in 5..9 {
        node.append("a", version).await;
    }
    has(&server, "select max(position) from log.log", 9).await;
    let before = status(&node, "log").await;
    assert_eq!(node.post("/api/v1/projections/log/rebuild", "{}").await.0.as_u16(), 202);
    eventually("another generation answers", async || {
        status(&node, "log").await["deployed"] != before["deployed"]
    })
    .await;
    has(&server, "select count(*) from pg_namespace where nspname like 'log%'", 1).await;
    has(&server, "select count(*) from log.log", 9).await;
    eventually("digests are equal", async || status(&node, "log").await["digest"] == before["digest"]).await;
    for (path, body, told) in [
        ("/api/v1/sql", json!({ "sql": "select 1", "projections": ["log"] }), "ask PostgreSQL itself"),
        (
            "/api/v1/projections/log/rebuild",
            json!({ "dryRun": true }),
            "a dry run would fold into its tables",
        ),
        ("/api/v1/projections/log/switch", json!({ "with": "log" }), "by which others read them"),
    ] {
        let (got, answer) = node.post(path, body.to_string()).await;
        assert_eq!(got.as_u16(), 400, "{path}: {answer}");
        assert!(answer.to_string().contains(told), "{path}: {answer}");
    }
    let removed = node.http.delete(node.url("/api/v1/projections/log")).send().await.unwrap();
    assert_eq!(removed.status().as_u16(), 204);
    has(&server, "select count(*) from pg_namespace where nspname like 'log%'", 0).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_waited_for_and_holds_up_nothing_else() {
    let mut server = Server::start().await;
    let node = node_with(&server.url()).await;
    for (name, sink) in [("log", "export const sink = 'reporting';"), ("here", "")] {
        let body = source(name, "reporting", "1", "").replace("export const sink = 'reporting';", sink);
        let body = if sink.is_empty() { body.replace("$1, $2", "?, ?") } else { body };
        assert_eq!(node.post("/api/v1/projections", body).await.0.as_u16(), 201);
    }
    node.append("a", 0).await;
    has(&server, "select count(*) from log.log", 1).await;
    server.kill();
    for version in 1..6 {
        node.append("a", version).await;
    }
    eventually("the status says why", async || {
        let status = status(&node, "log").await;
        status["errorMessage"].as_str().is_some_and(|why| why.contains("sink `reporting` is not available"))
            && !status.to_string().contains("secret")
    })
    .await;
    let body = json!({ "sql": "select count(*) from log", "consistency": "linearizable" });
    assert_eq!(node.post("/api/v1/sql", body.to_string()).await.1["rows"], json!([[6]]));
    let (refused, answer) = node.post("/api/v1/projections", source("new", "reporting", "1", "")).await;
    assert_eq!(refused.as_u16(), 503, "{answer}");
    server.restart().await;
    has(&server, "select count(*) from log.log", 6).await;
    eventually("the status is well", async || status(&node, "log").await.get("errorMessage").is_none()).await;
    // A database that has lost all is given it again.
    let client = server.client().await;
    client.batch_execute("drop schema weir cascade; drop schema log cascade").await.unwrap();
    node.append("a", 6).await;
    has(&server, "select count(*) from log.log", 7).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_park_or_are_skipped_and_a_node_without_the_sink_says_so() {
    let server = Server::start().await;
    let node = node_with(&server.url()).await;
    let bad = "event.position === 3 ? 100 : 1";
    for (name, more) in [("parks", ""), ("skips", "export const onError = 'skip';")] {
        let (status, answer) = node.post("/api/v1/projections", source(name, "reporting", bad, more)).await;
        assert_eq!(status.as_u16(), 201, "{answer}");
    }
    for version in 0..5 {
        node.append("a", version).await;
    }
    has(&server, "select count(*) from skips.log", 4).await;
    let (_, letters) = node.get("/api/v1/projections/skips/dead-letters").await;
    assert_eq!((&letters["total"], &letters["deadLetters"][0]["position"]), (&1.into(), &3.into()));
    assert!(letters["deadLetters"][0]["message"].as_str().unwrap().contains("23514"), "{letters}");
    eventually("it is parked", async || status(&node, "parks").await["status"] == "error").await;
    assert_eq!(server.number("select count(*) from parks.log").await, Some(2));
    // What was the cause goes, and it is told to go on.
    let client = server.client().await;
    client.batch_execute("alter table parks.log drop constraint log_n_check").await.unwrap();
    assert!(node.post("/api/v1/projections/parks/resume", "").await.0.is_success());
    has(&server, "select count(*) from parks.log", 5).await;
    let Running { node, folder, .. } = node;
    node.stop().await;
    let without = NodeConfig { sinks: BTreeMap::new(), ..config(&folder, "") };
    let node = Running::start_with(without, folder).await;
    eventually("the status says why", async || {
        let status = status(&node, "parks").await;
        status["errorMessage"].as_str().is_some_and(|why| why.contains("no sink `reporting`, nor any other"))
    })
    .await;
    node.node.stop().await;
}
