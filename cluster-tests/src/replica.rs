//! What one node holds, as an outside reader finds it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use weir_api::v1::EventView;

/// One event of a node's log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its place in the namespace.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// Its stream.
    pub entity_id: String,
    /// The type of that entity.
    pub entity_type: String,
    /// Its place in its stream.
    pub version: u64,
    /// What happened.
    pub name: String,
    /// Its data.
    pub data: Value,
    /// When it was recorded.
    pub recorded_at: String,
    /// When it happened, if its writer said.
    pub occurred_at: Option<String>,
}

impl StoredEvent {
    /// The event of a page.
    ///
    /// # Errors
    /// When its data is no JSON.
    pub fn of(view: EventView) -> Result<Self> {
        Ok(Self {
            data: view.data.to_value()?,
            position: view.position,
            id: view.id,
            entity_id: view.entity_id,
            entity_type: view.entity_type,
            version: view.version,
            name: view.name,
            recorded_at: view.recorded_at,
            occurred_at: view.occurred_at,
        })
    }

    /// The mark that the workload wrote into the event's data.
    #[must_use]
    pub fn op(&self) -> Option<&str> {
        self.data["op"].as_str()
    }
}

/// All that a node has applied, read with consistency `local`.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// The node.
    pub node: u64,
    /// Its events, in the order in which it gave them.
    pub events: Vec<StoredEvent>,
}

impl Replica {
    /// The events of each stream, in log order.
    #[must_use]
    pub fn streams(&self) -> BTreeMap<&str, Vec<&StoredEvent>> {
        let mut streams: BTreeMap<&str, Vec<&StoredEvent>> = BTreeMap::new();
        for event in &self.events {
            streams.entry(&event.entity_id).or_default().push(event);
        }
        streams
    }
}

/// A replica of a few events, for the tests of the invariants.
#[cfg(test)]
pub(crate) fn sample(node: u64) -> Replica {
    let event = |position: u64, entity: &str, version: u64| StoredEvent {
        position,
        id: format!("id-{position}"),
        entity_id: entity.to_owned(),
        entity_type: "thing".to_owned(),
        version,
        name: "happened".to_owned(),
        data: serde_json::json!({ "op": format!("op-{position}") }),
        recorded_at: "2026-01-01T00:00:00Z".to_owned(),
        occurred_at: None,
    };
    let events =
        vec![event(1, "a", 1), event(2, "b", 1), event(3, "a", 2), event(4, "a", 3), event(5, "b", 2)];
    Replica { node, events }
}
