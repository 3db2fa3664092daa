use reqwest::Method;
use weir_types::limits;

use crate::running::Running;

const EVENTS: &str = "/api/v1/streams/s/events";

fn append(fields: &str) -> String {
    format!(r#"{{"entityType":"t","name":"n",{fields}}}"#)
}

/// Method, path, body, status, code.
fn bad_requests() -> Vec<(Method, String, String, u16, &'static str)> {
    let post =
        |path: &str, body: &str, status, code| (Method::POST, path.to_owned(), body.to_owned(), status, code);
    let get = |path: &str, status, code| (Method::GET, path.to_owned(), String::new(), status, code);
    let long = "x".repeat(limits::ENTITY_ID_BYTES_MAX + 1);
    let many = format!(r#"{{"entityType":"t","events":[{}]}}"#, vec![r#"{"name":"n"}"#; 1_001].join(","));
    let big = append(&format!(r#""data":"{}""#, "x".repeat(limits::EVENT_DATA_BYTES_MAX + 1)));
    let metadata = append(&format!(r#""metadata":{{"x":"{}"}}"#, "x".repeat(limits::METADATA_BYTES_MAX)));
    vec![
        post("/api/v1/streams//events", &append(r#""data":1"#), 400, "invalid_name"),
        post(&format!("/api/v1/streams/{long}/events"), &append(r#""data":1"#), 400, "invalid_name"),
        post("/api/v1/streams/a%00b/events", &append(r#""data":1"#), 400, "invalid_name"),
        post("/api/v1/streams/a%0d%0aPUB/events", &append(r#""data":1"#), 400, "invalid_name"),
        post("/api/v1/streams/%ff/events", &append(r#""data":1"#), 400, "invalid_request"),
        post(EVENTS, r#"{"entityType":"","name":"n"}"#, 400, "invalid_name"),
        post(EVENTS, r#"{"entityType":"t","name":"a\u0000"}"#, 400, "invalid_name"),
        post(EVENTS, r#"{"entityType":"t","events":[]}"#, 400, "empty_append"),
        post(EVENTS, "", 400, "invalid_request"),
        post(EVENTS, "{", 400, "invalid_request"),
        post(EVENTS, "[]", 400, "invalid_request"),
        // Each of these has as many members as the object that is wanted has fields.
        post(
            EVENTS,
            r#"["s","t",-1,null,null,"n",1,null,1,null,null,null,[],false]"#,
            400,
            "invalid_request",
        ),
        post("/api/v1/transactions", r#"[[],[],[],null,false]"#, 400, "invalid_request"),
        (Method::PUT, "/api/v1/rules/types/t".to_owned(), "[]".to_owned(), 400, "invalid_request"),
        post(EVENTS, "\u{feff}{}", 400, "invalid_request"),
        post(EVENTS, &append(r#""data":nul"#), 400, "invalid_request"),
        post(EVENTS, &append(r#""data":1e999"#), 400, "invalid_request"),
        post(EVENTS, &append(r#""metadata":[1]"#), 400, "invalid_request"),
        post(EVENTS, &append(r#""unheardOf":1"#), 400, "invalid_request"),
        post(EVENTS, &append(r#""expectedVersion":-3"#), 400, "invalid_request"),
        post(EVENTS, &append(r#""expectedVersion":9223372036854775808"#), 400, "invalid_request"),
        post(EVENTS, &append(r#""expectedVersion":9223372036854775807"#), 409, "version_conflict"),
        post(EVENTS, &append(r#""occurredAt":"yesterday""#), 400, "invalid_request"),
        post(EVENTS, &many, 413, "too_large"),
        post(EVENTS, &big, 413, "too_large"),
        post(EVENTS, &metadata, 413, "too_large"),
        get("/api/v1/streams/none", 404, "stream_not_found"),
        get("/api/v1/streams/s/events?limit=0", 400, "invalid_request"),
        get("/api/v1/streams/s/events?limit=99999", 413, "too_large"),
        get("/api/v1/streams/s/events?limit=-1", 400, "invalid_request"),
        get("/api/v1/streams/s/events?from_version=-1", 400, "invalid_request"),
        get("/api/v1/streams/s/events?direction=sideways", 400, "invalid_request"),
        get("/api/v1/streams/s/events?unheard_of=1", 400, "invalid_request"),
        get("/api/v1/streams/s/events?wait_ms=30001", 413, "too_large"),
        get("/api/v1/streams/s/events?consistency=eventual", 400, "invalid_request"),
        get("/api/v1/nowhere", 404, "not_found"),
        get("/", 404, "not_found"),
        (Method::PUT, EVENTS.to_owned(), String::new(), 405, "method_not_allowed"),
        (Method::DELETE, "/api/v1/cluster/members/x".to_owned(), String::new(), 400, "invalid_request"),
        (Method::DELETE, "/api/v1/cluster/members/9".to_owned(), String::new(), 409, "membership_conflict"),
        post("/api/v1/cluster/init", "{}", 409, "already_initialized"),
        post("/api/v1/cluster/transfer", r#"{"to":9}"#, 409, "membership_conflict"),
        post(
            "/api/v1/cluster/members",
            r#"{"nodeId":2,"peerAddress":"a","url":"b"}"#,
            400,
            "invalid_request",
        ),
        post("/api/v1/outbox/rebuild", "", 501, "unimplemented"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_has_its_code_and_the_process_goes_on() {
    let node = Running::start().await;
    for (method, path, body, status, code) in bad_requests() {
        let shown = format!("{method} {path} {}", body.chars().take(100).collect::<String>());
        let (answered, error) = node.ask(method, &path, body).await;
        assert_eq!((answered.as_u16(), &error["code"]), (status, &code.into()), "{shown}: {error}");
        assert!(error["error"].is_string() && error["error"] == error["message"], "{shown}: {error}");
        assert!(error["details"].is_object(), "{shown}: {error}");
    }
    let (status, _) = node.append("afterwards", 0).await;
    assert_eq!(status.as_u16(), 201);
    let (_, log) = node.get("/api/v1/log").await;
    assert_eq!(log["events"].as_array().unwrap().len(), 1, "a refused append left nothing (A4)");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_whether_its_length_is_declared_or_not() {
    let node = Running::start().await;
    let body = vec![b' '; limits::BODY_BYTES_MAX + 1];
    let (status, error) = node.post(EVENTS, body.clone()).await;
    assert_eq!((status.as_u16(), &error["code"]), (413, &"too_large".into()));
    let (status, _) = node.append("afterwards", 0).await;
    assert_eq!(status.as_u16(), 201);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_ends_its_connection_only() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let node = Running::start().await;
    for garbage in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxx",
    ] {
        let mut socket = tokio::net::TcpStream::connect(node.node.address()).await.unwrap();
        socket.write_all(garbage).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = socket.read_to_end(&mut answer).await;
    }
    let (status, _) = node.append("afterwards", 0).await;
    assert_eq!(status.as_u16(), 201);
    node.node.stop().await;
}
