//! Events from a file, for a reducer that is tried out.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;
use weir_api::{JsonText, parse_timestamp};
use weir_types::{
    ContentType, EntityId, EntityType, EventId, EventName, EventSource, Position, RecordedEvent,
    StreamVersion, Tag, Timestamp,
};

/// Events that a file may hold.
const EVENTS_MAX: usize = 1_000_000;
/// When the first event was recorded, where the file does not say: the start of 2026.
const FIRST_RECORDED: i64 = 1_767_225_600_000_000;
/// Between two events that do not say when they were recorded.
const BETWEEN: i64 = 1_000_000;

/// One line: what `weir log --json` prints, of which a name is enough.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    name: String,
    id: Option<Uuid>,
    entity_id: Option<String>,
    entity_type: Option<String>,
    version: Option<u64>,
    position: Option<u64>,
    schema_version: Option<u32>,
    data: Option<JsonText>,
    metadata: Option<JsonText>,
    #[serde(alias = "timestamp")]
    recorded_at: Option<String>,
    occurred_at: Option<String>,
    source: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

/// An event, and the number of its line.
pub(super) struct GivenEvent {
    pub(super) line: usize,
    pub(super) event: RecordedEvent,
}

/// Reads events, one JSON object a line; empty lines are passed. What a line
/// does not say follows from the lines before, so that a file always means the same.
pub(super) fn parse(text: &str) -> Result<Vec<GivenEvent>, String> {
    let mut next = Next { position: 1, versions: HashMap::new() };
    let mut events = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        if events.len() == EVENTS_MAX {
            return Err(format!("line {line}: there are over {EVENTS_MAX} events"));
        }
        let given: Given = serde_json::from_str(text).map_err(|error| format!("line {line}: {error}"))?;
        let event = next.event(given).map_err(|reason| format!("line {line}: {reason}"))?;
        events.push(GivenEvent { line, event });
    }
    Ok(events)
}

/// What an event has that does not say otherwise.
struct Next {
    position: u64,
    versions: HashMap<String, u64>,
}

impl Next {
    fn event(&mut self, given: Given) -> Result<RecordedEvent, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let position = given.position.unwrap_or(self.position);
        if position < self.position {
            return Err(format!("position {position} does not rise"));
        }
        self.position = position.checked_add(1).ok_or("position is too high")?;
        let entity = given.entity_id.unwrap_or_else(|| "entity-1".into());
        let before = self.versions.get(&entity).copied().unwrap_or(0);
        let version = given.version.unwrap_or(before + 1);
        self.versions.insert(entity.clone(), version);
        let time = |text: Option<String>| {
            text.map(|text| parse_timestamp(&text)).transpose().map_err(|error| told(&error))
        };
        let spaced = i64::try_from(position).unwrap_or(i64::MAX).saturating_sub(1).saturating_mul(BETWEEN);
        let recorded_at =
            time(given.recorded_at)?.unwrap_or(Timestamp(FIRST_RECORDED.saturating_add(spaced)));
        Ok(RecordedEvent {
            id: EventId(given.id.unwrap_or(Uuid::from_u128(u128::from(position)))),
            entity_id: EntityId::new(entity).map_err(|e| told(&e))?,
            entity_type: EntityType::new(given.entity_type.unwrap_or_else(|| "entity".into()))
                .map_err(|e| told(&e))?,
            name: EventName::new(given.name).map_err(|e| told(&e))?,
            version: StreamVersion(version),
            position: Position(position),
            schema_version: given.schema_version.unwrap_or(1),
            content_type: given.content_type.map_or(ContentType::Json, ContentType::Other),
            data: Bytes::from(given.data.unwrap_or_else(JsonText::null).get().to_owned()),
            metadata: Bytes::from(given.metadata.map_or_else(String::new, |text| text.get().to_owned())),
            recorded_at,
            occurred_at: time(given.occurred_at)?,
            source: source(given.source.as_deref())?,
            tags: given.tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(|e| told(&e))?,
        })
    }
}

fn source(name: Option<&str>) -> Result<EventSource, String> {
    match name {
        None | Some("api") => Ok(EventSource::Api),
        Some("cron") => Ok(EventSource::Cron),
        Some("webhook") => Ok(EventSource::Webhook),
        Some("import") => Ok(EventSource::Import),
        Some(other) => Err(format!("`{other}` is no source: api, cron, webhook or import")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_does_not_say_follows_from_those_before() {
        let events = parse("{\"name\":\"a\"}\n\n{\"name\":\"b\",\"entityId\":\"x\",\"position\":7}\n{\"name\":\"c\",\"entityId\":\"x\",\"data\":{\"n\":1}}")
            .unwrap();
        let told: Vec<_> = events
            .iter()
            .map(|given| {
                let event = &given.event;
                (given.line, event.position.0, event.entity_id.as_str(), event.version.0)
            })
            .collect();
        assert_eq!(told, [(1, 1, "entity-1", 1), (3, 7, "x", 1), (4, 8, "x", 2)]);
        assert_eq!(events[1].event.recorded_at.0 - events[0].event.recorded_at.0, 6 * BETWEEN);
        assert_eq!(
            (events[0].event.data.as_ref(), events[2].event.data.as_ref()),
            (&b"null"[..], &b"{\"n\":1}"[..])
        );
    }

    #[test]
    fn an_event_of_the_log_is_taken_as_it_is_printed() {
        let line = r#"{"id":"01a1fc53-0000-7000-8000-000000000001","entityId":"o-1","entityType":"order","name":"order.placed","version":3,"position":9,"schemaVersion":2,"data":{"n":1},"metadata":{"by":"me"},"recordedAt":"2026-11-22T07:00:00.000000Z","occurredAt":"2026-11-21T07:00:00Z","source":"import","tags":["t"]}"#;
        let view =
            |event: &RecordedEvent| serde_json::to_value(weir_api::v1::EventView::from(event)).unwrap();
        let event = parse(line).unwrap().remove(0).event;
        let mut expected: serde_json::Value = serde_json::from_str(line).unwrap();
        expected["occurredAt"] = view(&event)["occurredAt"].clone();
        assert_eq!(view(&event), expected);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, reason) in [
            ("{", "line 1: "),
            ("{\"name\":\"a\"}\n{}", "line 2: missing field `name`"),
            ("{\"name\":\"a\",\"nam\":1}", "line 1: unknown field `nam`"),
            (
                "{\"name\":\"a\",\"position\":5}\n{\"name\":\"a\",\"position\":5}",
                "line 2: position 5 does not rise",
            ),
            ("{\"name\":\"\"}", "line 1: "),
            ("{\"name\":\"a\",\"timestamp\":\"now\"}", "line 1: time `now`"),
            ("{\"name\":\"a\",\"source\":\"me\"}", "line 1: `me` is no source"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
