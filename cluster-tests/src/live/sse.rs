use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Response;
use weir_api::{
    ErrorBody,
    v1::{EventView, SubscriptionEnd, SubscriptionMark, paths, sse},
};

use super::heard::{Ask, Event, Heard, Start, Target, exact};
use crate::edge::Edge;

/// A subscription by server-sent events.
pub struct Sse {
    answer: Response,
    text: Vec<u8>,
}

impl Sse {
    pub(super) async fn open(edge: &Edge, ask: &Ask) -> Result<Self> {
        let path = match &ask.target {
            Target::Stream { id, .. } => paths::fill(paths::STREAM_SUBSCRIBE, id),
            Target::Log | Target::Type(_) | Target::Filtered { .. } => paths::SUBSCRIBE.to_owned(),
        };
        let mut query = vec![("heartbeat_ms", ask.heartbeat_ms.to_string())];
        if !matches!(ask.target, Target::Stream { .. }) {
            query.push(("pattern", ask.target.pattern()));
        }
        query.extend(ask.target.filter().map(|filter| ("filter", filter)));
        query.push(match &ask.start {
            Start::Beginning => ("from", "start".to_owned()),
            Start::Last(count) => ("last", count.to_string()),
            Start::Cursor(cursor) => ("cursor", cursor.clone()),
        });
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.get(format!("{}{path}", edge.base())).query(&query).send().await?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            let body: ErrorBody = serde_json::from_slice(&answer.bytes().await?)?;
            let error = body.into_error(status);
            bail!("refused: {} {}", error.code, error.message);
        }
        Ok(Self { answer, text: Vec::new() })
    }

    pub(super) async fn next(&mut self) -> Result<Heard> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                return read(std::str::from_utf8(&event)?);
            }
            let chunk = self.answer.chunk().await?.context("answer ended without a word")?;
            self.text.extend_from_slice(&chunk);
        }
    }
}

fn read(text: &str) -> Result<Heard> {
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (name, cursor, data) = (field("event"), field("id"), field("data"));
    if name.is_empty() {
        let event: EventView = serde_json::from_str(&data)?;
        let mark = event.data.to_value()?["op"].as_str().unwrap_or_default().to_owned();
        let (position, version) = (event.position, event.version);
        return exact(Event { position, stream: event.entity_id, version, mark }, cursor);
    }
    if name == sse::END {
        let end: SubscriptionEnd = serde_json::from_str(&data)?;
        return Ok(Heard::Ended { code: end.code, cursor: Some(end.cursor) });
    }
    let SubscriptionMark { position, found, count } = serde_json::from_str(&data)?;
    let mark = match name.as_str() {
        sse::OPENED => Heard::Opened { position, cursor, found },
        sse::CAUGHT_UP => Heard::CaughtUp { position, cursor },
        sse::HEARTBEAT => Heard::Heartbeat { position, cursor },
        sse::LEFT_OUT => Heard::LeftOut(count.unwrap_or(0)),
        other => bail!("event `{other}` is not known"),
    };
    ensure!(!text.is_empty(), "event is empty");
    Ok(mark)
}
