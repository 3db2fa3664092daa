//! Reads of streams and views, at one node, written down.

use std::time::Duration;

use reqwest::Method;
use tokio::time::timeout;
use weir_api::{
    ErrorCode,
    v1::{
        EventView, Freshness, HistoryPage, ListPage, PastStatus, PastView, ProjectionView, ReadPage,
        StreamSummary, paths,
    },
};
use weir_check::history::{Call, Pending, ReadConsistency, ReadDirection, Seen, SeenEvent};
use weir_client::{ClientError, EventPage, ReadOptions, ReadSession, Start};
use weir_types::Direction;

use super::{Answer, Caller, Lost};
use crate::edge::{Edge, encoded};

/// Of a hundred pages, those that are read over gRPC.
const SESSION_PERCENT: u64 = 40;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A read of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Look {
    pub(in super::super) stream: String,
    /// First version; `None` is the start, or the end when backward.
    pub(in super::super) from: Option<u64>,
    pub(in super::super) direction: ReadDirection,
    pub(in super::super) limit: u64,
    pub(in super::super) consistency: ReadConsistency,
    /// How long the node may wait for an event.
    pub(in super::super) wait_ms: u64,
}

impl Look {
    /// A linearizable read from the start.
    pub(in super::super) fn at(stream: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            from: None,
            direction: ReadDirection::Forward,
            limit: 100,
            consistency: ReadConsistency::Linearizable,
            wait_ms: 0,
        }
    }

    fn call(&self, node: u64) -> Call {
        Call::ReadStream {
            stream: self.stream.clone(),
            from: self.from,
            direction: self.direction,
            limit: self.limit,
            consistency: self.consistency,
            node,
        }
    }

    fn options(&self) -> ReadOptions {
        let (freshness, min_position) = match self.consistency {
            ReadConsistency::Linearizable => (None, None),
            ReadConsistency::Local => (Some(Freshness::Local), None),
            ReadConsistency::AtLeast(position) => (None, Some(position)),
        };
        ReadOptions {
            start: self.from.map_or(Start::Edge, Start::Version),
            direction: match self.direction {
                ReadDirection::Forward => Direction::Forward,
                ReadDirection::Backward => Direction::Backward,
            },
            page: Some(self.limit),
            freshness,
            min_position,
            wait: Duration::from_millis(self.wait_ms),
            ..ReadOptions::default()
        }
    }

    fn query(&self) -> String {
        let mut query = format!("limit={}{}", self.limit, freshness(self.consistency));
        if let Some(from) = self.from {
            query.push_str(&format!("&from_version={from}"));
        }
        if self.direction == ReadDirection::Backward {
            query.push_str("&direction=backward");
        }
        if self.wait_ms > 0 {
            query.push_str(&format!("&wait_ms={}", self.wait_ms));
        }
        query
    }
}

fn freshness(consistency: ReadConsistency) -> String {
    match consistency {
        // Linearizable is also what a read is that says nothing.
        ReadConsistency::Linearizable => String::new(),
        ReadConsistency::Local => "&consistency=local".to_owned(),
        ReadConsistency::AtLeast(position) => format!("&min_position={position}"),
    }
}

/// The mark in an event's data; empty when it has none.
pub(in super::super) fn mark_of(event: &EventView) -> String {
    let data = event.data.to_value().unwrap_or_default();
    data["op"].as_str().unwrap_or_default().to_owned()
}

impl Caller {
    /// Reads a page of a stream; nothing when no page came.
    pub(in super::super) async fn read_at(
        &mut self,
        node: u64,
        edge: &Edge,
        look: &Look,
    ) -> Option<ReadPage> {
        let by_session = self.rng.chance(SESSION_PERCENT);
        let (pending, page): (_, ReadPage) = if by_session {
            self.look_by_session(node, edge, look).await?
        } else {
            let path = format!("{}?{}", paths::fill(paths::STREAM_EVENTS, &look.stream), look.query());
            self.look(edge, look.call(node), &path).await?
        };
        let seen = |event: &EventView| SeenEvent {
            version: event.version,
            position: event.position,
            mark: mark_of(event),
        };
        pending.ok(Seen::Events {
            events: page.events.iter().map(seen).collect(),
            head: Some(page.version),
            next: page.next_version,
            applied: Some(page.position),
        });
        Some(page)
    }

    /// The same by the history that SDKs read.
    pub(in super::super) async fn history_at(
        &mut self,
        node: u64,
        edge: &Edge,
        look: &Look,
    ) -> Option<HistoryPage> {
        let path = format!("{}?{}", paths::fill(paths::STREAM_HISTORY, &look.stream), look.query());
        let (pending, page): (_, HistoryPage) = self.look(edge, look.call(node), &path).await?;
        let events = page.entries.iter().map(|entry| {
            let data = entry.data.to_value().unwrap_or_default();
            let mark = data["op"].as_str().unwrap_or_default().to_owned();
            SeenEvent { version: entry.version, position: entry.position, mark }
        });
        pending.ok(Seen::Events {
            events: events.collect(),
            head: Some(page.total_events),
            next: Some(page.next_cursor).filter(|next| *next > 0),
            applied: None,
        });
        if page.entries != page.events {
            self.wrong(format!("history of `{}` has other entries than events", look.stream));
        }
        Some(page)
    }

    /// A stream's version by its summary; 0 when it has no events, nothing when no answer came.
    pub(in super::super) async fn info_at(
        &mut self,
        node: u64,
        edge: &Edge,
        stream: &str,
        consistency: ReadConsistency,
    ) -> Option<u64> {
        let path = format!("{}?limit=1{}", paths::fill(paths::STREAM, stream), freshness(consistency));
        let call = Call::StreamInfo { stream: stream.to_owned(), consistency, node };
        let pending = self.context.recorder.invoke(self.number, call);
        let (version, last_position) = match self.exchange(edge, Method::GET, &path, None).await {
            Ok(answer) if answer.is_ok() => match answer.parsed::<StreamSummary>() {
                Ok(summary) => (summary.version, Some(summary.last_position)),
                Err(error) => {
                    self.fail(pending, &path, format!("{error:#}"));
                    return None;
                }
            },
            Ok(answer) if answer.error().code == ErrorCode::StreamNotFound => (0, None),
            other => {
                self.miss(pending, other);
                return None;
            }
        };
        pending.ok(Seen::Head { version, last_position, applied: None });
        self.count("info");
        Some(version)
    }

    /// A page of all streams; a few of its rows are written down as what was seen of those streams.
    pub(in super::super) async fn list_at(
        &mut self,
        node: u64,
        edge: &Edge,
        kind: &str,
        consistency: ReadConsistency,
    ) -> Option<ListPage> {
        let since_us = self.context.recorder.now_us();
        let (kind, fresh) = (encoded(kind), freshness(consistency));
        let offset = self.rng.within(0..20);
        let path = format!("{}?limit=50&offset={offset}&entity_type={kind}{fresh}", paths::STREAMS);
        let page: ListPage = self.get(edge, &path).await?;
        for row in page.streams.iter().take(3) {
            let call = Call::StreamInfo { stream: row.entity_id.clone(), consistency, node };
            let last_position = Some(row.last_position);
            let seen = Seen::Head { version: row.version, last_position, applied: None };
            self.context.recorder.note(self.number, since_us, call, seen);
        }
        if !page.streams.is_sorted_by_key(|row| row.first_position) {
            self.wrong(format!("streams at node {node} are not in the order of their creation: {path}"));
        }
        self.count("list");
        Some(page)
    }

    /// A view of one partition; nothing when no view came.
    pub(in super::super) async fn view_at(
        &mut self,
        node: u64,
        edge: &Edge,
        projection: &str,
        partition: &str,
        consistency: ReadConsistency,
    ) -> Option<ProjectionView> {
        let fresh = match consistency {
            ReadConsistency::Linearizable => "&consistency=linearizable".to_owned(),
            other => freshness(other),
        };
        let path = paths::fill(paths::PROJECTION, projection);
        let path = format!("{path}?partition={}{fresh}", encoded(partition));
        let min_position = match consistency {
            ReadConsistency::AtLeast(position) => Some(position),
            ReadConsistency::Linearizable | ReadConsistency::Local => None,
        };
        let (projection, partition) = (projection.to_owned(), partition.to_owned());
        let call = Call::View { projection, partition, min_position, node };
        let (pending, view): (_, ProjectionView) = self.look(edge, call, &path).await?;
        let value = view.state.as_ref().map(|state| state.state.clone());
        pending.ok(Seen::View { value, checkpoint: view.status.checkpoint });
        self.count("view");
        Some(view)
    }

    /// Reads a view as it was at a position, which is judged as a view with that checkpoint. Whether it was folded in
    /// time.
    pub(in super::super) async fn view_of_past(
        &mut self,
        (node, edge): (u64, &Edge),
        projection: &str,
        partition: &str,
        position: u64,
    ) -> Option<bool> {
        let path = paths::fill(paths::PROJECTION_PAST, projection);
        let path = format!("{path}?position={position}&partition={}&wait_ms=3000", encoded(partition));
        let (projection, partition) = (projection.to_owned(), partition.to_owned());
        let call = Call::View { projection, partition, min_position: Some(position), node };
        let (pending, past): (_, PastView) = self.look(edge, call, &path).await?;
        let checkpoint = past.fold.checkpoint;
        let is_ready = past.fold.status == PastStatus::Ready;
        match is_ready {
            true => pending.ok(Seen::View { value: past.state, checkpoint }),
            false => pending.refused("folding", None),
        }
        if is_ready && checkpoint != position {
            self.wrong(format!("{path}: it is as of {checkpoint}"));
        }
        Some(is_ready)
    }

    /// As [`Self::look`], over gRPC.
    async fn look_by_session(&mut self, node: u64, edge: &Edge, look: &Look) -> Option<(Pending, ReadPage)> {
        let pending = self.context.recorder.invoke(self.number, look.call(node));
        let error = match self.read_session(node, edge).await {
            Ok(session) => match session.read_page(&look.stream, look.options()).await {
                Ok(page) => {
                    self.count("read");
                    self.count("read_by_session");
                    return Some((pending, page_of(&look.stream, &page)));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        match (error.code(), &error) {
            (Some(code), _) => self.missed_by(pending, code, &error.to_string()),
            (None, ClientError::NotUnderstood { .. }) => self.fail(pending, &look.stream, error.to_string()),
            (None, _) => {
                self.read_sessions.remove(&node);
                let lost = match error {
                    ClientError::NoConnection { .. } => Lost::NotSent,
                    error => Lost::Sent(error.to_string()),
                };
                self.miss(pending, Err(lost));
            }
        }
        None
    }

    /// A session with this node: the last one, or a new one if that was lost.
    async fn read_session(&mut self, node: u64, edge: &Edge) -> Result<ReadSession, ClientError> {
        if let Some(session) = self.read_sessions.get(&node) {
            return Ok(session.clone());
        }
        let url = edge.base().to_owned();
        let late = |_| ClientError::NoConnection { url, reason: "no connection in time".to_owned() };
        let open = ReadSession::open(edge.base(), self.patience);
        let session = timeout(CONNECT_TIMEOUT, open).await.map_err(late)??;
        self.read_sessions.insert(node, session.clone());
        Ok(session)
    }

    async fn look<T: serde::de::DeserializeOwned>(
        &mut self,
        edge: &Edge,
        call: Call,
        path: &str,
    ) -> Option<(Pending, T)> {
        let pending = self.context.recorder.invoke(self.number, call);
        match self.exchange(edge, Method::GET, path, None).await {
            Ok(answer) if answer.is_ok() => match answer.parsed() {
                Ok(page) => {
                    self.count("read");
                    return Some((pending, page));
                }
                Err(error) => self.fail(pending, path, format!("{error:#}")),
            },
            other => self.miss(pending, other),
        }
        None
    }

    /// A success that is none.
    fn fail(&mut self, pending: Pending, path: &str, why: String) {
        pending.unknown("not understood");
        self.wrong(format!("{path} was answered with something else: {why}"));
    }

    /// No answer, or an error: a read changes nothing, so it is refused or lost.
    fn miss(&mut self, pending: Pending, answer: Result<Answer, Lost>) {
        match answer {
            Ok(answer) => {
                let error = answer.error();
                self.missed_by(pending, error.code, &error.message);
            }
            Err(Lost::NotSent) => pending.refused("no_connection", None),
            Err(Lost::Sent(reason)) => {
                self.count("missed");
                pending.unknown(&reason);
            }
        }
    }

    fn missed_by(&mut self, pending: Pending, code: ErrorCode, message: &str) {
        self.count(&format!("missed.{code}"));
        if code == ErrorCode::Internal {
            self.wrong(format!("a read was answered with {code}: {message}"));
        }
        pending.refused(code.as_str(), None);
    }
}

/// A page as REST says it.
fn page_of(stream: &str, page: &EventPage) -> ReadPage {
    ReadPage {
        entity_id: stream.to_owned(),
        version: page.version.0,
        events: page.events.iter().map(EventView::from).collect(),
        next_version: page.next.map(|version| version.0),
        position: page.applied.0,
        as_of_version: None,
    }
}
