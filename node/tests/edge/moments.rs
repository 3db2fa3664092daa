//! Reads of a stream's past, through every door and on every node.

use std::time::Duration;

use futures::TryStreamExt as _;
use serde_json::json;
use weir_client::{Client, ReadOptions, ReadSession};
use weir_types::{Direction, Moment, StreamVersion, Timestamp};

use crate::running::Running;

const EVENTS: &str = "/api/v1/streams/o-1/events";

impl Running {
    /// Versions that are read, with the version of the moment and where the next page begins.
    async fn versions(&self, query: &str) -> (Vec<u64>, Option<u64>, Option<u64>) {
        let (status, page) = self.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(status.as_u16(), 200, "{query}: {page}");
        let events = page["events"].as_array().unwrap();
        let versions = events.iter().map(|event| event["version"].as_u64().unwrap()).collect();
        (versions, page["asOfVersion"].as_u64(), page["nextVersion"].as_u64())
    }

    async fn recorded(&self, version: u64) -> String {
        let (_, page) = self.get(&format!("{EVENTS}?from_version={version}&limit=1")).await;
        page["events"][0]["recordedAt"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_as_of_any_moment() {
    let node = Running::start().await;
    for day in [Some(3), Some(1), None, Some(2), Some(2)] {
        let at = day.map(|day| format!("2026-01-0{day}T00:00:00Z"));
        let body = json!({ "entityType": "order", "name": "noted", "data": {}, "occurredAt": at });
        assert_eq!(node.post(EVENTS, body.to_string()).await.0.as_u16(), 201);
    }
    let third = node.recorded(3).await;
    assert_eq!(node.versions("").await, (vec![1, 2, 3, 4, 5], None, None));
    assert_eq!(node.versions("asOfVersion=2").await, (vec![1, 2], Some(2), None));
    assert_eq!(node.versions("as_of_version=0").await, (vec![], Some(0), None));
    assert_eq!(node.versions("as_of_version=9&limit=2").await, (vec![1, 2], Some(5), Some(3)));
    // Appends that follow each other are never recorded in one microsecond here, or the last would be later.
    let (versions, last, _) = node.versions(&format!("asOf={third}")).await;
    assert!(versions.starts_with(&[1, 2, 3]) && last >= Some(3), "{versions:?}");
    assert_eq!(node.versions("asOf=2026-01-01T00:00:00Z").await, (vec![], Some(0), None));
    assert_eq!(node.versions("at=2026-01-02T00:00:00Z").await, (vec![2, 4, 5], Some(5), None));
    assert_eq!(
        node.versions("at=2026-01-02T01:00:00%2B01:00&as_of_version=4").await,
        (vec![2, 4], Some(4), None)
    );
    assert_eq!(
        node.versions("at=2026-01-02T00:00:00Z&direction=backward&limit=2").await,
        (vec![5, 4], Some(5), Some(2))
    );
    assert_eq!(node.versions("as_of_version=4&direction=backward&from_version=9").await.0, [4, 3, 2, 1]);
    let (_, history) = node.get("/api/v1/streams/o-1/history?asOfVersion=2").await;
    assert_eq!(history["entries"].as_array().unwrap().len(), 2, "{history}");
    assert_eq!(node.get("/api/v1/streams/none/events?asOfVersion=2").await.1["asOfVersion"], 0);
    for bad in ["asOf=yesterday", "at=1", "as_of_version=x", "as_of_version=1&wait_ms=5"] {
        let (status, error) = node.get(&format!("{EVENTS}?{bad}")).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("invalid_request")), "{bad}");
    }
    assert_eq!(node.get("/api/v1/streams/o-1?asOfVersion=2").await.0.as_u16(), 400);

    let client = Client::connect([node.url("")]).await.unwrap();
    let reads = ReadSession::open(&node.url(""), Duration::from_secs(20)).await.unwrap();
    let second = Some(Timestamp(1_767_312_000_000_000));
    for (moment, direction, expected) in [
        (
            Moment { as_of_version: Some(StreamVersion(2)), ..Moment::default() },
            Direction::Forward,
            vec![1, 2],
        ),
        (Moment { at: second, ..Moment::default() }, Direction::Forward, vec![2, 4, 5]),
        (Moment { at: second, ..Moment::default() }, Direction::Backward, vec![5, 4, 2]),
        (Moment { as_of: second, ..Moment::default() }, Direction::Forward, vec![]),
    ] {
        let options = ReadOptions { moment, direction, page: Some(2), ..ReadOptions::default() };
        let events: Vec<_> = client.read("o-1", options).try_collect().await.unwrap();
        assert_eq!(events.iter().map(|event| event.version).collect::<Vec<_>>(), expected, "{moment:?}");
        let options = ReadOptions { page: Some(10), ..options };
        let page = reads.read_page("o-1", options).await.unwrap();
        assert_eq!(
            page.events.iter().map(|event| event.version.0).collect::<Vec<_>>(),
            expected,
            "{moment:?}"
        );
        assert!(page.as_of.is_some());
    }
    let before =
        (node.versions("at=2026-01-02T00:00:00Z").await, node.versions(&format!("asOf={third}")).await);
    node.node.stop().await;
    let node = Running::start_in(node.folder).await;
    let after =
        (node.versions("at=2026-01-02T00:00:00Z").await, node.versions(&format!("asOf={third}")).await);
    assert_eq!(after, before);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_stream_is_known_at_any_moment_and_after_a_restart() {
    let node = Running::start().await;
    let append = async |node: &Running, amount: i64, at: Option<&str>| {
        let body = json!({ "entityType": "account", "name": "moved", "data": { "amount": amount }, "occurredAt": at });
        node.post("/api/v1/streams/a-1/events", body.to_string()).await.0.as_u16()
    };
    assert_eq!(append(&node, 10, Some("2026-01-03T00:00:00Z")).await, 201);
    assert_eq!(append(&node, 5, Some("2026-01-01T00:00:00Z")).await, 201);
    let path = "/api/v1/streams/a-1/state";
    let (status, none) = node.get(path).await;
    assert_eq!((status.as_u16(), &none["code"]), (404, &json!("rules_not_found")), "{none}");
    let invariant = "export const initialState = { balance: 0, moves: [] }; \
                     export function fold(state, { data }) { state.balance += data.amount; state.moves.push(data.amount); } \
                     export const check = (state) => state.balance < 0 ? 'too little' : undefined;";
    let rules = json!({ "invariant": invariant });
    node.ask(reqwest::Method::PUT, "/api/v1/rules/types/account", rules.to_string()).await;
    assert_eq!(append(&node, -15, None).await, 201);
    assert_eq!(append(&node, -1, None).await, 422);
    let cases = [
        ("", 3, json!({ "balance": 0, "moves": [10, 5, -15] })),
        ("?asOfVersion=2", 2, json!({ "balance": 15, "moves": [10, 5] })),
        ("?as_of_version=0", 0, json!({ "balance": 0, "moves": [] })),
        ("?at=2026-01-02T00:00:00Z", 3, json!({ "balance": 5, "moves": [5] })),
        ("?at=2026-01-03T00:00:00Z", 3, json!({ "balance": 15, "moves": [5, 10] })),
        ("?asOf=2020-01-01T00:00:00Z", 0, json!({ "balance": 0, "moves": [] })),
    ];
    let check = async |node: &Running| {
        for (query, last, state) in &cases {
            let (status, view) = node.get(&format!("{path}{query}")).await;
            assert_eq!((status.as_u16(), &view["state"]), (200, state), "{query}: {view}");
            assert_eq!((&view["asOfVersion"], &view["version"]), (&json!(last), &json!(3)), "{query}");
        }
    };
    check(&node).await;
    let client = Client::connect([node.url("")]).await.unwrap();
    let moment = Moment { as_of_version: Some(StreamVersion(1)), ..Moment::default() };
    assert_eq!(
        client.state("a-1", None, moment).await.unwrap().state.get(),
        r#"{"balance":10,"moves":[10]}"#
    );
    assert_eq!(node.get("/api/v1/streams/none/state").await.1["code"], "stream_not_found");
    assert_eq!(node.get(&format!("{path}?asOf=now")).await.0.as_u16(), 400);
    node.node.stop().await;
    let node = Running::start_in(node.folder).await;
    check(&node).await;
    let broken = json!({ "invariant": invariant.replace("state.moves.push", "state.none.push") });
    node.ask(reqwest::Method::PUT, "/api/v1/rules/types/account", broken.to_string()).await;
    let (status, error) = node.get(path).await;
    assert_eq!((status.as_u16(), &error["code"]), (422, &json!("state_failed")), "{error}");
    node.node.stop().await;
}
