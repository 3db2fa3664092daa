//! `/ws`: the WebSocket of the contract. Subscriptions of one socket are numbered by pattern and use, so that
//! a client that comes back and subscribes again knows their ids.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::StreamMap;
use weir_actors::live::{EndReason, Frame, SharedEvent, Subscriber};
use weir_api::{
    ApiError, ErrorCode,
    connect::{PubSubSubscribe, payload_of, topic_of},
    format_timestamp,
    socket::{EventMeta, SocketFrame, SocketMark, SocketRequest, code_of},
    v1::metadata_of,
};
use weir_types::{Cursor, Pattern, Selector, limits, subscription_id};

use super::end::end_error;
use crate::{engine::Engine, http::error::HttpError};

/// Between pings, by which a client that is gone is found out.
const PING: Duration = Duration::from_secs(15);
/// The server goes away, and comes back: a client connects again. Code 1000 would tell it not to.
const RESTARTS: u16 = close_code::RESTART;

pub(crate) async fn upgrade(
    State(engine): State<Arc<Engine>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let error = ApiError::invalid(format!("this is a WebSocket: {}", rejection.body_text()));
            return HttpError(error).into_response();
        }
    };
    if let Err(error) = engine.must_be_in_cluster() {
        return HttpError(error).into_response();
    }
    let upgrade = upgrade.max_message_size(limits::SOCKET_FRAME_BYTES_MAX);
    let upgrade = upgrade.max_frame_size(limits::SOCKET_FRAME_BYTES_MAX);
    upgrade.on_upgrade(move |socket| Connection::new(engine, socket).run())
}

/// A subscription's frames, and what they are written with.
type Frames = BoxStream<'static, (Arc<Style>, Frame)>;

/// How a subscription's frames are written.
struct Style {
    pattern: Pattern,
    with_metadata: bool,
    with_cursors: bool,
}

struct Connection {
    engine: Arc<Engine>,
    socket: WebSocket,
    subscriptions: StreamMap<String, Frames>,
}

/// The socket is not of use any more.
struct Gone;

impl Connection {
    fn new(engine: Arc<Engine>, socket: WebSocket) -> Self {
        Self { engine, socket, subscriptions: StreamMap::new() }
    }

    async fn run(mut self) {
        let closing = self.engine.closing().clone();
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let went = tokio::select! {
                heard = self.socket.recv() => self.hear(heard).await,
                Some((id, (style, frame))) = self.subscriptions.next() => self.tell(&id, &style, frame).await,
                _ = pings.tick() => self.send(Message::Ping(bytes::Bytes::new())).await,
                // Subscriptions end by themselves then, each with its own words.
                () = closing.cancelled(), if self.subscriptions.is_empty() => {
                    self.close(RESTARTS, &ApiError::new(ErrorCode::Unavailable, "node is stopping")).await
                }
            };
            if went.is_err() {
                return;
            }
        }
    }

    async fn hear(&mut self, heard: Option<Result<Message, axum::Error>>) -> Result<(), Gone> {
        match heard {
            None | Some(Ok(Message::Close(_))) => Err(Gone),
            Some(Err(error)) => {
                let max = limits::SOCKET_FRAME_BYTES_MAX;
                let message = format!("frame is not taken, the limit is {max} bytes: {error}");
                self.close(close_code::SIZE, &ApiError::new(ErrorCode::TooLarge, message)).await
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Text(text))) => self.take(text.as_bytes()).await,
            Some(Ok(Message::Binary(bytes))) => self.take(&bytes).await,
        }
    }

    async fn take(&mut self, text: &[u8]) -> Result<(), Gone> {
        match serde_json::from_slice::<SocketRequest>(text) {
            Ok(SocketRequest::Subscribe { subscription }) => self.subscribe(&subscription).await,
            Ok(SocketRequest::Unsubscribe { subscription_id }) => {
                match self.subscriptions.remove(&subscription_id) {
                    Some(_) => Ok(()),
                    None => self.refuse(ErrorCode::NotFound, "there is no such subscription").await,
                }
            }
            Ok(SocketRequest::Ack { .. }) => {
                let message = "consumer groups are not served yet: there is nothing to acknowledge";
                self.refuse(ErrorCode::Unimplemented, message).await
            }
            Err(error) => {
                self.refuse(ErrorCode::InvalidRequest, &format!("frame is not legal: {error}")).await
            }
        }
    }

    async fn refuse(&mut self, code: ErrorCode, message: &str) -> Result<(), Gone> {
        self.frame(&SocketFrame::error(&ApiError::new(code, message))).await
    }

    async fn subscribe(&mut self, asked: &PubSubSubscribe) -> Result<(), Gone> {
        match self.begin(asked).await {
            Ok((id, cursor, frames)) => {
                let cursor = asked.wants_cursors().then(|| cursor.to_string());
                self.frame(&SocketFrame::subscribed(&asked.pattern, &id, cursor)).await?;
                self.subscriptions.insert(id, frames);
                Ok(())
            }
            Err(error) => self.frame(&SocketFrame::refused(&asked.pattern, &error)).await,
        }
    }

    async fn begin(&mut self, asked: &PubSubSubscribe) -> Result<(String, Cursor, Frames), ApiError> {
        let max = limits::SOCKET_SUBSCRIPTIONS_MAX;
        if self.subscriptions.len() >= max {
            let message = format!("socket has {max} subscriptions, which is its limit");
            return Err(ApiError::new(ErrorCode::SubscriptionsFull, message).with("max", max));
        }
        let request = asked.to_request()?;
        let Selector::Pattern(pattern) = request.selector.clone() else {
            return Err(ApiError::invalid("subscription has no pattern"));
        };
        let mut subscriber = self.engine.subscribe(request).await?;
        // The first frame says where it begins, and waits for nothing.
        let Some(Frame::Opened { cursor, .. }) = subscriber.ready() else {
            return Err(ApiError::new(ErrorCode::Internal, "subscription does not say where it begins"));
        };
        let style =
            Style { pattern, with_metadata: asked.wants_metadata(), with_cursors: asked.wants_cursors() };
        let times = (0..=max).map(|time| subscription_id(&asked.pattern, time));
        let id = times.into_iter().find(|id| !self.subscriptions.contains_key(id));
        let id = id.ok_or_else(|| ApiError::new(ErrorCode::Internal, "no subscription id is free"))?;
        Ok((id, cursor, frames(subscriber, Arc::new(style))))
    }

    async fn tell(&mut self, id: &str, style: &Style, frame: Frame) -> Result<(), Gone> {
        let mark = |cursor: Cursor, count| SocketMark {
            subscription_id: id.to_owned(),
            cursor: cursor.to_string(),
            sequence: cursor.position.0,
            count,
        };
        let frame = match frame {
            Frame::Event { event, cursor } => event_frame(id, style, &event, cursor),
            Frame::Ended { reason, cursor } => return self.end(id, style, reason, cursor).await,
            _ if !style.with_cursors => return Ok(()),
            Frame::CaughtUp { cursor } => SocketFrame::CaughtUp(mark(cursor, None)),
            Frame::Heartbeat { cursor } => SocketFrame::Heartbeat(mark(cursor, None)),
            Frame::LeftOut { count, cursor } => SocketFrame::LeftOut(mark(cursor, Some(count))),
            Frame::Opened { .. } => return Ok(()),
        };
        self.frame(&frame).await
    }

    /// Says why a subscription ended. When the node ends them all, the socket ends with the last.
    async fn end(&mut self, id: &str, style: &Style, reason: EndReason, cursor: Cursor) -> Result<(), Gone> {
        self.subscriptions.remove(id);
        let leaves = matches!(reason, EndReason::Unavailable(_));
        let error = end_error(reason, cursor);
        let frame = SocketFrame::SubscriptionError {
            subscription_id: id.to_owned(),
            code: code_of(&error),
            message: error.message.clone(),
            retrying: false,
            cursor: style.with_cursors.then(|| cursor.to_string()),
        };
        self.frame(&frame).await?;
        match leaves && self.subscriptions.is_empty() {
            true => self.close(RESTARTS, &error).await,
            false => Ok(()),
        }
    }

    async fn close(&mut self, code: u16, error: &ApiError) -> Result<(), Gone> {
        self.frame(&SocketFrame::error(error)).await?;
        let reason = error.code.as_str().into();
        self.send(Message::Close(Some(CloseFrame { code, reason }))).await?;
        Err(Gone)
    }

    async fn frame(&mut self, frame: &SocketFrame) -> Result<(), Gone> {
        self.send(Message::Text(frame.text().into())).await
    }

    /// A client that takes nothing for long is gone.
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(limits::SEND_STALL_MAX, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

fn frames(subscriber: Subscriber, style: Arc<Style>) -> Frames {
    stream::unfold((subscriber, style), |(mut subscriber, style)| async move {
        let frame = subscriber.next().await?;
        Some(((style.clone(), frame), (subscriber, style)))
    })
    .boxed()
}

fn event_frame(id: &str, style: &Style, shared: &SharedEvent, cursor: Cursor) -> SocketFrame {
    let event = shared.event();
    SocketFrame::Event {
        subscription_id: id.to_owned(),
        topic: topic_of(&style.pattern, event),
        data: payload_of(&style.pattern, event),
        meta: EventMeta {
            timestamp: format_timestamp(event.recorded_at),
            sequence: event.position.0,
            custom: metadata_of(event).filter(|_| style.with_metadata),
        },
        event_id: event.id.to_string(),
        cursor: style.with_cursors.then(|| cursor.to_string()),
    }
}
