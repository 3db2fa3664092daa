use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use weir_client::{Client, ClientError, ReadSession, v1::LogQuery};

use super::{pace::Pace, read::Reader, tally::Tally};

/// One reader that walks through the whole log, page after page, and begins again at its end.
pub(super) async fn walk(reader: Reader, page: u64, pace: Pace, tally: Tally) {
    let again = stream::repeat(()).flat_map(|()| match &reader {
        Reader::Rest(client) => rest(client.clone(), page).left_stream(),
        Reader::Grpc(session) => grpc(session.clone(), page).right_stream(),
    });
    let mut pages = std::pin::pin!(again);
    while let Some(begin) = pace.next().await {
        match pages.next().await {
            Some(Ok(events)) => tally.count(begin, Ok(events as u64)),
            Some(Err(error)) => tally.count(begin, Err(&error)),
            None => break,
        }
    }
}

/// The numbers of events in the log's pages.
fn grpc(session: ReadSession, page: u64) -> impl Stream<Item = Result<usize, ClientError>> {
    let walk = async move {
        let query = LogQuery { limit: Some(page), ..LogQuery::default() };
        session.read_log(&query).await
    };
    stream::once(walk).try_flatten().map_ok(|slice| slice.events.len())
}

/// The same over REST.
fn rest(client: Client, page: u64) -> impl Stream<Item = Result<usize, ClientError>> {
    stream::try_unfold(Some(1), move |from: Option<u64>| {
        let client = client.clone();
        async move {
            let Some(from) = from else { return Ok(None) };
            let found = client.read_log(from, page).await?;
            let next = (found.next_position <= found.position).then_some(found.next_position);
            Ok(Some((found.events.len(), next)))
        }
    })
}
