use bytes::Bytes;
use weir_client::{AppendSession, ErrorCode};
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventName, EventSource, ExpectedVersion, GroupId,
    NewEvent, StreamVersion,
};

use crate::running::Running;

pub fn request(stream: &str, expected: ExpectedVersion) -> AppendRequest {
    let event = NewEvent {
        id: None,
        name: EventName::new("order.placed").unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from_static(b"{}"),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    };
    AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: EntityId::new(stream).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        expected,
        idempotency_key: None,
        events: vec![event],
    }
}

pub fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(StreamVersion(version))
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_in_flight_are_answered_each_by_itself_and_decided_in_order() {
    let node = Running::start().await;
    let session = AppendSession::open(&node.url(""), 500).await.unwrap();
    let mut pending = Vec::new();
    // The first creates the stream alone, so that the rest is on its way while its actor is up.
    session.submit(&request("order-1", exact(0))).await.unwrap().outcome().await.unwrap();
    for version in 1..500 {
        pending.push(session.submit(&request("order-1", exact(version))).await.unwrap());
    }
    for (version, append) in (2..).zip(pending) {
        assert_eq!(append.outcome().await.unwrap().last_version, StreamVersion(version));
    }
    let refused = session.submit(&request("order-1", exact(3))).await.unwrap();
    let good = session.submit(&request("order-2", ExpectedVersion::Any)).await.unwrap();
    let error = refused.outcome().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::VersionConflict));
    assert_eq!(good.outcome().await.unwrap().last_version, StreamVersion(1));
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_open_does_not_hold_up_a_stop() {
    let node = Running::start().await;
    let session = AppendSession::open(&node.url(""), 8).await.unwrap();
    session.submit(&request("order-1", exact(0))).await.unwrap().outcome().await.unwrap();
    let began = std::time::Instant::now();
    node.node.stop().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
}
