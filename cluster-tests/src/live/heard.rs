use anyhow::{Context as _, Result, ensure};
use weir_types::Cursor;

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every event.
    Log,
    /// A stream of a type; neither may hold a dot.
    Stream {
        /// The entity's type.
        kind: String,
        /// The entity.
        id: String,
    },
    /// Every entity of a type.
    Type(String),
    /// One entity of a type, picked by a filter out of all of them.
    Filtered {
        /// The entity's type.
        kind: String,
        /// The entity.
        id: String,
    },
}

/// From where on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// From the beginning of the log.
    Beginning,
    /// With the newest events.
    Last(u64),
    /// Where it was.
    Cursor(String),
}

/// What a subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// To what.
    pub target: Target,
    /// From where on.
    pub start: Start,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
}

impl Target {
    /// As a pattern.
    #[must_use]
    pub fn pattern(&self) -> String {
        match self {
            Self::Log => ">".to_owned(),
            Self::Stream { kind, id } => format!("entity:{kind}.{id}.>"),
            Self::Type(kind) | Self::Filtered { kind, .. } => format!("entity:{kind}.*"),
        }
    }

    /// Which of the events that the pattern takes are wanted, if not all are.
    #[must_use]
    pub fn filter(&self) -> Option<String> {
        match self {
            Self::Filtered { id, .. } => Some(format!("event.entityId == '{id}' && has(data.op)")),
            Self::Log | Self::Stream { .. } | Self::Type(_) => None,
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its position.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Its version.
    pub version: u64,
    /// The `op` in its data.
    pub mark: String,
}

/// What a subscriber heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Where it begins, and how many of the last events there are, if it was said.
    Opened {
        /// The position.
        position: u64,
        /// To go on from.
        cursor: String,
        /// Of the last events.
        found: Option<u64>,
    },
    /// An event, and the cursor after it.
    Event(Event, String),
    /// History has ended.
    CaughtUp {
        /// At.
        position: u64,
        /// To go on from.
        cursor: String,
    },
    /// Nothing new.
    Heartbeat {
        /// Up to here.
        position: u64,
        /// To go on from.
        cursor: String,
    },
    /// Events were left out.
    LeftOut(u64),
    /// The subscription ended.
    Ended {
        /// The error's code.
        code: String,
        /// To go on from.
        cursor: Option<String>,
    },
}

/// The position that a cursor says.
pub(super) fn position_of(cursor: &str) -> Result<u64> {
    let cursor: Cursor = cursor.parse().with_context(|| format!("cursor `{cursor}`"))?;
    Ok(cursor.position.0)
}

/// An event's cursor says exactly its position.
pub(super) fn exact(event: Event, cursor: String) -> Result<Heard> {
    let said = position_of(&cursor)?;
    ensure!(said == event.position, "cursor of position {} says {said}", event.position);
    Ok(Heard::Event(event, cursor))
}
