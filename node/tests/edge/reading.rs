use std::time::Duration;

use futures::TryStreamExt as _;
use weir_client::{AppendSession, ErrorCode, ReadOptions, ReadSession, Start, v1::LogQuery};
use weir_types::{AppendRequest, Direction, ExpectedVersion};

use crate::{running::Running, session::request};

const PATIENCE: Duration = Duration::from_secs(10);

fn of(count: usize, stream: &str) -> AppendRequest {
    let mut append = request(stream, ExpectedVersion::Any);
    append.events = vec![append.events[0].clone(); count];
    append
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_over_grpc_are_the_pages_of_rest() {
    let node = Running::start().await;
    let session = AppendSession::open(&node.url(""), 8).await.unwrap();
    session.append(&of(7, "order-1"), PATIENCE).await.unwrap();
    session.append(&of(4, "order-2"), PATIENCE).await.unwrap();
    let reads = ReadSession::open(&node.url(""), PATIENCE).await.unwrap();

    let options = ReadOptions { page: Some(5), ..ReadOptions::default() };
    let page = reads.read_page("order-1", options).await.unwrap();
    let (_, rest) = node.get("/api/v1/streams/order-1/events?limit=5").await;
    let ids: Vec<String> = page.events.iter().map(|event| event.id.to_string()).collect();
    let rest_ids: Vec<&str> =
        rest["events"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, rest_ids);
    assert_eq!((page.version.0, page.next.unwrap().0, page.applied.0), (7, 6, 11));
    assert_eq!(&page.events[0].data[..], b"{}");
    let start = Start::Version(3);
    let back = ReadOptions { start, direction: Direction::Backward, ..ReadOptions::default() };
    let page = reads.read_page("order-1", back).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.version.0).collect::<Vec<_>>(), [3, 2, 1]);
    let page = reads.read_page("order-3", ReadOptions::default()).await.unwrap();
    assert_eq!((page.events.len(), page.version.0), (0, 0));

    let walk = async |query: LogQuery| reads.read_log(&query).await?.try_collect::<Vec<_>>().await;
    let pages = walk(LogQuery { limit: Some(4), ..LogQuery::default() }).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.events.len()).collect::<Vec<_>>(), [4, 4, 3]);
    let positions: Vec<u64> =
        pages.iter().flat_map(|page| &page.events).map(|event| event.position.0).collect();
    assert_eq!(positions, (1..=11).collect::<Vec<_>>());
    let back = LogQuery { direction: Some("backward".into()), limit: Some(6), ..LogQuery::default() };
    let pages = walk(back).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.events[0].position.0).collect::<Vec<_>>(), [11, 5]);

    let error = walk(LogQuery { limit: Some(5_000), ..LogQuery::default() }).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TooLarge), "{error:?}");
    let late = ReadOptions { min_position: Some(99), ..ReadOptions::default() };
    let error = reads.read_page("order-1", late).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Stale));
    let error = reads.read_page("", ReadOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidName));
    node.node.stop().await;
}
