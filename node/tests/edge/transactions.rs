use serde_json::{Value, json};

use crate::running::Running;

const PATH: &str = "/api/v1/transactions";

fn append(entity: &str, expected: Value, tags: &[&str]) -> Value {
    json!({ "entityId": entity, "entityType": "order", "expectedVersion": expected,
            "events": [{ "name": "order.placed", "data": { "n": 1 }, "tags": tags }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_writes_all_streams_or_none_and_says_why() {
    let node = Running::start().await;
    let body = json!({ "idempotencyKey": "k", "appends": [append("a", json!("none"), &["seat:1"]), append("b", json!(0), &[])] });
    let (status, first) = node.post(PATH, body.to_string()).await;
    assert_eq!(
        (status.as_u16(), &first["lastPosition"], &first["repeated"]),
        (201, &json!(2), &json!(false))
    );
    let (status, again) = node.post(PATH, body.to_string()).await;
    assert_eq!((status.as_u16(), &again["repeated"]), (200, &json!(true)));
    assert_eq!(again["streams"][1]["eventIds"], first["streams"][1]["eventIds"]);

    let refused = json!({
        "appends": [append("a", json!(0), &[]), append("c", json!("none"), &[])],
        "checks": [{ "entityId": "b", "expectedVersion": 7 }, { "entityId": "z", "expectedVersion": "exists" }],
        "conditions": [{ "tags": ["seat:1"] }, { "after": 2, "tags": ["seat:1"] }],
    });
    let (_, before) = node.get("/api/v1/cluster").await;
    let (status, error) = node.post(PATH, refused.to_string()).await;
    assert_eq!((status.as_u16(), &error["code"]), (409, &json!("transaction_refused")));
    assert_eq!(
        error["details"]["violations"],
        json!([
            { "code": "version_conflict", "entityId": "a", "expectedVersion": 0, "actualVersion": 1 },
            { "code": "version_conflict", "entityId": "b", "expectedVersion": 7, "actualVersion": 1 },
            { "code": "version_conflict", "entityId": "z", "expectedVersion": -2, "actualVersion": 0 },
            { "code": "condition_violated", "condition": 0, "position": 1 },
        ])
    );
    let (status, _) = node.get("/api/v1/streams/c").await;
    assert_eq!(status.as_u16(), 404, "nothing of it is there");
    // Nothing stands against the stream that is written, and yet it needs no place in the log.
    let taken = json!({ "appends": [append("c", json!(0), &[])], "conditions": [{ "tags": ["seat:1"] }] });
    let (status, _) = node.post(PATH, taken.to_string()).await;
    let (_, after) = node.get("/api/v1/cluster").await;
    assert_eq!((status.as_u16(), &after["lastLogIndex"]), (409, &before["lastLogIndex"]));
    let (_, page) = node.get("/api/v1/streams/a/events").await;
    assert_eq!(page["events"][0]["tags"], json!(["seat:1"]));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_validated_is_judged_and_not_written() {
    let node = Running::start().await;
    node.append("a", 0).await;
    for (path, body, status, code) in [
        (PATH, json!({ "validateOnly": true, "appends": [append("a", json!(1), &[])] }), 200, Value::Null),
        (
            PATH,
            json!({ "validateOnly": true, "appends": [append("a", json!(0), &[])] }),
            409,
            json!("transaction_refused"),
        ),
        (
            "/api/v1/streams/a/events",
            json!({ "validateOnly": true, "entityType": "order", "name": "n", "expectedVersion": "exists" }),
            200,
            Value::Null,
        ),
        (
            "/api/v1/streams/a/events",
            json!({ "validateOnly": true, "entityType": "order", "name": "n", "expectedVersion": 0 }),
            409,
            json!("version_conflict"),
        ),
        (
            "/api/v1/streams/a/events",
            json!({ "validateOnly": true, "entityType": "account", "name": "n" }),
            409,
            json!("entity_type_conflict"),
        ),
    ] {
        let (told, answer) = node.post(path, body.to_string()).await;
        assert_eq!((told.as_u16(), &answer["code"]), (status, &code), "{body}: {answer}");
        if status == 200 {
            assert_eq!((&answer["valid"], &answer["position"]), (&json!(true), &json!(1)));
        }
    }
    let (_, log) = node.get("/api/v1/log").await;
    assert_eq!(log["events"].as_array().unwrap().len(), 1);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_that_the_client_chose_is_its_key() {
    let node = Running::start().await;
    let path = "/api/v1/streams/a/events";
    let body = r#"{"entityType":"order","name":"n","expectedVersion":"none",
                   "id":"01890000-0000-7000-8000-000000000001"}"#;
    let (status, first) = node.post(path, body).await;
    assert_eq!((status.as_u16(), &first["eventId"]), (201, &json!("01890000-0000-7000-8000-000000000001")));
    let (status, again) = node.post(path, body).await;
    assert_eq!((status.as_u16(), &again["repeated"]), (200, &json!(true)));
    let other = body.replace("\"n\"", "\"m\"");
    for (body, status, code) in [(body, 200, Value::Null), (&*other, 409, json!("idempotency_conflict"))] {
        // What is only validated is answered as what is written would be.
        for more in ["", r#","validateOnly":true}"#] {
            let body = if more.is_empty() { body.to_owned() } else { body.replace('}', more) };
            let (told, answer) = node.post(path, body.clone()).await;
            assert_eq!((told.as_u16(), &answer["code"]), (status, &code), "{body}: {answer}");
        }
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_the_client_is_known_by_the_id_of_its_first_event() {
    let node = Running::start().await;
    let client = weir_client::Client::connect([node.url("")]).await.unwrap();
    let part = |entity: &str| weir_client::Append::to(entity, "t").event("n", &json!({}));
    let id = weir_types::EventId(uuid::Uuid::from_u128(7));
    let request = || {
        let both = weir_client::Transaction::new().append(part("a").event_id(id)).append(part("b"));
        both.build().unwrap()
    };
    let first = client.transact(&request()).await.unwrap();
    assert!(!first.repeated && client.transact(&request()).await.unwrap().repeated);
    assert_eq!(client.validate(&request()).await.unwrap(), first.last_position().unwrap());
    node.node.stop().await;
}
