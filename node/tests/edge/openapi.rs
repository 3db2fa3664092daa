//! The OpenAPI document against a real node: the same paths and methods, and answers of the shapes that it tells.

use reqwest::Method;
use serde_json::{Value, json};
use weir_api::{
    ErrorCode,
    openapi::{Answerer, Operation},
};

use crate::running::Running;

/// A path with its parameters filled by names that nothing has.
fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "none" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_the_paths_and_methods_of_the_document_and_no_other() {
    let node = Running::start().await;
    let (_, document) = node.get("/api/v1/openapi.json").await;
    assert_eq!(document, weir_api::openapi::document(env!("CARGO_PKG_VERSION")));
    let of_grpc =
        |path: &str| Operation::ALL.iter().any(|one| one.answerer() == Answerer::Rpc && one.path() == path);
    for (path, item) in document["paths"].as_object().unwrap() {
        // A stream that is followed does not end, and gRPC takes every method to refuse it itself.
        if path.ends_with("/subscribe") || of_grpc(path) {
            continue;
        }
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let told = item.get(method.as_str().to_ascii_lowercase()).is_some();
            let answer = node.http.request(method.clone(), node.url(&filled(path))).send().await.unwrap();
            let status = answer.status().as_u16();
            assert_eq!(status != 405, told, "{method} {path}: {status}");
            if status == 404 && path.starts_with("/api") {
                let error: Value = answer.json().await.unwrap();
                assert_ne!(error["code"], "not_found", "{method} {path}");
            }
        }
    }
    let (status, error) = node.get("/api/v1/none").await;
    assert_eq!((status.as_u16(), &error["code"]), (404, &json!("not_found")));
    node.node.stop().await;
}

/// A node, and what its document says of answers.
struct Judge {
    node: Running,
    document: Value,
}

impl Judge {
    /// Asks for an operation at `path`, and holds the answer against the document.
    async fn ask(&self, operation: Operation, path: &str, body: Value, status: u16) -> Value {
        let method: Method = operation.method().as_str().parse().unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (got, answer) = self.node.ask(method.clone(), path, body).await;
        assert_eq!(got.as_u16(), status, "{operation:?} {path}: {answer}");
        let key = operation.path().replace("{*", "{");
        let told = &self.document["paths"][key][method.as_str().to_ascii_lowercase()];
        let told = &told["responses"][status.to_string()];
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [told["content"]["application/json"]["schema"]],
            "components": self.document["components"],
        });
        assert!(schema["allOf"][0].is_object(), "{operation:?} {status}: {told}");
        if status < 300 && !matches!(operation, Operation::GetOpenApi) {
            schema["unevaluatedProperties"] = json!(false);
        }
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<_> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{operation:?} {path}: {wrong:?}, {answer}");
        if let Some(code) = answer["code"].as_str() {
            let codes = told["x-weir-codes"].as_array().unwrap();
            assert!(codes.contains(&json!(code)), "{operation:?}: {code} is not among {codes:?}");
            assert!(code.parse::<ErrorCode>().is_ok());
        }
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_shapes_that_the_document_tells() {
    use Operation as Op;
    let node = Running::start().await;
    let (_, document) = node.get("/api/v1/openapi.json").await;
    let judge = Judge { node, document };
    let events = "/api/v1/streams/o-1/events";
    let body = json!({
        "entityType": "order", "name": "order.placed", "data": { "n": 1 }, "metadata": { "by": "ada" },
        "expectedVersion": "none", "occurredAt": "2026-01-01T00:00:00Z", "tags": ["t"], "idempotencyKey": "k",
    });
    judge.ask(Op::AppendEvents, events, body.clone(), 201).await;
    judge.ask(Op::AppendEvents, events, body, 200).await;
    let body = json!({ "entityType": "order", "name": "n", "validateOnly": true });
    judge.ask(Op::AppendEvents, events, body, 200).await;
    let wrong = json!({ "entityType": "order", "name": "n", "expectedVersion": 7 });
    judge.ask(Op::AppendEvents, events, wrong, 409).await;
    judge.ask(Op::AppendEvents, events, json!({ "entityType": "order" }), 400).await;
    let part = json!({ "entityId": "o-2", "entityType": "order", "events": [{ "name": "n" }] });
    judge.ask(Op::Transact, "/api/v1/transactions", json!({ "appends": [part] }), 201).await;
    let check = json!({ "entityId": "o-1", "expectedVersion": 7 });
    judge
        .ask(Op::Transact, "/api/v1/transactions", json!({ "appends": [part], "checks": [check] }), 409)
        .await;
    for (operation, path, status) in [
        (Op::ReadEvents, events, 200),
        (Op::ReadEvents, "/api/v1/streams/o-1/events?limit=0", 400),
        (Op::GetStream, "/api/v1/streams/o-1", 200),
        (Op::GetStream, "/api/v1/streams/none", 404),
        (Op::GetHistory, "/api/v1/streams/o-1/history", 200),
        (Op::ListStreams, "/api/v1/streams", 200),
        (Op::ReadLog, "/api/v1/log?backward=x", 400),
        (Op::ReadLog, "/api/v1/log?direction=backward&limit=1", 200),
        (Op::GetCluster, "/api/v1/cluster", 200),
        (Op::GetOutbox, "/api/v1/outbox", 200),
        (Op::GetHealth, "/health", 200),
        (Op::GetReady, "/ready", 200),
        (Op::GetCapabilities, "/api/v1/capabilities", 200),
        (Op::GetLimits, "/api/v1/limits", 200),
        (Op::GetOpenApi, "/api/v1/openapi.json", 200),
    ] {
        judge.ask(operation, path, Value::Null, status).await;
    }
    of_buckets(&judge).await;
    of_groups(&judge).await;
    of_projections(&judge).await;
    of_rules(&judge).await;
    judge.node.node.stop().await;
}

async fn of_rules(judge: &Judge) {
    use Operation as Op;
    let (schemas, rules) = ("/api/v1/events/schemas", "/api/v1/rules/types/account");
    let body = json!({ "event_name": "n", "version": 1, "schema": { "type": "object" } });
    judge.ask(Op::RegisterEventSchema, schemas, body.clone(), 201).await;
    judge.ask(Op::RegisterEventSchema, schemas, body, 200).await;
    judge.ask(Op::RegisterEventSchema, schemas, json!({ "event_name": "n", "schema": 7 }), 400).await;
    judge.ask(Op::ListEventSchemas, schemas, Value::Null, 200).await;
    judge.ask(Op::GetNewestEventSchema, &format!("{schemas}/n"), Value::Null, 200).await;
    judge.ask(Op::GetEventSchema, &format!("{schemas}/n/1"), Value::Null, 200).await;
    judge.ask(Op::GetEventSchema, &format!("{schemas}/n/2"), Value::Null, 404).await;
    let body = json!({ "schemas": "known", "metadata": { "by": { "type": "string", "required": false } } });
    judge.ask(Op::SetTypeRules, rules, body.clone(), 200).await;
    judge.ask(Op::SetNamespaceRules, "/api/v1/rules/namespace", body, 200).await;
    judge.ask(Op::GetTypeRules, rules, Value::Null, 200).await;
    judge.ask(Op::GetNamespaceRules, "/api/v1/rules/namespace", Value::Null, 200).await;
    judge.ask(Op::ListRules, "/api/v1/rules", Value::Null, 200).await;
    judge.ask(Op::GetTypeRules, "/api/v1/rules/types/none", Value::Null, 404).await;
    let wrong = json!({ "entityType": "account", "name": "n", "data": 7 });
    judge.ask(Op::AppendEvents, "/api/v1/streams/a-9/events", wrong, 422).await;
}

async fn of_buckets(judge: &Judge) {
    use Operation as Op;
    let (bucket, key) = ("/api/v1/kv/buckets/b", "/api/v1/kv/buckets/b/keys/k");
    let body = json!({ "name": "b", "history": 5, "ttl_seconds": 60 });
    judge.ask(Op::CreateBucket, "/api/v1/kv/buckets", body.clone(), 201).await;
    judge.ask(Op::CreateBucket, "/api/v1/kv/buckets", body, 409).await;
    judge.ask(Op::PutKey, key, json!("v"), 200).await;
    judge.ask(Op::GetKey, key, Value::Null, 200).await;
    judge.ask(Op::GetKey, &format!("{key}?history=true"), Value::Null, 200).await;
    judge.ask(Op::GetKey, &format!("{key}2"), Value::Null, 404).await;
    judge.ask(Op::ListKeys, &format!("{bucket}/keys"), Value::Null, 200).await;
    judge.ask(Op::GetBucket, bucket, Value::Null, 200).await;
    judge.ask(Op::ListBuckets, "/api/v1/kv/buckets", Value::Null, 200).await;
}

async fn of_groups(judge: &Judge) {
    use Operation as Op;
    let (all, group) = ("/api/v1/consumer-groups", "/api/v1/consumer-groups/mail");
    let body = json!({ "name": "mail", "pattern": ">", "afterPosition": 0 });
    judge.ask(Op::CreateConsumerGroup, all, body.clone(), 201).await;
    judge.ask(Op::CreateConsumerGroup, all, body, 409).await;
    let path = format!("{group}/pull?max=5&waitMs=5000");
    let given = judge.ask(Op::PullEvents, &path, Value::Null, 200).await;
    let position = given["deliveries"][0]["event"]["position"].as_u64().unwrap();
    let body = json!({ "settlements": [{ "position": position, "verdict": "term" }] });
    judge.ask(Op::SettleEvents, &format!("{group}/settle"), body, 200).await;
    judge.ask(Op::ListDeadLetters, &format!("{group}/dead-letters"), Value::Null, 200).await;
    judge.ask(Op::ReplayDeadLetters, &format!("{group}/replay"), json!({}), 200).await;
    judge.ask(Op::GetConsumerGroup, group, Value::Null, 200).await;
    judge.ask(Op::GetConsumerGroup, &format!("{group}2"), Value::Null, 404).await;
    judge.ask(Op::ListConsumerGroups, all, Value::Null, 200).await;
    judge.ask(Op::ChangeConsumerGroup, group, json!({ "status": "paused" }), 200).await;
    judge.ask(Op::ChangeConsumerGroup, group, json!({ "pattern": "events:n" }), 400).await;
    judge.ask(Op::ChangeConsumerGroup, &format!("{group}2"), json!({}), 404).await;
}

async fn of_projections(judge: &Judge) {
    use Operation as Op;
    let (all, one) = ("/api/v1/projections", "/api/v1/projections/count");
    let source = "export const name = 'count'; export const events = ['order.*'];\
        export const initialState = () => ({ n: 0 }); export const handler = (state) => ({ n: state.n + 1 });";
    judge.ask(Op::DeployProjection, all, json!({ "source": "1" }), 400).await;
    judge.ask(Op::DeployProjection, all, json!({ "source": source }), 201).await;
    judge.ask(Op::ListProjections, all, Value::Null, 200).await;
    judge.ask(Op::GetProjection, one, Value::Null, 200).await;
    judge.ask(Op::GetProjectionStatus, &format!("{one}/status"), Value::Null, 200).await;
    judge.ask(Op::ListPartitions, &format!("{one}/partitions"), Value::Null, 200).await;
    judge.ask(Op::GetProjection, &format!("{one}2"), Value::Null, 404).await;
    judge.ask(Op::WaitForProjection, &format!("{one}/catchup?minSeq=1"), Value::Null, 200).await;
    judge.ask(Op::WaitForProjection, &format!("{one}2/catchup"), Value::Null, 404).await;
    judge.ask(Op::GetPastState, &format!("{one}/past?position=1&waitMs=5000"), Value::Null, 200).await;
    judge.ask(Op::QuerySql, "/api/v1/sql", json!({ "sql": "select 1" }), 200).await;
    judge.ask(Op::QuerySql, "/api/v1/sql", json!({ "sql": "no" }), 400).await;
    judge.ask(Op::GetPastState, &format!("{one}/past?position=9999"), Value::Null, 504).await;
    judge
        .ask(Op::ListPastStates, &format!("{one}/past/partitions?position=1&waitMs=5000"), Value::Null, 200)
        .await;
    let items = json!({ "items": [{ "name": "count", "minSeq": 1 }, { "name": "none" }] });
    judge.ask(Op::WaitForProjections, &format!("{all}/catchup/batch"), items, 200).await;
    let (_, read) = judge.node.get("/api/v1/streams/o-1/events").await;
    let mut body = json!({ "eventId": read["events"][0]["id"], "projection": "count" });
    judge.ask(Op::WaitForEvent, &format!("{all}/wait-for-event"), body.clone(), 200).await;
    body["eventId"] = json!("00000000-0000-0000-0000-000000000001");
    body["timeoutMs"] = json!(10);
    judge.ask(Op::WaitForEvent, &format!("{all}/wait-for-event"), body, 404).await;
}
