use serde::{Deserialize, Serialize};
use weir_types::{EntityType, StreamHead, limits};

use super::{
    GetStreamInfoResponse,
    proto_json::{is_zero, text},
};
use crate::{ApiError, number};

/// `ListStreams`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListStreamsRequest {
    /// Only streams of this type; empty is all.
    #[serde(alias = "entity_type", deserialize_with = "text")]
    pub entity_type: String,
    /// Streams in the page; 0 is 100, more than the limit is the limit.
    #[serde(deserialize_with = "number::or_zero")]
    pub limit: i32,
    /// Streams to pass over.
    #[serde(deserialize_with = "number::or_zero")]
    pub offset: i32,
}

impl ListStreamsRequest {
    /// Type, offset and limit.
    ///
    /// # Errors
    /// `invalid_request` or `invalid_name`.
    pub fn to_page(&self) -> Result<(Option<EntityType>, usize, usize), ApiError> {
        let entity_type = Some(self.entity_type.as_str()).filter(|name| !name.is_empty());
        let whole = |what: &str, number: i32| {
            usize::try_from(number).map_err(|_| ApiError::invalid(format!("{what} {number} is negative")))
        };
        let limit = match whole("limit", self.limit)? {
            0 => 100,
            limit => limit.min(limits::LIST_STREAMS_MAX),
        };
        Ok((entity_type.map(EntityType::new).transpose()?, whole("offset", self.offset)?, limit))
    }
}

/// The answer to `ListStreams`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListStreamsResponse {
    /// The streams, in the order of their creation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<GetStreamInfoResponse>,
    /// How many there are in all.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_count: i32,
}

impl ListStreamsResponse {
    /// The answer of these heads.
    #[must_use]
    pub fn new(heads: &[StreamHead], total: u64) -> Self {
        Self {
            streams: heads.iter().map(GetStreamInfoResponse::from).collect(),
            total_count: i32::try_from(total).unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_defaults_and_bounds() {
        for (json, page) in [
            ("{}", Ok((None, 0, 100))),
            (r#"{"entity_type":"order","limit":5,"offset":"7"}"#, Ok((Some("order"), 7, 5))),
            (r#"{"entityType":"order","limit":99999}"#, Ok((Some("order"), 0, 1_000))),
            (r#"{"limit":-1}"#, Err(())),
            (r#"{"offset":-1}"#, Err(())),
        ] {
            let request: ListStreamsRequest = serde_json::from_str(json).unwrap();
            let expected = page.map(|(name, o, l)| (name.map(|n| EntityType::new(n).unwrap()), o, l));
            assert_eq!(request.to_page().map_err(|_| ()), expected, "{json}");
        }
        let empty = ListStreamsResponse::new(&[], 0);
        assert_eq!(serde_json::to_string(&empty).unwrap(), "{}");
    }
}
