use std::time::Duration;

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use weir_client::{
    Append, Claim, Client, ClientOptions, CommandDedup, DecideError, ErrorCode, FinalizeError, KvExpect,
    KvWatch,
    v1::{EventView, KvReadQuery, KvWatchQuery},
};

use crate::{eventually::eventually, running::Running};

const BUCKETS: &str = "/api/v1/kv/buckets";

impl Running {
    /// A request with headers; the status and the JSON, null when there is no body.
    async fn kv(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = self.http.request(method, self.url(path)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    async fn bucket(&self, body: Value) {
        let (status, answer) = self.kv(Method::POST, BUCKETS, &[], &body.to_string()).await;
        assert_eq!(status, 201, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_created_compared_and_set_deleted_and_purged() {
    let node = Running::start().await;
    node.bucket(json!({"name": "b", "history": 3})).await;
    let key = "/api/v1/kv/buckets/b/keys/user:1/x";
    let (create, cas) = ([("if-none-match", "*")], |revision| [("if-match", revision)]);
    let (status, put) = node.kv(Method::PUT, key, &create, "one").await;
    assert_eq!((status, &put["revision"]), (200, &json!(1)));
    let (status, refused) = node.kv(Method::PUT, key, &create, "two").await;
    assert_eq!((status, &refused["code"]), (412, &json!("revision_conflict")));
    assert_eq!((&refused["details"]["actualRevision"], &refused["error"]), (&json!(1), &refused["message"]));
    assert_eq!(node.kv(Method::PUT, key, &cas("2"), "two").await.0, 412);
    assert_eq!(node.kv(Method::PUT, key, &cas("1"), "two").await.1["revision"], 2);
    let (status, entry) = node.kv(Method::GET, key, &[], "").await;
    assert_eq!((status, &entry["key"], &entry["value"]), (200, &json!("user:1/x"), &json!("dHdv")));
    assert_eq!((&entry["revision"], &entry["operation"]), (&json!(2), &json!("put")));
    let encoded = "/api/v1/kv/buckets/b/keys/user%3A1%2Fx";
    assert_eq!(node.kv(Method::GET, encoded, &[], "").await.1, entry, "it is decoded once");
    assert_eq!(node.kv(Method::GET, &format!("{key}?revision=1"), &[], "").await.1["value"], "b25l");
    assert_eq!(node.kv(Method::DELETE, key, &cas("1"), "").await.0, 412);
    assert_eq!(node.kv(Method::DELETE, key, &[], "").await.0, 204);
    let (status, gone) = node.kv(Method::GET, key, &[], "").await;
    assert_eq!((status, &gone["code"]), (404, &json!("key_not_found")));
    assert_eq!(node.kv(Method::DELETE, key, &[], "").await.0, 404);
    let (_, history) = node.kv(Method::GET, &format!("{key}?history=true"), &[], "").await;
    let told = history["entries"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|entry| (entry["revision"].as_u64().unwrap(), &entry["operation"])).collect();
    assert_eq!(told, [(1, &json!("put")), (2, &json!("put")), (3, &json!("delete"))]);
    assert_eq!(node.kv(Method::PUT, key, &create, "again").await.1["revision"], 4);
    assert_eq!(node.kv(Method::DELETE, &format!("{key}?purge=true"), &[], "").await.0, 204);
    assert_eq!(node.kv(Method::GET, &format!("{key}?history=true"), &[], "").await.0, 404);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_listed_with_what_is_in_them_and_gone_with_it() {
    let node = Running::start().await;
    let info =
        json!({"name": "b", "description": "d", "ttl_seconds": 3600, "max_value_size": 4, "max_bytes": 12});
    node.bucket(info.clone()).await;
    let (status, refused) = node.kv(Method::POST, BUCKETS, &[], &info.to_string()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("bucket_exists")));
    for key in ["a.1", "a.2", "b.1"] {
        assert_eq!(node.kv(Method::PUT, &format!("{BUCKETS}/b/keys/{key}"), &[], "v").await.0, 200);
    }
    let (status, refused) = node.kv(Method::PUT, &format!("{BUCKETS}/b/keys/c"), &[], "12345").await;
    assert_eq!((status, &refused["code"]), (413, &json!("too_large")));
    let (status, refused) = node.kv(Method::PUT, &format!("{BUCKETS}/b/keys/c"), &[], "v").await;
    assert_eq!((status, &refused["code"]), (409, &json!("bucket_full")));
    let (_, list) = node.kv(Method::GET, BUCKETS, &[], "").await;
    assert_eq!((&list["count"], &list["buckets"][0]["values"]), (&json!(1), &json!(3)));
    assert_eq!(
        (&list["buckets"][0]["bytes"], &list["buckets"][0]["ttl_seconds"]),
        (&json!(12), &json!(3600))
    );
    for (query, keys) in [
        ("", json!(["a.1", "a.2", "b.1"])),
        ("?filter=a.*", json!(["a.1", "a.2"])),
        ("?filter=*.1", json!(["a.1", "b.1"])),
        ("?limit=2", json!(["a.1", "a.2"])),
        ("?limit=2&after=a.2", json!(["b.1"])),
    ] {
        let (_, page) = node.kv(Method::GET, &format!("{BUCKETS}/b/keys{query}"), &[], "").await;
        assert_eq!(page["keys"], keys, "{query}");
        assert_eq!(page["next"].is_string(), query == "?limit=2", "{query}");
    }
    assert_eq!(node.kv(Method::DELETE, &format!("{BUCKETS}/b"), &[], "").await.0, 204);
    for path in [format!("{BUCKETS}/b"), format!("{BUCKETS}/b/keys"), format!("{BUCKETS}/b/keys/a.1")] {
        let (status, refused) = node.kv(Method::GET, &path, &[], "").await;
        assert_eq!((status, &refused["code"]), (404, &json!("bucket_not_found")), "{path}");
    }
    node.bucket(json!({"name": "b"})).await;
    assert_eq!(node.kv(Method::GET, &format!("{BUCKETS}/b/keys/a.1"), &[], "").await.0, 404, "it is another");
    node.metric_is("weir_kv_swept_total", |swept| swept == 3.0).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_gone_although_nobody_writes() {
    let node = Running::start().await;
    node.bucket(json!({"name": "b"})).await;
    let key = "/api/v1/kv/buckets/b/keys/k";
    let (_, put) = node.kv(Method::PUT, &format!("{key}?ttl_ms=300"), &[("if-none-match", "*")], "v").await;
    assert!(put["expires_at"].is_string());
    eventually("the key is gone", async || node.kv(Method::GET, key, &[], "").await.0 == 404).await;
    assert_eq!(node.kv(Method::GET, &format!("{BUCKETS}/b"), &[], "").await.1["values"], 0);
    assert_eq!(node.kv(Method::PUT, key, &[("if-none-match", "*")], "v").await.1["revision"], 2);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn illegal_requests_of_buckets_are_refused_with_a_code() {
    let node = Running::start().await;
    node.bucket(json!({"name": "b"})).await;
    let long = format!("{BUCKETS}/b/keys/{}", "k".repeat(513));
    let large = "x".repeat(1024 * 1024 + 1);
    for (method, path, headers, body, status, code) in [
        (Method::POST, BUCKETS, vec![], r#"{"name":"a.b"}"#, 400, "invalid_name"),
        (Method::POST, BUCKETS, vec![], r#"{"name":"c","history":65}"#, 400, "invalid_request"),
        (Method::POST, BUCKETS, vec![], r#"{"nam":"c"}"#, 400, "invalid_request"),
        (Method::PUT, &long, vec![], "v", 400, "invalid_name"),
        (Method::PUT, "/api/v1/kv/buckets/b/keys/a%00", vec![], "v", 400, "invalid_name"),
        (Method::PUT, "/api/v1/kv/buckets/b/keys/a", vec![], &large, 413, "too_large"),
        (Method::PUT, "/api/v1/kv/buckets/b/keys/a", vec![("if-match", "x")], "v", 400, "invalid_request"),
        (Method::PUT, "/api/v1/kv/buckets/b/keys/a?ttl_ms=0", vec![], "v", 400, "invalid_request"),
        (Method::PUT, "/api/v1/kv/buckets/none/keys/a", vec![], "v", 404, "bucket_not_found"),
        (Method::GET, "/api/v1/kv/buckets/b/keys?filter=%3E.a", vec![], "", 400, "invalid_name"),
        (Method::GET, "/api/v1/kv/buckets/b/keys?limit=1001", vec![], "", 413, "too_large"),
    ] {
        let (found, refused) = node.kv(method, path, &headers, body).await;
        assert_eq!((found, &refused["code"]), (status, &json!(code)), "{path} {body:.40}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_survive_a_restart() {
    let first = Running::start().await;
    first.bucket(json!({"name": "b", "history": 2})).await;
    for value in ["one", "two"] {
        first.kv(Method::PUT, "/api/v1/kv/buckets/b/keys/k", &[], value).await;
    }
    first.node.stop().await;
    let again = Running::start_in(first.folder).await;
    let (status, entry) = again.kv(Method::GET, "/api/v1/kv/buckets/b/keys/k", &[], "").await;
    assert_eq!((status, &entry["value"], &entry["revision"]), (200, &json!("dHdv"), &json!(2)));
    again.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_claimed_once_and_a_crashed_claim_runs_out() {
    let node = Running::start().await;
    let client = Client::new([node.url("")], ClientOptions::default()).unwrap();
    let dedup = CommandDedup::new(client.clone(), "commands").lease(Duration::from_millis(400));
    let Claim::Mine(first) = dedup.try_claim::<u64>("c-1").await.unwrap() else { panic!("it is the first") };
    assert!(matches!(dedup.try_claim::<u64>("c-1").await.unwrap(), Claim::InProgress(Some(_))));
    eventually("the claim has run out", async || {
        matches!(dedup.try_claim::<u64>("c-1").await.unwrap(), Claim::Mine(_))
    })
    .await;
    assert!(matches!(dedup.finalize(&first, &1).await, Err(FinalizeError::Lost)));
    dedup.release(&first).await.unwrap();

    let Claim::Mine(held) = dedup.try_claim::<u64>("c-2").await.unwrap() else { panic!("it is the first") };
    dedup.release(&held).await.unwrap();
    let Claim::Mine(held) = dedup.try_claim::<u64>("c-2").await.unwrap() else { panic!("it was released") };
    dedup.finalize(&held, &7).await.unwrap();
    dedup.finalize(&held, &7).await.unwrap();
    dedup.release(&held).await.unwrap();
    assert!(matches!(dedup.try_claim("c-2").await.unwrap(), Claim::Done(7)));

    let conflict = client.kv_put(("commands", "c-2"), "x", KvExpect::Absent, None).await.unwrap_err();
    assert_eq!(conflict.code(), Some(ErrorCode::RevisionConflict));
    assert!(client.kv_get("commands", "c-3", &KvReadQuery::default()).await.unwrap().is_none());
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_decides_on_a_state_that_has_moved_on_decides_again() {
    let node = Running::start().await;
    let client = Client::new([node.url("")], ClientOptions::default()).unwrap();
    let withdraw = |client: Client| async move {
        let fold = |count: Option<u64>, _: &EventView| count.unwrap_or(0) + 1;
        let decide = |count: Option<&u64>, append: Append| match count.copied().unwrap_or(0) {
            0..6 => Ok(Some(append.event("account.withdrawn", &json!({})))),
            _ => Err("empty"),
        };
        client.decide("account-1", "account", fold, decide).await
    };
    let all = futures::future::join_all((0..10).map(|_| withdraw(client.clone()))).await;
    let done = all.iter().filter(|decided| matches!(decided, Ok(Some(_)))).count();
    let refused = all.iter().filter(|decided| matches!(decided, Err(DecideError::Refused("empty")))).count();
    assert_eq!((done, refused), (6, 4), "{all:?}");
    assert_eq!(client.stream("account-1").await.unwrap().version, 6);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_then_every_change() {
    let node = Running::start().await;
    let client = Client::connect([node.url("")]).await.unwrap();
    let body = json!({ "name": "b", "history": 3 }).to_string();
    node.post("/api/v1/kv/buckets", body).await;
    let put = async |key: &str, value: &str| {
        client.kv_put(("b", key), value.to_owned(), KvExpect::Any, None).await.unwrap().revision
    };
    assert_eq!((put("order.1", "a").await, put("other", "x").await, put("order.1", "b").await), (1, 2, 3));
    client.kv_delete(("b", "order.1"), KvExpect::Any, false).await.unwrap();

    let query = KvWatchQuery { key: Some("order.*".into()), since: Some(1) };
    let mut watch = client.kv_watch("b", query);
    let told = async |watch: &mut KvWatch| {
        let update = tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap();
        (update.entry.revision, update.entry.operation.clone(), update.entry.bytes().unwrap())
    };
    assert_eq!(told(&mut watch).await, (3, "put".into(), b"b".to_vec()));
    assert_eq!(told(&mut watch).await, (4, "delete".into(), Vec::new()));
    put("other", "y").await;
    put("order.2", "c").await;
    assert_eq!(told(&mut watch).await, (6, "put".into(), b"c".to_vec()));
    let soon = Some(Duration::from_millis(1));
    client.kv_put(("b", "order.3"), "short", KvExpect::Any, soon).await.unwrap();
    assert_eq!(told(&mut watch).await.2, b"short");
    assert_eq!(told(&mut watch).await.1, "delete", "its time is over");

    // The contract's WebSocket.
    let url = node.url("/api/v1/kv/buckets/b/watch?key=order.2").replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    put("order.2", "d").await;
    let frame = loop {
        let message =
            tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap().unwrap().unwrap();
        if let Ok(text) = message.to_text()
            && !text.is_empty()
        {
            break serde_json::from_str::<Value>(text).unwrap();
        }
    };
    assert_eq!(
        (&frame["type"], &frame["key"], &frame["operation"]),
        (&json!("kv_update"), &json!("order.2"), &json!("put"))
    );
    assert_eq!(frame["value"], "ZA==");

    let refused = node.get("/api/v1/kv/buckets/none/watch").await;
    assert_eq!(refused.1["code"], "bucket_not_found");
    client.delete_bucket("b").await.unwrap();
    let mut rest = watch;
    while let Ok(update) = tokio::time::timeout(Duration::from_secs(20), rest.next()).await.unwrap() {
        assert_eq!(update.bucket, "b");
    }
    node.node.stop().await;
}
