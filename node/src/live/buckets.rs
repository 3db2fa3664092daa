//! Watches of buckets: what keys hold, and then every change of them, over a WebSocket or as server-sent events.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{
        FromRequestParts as _, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::stream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_api::{
    ApiError, ErrorCode,
    v1::{KvUpdate, KvWatchQuery},
};
use weir_raft::{BucketReader, KvFeedPage};
use weir_types::{BucketName, KvEntry, KvFilter, KvKey, KvReadError, Revision, limits};

use crate::{
    engine::Engine,
    http::{
        error::HttpError,
        extract::{Params, Search},
        kv::open_name,
    },
};

/// Between signs of life, by which a client that is gone is found out.
const BEAT: Duration = Duration::from_secs(15);
/// Changes that are looked at in one go.
const LOOK: usize = 256;
/// The server goes away, and comes back: a client connects again.
const RESTARTS: u16 = close_code::RESTART;

/// Watches of this node.
static WATCHES: AtomicUsize = AtomicUsize::new(0);

/// What is watched from where on.
struct Watch {
    reader: Arc<BucketReader>,
    bucket: BucketName,
    filter: KvFilter,
    seq: u64,
    begun: Begun,
    ready: std::collections::VecDeque<KvUpdate>,
    closing: CancellationToken,
    _place: Place,
}

/// What a watch began with, until what was applied meanwhile is behind it.
#[derive(Default)]
struct Begun {
    since: Option<Revision>,
    keys: HashMap<KvKey, Revision>,
    /// The place of the last change that was applied meanwhile.
    until: u64,
}

impl Begun {
    /// Whether a change is part of it, or lies before it: a node that was behind applies that meanwhile too.
    fn holds(&self, seq: u64, key: &KvKey, revision: Revision) -> bool {
        seq <= self.until
            && (self.since.is_some_and(|since| revision <= since)
                || self.keys.get(key).is_some_and(|known| *known >= revision))
    }
}

/// A place among the watches of this node.
struct Place;

impl Place {
    fn take() -> Result<Self, ApiError> {
        let taken = WATCHES.fetch_update(Ordering::AcqRel, Ordering::Acquire, |watches| {
            (watches < limits::KV_WATCHES_MAX).then_some(watches + 1)
        });
        let full = |_| {
            let message = format!("node has {} watches, which is the limit", limits::KV_WATCHES_MAX);
            ApiError::new(ErrorCode::SubscriptionsFull, message)
        };
        taken.map(|_| Self).map_err(full)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        WATCHES.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(crate) async fn watch(
    State(engine): State<Arc<Engine>>,
    Params(bucket): Params<String>,
    Search(query): Search<KvWatchQuery>,
    request: Request,
) -> Result<Response, HttpError> {
    engine.must_be_in_cluster()?;
    let since = since(&query, request.headers())?;
    let watch = Watch::begin(&engine, open_name(&bucket)?, query.to_filter()?, since).await?;
    let (mut parts, _) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE) {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|rejection| {
            ApiError::invalid(format!("this is no WebSocket: {}", rejection.body_text()))
        })?;
        return Ok(upgrade.on_upgrade(move |socket| serve(watch, socket)).into_response());
    }
    Ok(events(watch))
}

/// After which revision it begins: what is said, or where an `EventSource` was.
fn since(query: &KvWatchQuery, headers: &HeaderMap) -> Result<Option<Revision>, ApiError> {
    let last = headers.get("last-event-id").filter(|id| !id.is_empty());
    match last.map(|id| id.to_str().ok().and_then(|id| id.parse().ok())) {
        None => Ok(query.since.map(Revision)),
        Some(Some(revision)) => Ok(Some(Revision(revision))),
        Some(None) => Err(ApiError::invalid("header Last-Event-ID is no revision")),
    }
}

impl Watch {
    /// From what keys hold by changes after `since`, if it is said, and then what comes.
    async fn begin(
        engine: &Engine,
        bucket: BucketName,
        filter: KvFilter,
        since: Option<Revision>,
    ) -> Result<Self, ApiError> {
        let place = Place::take()?;
        let reader = engine.bucket_reader();
        let seq = reader.feed().last();
        let mut watch = Self {
            reader,
            bucket,
            filter,
            seq,
            begun: Begun { since, ..Begun::default() },
            ready: std::collections::VecDeque::new(),
            closing: engine.closing().clone(),
            _place: place,
        };
        engine.kv_fresh().await?;
        watch.reader.info(&watch.bucket).await?;
        if let Some(since) = since {
            watch.read_what_is(since).await?;
        }
        watch.begun.until = watch.reader.feed().last();
        Ok(watch)
    }

    async fn read_what_is(&mut self, since: Revision) -> Result<(), ApiError> {
        let mut found: Vec<KvEntry> = Vec::new();
        let mut after = None;
        loop {
            let page = self.reader.kept(&self.bucket, after.clone(), limits::KV_LIST_MAX).await?;
            after = page.last().cloned();
            for key in page.into_iter().filter(|key| self.filter.matches(key)) {
                match self.reader.history(&self.bucket, &key, since.next()).await {
                    Ok(versions) => found.extend(versions.entries),
                    // It is as it was then, or gone meanwhile, of which the feed tells.
                    Err(KvReadError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if found.len() > limits::KV_WATCH_BEGIN_MAX {
                let max = limits::KV_WATCH_BEGIN_MAX;
                let message =
                    format!("watch would begin with over {max} entries: list the keys, and watch from there");
                return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max));
            }
            if after.is_none() {
                break;
            }
        }
        found.sort_unstable_by_key(|entry| entry.revision);
        for entry in found {
            self.begun.keys.insert(entry.key.clone(), entry.revision);
            self.ready.push_back(KvUpdate::new(&self.bucket, &entry));
        }
        Ok(())
    }

    /// The next change; an error ends the watch.
    async fn next(&mut self) -> Result<KvUpdate, ApiError> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(update);
            }
            let feed = self.reader.feed().clone();
            tokio::select! {
                () = feed.changed(self.seq) => {}
                () = self.closing.cancelled() => {
                    return Err(ApiError::new(ErrorCode::Unavailable, "node is stopping"));
                }
            }
            self.look()?;
        }
    }

    fn look(&mut self) -> Result<(), ApiError> {
        let items = match self.reader.feed().after(self.seq, LOOK) {
            KvFeedPage::Items(items) => items,
            KvFeedPage::Overrun => {
                let message = "too much was changed before this was taken: watch from the last revision";
                return Err(ApiError::new(ErrorCode::SlowSubscriber, message));
            }
        };
        for item in items {
            self.seq = item.seq;
            if item.bucket != self.bucket {
                continue;
            }
            let Some(entry) = &item.entry else {
                return Err(ApiError::new(ErrorCode::BucketNotFound, "bucket not found"));
            };
            let told = self.begun.holds(item.seq, &entry.key, entry.revision);
            if self.filter.matches(&entry.key) && !told {
                self.ready.push_back(KvUpdate::new(&self.bucket, entry));
            }
        }
        if self.seq >= self.begun.until {
            self.begun = Begun::default();
        }
        Ok(())
    }
}

/// One message for each change; at the end an error that says why.
async fn serve(mut watch: Watch, mut socket: WebSocket) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            next = watch.next() => match next {
                Ok(update) => Message::Text(json(&update).into()),
                Err(error) => {
                    let told = serde_json::json!({
                        "type": "error", "code": error.code.as_str(), "message": error.message,
                    });
                    // Whoever is gone hears nothing.
                    drop(socket.send(Message::Text(told.to_string().into())).await);
                    let reason = error.code.as_str().into();
                    let code = match error.code {
                        ErrorCode::Unavailable | ErrorCode::SlowSubscriber => RESTARTS,
                        _ => close_code::NORMAL,
                    };
                    drop(socket.send(Message::Close(Some(CloseFrame { code, reason }))).await);
                    return;
                }
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // There is nothing to say to a watch.
                Some(Ok(_)) => continue,
            },
            _ = beats.tick() => Message::Ping(Bytes::new()),
        };
        let sent = tokio::time::timeout(limits::SEND_STALL_MAX, socket.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// An event for each change, whose id is the revision.
fn events(watch: Watch) -> Response {
    let opened = Some(Bytes::from_static(b": watching\n\n"));
    let chunks = stream::unfold((Some(watch), opened), |(watch, opened)| async move {
        if let Some(opened) = opened {
            return Some((Ok::<_, std::convert::Infallible>(opened), (watch, None)));
        }
        let mut watch = watch?;
        let next = tokio::time::timeout(BEAT, watch.next()).await;
        Some(match next {
            Ok(Ok(update)) => {
                let text = format!("id: {}\ndata: {}\n\n", update.entry.revision, json(&update));
                (Ok(Bytes::from(text)), (Some(watch), None))
            }
            Ok(Err(error)) => {
                let told = serde_json::json!({ "code": error.code.as_str(), "message": error.message });
                (Ok(Bytes::from(format!("event: end\ndata: {told}\n\n"))), (None, None))
            }
            Err(_) => (Ok(Bytes::from_static(b": \n\n")), (Some(watch), None)),
        })
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn json(update: &KvUpdate) -> String {
    serde_json::to_string(update).expect("an update is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_that_was_behind_applies_while_a_watch_begins_is_not_told_again() {
        let key = |text: &str| KvKey::new(text).unwrap();
        let begun =
            Begun { since: Some(Revision(12)), keys: HashMap::from([(key("a"), Revision(15))]), until: 7 };
        for (seq, name, revision, holds) in [
            (5, "b", 9, true),
            (5, "b", 12, true),
            (6, "b", 13, false),
            (6, "a", 15, true),
            (7, "a", 16, false),
            (8, "b", 9, false),
        ] {
            assert_eq!(begun.holds(seq, &key(name), Revision(revision)), holds, "{seq} {name} {revision}");
        }
        assert!(!Begun::default().holds(1, &key("a"), Revision(1)));
    }
}
