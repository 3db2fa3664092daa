//! Snapshots of streams. The contract's members are in snake case; answers have both.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{EntityId, EntityType, StreamVersion, Timestamp, limits};

use super::{EventView, Freshness, ReadPage, read::consistency_of};
use crate::{ApiError, ErrorCode, JsonText, format_timestamp, json::checked_data, number};

/// POST: keep the state that a stream has folded to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotBody {
    /// The entity's type, which is checked where it is given.
    #[serde(alias = "entity_type", default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// The version of the last event that is in the state.
    #[serde(alias = "entity_version", deserialize_with = "number::or_zero")]
    pub entity_version: u64,
    /// The state: a JSON object.
    pub state: JsonText,
}

impl SnapshotBody {
    /// What is to be kept.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` or `too_large`.
    pub fn checked(self) -> Result<(Option<EntityType>, StreamVersion, JsonText), ApiError> {
        let named = self.entity_type.filter(|entity_type| !entity_type.is_empty());
        let entity_type = named.map(EntityType::new).transpose()?;
        if self.entity_version == 0 {
            return Err(ApiError::invalid("a snapshot is of a version from 1 on"));
        }
        let (bytes, max) = (self.state.get().len(), limits::SNAPSHOT_STATE_BYTES_MAX);
        if bytes > max {
            let message = format!("state has {bytes} bytes, over the limit of {max}");
            return Err(ApiError::new(ErrorCode::TooLarge, message).with("actual", bytes).with("max", max));
        }
        if !self.state.get().starts_with('{') {
            return Err(ApiError::invalid("state is not a JSON object"));
        }
        checked_data(bytes::Bytes::from(self.state.get().to_owned()))?;
        Ok((entity_type, StreamVersion(self.entity_version), self.state))
    }
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotCreated {
    /// The id of the snapshot: of one stream and version, always the same.
    pub snapshot_id: String,
    /// The version that it is of.
    pub entity_version: u64,
    #[serde(rename = "snapshotId")]
    id_camel: String,
    #[serde(rename = "entityVersion")]
    version_camel: u64,
}

impl SnapshotCreated {
    /// The answer of a snapshot that is kept.
    #[must_use]
    pub fn new(id: String, version: StreamVersion) -> Self {
        let version = version.0;
        Self { id_camel: id.clone(), snapshot_id: id, entity_version: version, version_camel: version }
    }
}

/// What is kept of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The stream.
    pub entity_id: EntityId,
    /// The entity's type.
    pub entity_type: EntityType,
    /// The version of the last event that is in the state.
    pub version: StreamVersion,
    /// The state.
    pub state: JsonText,
    /// When it was kept.
    pub created_at: Timestamp,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotView {
    /// Its id.
    pub snapshot_id: String,
    /// The stream.
    pub entity_id: String,
    /// The entity's type.
    pub entity_type: String,
    /// The version of the last event that is in the state.
    pub entity_version: u64,
    /// The state.
    pub state: JsonText,
    /// When it was kept, RFC 3339.
    pub created_at: String,
    #[serde(rename = "snapshotId")]
    id_camel: String,
    #[serde(rename = "entityId")]
    entity_camel: String,
    #[serde(rename = "entityType")]
    type_camel: String,
    #[serde(rename = "entityVersion")]
    version_camel: u64,
    #[serde(rename = "createdAt")]
    created_camel: String,
}

impl From<&Snapshot> for SnapshotView {
    fn from(snapshot: &Snapshot) -> Self {
        let (entity, entity_type) = (snapshot.entity_id.as_str(), snapshot.entity_type.as_str());
        let created_at = format_timestamp(snapshot.created_at);
        Self {
            snapshot_id: snapshot.id.clone(),
            entity_id: entity.into(),
            entity_type: entity_type.into(),
            entity_version: snapshot.version.0,
            state: snapshot.state.clone(),
            id_camel: snapshot.id.clone(),
            entity_camel: entity.into(),
            type_camel: entity_type.into(),
            version_camel: snapshot.version.0,
            created_camel: created_at.clone(),
            created_at,
        }
    }
}

/// The versions of which snapshots are kept, rising.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotList {
    /// The stream.
    pub entity_id: String,
    /// The versions.
    pub versions: Vec<u64>,
}

/// GET: which snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotQuery {
    /// The newest of this version or an earlier one; absent or 0, the newest of all.
    #[serde(
        alias = "beforeVersion",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub before_version: Option<u64>,
    /// Absent: linearizable, unless `min_position` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
    /// A position that the answer must reflect.
    #[serde(
        alias = "minPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_position: Option<u64>,
}

impl SnapshotQuery {
    /// The version that the snapshot may not be beyond.
    #[must_use]
    pub fn before(&self) -> Option<StreamVersion> {
        self.before_version.filter(|version| *version > 0).map(StreamVersion)
    }

    /// How fresh the answer must be.
    ///
    /// # Errors
    /// `invalid_request` when it is asked for in two ways.
    pub fn to_consistency(&self) -> Result<weir_types::Consistency, ApiError> {
        consistency_of(self.consistency, self.min_position)
    }
}

/// A snapshot and the events after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRead {
    /// The stream.
    pub entity_id: String,
    /// The stream's version when it was read; 0 when it has no events.
    pub version: u64,
    /// The newest snapshot that is not beyond what is asked for; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotView>,
    /// The events after it, oldest first.
    pub events: Vec<EventView>,
    /// Where the next page of events begins, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_version: Option<u64>,
    /// The position that the answering node had applied.
    pub position: u64,
    /// Of the past: the last version that was recorded until the moment, and is not beyond the one asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_version: Option<u64>,
}

impl SnapshotRead {
    /// A snapshot with a page of events after it.
    #[must_use]
    pub fn new(snapshot: Option<&Snapshot>, page: ReadPage) -> Self {
        Self {
            entity_id: page.entity_id,
            version: page.version,
            snapshot: snapshot.map(SnapshotView::from),
            events: page.events,
            next_version: page.next_version,
            position: page.position,
            as_of_version: page.as_of_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_an_object_of_a_version() {
        let checked = |json: &str| serde_json::from_str::<SnapshotBody>(json).unwrap().checked();
        let (entity_type, version, state) =
            checked(r#"{"entity_type":"order","entity_version":"7","state":{"a":1}}"#).unwrap();
        assert_eq!((entity_type.unwrap().as_str(), version.0, state.get()), ("order", 7, r#"{"a":1}"#));
        assert!(checked(r#"{"entityVersion":1,"state":{}}"#).unwrap().0.is_none());
        for bad in [r#"{"entityVersion":0,"state":{}}"#, r#"{"entityVersion":1,"state":[]}"#] {
            assert_eq!(checked(bad).unwrap_err().code, ErrorCode::InvalidRequest, "{bad}");
        }
        let long = format!(r#"{{"entityVersion":1,"state":{{"a":"{}"}}}}"#, "x".repeat(1024 * 1024));
        assert_eq!(checked(&long).unwrap_err().code, ErrorCode::TooLarge);
    }
}
