//! Appends by every way into the cluster.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use weir_api::v1::{AppendResult, ReadPage, paths};
use weir_client::{AppendSession, ClientError};
use weir_types::AppendAck;

use super::{
    super::{
        draft::Draft,
        told::{Ack, Told},
    },
    Answer, Caller, Lost,
};
use crate::edge::Edge;

/// Appends of one session that may be unanswered.
const IN_FLIGHT: usize = 64;
/// Looks for the position of an append that Connect acknowledged.
const LOOKS: usize = 6;

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Way {
    Rest,
    Connect,
    Session,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Connect => "connect",
            Self::Session => "session",
        }
    }
}

impl Caller {
    /// Any way that this append fits.
    pub(in super::super) fn way(&mut self, draft: &Draft) -> Way {
        match self.rng.within(0..10) {
            0..3 => Way::Session,
            3..5 if draft.events.len() == 1 => Way::Connect,
            _ => Way::Rest,
        }
    }

    /// Appends once, by any way, to any node.
    pub(in super::super) async fn append(&mut self, draft: &Draft) -> Told {
        let (node, edge) = self.node();
        let way = self.way(draft);
        self.append_at(way, node, &edge, draft).await
    }

    /// Appends with a key until the fate is known, each time at another node; the last thing told.
    pub(in super::super) async fn append_until_known(&mut self, draft: &Draft, tries: usize) -> Told {
        assert!(draft.key.is_some(), "only an append with a key may be sent again");
        let (mut node, mut edge) = self.node();
        let mut told = Told::not_sent();
        for again in 0..tries {
            if again > 0 {
                self.count("retry");
                (node, edge) = self.other_node(node);
                // A stop does not end it: the 30 s after it are for this.
                crate::pause().await;
            }
            let way = self.way(draft);
            told = self.append_at(way, node, &edge, draft).await;
            if !told.is_open() {
                break;
            }
        }
        told
    }

    /// Appends once.
    pub(in super::super) async fn append_at(
        &mut self,
        way: Way,
        node: u64,
        edge: &Edge,
        draft: &Draft,
    ) -> Told {
        let pending = self.context.recorder.invoke(self.number, draft.call(node));
        let told = match way {
            Way::Rest => self.append_by_rest(edge, draft).await,
            Way::Connect => self.append_by_connect(edge, draft).await,
            Way::Session => self.append_by_session(node, edge, draft).await,
        };
        self.note(way, &told);
        told.record(pending, draft.key.is_some());
        told
    }

    /// Appends without keys that follow each other in one session, none waiting for the one before.
    pub(in super::super) async fn append_pipelined(
        &mut self,
        node: u64,
        edge: &Edge,
        drafts: &[Draft],
    ) -> Vec<Told> {
        let Some(session) = self.session(node, edge).await else { return Vec::new() };
        let mut sent = Vec::new();
        for draft in drafts {
            let Ok(request) = draft.request() else { continue };
            // Each of them is a client of its own: a client's calls are one after another.
            let pending = self.context.recorder.invoke(self.context.client(), draft.call(node));
            match session.submit(&request).await {
                Ok(append) => sent.push((pending, append)),
                Err(error) => of_client_error(&error).record(pending, false),
            }
        }
        let mut all = Vec::new();
        let end = tokio::time::Instant::now() + self.patience;
        for (pending, append) in sent {
            let told = match tokio::time::timeout_at(end, append.outcome()).await {
                Ok(outcome) => of_session(outcome),
                Err(_) => Told::Unknown("time-out".to_owned()),
            };
            self.note(Way::Session, &told);
            told.record(pending, false);
            all.push(told);
        }
        all
    }

    fn note(&self, way: Way, told: &Told) {
        match told {
            Told::Acked(ack) => {
                self.count("ok");
                self.count(way.word());
                if ack.repeated == Some(true) {
                    self.count("repeated");
                }
            }
            Told::Refused { code, .. } => self.count(&format!("refused.{code}")),
            Told::Unknown(_) => self.count("unknown"),
        }
    }

    async fn append_by_rest(&mut self, edge: &Edge, draft: &Draft) -> Told {
        let path = paths::fill(paths::STREAM_EVENTS, &draft.stream);
        let body = draft.rest().to_string().into_bytes();
        let trace = [self.trace()];
        let answer = match self.exchange_with(edge, Method::POST, &path, &trace, Some(body)).await {
            Ok(answer) if answer.is_ok() => answer,
            Ok(answer) => return Told::of_error(&answer.error()),
            Err(lost) => return of_lost(lost),
        };
        match answer.parsed::<AppendResult>() {
            Ok(result) => Told::Acked(Ack {
                first_version: result.first_version,
                last_version: result.last_version,
                first_position: result.first_position,
                event_id: result.event_id,
                repeated: Some(result.repeated),
            }),
            Err(error) => Told::Unknown(format!("not understood: {error:#}")),
        }
    }

    async fn append_by_connect(&mut self, edge: &Edge, draft: &Draft) -> Told {
        let path = format!("{}AppendEvent", paths::CONNECT_STREAMS);
        let body = draft.connect().to_string().into_bytes();
        let trace = [self.trace()];
        let answer = match self.exchange_with(edge, Method::POST, &path, &trace, Some(body)).await {
            Ok(answer) if answer.is_ok() => answer,
            Ok(answer) => return Told::of_error(&answer.connect_error()),
            Err(lost) => return of_lost(lost),
        };
        self.complete(draft, &answer).await
    }

    /// The header of a trace that no other call has: a retry is another call, and the same append.
    fn trace(&mut self) -> (&'static str, String) {
        let (trace, span) = (self.rng.within(1..u64::MAX), self.rng.within(1..u64::MAX));
        ("traceparent", format!("00-{trace:032x}-{span:016x}-01"))
    }

    /// Connect tells no position: the event at the version that it tells has it.
    async fn complete(&mut self, draft: &Draft, answer: &Answer) -> Told {
        let body: Value = answer.parsed().unwrap_or_default();
        let version = body["entityVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
        let (Some(version), Some(id)) = (version, body["eventId"].as_str()) else {
            return Told::Unknown(format!("not understood: {body}"));
        };
        let stream = paths::fill(paths::STREAM_EVENTS, &draft.stream);
        for _ in 0..LOOKS {
            let (node, edge) = self.node();
            let path = format!("{stream}?from_version={version}&limit=1");
            let Some(page) = self.get::<ReadPage>(&edge, &path).await else { continue };
            let Some(event) = page.events.first().filter(|event| event.id == id) else {
                let found: Vec<_> = page.events.iter().map(|event| (event.version, &event.id)).collect();
                self.wrong(format!(
                    "`{}`: event {id} was acknowledged as version {version}, and then a linearizable read at \
                     node {node} gave {found:?}",
                    draft.stream
                ));
                break;
            };
            let (first_position, event_id) = (event.position, id.to_owned());
            let (first_version, last_version) = (version, version);
            return Told::Acked(Ack {
                first_version,
                last_version,
                first_position,
                event_id,
                repeated: None,
            });
        }
        self.count("acked_without_position");
        Told::Unknown(format!("acknowledged as version {version}, its position could not be asked"))
    }

    async fn append_by_session(&mut self, node: u64, edge: &Edge, draft: &Draft) -> Told {
        let Ok(request) = draft.request() else { return Told::not_sent() };
        let Some(session) = self.session(node, edge).await else { return Told::not_sent() };
        of_session(session.append(&request, self.patience).await)
    }

    /// A session with this node: the last one, or a new one if that has ended.
    async fn session(&mut self, node: u64, edge: &Edge) -> Option<AppendSession> {
        if let Some(session) = self.sessions.get(&node).filter(|session| !session.is_ended()) {
            return Some(session.clone());
        }
        let open = AppendSession::open(edge.base(), IN_FLIGHT);
        let session = tokio::time::timeout(Duration::from_secs(1), open).await.ok()?.ok()?;
        self.count("session_opened");
        self.sessions.insert(node, session.clone());
        Some(session)
    }
}

fn of_lost(lost: Lost) -> Told {
    match lost {
        Lost::NotSent => Told::not_sent(),
        Lost::Sent(reason) => Told::Unknown(reason),
    }
}

fn of_session(outcome: Result<AppendAck, ClientError>) -> Told {
    match outcome {
        Ok(ack) => Told::Acked(Ack {
            first_version: ack.first_version.0,
            last_version: ack.last_version.0,
            first_position: ack.first_position.0,
            event_id: ack.event_ids.last().map(ToString::to_string).unwrap_or_default(),
            repeated: Some(ack.repeated),
        }),
        Err(error) => of_client_error(&error),
    }
}

fn of_client_error(error: &ClientError) -> Told {
    match error {
        ClientError::Api(error) => Told::of_error(error),
        error if error.outcome_unknown() => Told::Unknown(error.to_string()),
        _ => Told::not_sent(),
    }
}
