//! `ironflow.v1.PubSubService` in the Connect protocol with JSON. Its streams are of frames: a byte of flags, four
//! bytes of length and a payload; the last one has flag 2.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use serde_json::{Value, json};
use tokio::time::timeout;
use weir_actors::live::{Frame, Subscriber};
use weir_api::{
    ApiError, ErrorCode,
    connect::{PubSubSubscribe, SubscriptionEvent},
};
use weir_types::{Pattern, Selector, ViewPattern, subscription_id};

use super::{
    end::end_error,
    join,
    views::{Update, Updates},
};
use crate::{
    connect::groups,
    engine::Engine,
    http::extract::{parse_json, read_body},
};

pub(crate) const STREAMING_JSON: &str = "application/connect+json";
/// Events of a consumer group, for who cannot answer.
const JOIN: &str = "JoinConsumerGroup";
/// Events of a consumer group, for who answers.
const BIDIRECTIONAL: &str = "SubscribeBidirectional";
/// The methods that stream.
const STREAMS: &[&str] = &["Subscribe", JOIN, BIDIRECTIONAL];
/// Flag of the last frame.
pub(crate) const END: u8 = 2;
/// Bytes before a payload.
const HEAD_BYTES: usize = 5;
/// How long a client may take to send its request.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Bytes beyond which what is ready is sent.
const CHUNK_BYTES: usize = 32 * 1024;

pub(crate) async fn call(
    State(engine): State<Arc<Engine>>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    let given = request.headers().get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if groups::is_served(&method) {
        return groups::call(&engine, &method, request).await;
    }
    let refuse = |status: StatusCode, code: ErrorCode, message: &str| {
        (status, ApiError::new(code, message).to_connect().into_response()).into_response()
    };
    if !STREAMS.contains(&method.as_str()) {
        return refuse(StatusCode::NOT_FOUND, ErrorCode::Unimplemented, "method is not served here");
    }
    if essence != STREAMING_JSON {
        let message = format!("content type is not {STREAMING_JSON}");
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedMediaType, &message);
    }
    if method == BIDIRECTIONAL && !join::is_duplex(&request) {
        let message = "a stream both ways needs HTTP/2";
        return refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED, ErrorCode::Unimplemented, message);
    }
    // What goes wrong with a stream is said in its last frame.
    let body = match method.as_str() {
        BIDIRECTIONAL => join::converse(&engine, request),
        JOIN => join::join(&engine, request).await,
        _ => subscribe(&engine, request).await.map(Subscribed::into_body),
    };
    let mut response = body.unwrap_or_else(|error| Body::from(ended(&error))).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(STREAMING_JSON));
    response
}

/// What a call has subscribed to.
enum Subscribed {
    Events(Box<Answer>),
    States(Box<States>),
}

impl Subscribed {
    fn into_body(self) -> Body {
        match self {
            Self::Events(answer) => Body::from_stream(stream::unfold(*answer, |mut answer| async move {
                answer.chunk().await.map(|chunk| (Ok::<_, Infallible>(chunk), answer))
            })),
            Self::States(states) => Body::from_stream(stream::unfold(*states, |mut states| async move {
                states.chunk().await.map(|chunk| (Ok::<_, Infallible>(chunk), states))
            })),
        }
    }
}

async fn subscribe(engine: &Arc<Engine>, request: Request) -> Result<Subscribed, ApiError> {
    let late = |_| ApiError::new(ErrorCode::DeadlineExceeded, "request did not come in time");
    let body = timeout(BODY_WITHIN, read_body(request)).await.map_err(late)??;
    let asked: PubSubSubscribe = parse_json(payload(&body)?)?;
    if ViewPattern::is_one(&asked.pattern) {
        let (after, heartbeat) = asked.to_watch()?;
        let updates = engine.watch_pattern(&asked.pattern, after, heartbeat).await?;
        let id = subscription_id(&asked.pattern, 0);
        return Ok(Subscribed::States(Box::new(States { updates, id })));
    }
    let request = asked.to_request()?;
    let Selector::Pattern(pattern) = request.selector.clone() else {
        return Err(ApiError::invalid("request has no pattern"));
    };
    let subscriber = engine.subscribe(request).await?;
    let id = subscription_id(&asked.pattern, 0);
    let answer = Answer { subscriber, id, pattern, with_metadata: asked.wants_metadata() };
    Ok(Subscribed::Events(Box::new(answer)))
}

/// The payload of the one frame that a request has.
pub(crate) fn payload(body: &[u8]) -> Result<&[u8], ApiError> {
    let illegal = |why: &str| ApiError::invalid(format!("request is no frame of Connect: {why}"));
    let (head, payload) = body.split_at_checked(HEAD_BYTES).ok_or_else(|| illegal("it is too short"))?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    match head[0] {
        0 if payload.len() == length as usize => Ok(payload),
        0 => Err(illegal("its length is another")),
        _ => Err(illegal("its flags are not 0; compression is not served")),
    }
}

struct Answer {
    subscriber: Subscriber,
    id: String,
    pattern: Pattern,
    with_metadata: bool,
}

impl Answer {
    /// What is ready, in one go; `None` after the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        while bytes.is_empty() {
            let mut next = self.subscriber.next().await;
            next.as_ref()?;
            while let Some(frame) = next {
                self.write(&mut bytes, frame);
                next = if bytes.len() < CHUNK_BYTES { self.subscriber.ready() } else { None };
            }
        }
        Some(bytes.freeze())
    }

    /// The contract has frames for events and for the end alone.
    fn write(&self, bytes: &mut BytesMut, frame: Frame) {
        match frame {
            Frame::Event { event, .. } => {
                let event =
                    SubscriptionEvent::new(&self.id, &self.pattern, event.event(), self.with_metadata);
                let payload = serde_json::to_vec(&event).expect("an event is always JSON");
                put(bytes, 0, &payload);
            }
            Frame::Ended { reason, cursor } => bytes.put(ended(&end_error(reason, cursor))),
            Frame::Opened { .. }
            | Frame::CaughtUp { .. }
            | Frame::Heartbeat { .. }
            | Frame::LeftOut { .. } => {}
        }
    }
}

/// The states of a projection. The contract has frames for states and for the end alone.
struct States {
    updates: Updates,
    id: String,
}

impl States {
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        while bytes.is_empty() {
            match self.updates.next().await? {
                Update::State(update) => {
                    let event = SubscriptionEvent::of_state(&self.id, &update);
                    put(&mut bytes, 0, &serde_json::to_vec(&event).expect("a state is always JSON"));
                }
                Update::Ended(error) => bytes.put(ended(&error)),
                Update::CaughtUp(_) | Update::Heartbeat(_) | Update::Redeployed(_) => {}
            }
        }
        Some(bytes.freeze())
    }
}

/// Writes a frame.
pub(crate) fn put(bytes: &mut BytesMut, flags: u8, payload: &[u8]) {
    bytes.put_u8(flags);
    bytes.put_u32(u32::try_from(payload.len()).expect("a payload is far below 4 GiB"));
    bytes.put_slice(payload);
}

/// The last frame of a stream that failed.
pub(crate) fn ended(error: &ApiError) -> Bytes {
    let error: Value = serde_json::from_slice(&error.to_connect().to_json()).unwrap_or_default();
    let mut bytes = BytesMut::new();
    put(&mut bytes, END, json!({ "error": error }).to_string().as_bytes());
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_frame() {
        assert_eq!(payload(&[0, 0, 0, 0, 2, b'{', b'}']).unwrap(), b"{}");
        for bad in [&[][..], &[0, 0, 0], &[0, 0, 0, 0, 3, b'{', b'}'], &[1, 0, 0, 0, 2, b'{', b'}']] {
            assert!(payload(bad).is_err(), "{bad:?}");
        }
        let end = ended(&ApiError::new(ErrorCode::Unavailable, "node is stopping"));
        assert_eq!(end[0], END);
        let said: Value = serde_json::from_slice(&end[5..]).unwrap();
        assert_eq!(said["error"]["code"], "unavailable");
    }
}
