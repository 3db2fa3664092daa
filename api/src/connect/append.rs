use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_types::{
    AppendAck, AppendRequest, ContentType, EntityId, EntityType, EventName, EventSource, GroupId,
    IdempotencyKey, NewEvent,
};

use super::proto_json::{is_zero, string, text};
use crate::{
    ApiError, JsonText,
    json::{checked_data, checked_metadata},
    number,
    v1::expected_of,
};

/// `AppendEvent`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppendEventRequest {
    /// The stream.
    #[serde(alias = "entity_id", deserialize_with = "text")]
    pub entity_id: String,
    /// The entity's type.
    #[serde(alias = "entity_type", deserialize_with = "text")]
    pub entity_type: String,
    /// What happened.
    #[serde(alias = "event_name", deserialize_with = "text")]
    pub event_name: String,
    /// A JSON object.
    pub data: Option<JsonText>,
    /// −1: any; 0: the stream must not exist; n: exactly n. Absent is 0, as in protobuf.
    #[serde(alias = "expected_version", deserialize_with = "number::or_zero")]
    pub expected_version: i64,
    /// Empty means none.
    #[serde(alias = "idempotency_key", deserialize_with = "text")]
    pub idempotency_key: String,
    /// The version of the data's schema; 0 means 1.
    #[serde(deserialize_with = "number::or_zero")]
    pub version: i32,
    /// A JSON object.
    pub metadata: Option<JsonText>,
}

impl AppendEventRequest {
    /// The append that is asked for.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name` or `too_large`.
    pub fn into_request(self, group: GroupId) -> Result<AppendRequest, ApiError> {
        let key = Some(self.idempotency_key.as_str()).filter(|key| !key.is_empty());
        let request = AppendRequest {
            group,
            entity_id: EntityId::new(&self.entity_id)?,
            entity_type: EntityType::new(&self.entity_type)?,
            expected: expected_of(Some(self.expected_version))?,
            idempotency_key: key.map(IdempotencyKey::new).transpose()?,
            events: vec![self.event()?],
        };
        request.check_limits()?;
        Ok(request)
    }

    fn event(&self) -> Result<NewEvent, ApiError> {
        let bytes = |json: &Option<JsonText>| match json.as_ref().map(JsonText::get) {
            None | Some("null") => Bytes::new(),
            Some(text) => Bytes::from(text.to_owned()),
        };
        let data = Some(bytes(&self.data)).filter(|data| !data.is_empty());
        let data = data.unwrap_or_else(|| Bytes::from_static(b"{}"));
        if data[0] != b'{' {
            return Err(ApiError::invalid("data is not a JSON object"));
        }
        let schema_version = u32::try_from(self.version)
            .map_err(|_| ApiError::invalid(format!("schema version {} is negative", self.version)))?;
        Ok(NewEvent {
            id: None,
            name: EventName::new(&self.event_name)?,
            schema_version: schema_version.max(1),
            content_type: ContentType::Json,
            data: checked_data(data)?,
            metadata: checked_metadata(bytes(&self.metadata))?,
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        })
    }
}

/// The answer to `AppendEvent`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppendEventResponse {
    /// The stream's version after it.
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    pub entity_version: u64,
    /// The event's id.
    pub event_id: String,
}

impl From<&AppendAck> for AppendEventResponse {
    fn from(ack: &AppendAck) -> Self {
        Self {
            entity_version: ack.last_version.0,
            event_id: ack.event_ids.last().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{EventId, ExpectedVersion, Position, StreamVersion};

    use super::*;

    fn request(json: &str) -> Result<AppendRequest, ApiError> {
        let request: AppendEventRequest =
            serde_json::from_str(json).map_err(|error| ApiError::invalid(error.to_string()))?;
        request.into_request(GroupId::DEFAULT)
    }

    #[test]
    fn what_the_sdk_sends_is_understood_in_both_cases() {
        let snake = request(
            r#"{"entity_id":"ord-1","entity_type":"order","event_name":"order.placed","data":{"a":1},
                "expected_version":0,"idempotency_key":"","version":1,"metadata":{"tenantId":"t"}}"#,
        )
        .unwrap();
        let camel = request(
            r#"{"entityId":"ord-1","entityType":"order","eventName":"order.placed","data":{"a":1},
                "expectedVersion":"0","version":"1","metadata":{"tenantId":"t"},"future":[1]}"#,
        )
        .unwrap();
        assert_eq!(snake, camel);
        assert_eq!(snake.expected, ExpectedVersion::Exact(StreamVersion(0)));
        assert_eq!(snake.idempotency_key, None);
    }

    #[test]
    fn missing_and_null_fields_have_their_defaults() {
        let request = request(
            r#"{"entityId":"e","entityType":"t","eventName":"n","data":null,"expectedVersion":null,
                "version":0,"metadata":{},"idempotencyKey":null}"#,
        )
        .unwrap();
        assert_eq!(request.expected, ExpectedVersion::Exact(StreamVersion(0)));
        assert_eq!((&request.events[0].data[..], request.events[0].schema_version), (&b"{}"[..], 1));
        assert!(request.events[0].metadata.is_empty());
    }

    #[test]
    fn absurd_requests_are_refused() {
        for bad in [
            "{}",
            r#"{"entityId":"e","entityType":"t","eventName":"n","data":[1]}"#,
            r#"{"entityId":"e","entityType":"t","eventName":"n","expectedVersion":-3}"#,
            r#"{"entityId":"e","entityType":"t","eventName":"n","expectedVersion":"9999999999999999999"}"#,
            r#"{"entityId":"e","entityType":"t","eventName":"n","version":4294967296}"#,
            r#"{"entityId":"e","entityType":"t","eventName":"n","version":-1}"#,
            r#"{"entityId":"e","entityType":"t","eventName":"n","metadata":"x"}"#,
            r#"{"entityId":"a\u0000b","entityType":"t","eventName":"n"}"#,
        ] {
            assert!(request(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_answered_as_strings() {
        let ack = AppendAck {
            first_version: StreamVersion(1),
            last_version: StreamVersion(1),
            first_position: Position(1),
            event_ids: vec![EventId("018f0000-0000-7000-8000-000000000001".parse().unwrap())],
            repeated: false,
        };
        assert_eq!(
            serde_json::to_string(&AppendEventResponse::from(&ack)).unwrap(),
            r#"{"entityVersion":"1","eventId":"018f0000-0000-7000-8000-000000000001"}"#
        );
    }
}
