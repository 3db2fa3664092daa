//! `/ws`: the WebSocket of the contract. Subscriptions of one socket are numbered by pattern and use, so that
//! a client that comes back and subscribes again knows their ids.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse as _, Response},
};
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream,
    stream::{BoxStream, FuturesUnordered},
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::StreamMap;
use weir_actors::live::{EndReason, Frame, Subscriber};
use weir_api::{
    ApiError, ErrorCode,
    connect::{PubSubSubscribe, payload_of, topic_of},
    format_timestamp,
    socket::{EventMeta, SocketFrame, SocketMark, SocketRequest, code_of},
    v1::{VerdictKind, metadata_of},
};
use weir_types::{
    Cursor, EventId, Pattern, Position, RecordedEvent, Selector, ViewPattern, limits, subscription_id,
};

use super::{
    end::end_error,
    group::{Given, Membership},
    views::{Update, Updates},
};
use crate::{engine::Engine, http::error::HttpError};

/// Between pings, by which a client that is gone is found out.
const PING: Duration = Duration::from_secs(15);
/// Verdicts of one socket that wait to be written.
const SETTLING_MAX: usize = limits::CONSUMER_IN_FLIGHT_MAX as usize;
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

/// What subscriptions say, and what it is written with; of states, whether marks are wanted is all of it.
type Frames = BoxStream<'static, Told>;

/// What a subscription tells.
enum Told {
    Events(Arc<Style>, Said),
    States { with_marks: bool, update: Update },
}

/// What a subscription says.
enum Said {
    Frame(Frame),
    /// Of a consumer group.
    Given(Given),
}

/// How a subscription's frames are written.
struct Style {
    pattern: Pattern,
    with_metadata: bool,
    with_cursors: bool,
    member: Option<Membership>,
}

struct Connection {
    engine: Arc<Engine>,
    socket: WebSocket,
    subscriptions: StreamMap<String, Frames>,
    members: HashMap<String, Membership>,
    /// Counts what members of groups are given, so that it is known who was given an event first.
    turns: Arc<AtomicU64>,
    /// What is being said of events; an error is told.
    settling: FuturesUnordered<BoxFuture<'static, Result<(), ApiError>>>,
}

/// The socket is not of use any more.
struct Gone;

impl Connection {
    fn new(engine: Arc<Engine>, socket: WebSocket) -> Self {
        Self {
            engine,
            socket,
            subscriptions: StreamMap::new(),
            members: HashMap::new(),
            turns: Arc::default(),
            settling: FuturesUnordered::new(),
        }
    }

    async fn run(mut self) {
        self.serve().await;
        // First: a pull that still waits would take what is given back below, and nobody would hear of it.
        self.subscriptions = StreamMap::new();
        // What is said is said, though nobody hears what comes of it.
        while self.settling.next().await.is_some() {}
        for (_, member) in self.members {
            member.leave().await;
        }
    }

    async fn serve(&mut self) {
        let closing = self.engine.closing().clone();
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let went = tokio::select! {
                heard = self.socket.recv() => self.hear(heard).await,
                Some((id, told)) = self.subscriptions.next() => match told {
                    Told::Events(style, Said::Frame(frame)) => self.tell(&id, &style, frame).await,
                    Told::Events(style, Said::Given(given)) => self.give(&id, &style, given).await,
                    Told::States { with_marks, update } => self.tell_state(&id, with_marks, update).await,
                },
                Some(settled) = self.settling.next() => match settled {
                    Ok(()) => Ok(()),
                    Err(error) => self.frame(&SocketFrame::error(&error)).await,
                },
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
                let there = self.subscriptions.remove(&subscription_id).is_some();
                if let Some(member) = self.members.remove(&subscription_id) {
                    self.settling.push(member.leave().map(Ok).boxed());
                }
                match there {
                    true => Ok(()),
                    false => self.refuse(ErrorCode::NotFound, "there is no such subscription").await,
                }
            }
            Ok(SocketRequest::Ack { event_id, subscription_id, ack_type, redeliver_delay }) => {
                let of = subscription_id.as_deref();
                self.settle(&event_id, of, ack_type.into(), redeliver_delay).await
            }
            Err(error) => {
                let error = ApiError::invalid(format!("frame is not legal: {error}"));
                self.frame(&match SocketRequest::pattern_in(text) {
                    // Clients find what became of a `subscribe` by its pattern.
                    Some(pattern) => SocketFrame::refused(&pattern, &error),
                    None => SocketFrame::error(&error),
                })
                .await
            }
        }
    }

    async fn refuse(&mut self, code: ErrorCode, message: &str) -> Result<(), Gone> {
        self.frame(&SocketFrame::error(&ApiError::new(code, message))).await
    }

    async fn subscribe(&mut self, asked: &PubSubSubscribe) -> Result<(), Gone> {
        match self.begin(asked).await {
            Ok((id, cursor, frames)) => {
                let cursor = cursor.filter(|_| asked.wants_cursors()).map(|cursor| cursor.to_string());
                self.frame(&SocketFrame::subscribed(&asked.pattern, &id, cursor)).await?;
                self.subscriptions.insert(id, frames);
                Ok(())
            }
            Err(error) => self.frame(&SocketFrame::refused(&asked.pattern, &error)).await,
        }
    }

    /// Hands on what the client says of an event that it was given.
    async fn settle(
        &mut self,
        id: &str,
        of: Option<&str>,
        verdict: VerdictKind,
        delay_ms: Option<u64>,
    ) -> Result<(), Gone> {
        if self.settling.len() >= SETTLING_MAX {
            return self.refuse(ErrorCode::Overloaded, "too many acks wait to be written").await;
        }
        let event = id.parse().map(EventId).ok();
        // Several groups of a socket may have an event: a frame that names none is about who was given it first.
        let held = event.and_then(|event| {
            let named = self.members.iter().filter(|(id, _)| of.is_none_or(|of| of == **id));
            let having = named.filter_map(|(_, member)| Some((member.turn(event)?, member)));
            let (_, member) = having.min_by_key(|(turn, _)| *turn)?;
            Some((member.clone(), member.release(event)?))
        });
        match held {
            Some((member, held)) => {
                let settled = async move { member.settle(held, verdict, delay_ms).await };
                self.settling.push(settled.boxed());
                Ok(())
            }
            None => self.refuse(ErrorCode::NotFound, "event is not with this consumer").await,
        }
    }

    async fn begin(&mut self, asked: &PubSubSubscribe) -> Result<(String, Option<Cursor>, Frames), ApiError> {
        let max = limits::SOCKET_SUBSCRIPTIONS_MAX;
        if self.subscriptions.len() >= max {
            let message = format!("socket has {max} subscriptions, which is its limit");
            return Err(ApiError::new(ErrorCode::SubscriptionsFull, message).with("max", max));
        }
        let times = (0..=max).map(|time| subscription_id(&asked.pattern, time));
        let id = times.into_iter().find(|id| !self.subscriptions.contains_key(id));
        let id = id.ok_or_else(|| ApiError::new(ErrorCode::Internal, "no subscription id is free"))?;
        if let Some(wanted) = asked.to_consumer()? {
            let member = Membership::join(self.engine.clone(), &wanted, self.turns.clone()).await?;
            let style = Style {
                pattern: wanted.pattern,
                with_metadata: asked.wants_metadata(),
                with_cursors: false,
                member: Some(member.clone()),
            };
            let style = Arc::new(style);
            let events =
                member.events().map(move |given| Told::Events(style.clone(), Said::Given(given))).boxed();
            self.members.insert(id.clone(), member);
            return Ok((id, None, events));
        }
        if ViewPattern::is_one(&asked.pattern) {
            let (after, heartbeat) = asked.to_watch()?;
            let updates = self.engine.watch_pattern(&asked.pattern, after, heartbeat).await?;
            return Ok((id, None, states(updates, asked.wants_cursors())));
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
        let style = Style {
            pattern,
            with_metadata: asked.wants_metadata(),
            with_cursors: asked.wants_cursors(),
            member: None,
        };
        Ok((id, Some(cursor), frames(subscriber, Arc::new(style))))
    }

    async fn tell(&mut self, id: &str, style: &Style, frame: Frame) -> Result<(), Gone> {
        let mark = |cursor: Cursor, count| SocketMark {
            subscription_id: id.to_owned(),
            cursor: cursor.to_string(),
            sequence: cursor.position.0,
            count,
        };
        let frame = match frame {
            Frame::Event { event, cursor } => event_frame(id, style, event.event(), Some(cursor), None),
            Frame::Ended { reason, cursor } => return self.end(id, style, reason, cursor).await,
            _ if !style.with_cursors => return Ok(()),
            Frame::CaughtUp { cursor } => SocketFrame::CaughtUp(mark(cursor, None)),
            Frame::Heartbeat { cursor } => SocketFrame::Heartbeat(mark(cursor, None)),
            Frame::LeftOut { count, cursor } => SocketFrame::LeftOut(mark(cursor, Some(count))),
            Frame::Opened { .. } => return Ok(()),
        };
        self.frame(&frame).await
    }

    /// Of the states of a projection.
    async fn tell_state(&mut self, id: &str, with_marks: bool, update: Update) -> Result<(), Gone> {
        let mark = |position: Position| SocketMark {
            subscription_id: id.to_owned(),
            cursor: String::new(),
            sequence: position.0,
            count: None,
        };
        let frame = match update {
            Update::State(update) => SocketFrame::of_state(id, &update),
            Update::Ended(error) => return self.end_with(id, &error, None).await,
            _ if !with_marks => return Ok(()),
            Update::CaughtUp(position) => SocketFrame::CaughtUp(mark(position)),
            Update::Heartbeat(position) => SocketFrame::Heartbeat(mark(position)),
            Update::Redeployed(deployment) => {
                SocketFrame::Redeployed { subscription_id: id.to_owned(), deployed: deployment.deployed.0 }
            }
        };
        self.frame(&frame).await
    }

    /// An event of a consumer group.
    async fn give(&mut self, id: &str, style: &Style, given: Given) -> Result<(), Gone> {
        let Some(member) = &style.member else { return Ok(()) };
        match given {
            Given::Event { event, attempt } => {
                self.frame(&event_frame(id, style, &event, None, Some(attempt))).await?;
                member.sent(event.id);
                if member.acks_itself
                    && let Some(held) = member.release(event.id)
                {
                    let member = member.clone();
                    let settled = async move { member.settle(held, VerdictKind::Ack, None).await };
                    self.settling.push(settled.boxed());
                }
                Ok(())
            }
            Given::Ended(error) => {
                self.subscriptions.remove(id);
                let frame = SocketFrame::SubscriptionError {
                    subscription_id: id.to_owned(),
                    code: code_of(&error),
                    message: error.message,
                    retrying: false,
                    cursor: None,
                };
                self.frame(&frame).await
            }
        }
    }

    /// Says why a subscription ended. When the node ends them all, the socket ends with the last.
    async fn end(&mut self, id: &str, style: &Style, reason: EndReason, cursor: Cursor) -> Result<(), Gone> {
        let told = style.with_cursors.then(|| cursor.to_string());
        self.end_with(id, &end_error(reason, cursor), told).await
    }

    async fn end_with(&mut self, id: &str, error: &ApiError, cursor: Option<String>) -> Result<(), Gone> {
        self.subscriptions.remove(id);
        let leaves = error.code == ErrorCode::Unavailable;
        let frame = SocketFrame::SubscriptionError {
            subscription_id: id.to_owned(),
            code: code_of(error),
            message: error.message.clone(),
            retrying: false,
            cursor,
        };
        self.frame(&frame).await?;
        match leaves && self.subscriptions.is_empty() {
            true => self.close(RESTARTS, error).await,
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
        Some((Told::Events(style.clone(), Said::Frame(frame)), (subscriber, style)))
    })
    .boxed()
}

fn states(updates: Updates, with_marks: bool) -> Frames {
    stream::unfold(updates, move |mut updates| async move {
        let update = updates.next().await?;
        Some((Told::States { with_marks, update }, updates))
    })
    .boxed()
}

fn event_frame(
    id: &str,
    style: &Style,
    event: &RecordedEvent,
    cursor: Option<Cursor>,
    delivery_attempt: Option<u32>,
) -> SocketFrame {
    SocketFrame::Event {
        subscription_id: id.to_owned(),
        topic: topic_of(&style.pattern, event),
        data: payload_of(&style.pattern, event),
        meta: EventMeta {
            timestamp: format_timestamp(event.recorded_at),
            sequence: event.position.0,
            custom: metadata_of(event).filter(|_| style.with_metadata),
            delivery_attempt,
        },
        event_id: event.id.to_string(),
        cursor: cursor.filter(|_| style.with_cursors).map(|cursor| cursor.to_string()),
    }
}
