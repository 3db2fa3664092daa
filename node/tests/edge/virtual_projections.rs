//! Virtual projections: a read folds the one stream that it asks for, and nothing else ever does.

use serde_json::{Value, json};

use crate::running::Running;

/// Keeps the numbers of a stream, and cannot fold 13.
fn numbers(kind: &str, more: &str) -> String {
    let source = format!(
        "export const name = 'numbers'; export const events = ['noted']; export const kind = '{kind}'; {more}\n\
         export const initialState = () => ({{ of: [] }});\n\
         export function handler(state, event, {{ partition }}) {{\n\
           if (event.data.n === 13) throw new Error('unlucky');\n\
           state.partition = partition; state.of.push(event.data.n);\n\
         }}"
    );
    json!({ "source": source }).to_string()
}

impl Running {
    async fn noted(&self, stream: &str, name: &str, n: u64, occurred: Option<&str>) {
        let body = json!({ "entityType": "t", "name": name, "data": { "n": n }, "occurredAt": occurred });
        let (status, answer) = self.post(&format!("/api/v1/streams/{stream}/events"), body.to_string()).await;
        assert_eq!(status.as_u16(), 201, "{answer}");
    }

    async fn state_of(&self, stream: &str, query: &str) -> (u16, Value) {
        let (status, view) =
            self.get(&format!("/api/v1/streams/{stream}/state?projection=numbers{query}")).await;
        (status.as_u16(), view)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_folded_when_it_is_read_at_any_moment_and_after_a_restart() {
    let node = Running::start().await;
    for (name, n, occurred) in [
        ("noted", 1, Some("2026-01-03T00:00:00Z")),
        ("other", 2, None),
        ("noted", 3, Some("2026-01-01T00:00:00Z")),
    ] {
        node.noted("s-1", name, n, occurred).await;
    }
    assert_eq!(node.state_of("s-1", "").await.1["code"], "projection_not_found");
    let (status, answer) = node.post("/api/v1/projections", numbers("virtual", "")).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
    let check = async |node: &Running| {
        for (query, last, of) in [
            ("", 3, json!([1, 3])),
            ("&as_of_version=1", 1, json!([1])),
            ("&asOfVersion=0", 0, json!([])),
            ("&at=2026-01-02T00:00:00Z", 3, json!([3])),
            ("&at=2026-01-03T00:00:00Z", 3, json!([3, 1])),
        ] {
            let (status, view) = node.state_of("s-1", query).await;
            assert_eq!((status, &view["state"]["of"]), (200, &of), "{query}: {view}");
            assert_eq!((&view["asOfVersion"], &view["version"]), (&json!(last), &json!(3)), "{query}");
        }
        assert_eq!(node.state_of("s-1", "").await.1["state"]["partition"], "s-1");
        assert_eq!(node.state_of("none", "").await.1["code"], "stream_not_found");
    };
    check(&node).await;
    node.noted("s-2", "noted", 4, None).await;
    assert_eq!(node.state_of("s-2", "").await.1["state"]["of"], json!([4]), "a state is of one stream");
    node.node.stop().await;
    let node = Running::start_in(node.folder).await;
    check(&node).await;
    node.noted("s-1", "noted", 5, None).await;
    assert_eq!(node.state_of("s-1", "").await.1["state"]["of"], json!([1, 3, 5]), "it is never behind");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_view_is_of_a_stream_and_what_follows_the_log_is_refused() {
    let node = Running::start().await;
    node.noted("s-1", "noted", 1, None).await;
    for (kind, more, why) in [
        ("virtual", "export const partitionKey = '$.entityId';", "partitionKey"),
        ("virtual", "export const onError = 'skip';", "onError"),
        ("imaginary", "", "imaginary"),
    ] {
        let (status, error) = node.post("/api/v1/projections", numbers(kind, more)).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("projection_invalid")), "{error}");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }
    node.post("/api/v1/projections", numbers("virtual", "")).await;
    let view = "/api/v1/projections/numbers";
    let (_, found) = node.get(&format!("{view}?partition=s-1&consistency=linearizable")).await;
    assert_eq!((&found["state"]["state"]["of"], &found["kind"]), (&json!([1]), &json!("virtual")), "{found}");
    assert_eq!((&found["status"], &found["lag"]), (&json!("active"), &json!(0)), "{found}");
    assert!(node.get(&format!("{view}?partition=none")).await.1["state"].is_null());
    assert_eq!(node.get(view).await.1["code"], "invalid_request");
    for path in ["partitions", "dead-letters", "past?position=1", "catchup?minSeq=1", "rebuild", "subscribe"]
    {
        let (status, error) = node.get(&format!("{view}/{path}")).await;
        assert_eq!((status.as_u16(), &error["code"]), (409, &json!("projection_virtual")), "{path}: {error}");
    }
    for path in ["rebuild", "pause", "resume"] {
        let (status, error) = node.post(&format!("{view}/{path}"), "{}").await;
        assert_eq!((status.as_u16(), &error["code"]), (409, &json!("projection_virtual")), "{path}: {error}");
    }
    node.noted("s-1", "noted", 13, None).await;
    let (status, error) = node.state_of("s-1", "").await;
    assert_eq!((status, &error["code"]), (422, &json!("state_failed")), "{error}");
    let reason = error["details"]["reason"].as_str().unwrap();
    assert!(reason.contains("`noted` of version 2") && reason.contains("unlucky"), "{reason}");
    assert_eq!(node.state_of("s-1", "&as_of_version=1").await.0, 200, "what lies before is there");
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_from_one_kind_to_another() {
    let node = Running::start().await;
    node.noted("s-1", "noted", 1, None).await;
    for kind in ["async", "virtual", "inline", "virtual"] {
        let (status, answer) = node.post("/api/v1/projections", numbers(kind, "")).await;
        assert_eq!(status.as_u16(), 201, "{answer}");
        let (status, found) = node.state_of("s-1", "").await;
        let (_, whole) = node.get("/api/v1/projections/numbers?consistency=linearizable").await;
        if kind == "virtual" {
            assert_eq!((status, &found["state"]["of"]), (200, &json!([1])), "{found}");
            assert_eq!(whole["code"], "invalid_request", "{whole}");
        } else {
            assert_eq!((status, &found["code"]), (409, &json!("projection_kind_conflict")), "{found}");
            assert_eq!(whole["state"]["state"]["of"], json!([1]), "{whole}");
        }
    }
    let removed = node.http.delete(node.url("/api/v1/projections/numbers")).send().await.unwrap();
    assert_eq!(removed.status().as_u16(), 204);
    assert_eq!(node.state_of("s-1", "").await.1["code"], "projection_not_found");
    node.node.stop().await;
}
