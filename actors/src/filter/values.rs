//! What a filter sees of an event: what a reader of REST sees, with two names of the contract beside.

use std::collections::{BTreeSet, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde_json::Value;
use weir_types::{ContentType, RecordedEvent};

use crate::reducer::{source_text, time_text};

/// A value of its own.
type Given = Box<dyn Val>;

/// What `event` has.
pub(super) const FIELDS: [&str; 16] = [
    "id",
    "name",
    "entityId",
    "entityType",
    "version",
    "entityVersion",
    "position",
    "schemaVersion",
    "data",
    "metadata",
    "recordedAt",
    "timestamp",
    "occurredAt",
    "source",
    "contentType",
    "tags",
];
/// What may be said without `event.`.
const SHORT: [&str; 3] = ["data", "metadata", "name"];

/// What a filter asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    event: bool,
    fields: BTreeSet<&'static str>,
    short: BTreeSet<&'static str>,
}

impl Needs {
    /// Notes a variable; whether it is one.
    pub(super) fn variable(&mut self, name: &str) -> bool {
        if name == "event" {
            self.event = true;
            self.fields.extend(FIELDS);
            return true;
        }
        let known = SHORT.into_iter().find(|known| *known == name);
        self.short.extend(known);
        known.is_some()
    }

    /// Notes a field of `event`; whether it has such.
    pub(super) fn field(&mut self, name: &str) -> bool {
        let known = FIELDS.into_iter().find(|known| *known == name);
        self.event |= known.is_some();
        self.fields.extend(known);
        known.is_some()
    }
}

/// The variables that are needed.
pub(super) fn of(event: &RecordedEvent, needs: &Needs) -> Result<Vec<(&'static str, Given)>, String> {
    let mut variables = Vec::new();
    for name in &needs.short {
        variables.extend(field(event, name)?.map(|value| (*name, value)));
    }
    if needs.event {
        let mut fields = HashMap::new();
        for name in &needs.fields {
            if let Some(value) = field(event, name)? {
                fields.insert(CelMapKey::from(*name), value);
            }
        }
        variables.push(("event", Box::new(CelMap::from(fields))));
    }
    Ok(variables)
}

/// One field; `None` where the event has none, so that `has` can tell.
fn field(event: &RecordedEvent, name: &str) -> Result<Option<Given>, String> {
    Ok(Some(match name {
        "id" => text(event.id.to_string()),
        "name" => text(event.name.as_str()),
        "entityId" => text(event.entity_id.as_str()),
        "entityType" => text(event.entity_type.as_str()),
        "version" | "entityVersion" => number(event.version.0),
        "position" => number(event.position.0),
        "schemaVersion" => number(event.schema_version.into()),
        "data" => data(event)?,
        "metadata" if event.metadata.is_empty() => Box::new(CelMap::from(HashMap::new())),
        "metadata" => json(&event.metadata)?,
        "recordedAt" | "timestamp" => text(time_text(event.recorded_at)),
        "occurredAt" => return Ok(event.occurred_at.map(|at| text(time_text(at)))),
        "source" => text(source_text(event.source)),
        "contentType" => match &event.content_type {
            ContentType::Json => return Ok(None),
            ContentType::Other(media_type) => text(media_type.as_str()),
        },
        "tags" => {
            let tags = event.tags.iter().map(|tag| text(tag.to_string())).collect::<Vec<Given>>();
            Box::new(CelList::from(tags))
        }
        _ => return Ok(None),
    }))
}

fn data(event: &RecordedEvent) -> Result<Given, String> {
    match event.content_type {
        ContentType::Json => json(&event.data),
        ContentType::Other(_) => Ok(text(STANDARD.encode(&event.data))),
    }
}

fn text(text: impl Into<String>) -> Given {
    Box::new(CelString::from(text.into()))
}

/// Positions and versions are far from where an int ends.
fn number(number: u64) -> Given {
    i64::try_from(number)
        .map_or_else(|_| Box::new(CelUInt::from(number)) as Given, |int| Box::new(CelInt::from(int)))
}

fn json(bytes: &[u8]) -> Result<Given, String> {
    serde_json::from_slice(bytes).map(of_json).map_err(|error| error.to_string())
}

fn of_json(value: Value) -> Given {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(boolean) => Box::new(CelBool::from(boolean)),
        Value::Number(given) => match (given.as_i64(), given.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => number(uint),
            (None, None) => Box::new(CelDouble::from(given.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(given) => text(given),
        Value::Array(elements) => {
            Box::new(CelList::from(elements.into_iter().map(of_json).collect::<Vec<_>>()))
        }
        Value::Object(members) => {
            let members =
                members.into_iter().map(|(key, value)| (CelMapKey::String(key.into()), of_json(value)));
            Box::new(CelMap::from(members.collect::<HashMap<_, _>>()))
        }
    }
}
