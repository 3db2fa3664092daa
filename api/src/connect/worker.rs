//! The calls of `ProjectionService` by which workers fold. Fields that the contract does not have are Weir's own: a
//! worker that sends none of them is known by the events that it was given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{PartitionKey, RecordedEvent};

use super::proto_json::{is_zero, string, text};
use crate::{
    JsonText, format_timestamp, number,
    source::source_text,
    v1::{RebuildBody, data_of, metadata_of},
};

/// `RegisterProjection`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterProjectionRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The patterns of its events.
    #[serde(deserialize_with = "or_empty")]
    pub events: Vec<String>,
    /// JSONPath of the partition within the event; empty means that it has one partition.
    #[serde(alias = "partition_key", deserialize_with = "text")]
    pub partition_key: String,
    /// `managed` (empty means this) or `external`.
    #[serde(deserialize_with = "text")]
    pub mode: String,
    /// For how long a worker has the projection to itself without a sign of life.
    #[serde(deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How often the same events are handed out before they count as not to be folded.
    #[serde(deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub deliveries_max: Option<u32>,
    /// What becomes of an event then: `park` (empty means this) or `dead_letter`.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub on_failure: String,
    /// Where the cluster itself sends the events of an external projection; nobody polls then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookBody>,
    /// As `webhook`: a subject of NATS, which a stream of JetStream must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats: Option<SubjectBody>,
}

/// A subject of NATS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SubjectBody {
    /// The subject, without wildcards.
    pub subject: String,
}

/// An HTTP server that takes events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookBody {
    /// `http://…` or `https://…`
    pub url: String,
    /// With which each event is signed; empty means not at all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The answer to `RegisterProjection`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterProjectionResponse {
    /// `registered`, or `updated` where it was there.
    pub status: String,
    /// The position up to which all is saved.
    #[serde(serialize_with = "string", deserialize_with = "number::or_zero")]
    pub last_event_seq: u64,
}

/// A call that names a projection and no more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NamedProjectionRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
}

/// `RebuildProjection`; of the others that change a projection's life, its name alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RebuildProjectionRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Whether it only folds and compares.
    #[serde(alias = "dry_run")]
    pub dry_run: bool,
    /// As [`RebuildBody::to_event_id`].
    #[serde(alias = "to_event_id")]
    pub to_event_id: Option<String>,
    /// As [`RebuildBody::from_event_id`].
    #[serde(alias = "from_event_id")]
    pub from_event_id: Option<String>,
    /// As [`RebuildBody::partition`].
    pub partition: Option<String>,
}

impl RebuildProjectionRequest {
    /// The same over REST.
    #[must_use]
    pub fn to_body(&self) -> RebuildBody {
        RebuildBody {
            dry_run: self.dry_run,
            to_event_id: self.to_event_id.clone(),
            from_event_id: self.from_event_id.clone(),
            partition: self.partition.clone(),
        }
    }
}

/// `PollProjectionEvents`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PollProjectionRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Events that the worker takes at once; 0 leaves it to the server.
    #[serde(alias = "batch_size", deserialize_with = "number::or_zero")]
    pub batch_size: u32,
    /// Who asks, where it has a name: the lease is of this name.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub worker_id: String,
    /// How long to wait for events; 25 s without it.
    #[serde(deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// The answer to `PollProjectionEvents`: events of one partition, and that partition's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PollProjectionResponse {
    /// In order. The same come again until they are saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<ProjectionEvent>,
    /// The partition's state; absent when it has none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<JsonText>,
    /// The position up to which all is saved.
    #[serde(
        serialize_with = "string",
        deserialize_with = "number::or_zero",
        skip_serializing_if = "is_zero"
    )]
    pub last_event_seq: u64,
    /// The partition, where there are events.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
    /// The number of the lease under which they are handed out.
    #[serde(
        serialize_with = "string",
        deserialize_with = "number::or_zero",
        skip_serializing_if = "is_zero"
    )]
    pub lease_number: u64,
    /// How long it goes on without a sign of life.
    #[serde(skip_serializing_if = "is_zero")]
    pub lease_ms: u64,
    /// Which delivery of them it is; the first is 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub delivery: u32,
}

/// An event as workers get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionEvent {
    /// Its id.
    pub id: String,
    /// What happened.
    pub name: String,
    /// The data.
    pub data: JsonText,
    /// Its position.
    #[serde(serialize_with = "string", deserialize_with = "number::or_zero")]
    pub seq: u64,
    /// When it was recorded.
    pub timestamp: String,
    /// Where it came from.
    pub source: String,
    /// A JSON object, if there is any metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    /// Its stream.
    #[serde(default)]
    pub entity_id: String,
    /// The type of its stream.
    #[serde(default)]
    pub entity_type: String,
    /// Its place in its stream.
    #[serde(default, serialize_with = "string", deserialize_with = "number::or_zero")]
    pub entity_version: u64,
}

impl From<&RecordedEvent> for ProjectionEvent {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            id: event.id.to_string(),
            name: event.name.as_str().into(),
            data: data_of(event),
            seq: event.position.0,
            timestamp: format_timestamp(event.recorded_at),
            source: source_text(event.source).into(),
            metadata: metadata_of(event),
            entity_id: event.entity_id.as_str().into(),
            entity_type: event.entity_type.as_str().into(),
            entity_version: event.version.0,
        }
    }
}

/// `SaveProjectionState`, and `AckProjectionEvents`, which has no state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SaveProjectionRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The partition. Workers of the contract name the one of a projection without partitions, whichever it is.
    #[serde(alias = "partition_key", deserialize_with = "text")]
    pub partition_key: String,
    /// A JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JsonText>,
    /// The last event that is in the state: one of those that were handed out last.
    #[serde(alias = "last_event_id", deserialize_with = "text")]
    pub last_event_id: String,
    /// Its position.
    #[serde(alias = "last_event_seq", deserialize_with = "number::or_zero")]
    pub last_event_seq: u64,
    /// Who saves, where it has a name.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub worker_id: String,
    /// The number of the lease under which the events were handed out.
    #[serde(deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub lease_number: Option<u64>,
}

impl SaveProjectionRequest {
    /// Whether it names a partition that is not this one.
    #[must_use]
    pub fn names_another(&self, partition: &PartitionKey) -> bool {
        let named = self.partition_key.as_str();
        !named.is_empty() && named != PartitionKey::global().as_str() && named != partition.as_str()
    }
}

/// The answer to `SaveProjectionState` and `AckProjectionEvents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OkResponse {
    /// It is so.
    pub ok: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_sends_is_understood_and_what_it_gets_is_the_contracts() {
        let register: RegisterProjectionRequest = serde_json::from_str(
            r#"{"name":"c","events":["order.placed"],"mode":"managed","version":1,"partitionKey":"$.data.customer.id"}"#,
        )
        .unwrap();
        assert_eq!((register.partition_key.as_str(), register.lease_ms), ("$.data.customer.id", None));
        let save: SaveProjectionRequest = serde_json::from_str(
            r#"{"name":"c","partitionKey":"cust-001","state":{"orders":[]},"lastEventId":"evt_1","lastEventSeq":35,
                "lastEventTime":"2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!((save.last_event_seq, save.lease_number), (35, None));
        assert!(save.names_another(&PartitionKey::new("cust-002").unwrap()));
        assert!(!save.names_another(&PartitionKey::new("cust-001").unwrap()));
        let global = SaveProjectionRequest { partition_key: "__global__".into(), ..save };
        assert!(!global.names_another(&PartitionKey::new("cust-002").unwrap()));
        let poll: PollProjectionRequest = serde_json::from_str(r#"{"name":"c","batch_size":100}"#).unwrap();
        assert_eq!((poll.batch_size, poll.wait_ms), (100, None));
        assert_eq!(serde_json::to_string(&PollProjectionResponse::default()).unwrap(), "{}");
    }
}
