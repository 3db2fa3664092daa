//! Bad input beside all else: hostile names and bodies are refused with a code,
//! or come back byte for byte and reach nobody else; half-sent requests do no harm.

mod corpus;
mod half;

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_api::v1::{ReadPage, paths};
use weir_check::history::{Call, Expected};
use weir_types::limits;

use self::corpus::{Body, bodies, strings};
use super::{
    Context, Workload,
    caller::{Caller, Look, Lost, Way, mark_of},
    crew::Crew,
    draft::Draft,
    told::Told,
};

/// Its name.
const NAME: &str = "bad-input";
const CLIENTS: usize = 2;
/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(80);

/// A storm of bad input.
#[derive(Debug, Clone, Copy)]
pub struct BadInput;

#[async_trait]
impl Workload for BadInput {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(Stranger { caller: Caller::new(context, NAME), strings: strings() }.work());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for id in strings().iter().filter(|text| is_legal(text, limits::ENTITY_ID_BYTES_MAX)) {
            let (node, edge) = caller.node();
            let look = Look { limit: 1_000, ..Look::at(id) };
            if let Some(page) = caller.read_at(node, &edge, &look).await {
                alone(&mut caller, id, &page);
            }
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "bad-input.ok",
            "bad-input.refused.invalid_name",
            "bad-input.came_back",
            "bad-input.bad_body",
            "bad-input.bad_query",
            "bad-input.half_sent",
        ]
    }
}

/// What is legal, in other words than the product's.
fn is_legal(text: &str, bytes_max: usize) -> bool {
    let control = |c: char| u32::from(c) < 0x20 || (0x7f..0xa0).contains(&u32::from(c));
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(control)
}

/// A stream holds only what was sent to it: every event's data names it.
fn alone(caller: &mut Caller, id: &str, page: &ReadPage) {
    let foreign = page.events.iter().find(|event| {
        let text = event.data.to_value().unwrap_or_default()["text"].clone();
        event.entity_id != id || text != id && text != Value::Null
    });
    match foreign {
        Some(event) => caller.wrong(format!("stream {id:?} holds an event of another: {event:?}")),
        None if !page.events.is_empty() => caller.count("came_back"),
        None => {}
    }
}

struct Stranger {
    caller: Caller,
    strings: Vec<String>,
}

impl Stranger {
    async fn work(mut self) -> Result<()> {
        let bodies = bodies();
        while self.caller.pace(PACE).await {
            let Some(text) = self.caller.rng.pick(&self.strings).cloned() else { break };
            match self.caller.rng.within(0..100) {
                0..25 => self.as_id(&text).await,
                25..50 => self.as_name(&text).await,
                50..65 => self.as_key(&text).await,
                65..80 => {
                    let Some(body) = self.caller.rng.pick(&bodies).cloned() else { break };
                    self.body(&body).await;
                }
                80..92 => self.query(&text).await,
                _ => self.half().await,
            }
        }
        self.caller.end()
    }

    /// The string as an entity id, with itself as data.
    async fn as_id(&mut self, text: &str) {
        let mark = self.caller.mark();
        let mut draft = Draft::new(text, NAME, &[mark]).with(json!({ "text": text }));
        draft.events[0].name = format!("{NAME}.id");
        if !self.legal_or_refused(&draft, is_legal(text, limits::ENTITY_ID_BYTES_MAX)).await {
            return;
        }
        let (node, edge) = self.caller.node();
        let look = Look { limit: 20, ..Look::at(text) };
        if let Some(page) = self.caller.read_at(node, &edge, &look).await {
            alone(&mut self.caller, text, &page);
            if page.entity_id != text {
                self.caller.wrong(format!("stream {text:?} comes back as {:?}", page.entity_id));
            }
        }
    }

    /// The string as an event's name and, elsewhere, as the entity's type.
    async fn as_name(&mut self, text: &str) {
        let mark = self.caller.mark();
        let as_type = self.caller.rng.chance(50);
        let mut draft = Draft::new(&format!("{NAME}-names"), NAME, std::slice::from_ref(&mark));
        draft.events[0].name = text.to_owned();
        if as_type {
            draft.stream = format!("{NAME}-type-{mark}");
            draft.kind = text.to_owned();
        }
        if !self.legal_or_refused(&draft, is_legal(text, limits::NAME_BYTES_MAX)).await {
            return;
        }
        let (node, edge) = self.caller.node();
        let direction = weir_check::history::ReadDirection::Backward;
        let look = Look { direction, limit: 50, ..Look::at(&draft.stream) };
        let Some(page) = self.caller.read_at(node, &edge, &look).await else { return };
        let Some(event) = page.events.iter().find(|event| mark_of(event) == mark) else { return };
        if event.name != text || (as_type && event.entity_type != text) {
            self.caller.wrong(format!("name {text:?} comes back as {event:?}"));
        } else {
            self.caller.count("came_back");
        }
    }

    /// The string as an idempotency key: two of them never mean the same.
    async fn as_key(&mut self, text: &str) {
        let mark = self.caller.mark();
        let draft = Draft::new(&format!("{NAME}-key-{mark}"), NAME, std::slice::from_ref(&mark)).keyed(text);
        // No key is no bad key.
        let legal = text.is_empty() || is_legal(text, limits::IDEMPOTENCY_KEY_BYTES_MAX);
        let draft = if text.is_empty() { Draft { key: None, ..draft } } else { draft };
        self.legal_or_refused(&draft, legal).await;
    }

    /// Sends it by REST or Connect. Whether it is in; it is wrong to be in
    /// when it is not legal, and to be refused for its names when it is.
    async fn legal_or_refused(&mut self, draft: &Draft, legal: bool) -> bool {
        let (node, edge) = self.caller.node();
        // A URL cannot end in a dot segment, however it is spelt.
        let dots = matches!(draft.stream.as_str(), "." | "..");
        let in_path = !dots && !draft.stream.is_empty();
        let way = if in_path && self.caller.rng.chance(60) { Way::Rest } else { Way::Connect };
        let told = self.caller.append_at(way, node, &edge, draft).await;
        match &told {
            Told::Acked(_) if !legal => {
                self.caller.wrong(format!("what is not legal was appended: {draft:?}"))
            }
            Told::Refused { code, .. }
                if legal && matches!(code.as_str(), "invalid_name" | "invalid_request") =>
            {
                self.caller.wrong(format!("what is legal was refused with {code}: {draft:?}"));
            }
            Told::Unknown(code) if code == "internal" => {
                self.caller.wrong(format!("{draft:?} was answered with {code}"));
            }
            _ => {}
        }
        told.ack().is_some()
    }

    /// A body that must be refused, whoever is asked.
    async fn body(&mut self, body: &Body) {
        let (node, edge) = self.caller.node();
        let mark = self.caller.mark();
        let (stream, bytes) = (format!("{NAME}-bodies"), body.with_mark(&mark));
        let call = Call::Append {
            stream: stream.clone(),
            expected: Expected::Any,
            key: None,
            marks: vec![mark],
            node,
        };
        let pending = self.caller.context.recorder.invoke(self.caller.context.client(), call);
        let path = match body.connect {
            true => format!("{}AppendEvent", paths::CONNECT_STREAMS),
            false => paths::fill(paths::STREAM_EVENTS, &stream),
        };
        match self.caller.exchange(&edge, Method::POST, &path, Some(bytes)).await {
            Ok(answer) if answer.is_ok() => {
                pending.unknown("accepted");
                self.caller.wrong(format!("a bad body was accepted: {}", body.what));
            }
            Ok(answer) => {
                let error = if body.connect { answer.connect_error() } else { answer.error() };
                self.caller.count("bad_body");
                // Beside a refusal of what was sent, only a node that takes nothing is an excuse.
                if !(400..500).contains(&answer.status) && answer.status != 503 {
                    self.caller
                        .wrong(format!("a bad body was answered {}: {}: {error}", answer.status, body.what));
                }
                Told::of_error(&error).record(pending, false);
            }
            // A node that reads no further than the limit cuts the rest off.
            Err(Lost::Sent(reason)) => pending.unknown(&reason),
            Err(Lost::NotSent) => pending.refused("no_connection", None),
        }
    }

    /// The string wherever a query or a path takes one.
    async fn query(&mut self, text: &str) {
        let (_, edge) = self.caller.node();
        let raw = crate::edge::encoded(text);
        let stream = paths::fill(paths::STREAM_EVENTS, &format!("{NAME}-names"));
        let path = match self.caller.rng.within(0..8) {
            0 => format!("{stream}?from_version={raw}"),
            1 => format!("{stream}?limit={raw}"),
            2 => format!("{stream}?direction={raw}"),
            3 => format!("{stream}?min_position={raw}"),
            4 => format!("{}?partition={raw}", paths::fill(paths::PROJECTION, "bad-input-none")),
            5 => paths::fill(paths::PROJECTION, text),
            6 => format!("{}?entity_type={raw}&consistency=local", paths::STREAMS),
            _ => format!("/api/v1/{raw}/{raw}"),
        };
        if let Ok(answer) = self.caller.exchange(&edge, Method::GET, &path, None).await {
            self.caller.count("bad_query");
            if answer.status == 500 {
                self.caller.wrong(format!("{path:.300} was answered with 500: {}", answer.error()));
            }
        }
    }

    /// A whole append whose answer nobody waits for, or a part of one.
    async fn half(&mut self) {
        let (node, edge) = self.caller.node();
        let mark = self.caller.mark();
        let draft = Draft::new(&format!("{NAME}-half"), NAME, &[mark]);
        let pending = self.caller.context.recorder.invoke(self.caller.context.client(), draft.call(node));
        let whole = self.caller.rng.chance(60);
        let part = self.caller.rng.within(1..100);
        match half::send(&edge, &draft, whole, part).await {
            Ok(()) => {
                self.caller.count("half_sent");
                match whole {
                    true => pending.unknown("cut by the client"),
                    false => pending.refused("never_whole", None),
                }
            }
            Err(error) => pending.unknown(&error.to_string()),
        }
    }
}
