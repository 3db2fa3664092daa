//! Upcasters of events.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::{
    ContentType, EntityId, EntityType, EventId, EventName, EventSource, LogIndex, Position, RecordedEvent,
    StreamVersion, Timestamp, Upcaster,
};

use crate::{
    ApiError, JsonText, format_timestamp,
    json::{checked_data, checked_metadata},
    number,
};

/// PUT: what leads events of a name from a schema version to a later one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpcasterBody {
    /// The schema version that it gives; absent, the one after the version that it takes.
    #[serde(
        alias = "to_version",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub to_version: Option<u32>,
    /// The JavaScript module: `export function upcast(data, event) { … }`.
    pub source: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl UpcasterBody {
    /// The upcaster that is asked for, set `now`.
    ///
    /// # Errors
    /// `upcaster_invalid`.
    pub fn into_upcaster(self, name: EventName, from: u32, now: Timestamp) -> Result<Upcaster, ApiError> {
        let upcaster = Upcaster {
            name,
            from,
            to: self.to_version.unwrap_or(from.saturating_add(1)),
            source: self.source.into(),
            description: self.description.unwrap_or_default(),
            registered_at: now,
        };
        upcaster.check_limits()?;
        Ok(upcaster)
    }
}

/// An upcaster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpcasterView {
    /// The name of the events.
    pub event_name: String,
    /// The schema version that it takes.
    pub from_version: u32,
    /// The schema version that it gives.
    pub to_version: u32,
    /// The JavaScript module.
    pub source: String,
    /// For people.
    pub description: String,
    /// When it was set, RFC 3339.
    pub created_at: String,
    /// The log index since which it holds.
    pub revision: u64,
}

impl UpcasterView {
    /// An upcaster, which holds since `revision`.
    #[must_use]
    pub fn new(upcaster: &Upcaster, revision: LogIndex) -> Self {
        Self {
            event_name: upcaster.name.as_str().to_owned(),
            from_version: upcaster.from,
            to_version: upcaster.to,
            source: upcaster.source.to_string(),
            description: upcaster.description.clone(),
            created_at: format_timestamp(upcaster.registered_at),
            revision: revision.0,
        }
    }
}

/// All upcasters, in order of names and versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpcasterList {
    /// The upcasters.
    pub upcasters: Vec<UpcasterView>,
    /// The log index of the last change; 0 when there was none.
    pub revision: u64,
}

/// POST: try the upcasters of a name on data.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpcastBody {
    /// The name of the events, where the path does not say it.
    #[serde(alias = "event_name", default, skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// The schema version of the data; absent means 1.
    #[serde(
        alias = "from_version",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub from_version: Option<u32>,
    /// The schema version that is wanted; absent or 0 means the newest.
    #[serde(
        alias = "to_version",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub to_version: Option<u32>,
    /// The data.
    pub data: JsonText,
    /// What the event's metadata is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
}

impl UpcastBody {
    /// An event as it would be read, of a stream called `test`, and the version that is wanted.
    ///
    /// # Errors
    /// `invalid_name` or `invalid_request`.
    pub fn into_event(self, now: Timestamp) -> Result<(RecordedEvent, Option<u32>), ApiError> {
        let name = self.event_name.ok_or_else(|| ApiError::invalid("`eventName` is missing"))?;
        let metadata = self.metadata.map(|metadata| Bytes::from(metadata.get().to_owned()));
        let from = self.from_version.unwrap_or(1);
        if from == 0 {
            return Err(ApiError::invalid("`fromVersion` is 0"));
        }
        let to = self.to_version.filter(|to| *to > 0);
        if let Some(to) = to.filter(|to| *to < from) {
            let message = format!("`toVersion` {to} is before `fromVersion` {from}, and nothing leads back");
            return Err(ApiError::invalid(message));
        }
        let event = RecordedEvent {
            id: EventId(Uuid::nil()),
            entity_id: EntityId::new("test")?,
            entity_type: EntityType::new("test")?,
            name: EventName::new(name)?,
            version: StreamVersion(1),
            position: Position::ZERO,
            schema_version: from,
            content_type: ContentType::Json,
            data: checked_data(Bytes::from(self.data.get().to_owned()))?,
            metadata: checked_metadata(metadata.unwrap_or_default())?,
            recorded_at: now,
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        };
        Ok((event, to))
    }
}

/// One step of a try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpcastStep {
    /// The schema version that it took.
    pub from_version: u32,
    /// The schema version that it gave.
    pub to_version: u32,
    /// What its author says of it.
    pub description: String,
    /// The data that it gave.
    pub data: JsonText,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpcastResult {
    /// Whether the version that was wanted was reached.
    pub success: bool,
    /// The data as far as it was led.
    pub data: JsonText,
    /// Its schema version.
    pub schema_version: u32,
    /// The steps that were taken.
    pub steps: Vec<UpcastStep>,
    /// Why there are no more, if one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its code: `upcast_gap` or `upcast_failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_the_next_version_by_itself() {
        let upcaster = |json: &str| {
            let body: UpcasterBody = serde_json::from_str(json).unwrap();
            body.into_upcaster(EventName::new("e").unwrap(), 3, Timestamp(0))
        };
        assert_eq!(upcaster(r#"{"source":"x"}"#).unwrap().to, 4);
        assert_eq!(upcaster(r#"{"source":"x","to_version":"9"}"#).unwrap().to, 9);
        assert!(upcaster(r#"{"source":"x","toVersion":3}"#).is_err());
    }

    #[test]
    fn a_try_says_what_is_tried() {
        let event = |json: &str| serde_json::from_str::<UpcastBody>(json).unwrap().into_event(Timestamp(0));
        let (one, target) = event(r#"{"eventName":"e","data":{"a":1}}"#).unwrap();
        assert_eq!((one.schema_version, target, &one.data[..]), (1, None, &br#"{"a":1}"#[..]));
        let sent = r#"{"eventName":"e","fromVersion":2,"toVersion":5,"data":null,"metadata":{"k":1}}"#;
        assert_eq!(event(sent).unwrap().1, Some(5));
        for bad in [r#"{"data":1}"#, r#"{"eventName":"e","fromVersion":0,"data":1}"#] {
            assert!(event(bad).is_err(), "{bad}");
        }
    }
}
