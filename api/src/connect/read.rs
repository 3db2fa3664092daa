use serde::{Deserialize, Serialize};
use weir_types::{EntityId, GroupId, RecordedEvent, StreamRead, StreamVersion, limits};

use super::{
    StreamEvent,
    proto_json::{is_zero, text},
};
use crate::{ApiError, number, v1::direction_of};

/// `ReadStream`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadStreamRequest {
    /// The stream.
    #[serde(alias = "entity_id", deserialize_with = "text")]
    pub entity_id: String,
    /// First version, inclusive; 0 is the start, or the end when backward.
    #[serde(alias = "from_version", deserialize_with = "number::or_zero")]
    pub from_version: i64,
    /// How many events; 0 is all.
    #[serde(deserialize_with = "number::or_zero")]
    pub limit: i32,
    /// `forward` or `backward`; empty is forward.
    #[serde(deserialize_with = "text")]
    pub direction: String,
}

impl ReadStreamRequest {
    /// The first page of the read, and how many events are asked for in all:
    /// `None` is all of them.
    ///
    /// # Errors
    /// `invalid_request` or `invalid_name`.
    pub fn to_read(&self, group: GroupId) -> Result<(StreamRead, Option<usize>), ApiError> {
        let from = version_of(self.from_version)?;
        let wanted = usize::try_from(self.limit)
            .map_err(|_| ApiError::invalid(format!("limit {} is negative", self.limit)))?;
        let read = StreamRead {
            group,
            entity_id: EntityId::new(&self.entity_id)?,
            from,
            direction: direction_of(&self.direction)?,
            limit: if wanted == 0 { limits::READ_EVENTS_MAX } else { wanted.min(limits::READ_EVENTS_MAX) },
        };
        Ok((read, Some(wanted).filter(|wanted| *wanted > 0)))
    }
}

/// A version from the wire; 0 is none.
pub(super) fn version_of(number: i64) -> Result<Option<StreamVersion>, ApiError> {
    let version =
        u64::try_from(number).map_err(|_| ApiError::invalid(format!("version {number} is negative")))?;
    Ok(Some(StreamVersion(version)).filter(|version| version.0 > 0))
}

/// The answer to `ReadStream`. A stream without events has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadStreamResponse {
    /// The events, in the read's direction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<StreamEvent>,
    /// How many events the stream has.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_count: i32,
}

impl ReadStreamResponse {
    /// The answer of these events, from a stream at `version`.
    #[must_use]
    pub fn new(events: &[RecordedEvent], version: StreamVersion) -> Self {
        Self {
            events: events.iter().map(StreamEvent::from).collect(),
            total_count: i32::try_from(version.0).unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::Direction;

    use super::*;
    use crate::v1::event_tests::event;

    #[test]
    fn a_read_is_understood_in_both_cases() {
        for (json, from, wanted, direction) in [
            (
                r#"{"entity_id":"e","from_version":0,"limit":0,"direction":"forward"}"#,
                None,
                None,
                Direction::Forward,
            ),
            (r#"{"entityId":"e","fromVersion":"7","limit":"9"}"#, Some(7), Some(9), Direction::Forward),
            (
                r#"{"entityId":"e","limit":99999,"direction":"backward"}"#,
                None,
                Some(99_999),
                Direction::Backward,
            ),
        ] {
            let request: ReadStreamRequest = serde_json::from_str(json).unwrap();
            let (read, all) = request.to_read(GroupId::DEFAULT).unwrap();
            assert_eq!((read.from.map(|v| v.0), all, read.direction), (from, wanted, direction), "{json}");
            assert!(read.limit >= 1 && read.limit <= limits::READ_EVENTS_MAX);
        }
        for bad in [
            r#"{"entityId":"e","fromVersion":-1}"#,
            r#"{"entityId":"e","limit":-1}"#,
            r#"{"entityId":"e","direction":"up"}"#,
            "{}",
        ] {
            let request: ReadStreamRequest = serde_json::from_str(bad).unwrap();
            assert!(request.to_read(GroupId::DEFAULT).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_canonical() {
        let answer = ReadStreamResponse::new(&[event()], StreamVersion(2));
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            concat!(
                r#"{"events":[{"id":"018f0000-0000-7000-8000-000000000001","name":"order.placed","#,
                r#""data":{"n": 12345678901234567890},"entityVersion":"2","version":1,"#,
                r#""timestamp":"1970-01-01T00:00:01.000000Z","source":"api"}],"totalCount":2}"#
            )
        );
        let empty = ReadStreamResponse::new(&[], StreamVersion::ZERO);
        assert_eq!(serde_json::to_string(&empty).unwrap(), "{}");
    }
}
