//! Server-sent events: the id of each is the cursor, so that a browser that comes back goes on by itself.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use serde::Serialize;
use weir_actors::live::{Frame, SharedEvent, Subscriber};
use weir_api::{
    ApiError, ErrorCode,
    v1::{EventView, StateUpdate, StatesQuery, SubscribeQuery, SubscriptionEnd, SubscriptionMark, sse},
};
use weir_types::{Cursor, EntityId, Position, ProjectionName, RecordedEvent, ViewPattern};

use super::{
    end::end_error,
    views::{Update, Updates},
};
use crate::{
    engine::Engine,
    http::{
        error::HttpError,
        extract::{Params, Search},
    },
};

/// Bytes beyond which what is ready is sent.
const CHUNK_BYTES: usize = 32 * 1024;
/// Under this number, an event keeps its text for everybody.
const FORM: usize = 0;
/// What a browser adds when it comes back.
const LAST_EVENT_ID: &str = "last-event-id";

pub(crate) async fn by_pattern(
    engine: State<Arc<Engine>>,
    headers: HeaderMap,
    query: Search<SubscribeQuery>,
) -> Result<Response, HttpError> {
    answer(engine, &headers, query, None).await
}

pub(crate) async fn by_stream(
    engine: State<Arc<Engine>>,
    Params(id): Params<String>,
    headers: HeaderMap,
    query: Search<SubscribeQuery>,
) -> Result<Response, HttpError> {
    answer(engine, &headers, query, Some(EntityId::new(id)?)).await
}

/// The states of a projection.
pub(crate) async fn by_projection(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<StatesQuery>,
) -> Result<Response, HttpError> {
    let (partitions, after, heartbeat) = query.to_watch()?;
    let name = ProjectionName::new(name)?;
    states(engine.watch_views(&name, partitions, after, heartbeat).await?)
}

fn states(updates: Updates) -> Result<Response, HttpError> {
    let chunks = stream::unfold(updates, |mut updates| async move {
        let update = updates.next().await?;
        Some((Ok::<_, std::convert::Infallible>(said(&update)), updates))
    });
    Ok(streamed(Body::from_stream(chunks)))
}

/// What is said of a projection's states.
fn said(update: &Update) -> Bytes {
    let mut text = BytesMut::new();
    let mut put = |name: Option<&str>, position: u64, data: String| {
        if let Some(name) = name {
            text.put_slice(format!("event: {name}\n").as_bytes());
        }
        text.put_slice(format!("id: {position}\n").as_bytes());
        text.put(lines(&data));
    };
    let mark = |position: &Position| {
        (position.0, json(&SubscriptionMark { position: position.0, ..SubscriptionMark::default() }))
    };
    match update {
        Update::State(update) => put(None, update.position.0, json(&StateUpdate::from(&**update))),
        Update::CaughtUp(position) => {
            let (position, data) = mark(position);
            put(Some(sse::CAUGHT_UP), position, data);
        }
        Update::Heartbeat(position) => {
            let (position, data) = mark(position);
            put(Some(sse::HEARTBEAT), position, data);
        }
        Update::Redeployed(id) => {
            put(Some(sse::REDEPLOYED), 0, json(&serde_json::json!({ "deployed": id.deployed.0 })));
        }
        Update::Ended(error) => {
            let (code, message) = (error.code.as_str().to_owned(), error.message.clone());
            let end = SubscriptionEnd { code, message, position: 0, cursor: String::new() };
            put(Some(sse::END), 0, json(&end));
        }
    }
    text.freeze()
}

async fn answer(
    State(engine): State<Arc<Engine>>,
    headers: &HeaderMap,
    Search(mut query): Search<SubscribeQuery>,
    stream: Option<EntityId>,
) -> Result<Response, HttpError> {
    if let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        let id = id.to_str().map_err(|_| ApiError::from(weir_types::CursorError::Illegal))?;
        query.cursor = Some(id.to_owned());
    }
    if let Some(pattern) = query.pattern.as_deref().filter(|pattern| ViewPattern::is_one(pattern)) {
        if query.filter.as_deref().is_some_and(|filter| !filter.is_empty()) {
            return Err(ApiError::new(ErrorCode::Unimplemented, "filters are not served for states").into());
        }
        let wanted = StatesQuery { heartbeat_ms: query.heartbeat_ms, ..StatesQuery::default() };
        let (_, _, heartbeat) = wanted.to_watch()?;
        let after = Position(query.after_position.or(query.after).unwrap_or(0));
        return states(engine.watch_pattern(pattern, after, heartbeat).await?);
    }
    let subscriber = engine.subscribe(query.to_request(stream)?).await?;
    let chunks = stream::unfold(subscriber, |mut subscriber| async move {
        chunk(&mut subscriber).await.map(|bytes| (Ok::<_, std::convert::Infallible>(bytes), subscriber))
    });
    Ok(streamed(Body::from_stream(chunks)))
}

fn streamed(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies hold back what they think is a page.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// What is ready, in one go.
async fn chunk(subscriber: &mut Subscriber) -> Option<Bytes> {
    let mut text = BytesMut::new();
    let mut next = subscriber.next().await;
    next.as_ref()?;
    while let Some(frame) = next {
        write(&mut text, frame);
        next = if text.len() < CHUNK_BYTES { subscriber.ready() } else { None };
    }
    Some(text.freeze())
}

fn write(text: &mut BytesMut, frame: Frame) {
    match frame {
        Frame::Event { event, cursor } => {
            head(text, None, cursor);
            text.put(data(&event));
        }
        Frame::Opened { cursor, found } => mark(text, sse::OPENED, cursor, found, None),
        Frame::CaughtUp { cursor } => mark(text, sse::CAUGHT_UP, cursor, None, None),
        Frame::Heartbeat { cursor } => mark(text, sse::HEARTBEAT, cursor, None, None),
        Frame::LeftOut { count, cursor } => mark(text, sse::LEFT_OUT, cursor, None, Some(count)),
        Frame::Ended { reason, cursor } => {
            let error = end_error(reason, cursor);
            let (code, message) = (error.code.as_str().to_owned(), error.message);
            let end =
                SubscriptionEnd { code, message, position: cursor.position.0, cursor: cursor.to_string() };
            head(text, Some(sse::END), cursor);
            text.put(lines(&json(&end)));
        }
    }
}

fn mark(text: &mut BytesMut, name: &str, cursor: Cursor, found: Option<u64>, count: Option<u64>) {
    head(text, Some(name), cursor);
    text.put(lines(&json(&SubscriptionMark { position: cursor.position.0, found, count })));
}

fn head(text: &mut BytesMut, name: Option<&str>, cursor: Cursor) {
    if let Some(name) = name {
        text.put_slice(format!("event: {name}\n").as_bytes());
    }
    text.put_slice(format!("id: {cursor}\n").as_bytes());
}

fn data(event: &SharedEvent) -> Bytes {
    event.text(FORM, |event: &RecordedEvent| lines(&json(&EventView::from(event))))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is said is always JSON")
}

/// The data lines of an event, and its end. JSON keeps its meaning when a line break in it becomes another.
fn lines(json: &str) -> Bytes {
    let mut text = BytesMut::with_capacity(json.len() + 8);
    for line in json.split(['\n', '\r']) {
        text.put_slice(b"data: ");
        text.put_slice(line.as_bytes());
        text.put_u8(b'\n');
    }
    text.put_u8(b'\n');
    text.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_json_does_not_end_an_event() {
        assert_eq!(lines("{\"a\":\r\n 1}"), "data: {\"a\":\ndata: \ndata:  1}\n\n");
        assert_eq!(lines("{}"), "data: {}\n\n");
    }
}
