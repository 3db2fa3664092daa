use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::heard::{Ask, Event, Heard, Start, exact, position_of};
use crate::edge::Edge;

/// A subscription by a WebSocket of its own.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn open(edge: &Edge, ask: &Ask) -> Result<Self> {
        let url = format!("{}/ws?env=default", edge.base().replacen("http://", "ws://", 1));
        let (mut socket, _) = connect_async(url).await?;
        let mut options = json!({ "cursors": true, "heartbeatMs": ask.heartbeat_ms });
        if let Some(filter) = ask.target.filter() {
            options["filter"] = json!(filter);
        }
        match &ask.start {
            Start::Beginning => options["startAfterSequence"] = json!(0),
            Start::Last(count) => options["replay"] = json!(count),
            Start::Cursor(cursor) => options["cursor"] = json!(cursor),
        }
        let subscription = json!({ "pattern": ask.target.pattern(), "options": options });
        let frame = json!({ "type": "subscribe", "subscription": subscription });
        socket.send(Message::text(frame.to_string())).await?;
        Ok(Self(socket))
    }

    pub(super) async fn next(&mut self) -> Result<Heard> {
        loop {
            match self.0.next().await.context("socket ended without a word")?? {
                Message::Text(text) => return read(&serde_json::from_str(&text)?),
                Message::Close(_) => bail!("socket was closed"),
                _ => {}
            }
        }
    }
}

fn read(frame: &Value) -> Result<Heard> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cursor = text(&frame["cursor"]);
    Ok(match frame["type"].as_str().unwrap_or_default() {
        "subscription_result" => {
            let result = &frame["results"][0];
            if result["status"] != "ok" {
                bail!("refused: {} {}", text(&result["code"]), text(&result["message"]));
            }
            let cursor = text(&result["cursor"]);
            Heard::Opened { position: position_of(&cursor)?, cursor, found: None }
        }
        "event" => return exact(event(frame)?, cursor),
        "caught_up" => Heard::CaughtUp { position: position_of(&cursor)?, cursor },
        "heartbeat" => Heard::Heartbeat { position: position_of(&cursor)?, cursor },
        "left_out" => Heard::LeftOut(frame["count"].as_u64().unwrap_or(0)),
        "subscription_error" => Heard::Ended { code: text(&frame["code"]), cursor: Some(cursor) },
        "error" => Heard::Ended { code: text(&frame["code"]), cursor: None },
        other => bail!("frame `{other}` is not known"),
    })
}

fn event(frame: &Value) -> Result<Event> {
    let topic = frame["topic"].as_str().context("event has no topic")?;
    let data = &frame["data"];
    // An entity's id may hold dots; the types here hold none.
    let (_, named) = topic
        .strip_prefix("entity:")
        .and_then(|topic| topic.split_once('.'))
        .context("topic is of no entity")?;
    let name = data["name"].as_str().context("event has no name")?;
    let stream = named.strip_suffix(name).and_then(|named| named.strip_suffix('.'));
    let stream = stream.context("topic does not end with the event's name")?.to_owned();
    Ok(Event {
        position: frame["meta"]["sequence"].as_u64().context("event has no sequence")?,
        stream,
        version: data["entityVersion"].as_u64().context("event has no version")?,
        mark: data["data"]["op"].as_str().unwrap_or_default().to_owned(),
    })
}
