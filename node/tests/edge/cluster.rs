use futures::future::join_all;
use uuid::Uuid;
use weir_client::{AppendSession, ErrorCode};
use weir_node::{
    config::{Member, NodeConfig},
    node,
};
use weir_types::{NodeId, StreamVersion};

use crate::{
    eventually::eventually,
    running::{Running, free},
    session::{exact, request},
};

/// Three nodes in this process, ready.
async fn three() -> Vec<Running> {
    let cluster = Uuid::new_v4();
    let members: Vec<Member> = (1..=3)
        .map(|id| Member { node: NodeId(id), peer: free().to_string(), edge: format!("http://{}", free()) })
        .collect();
    let starts = members.iter().map(|member| {
        let folder = tempfile::TempDir::new().unwrap();
        let config = NodeConfig {
            node_id: Some(member.node.0),
            cluster_id: Some(cluster),
            data_dir: folder.path().join("node"),
            listen: member.edge_address().parse().unwrap(),
            peer_listen: member.peer.parse().unwrap(),
            peers: members.clone(),
            bootstrap: true,
            ..NodeConfig::default()
        };
        Running::start_with(config, folder)
    });
    join_all(starts).await
}

async fn leader_of(nodes: &[Running]) -> usize {
    let (_, status) = nodes[0].get("/api/v1/cluster").await;
    usize::try_from(status["leader"].as_u64().unwrap() - 1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_call() {
    let nodes = three().await;
    for (version, node) in (0..).zip(&nodes) {
        let (status, appended) = node.append("order-1", version).await;
        assert_eq!((status.as_u16(), &appended["lastPosition"]), (201, &(version + 1).into()), "{appended}");
        let (status, conflict) = node.append("order-1", 0).await;
        assert_eq!((status.as_u16(), &conflict["details"]["actualVersion"]), (409, &(version + 1).into()));
        for reader in &nodes {
            let (_, page) = reader.get("/api/v1/streams/order-1/events").await;
            assert_eq!(page["version"], version + 1, "a read is linearizable on every node");
        }
    }
    let source = "export const name = 'all'; export const events = ['*'];\
                  export const initialState = () => 0; export const handler = (n) => n + 1;";
    let follower = (leader_of(&nodes).await + 1) % 3;
    let body = serde_json::json!({ "source": source }).to_string();
    let (status, deployed) = nodes[follower].post("/api/v1/projections", body).await;
    assert_eq!(status.as_u16(), 201, "{deployed}");
    for node in &nodes {
        let (_, view) = node.get("/api/v1/projections/all?consistency=linearizable").await;
        assert_eq!(view["state"]["state"], 3, "{view}");
    }
    join_all(nodes.into_iter().map(|running| running.node.stop())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_a_follower_keeps_the_order_of_submission() {
    let nodes = three().await;
    let follower = (leader_of(&nodes).await + 1) % 3;
    let session = AppendSession::open(&nodes[follower].url(""), 100).await.unwrap();
    let mut pending = Vec::new();
    for version in 0..100 {
        pending.push(session.submit(&request("order-1", exact(version))).await.unwrap());
    }
    for (version, append) in (1..).zip(pending) {
        assert_eq!(append.outcome().await.unwrap().last_version, StreamVersion(version));
    }
    join_all(nodes.into_iter().map(|running| running.node.stop())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_calls_reach_the_leader_from_every_node() {
    let nodes = three().await;
    let leader = leader_of(&nodes).await;
    let (to, by) = ((leader + 1) % 3, (leader + 2) % 3);
    let (status, moved) = nodes[by].post("/api/v1/cluster/transfer", format!(r#"{{"to":{}}}"#, to + 1)).await;
    assert_eq!(status.as_u16(), 200, "{moved}");
    let (status, appended) = nodes[leader].append("order-1", 0).await;
    assert_eq!(status.as_u16(), 201, "{appended}");
    assert_eq!(leader_of(&nodes).await, to);
    let (status, refused) = nodes[leader].post("/api/v1/cluster/transfer", r#"{"to":9}"#).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &"membership_conflict".into()));
    join_all(nodes.into_iter().map(|running| running.node.stop())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_tells_how_long_each_member_was_silent() {
    let mut nodes = three().await;
    let leader = leader_of(&nodes).await;
    let (_, elsewhere) = nodes[(leader + 1) % 3].get("/api/v1/cluster").await;
    assert!(elsewhere["members"].as_array().unwrap().iter().all(|member| member.get("silentMs").is_none()));
    let gone = (leader + 2) % 3;
    nodes[leader].metric_is("weir_raft_peer_silent_seconds{group=\"1\",peer=", |seconds| seconds < 2.0).await;
    let Running { node, http, folder } = nodes.remove(gone);
    node.stop().await;
    let leader = &nodes[if gone < leader { leader - 1 } else { leader }];
    eventually("the leader notices that a node is silent", async || {
        let (_, status) = leader.get("/api/v1/cluster").await;
        let silent = |id: usize| status["members"][id]["silentMs"].as_u64();
        let others = (0..3).filter(|id| *id != gone).all(|id| silent(id).is_some_and(|ms| ms < 1_500));
        others && silent(gone).is_some_and(|ms| ms > 2_000)
    })
    .await;
    drop((http, folder));
    join_all(nodes.into_iter().map(|running| running.node.stop())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_no_cluster_says_so_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = NodeConfig {
        node_id: Some(1),
        cluster_id: Some(Uuid::new_v4()),
        data_dir: folder.path().join("node"),
        listen: free(),
        peer_listen: free(),
        ..NodeConfig::default()
    };
    let node = node::start(config.check().unwrap()).await.unwrap();
    let running = Running { node, http: reqwest::Client::new(), folder };
    for path in ["/api/v1/streams/order-1/events", "/api/v1/projections", "/api/v1/outbox"] {
        let (status, refused) = running.get(path).await;
        assert_eq!((status.as_u16(), &refused["code"]), (503, &"not_initialized".into()), "{path}");
    }
    let (status, refused) = running.append("order-1", 0).await;
    assert_eq!((status.as_u16(), &refused["code"]), (503, &"not_initialized".into()));
    let session = AppendSession::open(&running.url(""), 10).await.unwrap();
    let refused = session.submit(&request("order-1", exact(0))).await.unwrap().outcome().await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NotInitialized), "{refused}");
    let call = running.http.post(running.url("/weir.v1.StreamService/Append")).json(&serde_json::json!({
        "entityId": "order-1", "entityType": "order", "expectedVersion": "0",
        "events": [{ "name": "order.placed", "data": "e30=" }],
    }));
    let answer: serde_json::Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["details"][0]["debug"]["code"], "not_initialized", "{answer}");
    assert_eq!(running.get("/api/v1/cluster").await.0.as_u16(), 200);
    running.node.stop().await;
}
