use serde_json::{Value, json};
use weir_api::{
    ApiError, ErrorCode, JsonText,
    v1::{ReadQuery, SnapshotBody},
};
use weir_types::{Consistency, EntityId, StreamVersion};

use super::{Desk, StateAsked, StateKept, StateTold};
use crate::plant::Plant;

impl Desk {
    /// Keeps a state.
    pub(super) async fn keep(&self, kept: StateKept) -> Result<(), ApiError> {
        let version = match self.plant {
            Some(Plant::SnapshotOfBefore) => kept.version.saturating_sub(1).max(1),
            _ => kept.version,
        };
        let state = JsonText::of_stored(kept.value.to_string().as_bytes());
        let body = SnapshotBody { entity_type: None, entity_version: version, state };
        self.engine.create_snapshot(&EntityId::new(&kept.stream)?, body).await?;
        Ok(())
    }

    /// The newest state that was kept, at a version or before it.
    pub(super) async fn kept(&self, asked: &StateAsked) -> Result<StateTold, ApiError> {
        let (entity, before) = (EntityId::new(&asked.stream)?, asked.version.map(StreamVersion));
        let snapshot = self.engine.snapshot(&entity, before, Consistency::Linearizable).await?;
        Ok(StateTold { version: snapshot.version.0, value: snapshot.state.to_value().unwrap_or_default() })
    }

    /// The newest state that was kept, with the events after it folded on top.
    pub(super) async fn since_snapshot(&self, asked: &StateAsked) -> Result<StateTold, ApiError> {
        let query = ReadQuery { as_of_version: asked.version, limit: Some(1_000), ..ReadQuery::default() };
        let read = self.engine.read_from_snapshot(EntityId::new(&asked.stream)?, &query).await?;
        if read.next_version.is_some() {
            return Err(ApiError::new(ErrorCode::TooLarge, "a run has fewer events"));
        }
        let kept = read.snapshot.map(|snapshot| snapshot.state.to_value().unwrap_or_default());
        let kept = kept.unwrap_or_else(|| json!({ "cents": 0, "events": 0 }));
        let number = |value: &Value| value.as_i64().unwrap_or(i64::MIN / 2);
        let moved =
            |event: &weir_api::v1::EventView| number(&event.data.to_value().unwrap_or_default()["cents"]);
        let cents = number(&kept["cents"]).saturating_add(read.events.iter().map(moved).sum());
        // Events that do not follow the snapshot are counted wrongly.
        let events = read.events.last().map_or(kept["events"].as_u64(), |last| Some(last.version));
        let counted = kept["events"].as_u64().map(|kept| kept + read.events.len() as u64);
        let value = json!({ "cents": cents, "events": if events == counted { counted } else { None } });
        Ok(StateTold { version: read.version, value })
    }
}
