use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::running::{Answer, Running};

async fn call(node: &Running, method: &str, body: Value) -> Answer {
    node.post(&format!("/ironflow.v1.EntityStreamService/{method}"), body.to_string()).await
}

fn event(id: &str, expected: i64) -> Value {
    json!({
        "entity_id": id, "entity_type": "order", "event_name": "order.placed", "data": { "total": 1 },
        "expected_version": expected, "idempotency_key": "", "version": 1,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_methods_answer_in_the_shapes_of_the_contract() {
    let node = Running::start().await;
    let (status, appended) = call(&node, "AppendEvent", event("o", 0)).await;
    assert_eq!((status, &appended["entityVersion"]), (StatusCode::OK, &"1".into()));
    assert!(appended["eventId"].is_string());
    let camel =
        json!({ "entityId": "o", "entityType": "order", "eventName": "order.paid", "expectedVersion": "-1" });
    call(&node, "AppendEvent", camel).await;
    let (_, read) = call(&node, "ReadStream", json!({ "entityId": "o", "limit": 0 })).await;
    assert_eq!((read["events"].as_array().unwrap().len(), &read["totalCount"]), (2, &2.into()));
    assert_eq!(read["events"][1]["entityVersion"], "2");
    let (_, page) =
        call(&node, "ReadStream", json!({ "entity_id": "o", "from_version": 2, "limit": 1 })).await;
    assert_eq!(page["events"][0]["name"], "order.paid");
    let (_, info) = call(&node, "GetStreamInfo", json!({ "entity_id": "o" })).await;
    assert_eq!((&info["version"], &info["entityType"]), (&"2".into(), &"order".into()));
    let (_, list) = call(&node, "ListStreams", json!({})).await;
    assert_eq!(list["totalCount"], 1);
    let (_, history) = call(&node, "GetEntityHistory", json!({ "entity_id": "o" })).await;
    assert_eq!(history["entries"].as_array().unwrap().len(), 2);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_what_the_sdks_match() {
    let node = Running::start().await;
    call(&node, "AppendEvent", event("o", 0)).await;
    let array = json!({ "entity_id": "o", "entity_type": "order", "event_name": "n", "data": [1] });
    for (method, body, status, code, message) in [
        ("AppendEvent", event("o", 0), 409, "aborted", "version conflict"),
        ("AppendEvent", event("", 0), 400, "invalid_argument", "entity id is empty"),
        ("AppendEvent", array, 400, "invalid_argument", "data is not a JSON object"),
        ("GetStreamInfo", json!({ "entity_id": "none" }), 404, "not_found", "stream not found"),
        ("Nothing", json!({}), 404, "unimplemented", "method is not served here"),
    ] {
        let (answered, error) = call(&node, method, body).await;
        assert_eq!((answered.as_u16(), &error["code"]), (status, &code.into()), "{method}: {error}");
        assert_eq!(error["message"], message);
    }
    let (status, empty) = call(&node, "ReadStream", json!({ "entity_id": "none" })).await;
    assert_eq!((status, empty.get("events")), (StatusCode::OK, None));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_encodings_are_refused_by_name() {
    let node = Running::start().await;
    let url = node.url("/ironflow.v1.EntityStreamService/ReadStream");
    for (kind, status) in [("application/proto", 415), ("application/json; charset=utf-8", 200)] {
        let body = json!({ "entity_id": "none" }).to_string();
        let answer = node.http.post(&url).header("content-type", kind).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{kind}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_gives_the_first_result() {
    let node = Running::start().await;
    let mut body = event("o", -1);
    body["idempotency_key"] = "k".into();
    let (_, first) = call(&node, "AppendEvent", body.clone()).await;
    let (_, again) = call(&node, "AppendEvent", body).await;
    assert_eq!(first, again);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_and_upcasters_are_there_as_over_rest() {
    let node = Running::start().await;
    let schemas = async |method: &str, body: Value| {
        let path = format!("/ironflow.v1.EventSchemaService/{method}");
        let (status, answer) = node.post(&path, body.to_string()).await;
        (status.as_u16(), answer)
    };
    let schema = json!({ "type": "object", "required": ["total"] }).to_string();
    let asked =
        json!({ "event_name": "order.placed", "version": 1, "schemaJson": schema, "description": "d" });
    assert_eq!(schemas("RegisterSchema", asked.clone()).await, (200, json!({ "status": "created" })));
    assert_eq!(schemas("RegisterSchema", asked).await, (200, json!({ "status": "updated" })));
    let (_, second) =
        schemas("RegisterSchema", json!({ "eventName": "order.placed", "version": 2, "schema_json": "{}" }))
            .await;
    assert_eq!(second["status"], "created");
    let (_, newest) = schemas("GetSchema", json!({ "eventName": "order.placed", "version": 0 })).await;
    assert_eq!((&newest["version"], &newest["schemaJson"]), (&2.into(), &"{}".into()), "{newest}");
    let (_, first) = schemas("GetSchema", json!({ "event_name": "order.placed", "version": "1" })).await;
    assert_eq!((&first["schemaJson"], &first["description"]), (&schema.into(), &"d".into()), "{first}");
    let (_, list) = schemas("ListSchemas", json!({ "limit": 1 })).await;
    assert_eq!((list["schemas"].as_array().unwrap().len(), &list["totalCount"]), (1, &2.into()), "{list}");
    assert_eq!(
        schemas("DeleteSchema", json!({ "eventName": "order.placed", "version": 2 })).await,
        (200, json!({}))
    );
    for (method, body, status, code) in [
        ("GetSchema", json!({ "eventName": "order.placed", "version": 2 }), 404, "not_found"),
        ("DeleteSchema", json!({ "eventName": "order.placed" }), 400, "invalid_argument"),
        ("RegisterSchema", json!({ "eventName": "a", "schemaJson": "[" }), 400, "invalid_argument"),
        ("RegisterSchema", json!({ "eventName": "", "schemaJson": "{}" }), 400, "invalid_argument"),
        ("TestUpcast", json!({ "eventName": "order.placed" }), 404, "not_found"),
        ("Nothing", json!({}), 404, "unimplemented"),
    ] {
        let (answered, error) = schemas(method, body).await;
        assert_eq!((answered, &error["code"]), (status, &code.into()), "{method}: {error}");
    }
    let upcaster = json!({ "source": "export const upcast = (data) => ({ ...data, currency: 'EUR' });" });
    node.ask(reqwest::Method::PUT, "/api/v1/upcasters/order.placed/1", upcaster.to_string()).await;
    let asked = json!({ "eventName": "order.placed", "fromVersion": 1, "data": { "total": 1 } });
    let (status, tried) = schemas("TestUpcast", asked).await;
    assert_eq!((status, &tried["data"]), (200, &json!({ "total": 1, "currency": "EUR" })), "{tried}");
    assert_eq!(tried["stepsApplied"], json!([{ "fromVersion": 1, "toVersion": 2 }]));
    let (_, gap) =
        schemas("TestUpcast", json!({ "eventName": "order.placed", "fromVersion": 1, "toVersion": 3 })).await;
    assert_eq!(gap["details"][0]["debug"]["code"], "upcast_gap", "{gap}");
    node.node.stop().await;
}
