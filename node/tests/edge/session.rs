use bytes::Bytes;
use connectrpc::{
    Protocol,
    client::{ClientConfig, Http2Connection},
};
use weir_api::{proto::v1, session};
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

#[tokio::test(flavor = "multi_thread")]
async fn appends_of_one_message_are_answered_alone_until_the_client_says_that_it_reads_them_together() {
    let node = Running::start().await;
    let config = ClientConfig::new(node.url("").parse().unwrap()).with_protocol(Protocol::Grpc);
    let connection = Http2Connection::connect_plaintext(config.base_uri().clone()).await.unwrap();
    let client = v1::StreamServiceClient::new(connection.shared(4), config);
    let mut session = client.append_session().await.unwrap();
    for together in [false, true] {
        let appends = (0..40).map(|id| {
            let stream = format!("order-{together}-{}", id % 20);
            (id, session::request_to_proto(&request(&stream, exact(id / 20))))
        });
        let mut message = session::requests_to_proto(appends);
        message.answers_together = together;
        // An append that is not there is refused by itself.
        message.more[7].append = None.into();
        session.send(message).await.unwrap();
        let mut answers = Vec::new();
        while answers.len() < 40 {
            let answer = session.message::<v1::AppendSessionResponse>().await.unwrap().unwrap();
            let answer = answer.to_owned_message();
            assert!(together || answer.more.is_empty());
            answers.extend(session::outcomes_from_proto(&answer));
        }
        answers.sort_by_key(|(id, _)| *id);
        for (number, (id, outcome)) in (0..).zip(answers) {
            assert_eq!(id, number);
            match id {
                8 => assert_eq!(outcome.unwrap_err().code, ErrorCode::InvalidRequest),
                28 => assert_eq!(outcome.unwrap_err().code, ErrorCode::VersionConflict),
                _ => assert_eq!(outcome.unwrap().last_version, StreamVersion(id / 20 + 1)),
            }
        }
    }
    session.close_send();
    node.node.stop().await;
}
