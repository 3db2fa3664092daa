mod walk;

use serde_json::Value;
use serde_json_path::JsonPath;
use weir_types::{PartitionKey, Planted, ProjectionDefinition, RecordedEvent, planted};

use super::event_text::{data_text, event_text, metadata_text};
use walk::Way;

/// The partition of an event that a projection folds, if it has one.
pub(crate) fn partition_of(definition: &ProjectionDefinition, event: &RecordedEvent) -> Option<PartitionKey> {
    match &definition.partition_key {
        None => Some(PartitionKey::global()),
        Some(path) => PartitionPath::parse(path).ok()?.key_of(event).ok()?,
    }
}

/// Where an event says which partition it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct PartitionPath {
    path: JsonPath,
    /// The same path, if it can be gone without building the event.
    way: Option<Way>,
}

impl PartitionPath {
    /// Takes a path of names and indexes, which lead to one place: `$.a['b'][0]`.
    /// Others may find as many places as there are ways to them, which grow
    /// exponentially in the depth of an event, with nothing to bound them.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let path = JsonPath::parse(text).map_err(|error| error.to_string())?;
        if !leads_to_one_place(text) {
            return Err("it is made of more than names and indexes, and may lead to many places".to_owned());
        }
        Ok(Self { path, way: Way::parse(text) })
    }

    /// The partition of an event. `None` when it has no key there: nothing, null,
    /// an empty text, an object or an array.
    pub(crate) fn key_of(&self, event: &RecordedEvent) -> Result<Option<PartitionKey>, String> {
        key_at(self.look(event))
    }

    /// The partition of an event given as JSON, all of which is read.
    #[cfg(any(test, feature = "inside"))]
    pub(crate) fn key_in(&self, event: &str) -> Result<Option<PartitionKey>, String> {
        key_at(self.find(event))
    }

    fn look(&self, event: &RecordedEvent) -> serde_json::Result<Option<Value>> {
        match self.way.as_ref().and_then(Way::parted) {
            Some(("data", rest)) => rest.find(data_text(event)),
            Some(("metadata", rest)) => rest.find(metadata_text(event)),
            Some(("entityId", rest)) if rest.is_over() => Ok(Some(event.entity_id.as_str().into())),
            _ => self.find(&event_text(event)),
        }
    }

    fn find(&self, event: &str) -> serde_json::Result<Option<Value>> {
        match &self.way {
            Some(way) => way.whole().find(event),
            None => self.find_in_whole(event),
        }
    }

    fn find_in_whole(&self, event: &str) -> serde_json::Result<Option<Value>> {
        let event: Value = serde_json::from_str(event)?;
        Ok(self.path.query(&event).at_most_one().ok().flatten().cloned())
    }
}

/// The key that a value is, if it is one.
fn key_at(found: serde_json::Result<Option<Value>>) -> Result<Option<PartitionKey>, String> {
    let text = match found.map_err(|error| format!("event is not readable as JSON: {error}"))? {
        Some(Value::String(text)) => text,
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number_text(&number),
        _ => return Ok(None),
    };
    if text.is_empty() {
        return Ok(None);
    }
    PartitionKey::new(text).map(Some).map_err(|error| error.to_string())
}

/// Whether a path, whose syntax was checked, is made of names and indexes alone.
fn leads_to_one_place(path: &str) -> bool {
    let mut rest = path.trim_start_matches('$').trim_start();
    while let Some(first) = rest.chars().next() {
        let after = match first {
            '.' => after_name(&rest[1..]),
            '[' => after_bracket(rest[1..].trim_start()),
            _ => None,
        };
        let Some(after) = after else { return false };
        rest = after.trim_start();
    }
    true
}

/// What follows a name after a dot; none when it is another dot or a star.
fn after_name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| matches!(c, '.' | '[' | '*') || c.is_whitespace()).unwrap_or(text.len());
    (end > 0 && !text[end..].starts_with('*')).then(|| &text[end..])
}

/// What follows one quoted name or index in brackets.
fn after_bracket(text: &str) -> Option<&str> {
    let end = match text.chars().next()? {
        quote @ ('\'' | '"') => 2 + end_of_quoted(&text[1..], quote)?,
        _ => text.find(|c: char| !c.is_ascii_digit() && c != '-').filter(|end| *end > 0)?,
    };
    text[end..].trim_start().strip_prefix(']')
}

/// Where the closing quote is; what a backslash stands before is none.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

/// A number as JavaScript would write it, so that `1` and `1.0` are one partition.
fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            // −0 is 0 there.
            format!("{:.0}", float + 0.0)
        }
        Some(float) if planted(Planted::PartitionsMixedUp) => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use uuid::Uuid;
    use weir_types::{
        ContentType, EntityId, EntityType, EventId, EventName, EventSource, Position, StreamVersion,
        Timestamp,
    };

    use super::*;

    #[test]
    fn keys_are_texts_numbers_and_booleans() {
        let event = json!({
            "entityId": "e-1",
            "data": {"a b": "x", "n": 7, "f": 7.0, "h": 1.5, "z": -0.0, "t": true, "null": null, "empty": "", "o": {}, "l": [1, 2]}
        });
        for (path, expected) in [
            ("$.entityId", Some("e-1")),
            ("$.data['a b']", Some("x")),
            ("$.data.n", Some("7")),
            ("$.data.f", Some("7")),
            ("$.data.h", Some("1.5")),
            ("$.data.z", Some("0")),
            ("$.data.t", Some("true")),
            ("$.data.null", None),
            ("$.data.empty", None),
            ("$.data.o", None),
            ("$.data.missing", None),
            ("$.data.l[-1]", Some("2")),
            ("$ ['data'] [ \"a b\" ]", Some("x")),
            ("$['data']['a\\'b']", None),
        ] {
            let key = PartitionPath::parse(path).unwrap().key_in(&event.to_string()).unwrap();
            assert_eq!(key.as_ref().map(PartitionKey::as_str), expected, "{path}");
        }
        assert!(PartitionPath::parse("data.x").is_err());
    }

    #[test]
    fn the_short_way_finds_what_the_whole_event_has_there() {
        let events = [
            r#"{"a":{"b":[10,{"c":"x"}],"b c":1},"e":2}"#,
            r#"{"a":{"b":1},"a":{"b":[3,{"c":null}]},"\u0065":4}"#,
            r#"{"a":[{"b":1}],"e":{"a":"no"}}"#,
            r#"{"a":"text","e":-0.0}"#,
            "[]",
            "7",
        ];
        let paths = [
            "$",
            "$.a",
            "$.e",
            "$.a.b",
            "$.a.b[0]",
            "$.a.b[1].c",
            "$['a']['b c']",
            "$[\"a\"] .b [1]",
            "$[0]",
        ];
        for path in paths {
            let path = PartitionPath::parse(path).unwrap();
            assert!(path.way.is_some(), "{path:?}");
            for event in events {
                let (short, whole) = (path.find(event).unwrap(), path.find_in_whole(event).unwrap());
                assert_eq!(short, whole, "{path:?} {event}");
            }
        }
        for path in ["$.a[-1]", "$['a\\'b']"] {
            assert!(PartitionPath::parse(path).unwrap().way.is_none(), "{path}");
        }
        assert!(PartitionPath::parse("$.a").unwrap().find(r#"{"a":1,"b":"#).is_err());
    }

    #[test]
    fn an_event_has_at_a_path_what_its_text_has_there() {
        let event = RecordedEvent {
            id: EventId(Uuid::from_u128(7)),
            entity_id: EntityId::new("e-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            name: EventName::new("order.placed").unwrap(),
            version: StreamVersion(3),
            position: Position(9),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(br#"{"a":{"b":[1,"two"]},"n":7.0}"#),
            metadata: Bytes::new(),
            recorded_at: Timestamp(1_700_000_000_000_000),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        };
        let others = [
            RecordedEvent { metadata: Bytes::from_static(br#"{"tenant":"t"}"#), ..event.clone() },
            RecordedEvent { content_type: ContentType::Other("text/plain".into()), ..event.clone() },
            RecordedEvent { data: Bytes::from_static(b"12"), ..event.clone() },
        ];
        let paths = [
            "$",
            "$.data",
            "$.data.n",
            "$.data.a.b[1]",
            "$.data.a.b[-1]",
            "$['data'].n",
            "$.metadata.tenant",
            "$.metadata",
            "$.entityId",
            "$.entityId.x",
            "$.entityType",
            "$.version",
            "$.position",
            "$.timestamp",
            "$.occurredAt",
            "$.contentType",
            "$.none",
        ];
        for event in others.iter().chain([&event]) {
            for path in paths {
                let parsed = PartitionPath::parse(path).unwrap();
                let text = event_text(event);
                assert_eq!(parsed.key_of(event), parsed.key_in(&text), "{path} of {text}");
            }
        }
    }

    #[test]
    fn a_path_that_may_lead_to_many_places_is_refused() {
        for path in
            ["$..a", "$.a..b", "$.*", "$.a[*]", "$['a','b']", "$[0:1]", "$[?@.a]", "$[0,0][0]", "$..*"]
        {
            let refused = PartitionPath::parse(path).unwrap_err();
            assert!(refused.contains("many places"), "{path}: {refused}");
        }
        for path in ["$", "$.a", "$.a.b", "$['..*']", "$[\"],[\"]", "$.a[0]", "$.ä"] {
            assert!(PartitionPath::parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_key_over_its_limit_is_named() {
        let path = PartitionPath::parse("$.data").unwrap();
        assert!(path.key_in(&json!({"data": "x".repeat(513)}).to_string()).is_err());
        assert!(path.key_in(&json!({"data": "a\u{0}b"}).to_string()).is_err());
    }
}
