use serde::{Deserialize, Serialize};

use super::proto_json::{string, text};
use crate::{
    JsonText, format_timestamp, number,
    v1::{Snapshot, SnapshotBody},
};

/// `CreateSnapshot`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSnapshotRequest {
    /// The stream.
    #[serde(alias = "entity_id", default, deserialize_with = "text")]
    pub entity_id: String,
    /// The entity's type, which is checked where it is given.
    #[serde(alias = "entity_type", default, deserialize_with = "text")]
    pub entity_type: String,
    /// The version of the last event that is in the state.
    #[serde(alias = "entity_version", default, deserialize_with = "number::or_zero")]
    pub entity_version: u64,
    /// The state; absent, an empty one.
    #[serde(default)]
    pub state: Option<JsonText>,
}

impl CreateSnapshotRequest {
    /// The same as REST has it.
    #[must_use]
    pub fn into_body(self) -> (String, SnapshotBody) {
        let state = self.state.unwrap_or_else(|| JsonText::of_stored(b"{}"));
        let body =
            SnapshotBody { entity_type: Some(self.entity_type), entity_version: self.entity_version, state };
        (self.entity_id, body)
    }
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSnapshotResponse {
    /// The id of the snapshot.
    pub snapshot_id: String,
}

/// `GetSnapshot`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetSnapshotRequest {
    /// The stream.
    #[serde(alias = "entity_id", deserialize_with = "text")]
    pub entity_id: String,
    /// The newest of this version or an earlier one; 0 is the newest of all.
    #[serde(alias = "before_version", deserialize_with = "number::or_zero")]
    pub before_version: u64,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetSnapshotResponse {
    /// Its id.
    pub snapshot_id: String,
    /// The stream.
    pub entity_id: String,
    /// The entity's type.
    pub entity_type: String,
    /// The version of the last event that is in the state.
    #[serde(serialize_with = "string")]
    pub entity_version: u64,
    /// The state.
    pub state: JsonText,
    /// When it was kept, RFC 3339.
    pub created_at: String,
}

impl From<&Snapshot> for GetSnapshotResponse {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            snapshot_id: snapshot.id.clone(),
            entity_id: snapshot.entity_id.as_str().to_owned(),
            entity_type: snapshot.entity_type.as_str().to_owned(),
            entity_version: snapshot.version.0,
            state: snapshot.state.clone(),
            created_at: format_timestamp(snapshot.created_at),
        }
    }
}
