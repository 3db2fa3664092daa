//! Reads of what projections have folded.

use reqwest::{StatusCode, header};
use serde_json::json;

use crate::running::Running;

const BY_CUSTOMER: &str = "export const name = 'by-customer'; export const events = ['order.*'];\
    export const partitionKey = '$.data.customer'; export const initialState = () => ({ n: 0 });\
    export const handler = (state) => ({ n: state.n + 1 });";

async fn with_customers(names: &[&str]) -> Running {
    let node = Running::start().await;
    let (status, answer) =
        node.post("/api/v1/projections", json!({ "source": BY_CUSTOMER }).to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    order(&node, names).await;
    node
}

/// Appends an order of each, and waits until they are folded.
async fn order(node: &Running, names: &[&str]) {
    let events: Vec<_> =
        names.iter().map(|name| json!({ "name": "order.placed", "data": { "customer": name } })).collect();
    let body = json!({ "entityType": "order", "events": events });
    let (status, ack) = node.post("/api/v1/streams/o/events", body.to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{ack}");
    let position = ack["lastPosition"].as_u64().unwrap();
    let path = format!("/api/v1/projections/by-customer/catchup?minSeq={position}");
    assert_eq!(node.get(&path).await.1["caughtUp"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_client_has_is_not_sent_again() {
    let node = with_customers(&["ada", "bob"]).await;
    let get = async |partition: &str, tag: &str| {
        let url = node.url(&format!("/api/v1/projections/by-customer?partition={partition}"));
        let answer = node.http.get(url).header(header::IF_NONE_MATCH, tag).send().await.unwrap();
        let tag = answer.headers()[header::ETAG].to_str().unwrap().to_owned();
        (answer.status().as_u16(), tag, answer.text().await.unwrap())
    };
    let (status, tag, body) = get("ada", "\"0\"").await;
    let view: serde_json::Value = serde_json::from_str(&body).unwrap();
    let (_, read) = node.get("/api/v1/streams/o/events").await;
    assert_eq!((status, &view["state"]["last_event_id"]), (200, &read["events"][0]["id"]));
    assert_eq!(view["state"]["last_event_time"], read["events"][0]["recordedAt"]);
    assert_eq!(get("ada", &tag).await, (304, tag.clone(), String::new()));
    // What is folded for others does not change it.
    order(&node, &["bob"]).await;
    assert_eq!(get("ada", &tag).await.0, 304);
    order(&node, &["ada"]).await;
    let (status, newer, _) = get("ada", &tag).await;
    assert_eq!((status, newer == tag), (200, false));
    assert_eq!(get("nobody", "*").await.0, 304);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_searched_and_paged() {
    let names: Vec<String> =
        (0..70).map(|n| format!("{}/{n:02}", if n % 2 == 0 { "eu" } else { "us" })).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["eu", "ap/7"]).collect();
    let node = with_customers(&names).await;
    let list = async |query: &str| {
        let (status, page) = node.get(&format!("/api/v1/projections/by-customer/partitions?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page
    };
    let keys = |page: &serde_json::Value| -> Vec<String> {
        page["partitions"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    let all = list("limit=1000").await;
    assert_eq!((keys(&all).len(), all.get("next")), (72, None));
    assert_eq!(keys(&list("prefix=eu").await).len(), 36);
    assert_eq!(keys(&list("prefix=eu/").await).len(), 35);
    assert_eq!(keys(&list("q=/7").await), ["ap/7"]);
    assert_eq!(
        keys(&list("prefix=us/&q=3").await),
        ["us/03", "us/13", "us/23", "us/31", "us/33", "us/35", "us/37", "us/39", "us/43", "us/53", "us/63"]
    );
    let (mut after, mut walked) = (String::new(), Vec::new());
    loop {
        let page = list(&format!("prefix=eu&limit=10&after={after}")).await;
        assert_eq!(page["entries"][0]["partition"], page["partitions"][0]);
        walked.extend(keys(&page));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(walked, keys(&list("prefix=eu").await));
    node.node.stop().await;
}
