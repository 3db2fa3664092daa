use serde::{Deserialize, Serialize};
use weir_types::{EntityId, StreamHead};

use super::proto_json::{is_zero, string, text};
use crate::{ApiError, format_timestamp};

/// `GetStreamInfo`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetStreamInfoRequest {
    /// The stream.
    #[serde(alias = "entity_id", deserialize_with = "text")]
    pub entity_id: String,
}

impl GetStreamInfoRequest {
    /// The stream.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_entity_id(&self) -> Result<EntityId, ApiError> {
        Ok(EntityId::new(&self.entity_id)?)
    }
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetStreamInfoResponse {
    /// The stream.
    pub entity_id: String,
    /// The type that its first event gave it.
    pub entity_type: String,
    /// The version of its last event.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub version: u64,
    /// The number of its events.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub event_count: u64,
    /// When its first event was recorded.
    pub created_at: String,
    /// When its last event was recorded.
    pub updated_at: String,
}

impl From<&StreamHead> for GetStreamInfoResponse {
    fn from(head: &StreamHead) -> Self {
        Self {
            entity_id: head.entity_id.as_str().into(),
            entity_type: head.entity_type.as_str().into(),
            version: head.version.0,
            event_count: head.version.0,
            created_at: format_timestamp(head.created_at),
            updated_at: format_timestamp(head.updated_at),
        }
    }
}
