use reqwest::Method;
use serde_json::{Value, json};
use weir_client::{
    Client, ClientOptions, ErrorCode,
    v1::{EventSchemaBody, EventSchemasQuery, MetadataKind, MetadataRuleBody, RulesBody, SchemaModeKind},
};

use crate::running::{Answer, Running};

const SCHEMAS: &str = "/api/v1/events/schemas";
const EVENTS: &str = "/api/v1/streams/a-1/events";

impl Running {
    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, body.to_string()).await
    }

    async fn delete(&self, path: &str) -> u16 {
        self.http.delete(self.url(path)).send().await.unwrap().status().as_u16()
    }
}

fn schema(event: &str, version: u32, schema: &Value) -> String {
    json!({ "event_name": event, "version": version, "schema": schema, "description": "d" }).to_string()
}

fn amount() -> Value {
    json!({ "type": "object", "required": ["amount"], "properties": { "amount": { "type": "integer", "minimum": 1 } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_registered_listed_and_removed() {
    let node = Running::start().await;
    for (event, version, status) in
        [("opened", 1, 201), ("opened", 2, 201), ("a/b c", 1, 201), ("opened", 2, 200)]
    {
        let (got, answer) = node.post(SCHEMAS, schema(event, version, &amount())).await;
        assert_eq!(got.as_u16(), status, "{answer}");
        let told = if status == 201 { "created" } else { "updated" };
        assert_eq!((&answer["status"], &answer["version"]), (&json!(told), &json!(version)));
    }
    // As SDKs of the contract send it.
    let text = json!({ "event_name": "closed", "version": 1, "schema_json": "{\"type\":\"object\"}" });
    assert_eq!(node.post(SCHEMAS, text.to_string()).await.0.as_u16(), 201);
    let (_, list) = node.get(&format!("{SCHEMAS}?event_name=opened&limit=1&offset=1")).await;
    assert_eq!((&list["total_count"], &list["schemas"][0]["version"]), (&json!(2), &json!(2)));
    let (_, list) = node.get(SCHEMAS).await;
    let names: Vec<_> =
        list["schemas"].as_array().unwrap().iter().map(|schema| &schema["event_name"]).collect();
    assert_eq!(names, [&json!("a/b c"), &json!("closed"), &json!("opened"), &json!("opened")]);
    let (_, newest) = node.get(&format!("{SCHEMAS}/opened")).await;
    assert_eq!((&newest["version"], &newest["schema"]), (&json!(2), &amount()));
    let (_, first) = node.get(&format!("{SCHEMAS}/opened/1")).await;
    assert_eq!(first["schema_json"].as_str().unwrap().parse::<Value>().unwrap(), amount());
    assert_eq!(node.delete(&format!("{SCHEMAS}/opened/2")).await, 204);
    assert_eq!(node.delete(&format!("{SCHEMAS}/opened/2")).await, 404);
    let (status, error) = node.get(&format!("{SCHEMAS}/opened/2")).await;
    assert_eq!((status.as_u16(), &error["code"]), (404, &json!("schema_not_found")));
    for bad in [
        json!({ "type": "colour" }),
        json!({ "$ref": "https://example.com/x" }),
        json!({ "pattern": "(?=a)" }),
    ] {
        let (status, error) = node.post(SCHEMAS, schema("bad", 1, &bad)).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("schema_invalid")), "{error}");
    }
    assert_eq!(node.post(SCHEMAS, schema("bad", 0, &amount())).await.1["code"], "schema_invalid");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_break_rules_are_refused_with_every_path() {
    let node = Running::start().await;
    node.post(SCHEMAS, schema("deposited", 1, &amount())).await;
    let rules = json!({ "schemas": "required", "metadata": { "tenantId": { "type": "string" } } });
    let (status, set) = node.put("/api/v1/rules/types/account", rules.clone()).await;
    assert_eq!((status.as_u16(), &set["existed"]), (200, &json!(false)), "{set}");
    let event = |name: &str, data: Value, metadata: Value| json!({ "name": name, "data": data, "metadata": metadata });
    let (fine, tenant) = (json!({ "amount": 5 }), json!({ "tenantId": "t" }));
    let append = |events: &[Value], validate_only: bool| {
        json!({ "entityType": "account", "events": events, "validateOnly": validate_only }).to_string()
    };
    let wrong = [
        event("deposited", json!({ "amount": 0 }), json!({})),
        event("deposited", fine.clone(), tenant.clone()),
        event("withdrawn", fine.clone(), tenant.clone()),
    ];
    for validate_only in [false, true] {
        let (status, error) = node.post(EVENTS, append(&wrong, validate_only)).await;
        assert_eq!((status.as_u16(), &error["code"]), (422, &json!("event_invalid")), "{error}");
        let own = error["details"]["own"].as_array().unwrap();
        let told: Vec<_> =
            own.iter().map(|fault| (&fault["event"], &fault["rule"], &fault["path"])).collect();
        assert_eq!(
            told,
            [
                (&json!(0), &json!("schema"), &json!("/amount")),
                (&json!(0), &json!("metadata"), &json!("/tenantId")),
                (&json!(2), &json!("schema"), &json!("")),
            ]
        );
        assert_eq!(error["details"]["messages"].as_array().unwrap().len(), 3);
        assert_eq!(error["details"]["state"], json!([]));
    }
    assert_eq!(node.get("/api/v1/streams/a-1").await.0.as_u16(), 404, "nothing is written");
    assert_eq!(node.post(EVENTS, append(&wrong[1..2], true)).await.0.as_u16(), 200);
    assert_eq!(node.post(EVENTS, append(&wrong[1..2], false)).await.0.as_u16(), 201);
    // Other types are not concerned, and Connect says it in its own way.
    let free = json!({ "entityType": "order", "name": "withdrawn" });
    assert_eq!(node.post("/api/v1/streams/o-1/events", free.to_string()).await.0.as_u16(), 201);
    let body = json!({ "entity_id": "a-1", "entity_type": "account", "event_name": "withdrawn", "data": {}, "expected_version": -1 });
    let path = "/ironflow.v1.EntityStreamService/AppendEvent";
    let answer = node.http.post(node.url(path)).json(&body).send().await.unwrap();
    let error: Value = answer.json().await.unwrap();
    assert_eq!(error["code"], "invalid_argument", "{error}");
    let transaction = json!({ "appends": [{ "entityId": "a-2", "entityType": "account", "events": wrong }] });
    let (status, error) = node.post("/api/v1/transactions", transaction.to_string()).await;
    assert_eq!((status.as_u16(), &error["details"]["own"][0]["entityId"]), (422, &json!("a-2")));
    // What holds is still there after a restart.
    let (_, view) = node.get("/api/v1/rules/types/account").await;
    assert_eq!(view["rules"]["schemas"], "required");
    node.node.stop().await;
    let node = Running::start_in(node.folder).await;
    let (status, error) = node.post(EVENTS, append(&wrong[..1], false)).await;
    assert_eq!((status.as_u16(), &error["code"]), (422, &json!("event_invalid")));
    assert_eq!(node.delete("/api/v1/rules/types/account").await, 204);
    assert_eq!(node.post(EVENTS, append(&wrong, false)).await.0.as_u16(), 201);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_manages_schemas_and_rules() {
    let node = Running::start().await;
    let client = Client::new([node.url("")], ClientOptions::default()).unwrap();
    let body = EventSchemaBody {
        event_name: "opened".into(),
        schema_json: Some(amount().to_string()),
        ..EventSchemaBody::default()
    };
    assert_eq!(client.register_schema(&body).await.unwrap().status, "created");
    assert_eq!(client.schema("opened", None).await.unwrap().version, 1);
    assert_eq!(client.schemas(&EventSchemasQuery::default()).await.unwrap().total_count, 1);
    let tenant = MetadataRuleBody { kind: MetadataKind::String, required: true };
    let rules = RulesBody {
        schemas: Some(SchemaModeKind::Known),
        metadata: [("tenantId".to_owned(), tenant)].into(),
        invariant: None,
    };
    assert!(!client.set_rules(None, &rules).await.unwrap().existed);
    assert!(client.set_rules(None, &rules).await.unwrap().existed);
    client.set_rules(Some("account"), &RulesBody::default()).await.unwrap();
    assert_eq!(client.rules(None).await.unwrap().rules, rules);
    let all = client.all_rules().await.unwrap();
    let of: Vec<_> = all.rules.iter().map(|view| view.entity_type.as_deref()).collect();
    assert_eq!(of, [None, Some("account")]);
    client.delete_rules(Some("account")).await.unwrap();
    let gone = client.rules(Some("account")).await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::RulesNotFound));
    client.delete_schema("opened", 1).await.unwrap();
    let gone = client.delete_schema("opened", 1).await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::SchemaNotFound));
    node.node.stop().await;
}
