//! A new state of a projection's partition, as the edges tell it.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    EventId, EventName, LogIndex, PartitionKey, Position, ProjectionName, Timestamp, view_topic,
};

use crate::{JsonText, format_timestamp};

/// A new state of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewUpdate {
    /// The projection.
    pub name: ProjectionName,
    /// The log index of its deployment.
    pub deployed: LogIndex,
    /// The partition.
    pub partition: PartitionKey,
    /// Its state.
    pub state: Bytes,
    /// Position of the event that changed it last.
    pub position: Position,
    /// That event: its id, its name, and when it was recorded.
    pub last_event: (EventId, EventName, Timestamp),
}

/// What the contract says of a new state within `data`.
#[derive(Debug, Serialize)]
struct Payload {
    state: JsonText,
    last_event_id: String,
    last_event_name: String,
}

impl ViewUpdate {
    /// The topic of the contract.
    #[must_use]
    pub fn topic(&self) -> String {
        view_topic(&self.name, &self.partition)
    }

    /// The data of the contract.
    #[must_use]
    pub fn payload(&self) -> JsonText {
        let payload = Payload {
            state: JsonText::of_stored(&self.state),
            last_event_id: self.last_event.0.to_string(),
            last_event_name: self.last_event.1.as_str().into(),
        };
        JsonText::of_stored(&serde_json::to_vec(&payload).unwrap_or_default())
    }
}

/// A new state of a partition, as server-sent events carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateUpdate {
    /// The projection.
    pub projection: String,
    /// The log index of its deployment.
    pub deployed: u64,
    /// The partition.
    pub partition: String,
    /// Its state.
    pub state: JsonText,
    /// Id of the event that changed it last.
    pub last_event_id: String,
    /// The name of that event.
    pub last_event_name: String,
    /// The position of that event.
    pub sequence: u64,
    /// When that event was recorded.
    pub timestamp: String,
}

impl From<&ViewUpdate> for StateUpdate {
    fn from(update: &ViewUpdate) -> Self {
        let (id, name, recorded_at) = &update.last_event;
        Self {
            projection: update.name.as_str().into(),
            deployed: update.deployed.0,
            partition: update.partition.as_str().into(),
            state: JsonText::of_stored(&update.state),
            last_event_id: id.to_string(),
            last_event_name: name.as_str().into(),
            sequence: update.position.0,
            timestamp: format_timestamp(*recorded_at),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn update() -> ViewUpdate {
        ViewUpdate {
            name: ProjectionName::new("orders").unwrap(),
            deployed: LogIndex(4),
            partition: PartitionKey::global(),
            state: Bytes::from_static(b"{\"n\":1}"),
            position: Position(35),
            last_event: (
                EventId(uuid::Uuid::from_u128(7)),
                EventName::new("order.placed").unwrap(),
                Timestamp(1_000_000),
            ),
        }
    }

    #[test]
    fn a_state_has_the_topic_and_data_of_the_contract() {
        let update = update();
        assert_eq!(update.topic(), "system.projection.orders.__global__.updated");
        let expected = concat!(
            r#"{"state":{"n":1},"last_event_id":"00000000-0000-0000-0000-000000000007","#,
            r#""last_event_name":"order.placed"}"#
        );
        assert_eq!(update.payload().get(), expected);
        let body = serde_json::to_value(StateUpdate::from(&update)).unwrap();
        assert_eq!((&body["sequence"], &body["deployed"]), (&35.into(), &4.into()));
    }
}
