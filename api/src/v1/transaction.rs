use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    Condition, EntityId, EntityType, EventName, ExpectedVersion, GroupId, Position, StreamAppend,
    StreamCheck, Tag, TransactionAck, TransactionRequest,
};

use super::{
    AppendResult, EventBody,
    append::{expected_of, expected_version, key_of, new_events},
};
use crate::{ApiError, error::expected_number, number};

/// POST to transactions: appends to several streams, all of it or nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransactionBody {
    /// 1 to 100 appends, each to a stream of its own.
    #[serde(default)]
    pub appends: Vec<StreamAppendBody>,
    /// What must hold of streams that are not written; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<StreamCheckBody>,
    /// Which events must not have come; at most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionBody>,
    /// The key by which a repeat is recognised; its scope is the first stream that is written.
    #[serde(alias = "idempotency_key", skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Whether everything is checked and nothing written.
    #[serde(alias = "validate_only", default, skip_serializing_if = "std::ops::Not::not")]
    pub validate_only: bool,
}

/// The part of a transaction that goes to one stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamAppendBody {
    /// The stream.
    #[serde(alias = "entity_id", default)]
    pub entity_id: String,
    /// The entity's type.
    #[serde(alias = "entity_type", default)]
    pub entity_type: String,
    /// As [`super::AppendBody::expected_version`].
    #[serde(
        alias = "expected_version",
        default,
        deserialize_with = "expected_version",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "crate::openapi::expected")]
    pub expected_version: Option<i64>,
    /// At least one event.
    #[serde(default)]
    pub events: Vec<EventBody>,
}

/// What must hold of a stream that is not written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamCheckBody {
    /// The stream.
    #[serde(alias = "entity_id", default)]
    pub entity_id: String,
    /// As [`super::AppendBody::expected_version`], but neither absent nor any.
    #[serde(
        alias = "expected_version",
        default,
        deserialize_with = "expected_version",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "crate::openapi::expected")]
    pub expected_version: Option<i64>,
}

/// No event after a position may be of one of the names and carry all of the tags.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionBody {
    /// The last position that the client has seen; absent means 0, the whole log.
    #[serde(default, deserialize_with = "number::or_zero")]
    pub after: u64,
    /// Event names, of which an event matches by one; none is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Tags, of which an event must carry all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl TransactionBody {
    /// The transaction that is asked for. `header_key` is from the header `Idempotency-Key`.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name`, `empty_append` or `too_large`.
    pub fn into_request(
        self,
        group: GroupId,
        header_key: Option<&str>,
    ) -> Result<TransactionRequest, ApiError> {
        let request = TransactionRequest {
            group,
            idempotency_key: key_of(self.idempotency_key.as_deref(), header_key)?,
            appends: self.appends.into_iter().map(StreamAppend::try_from).collect::<Result<_, _>>()?,
            checks: self.checks.into_iter().map(StreamCheck::try_from).collect::<Result<_, _>>()?,
            conditions: self.conditions.into_iter().map(Condition::try_from).collect::<Result<_, _>>()?,
        };
        request.check_limits()?;
        Ok(request)
    }

    /// The body that asks for a transaction.
    #[must_use]
    pub fn from_request(request: &TransactionRequest) -> Self {
        let append = |append: &StreamAppend| StreamAppendBody {
            entity_id: append.entity_id.as_str().into(),
            entity_type: append.entity_type.as_str().into(),
            expected_version: Some(expected_number(append.expected)),
            events: append.events.iter().map(EventBody::from_event).collect(),
        };
        let check = |check: &StreamCheck| StreamCheckBody {
            entity_id: check.entity_id.as_str().into(),
            expected_version: Some(expected_number(check.expected)),
        };
        let condition = |condition: &Condition| ConditionBody {
            after: condition.after.0,
            names: condition.names.iter().map(ToString::to_string).collect(),
            tags: condition.tags.iter().map(ToString::to_string).collect(),
        };
        Self {
            appends: request.appends.iter().map(append).collect(),
            checks: request.checks.iter().map(check).collect(),
            conditions: request.conditions.iter().map(condition).collect(),
            idempotency_key: request.idempotency_key.as_ref().map(ToString::to_string),
            validate_only: false,
        }
    }
}

impl TryFrom<StreamAppendBody> for StreamAppend {
    type Error = ApiError;

    fn try_from(body: StreamAppendBody) -> Result<Self, ApiError> {
        Ok(Self {
            entity_id: EntityId::new(&body.entity_id)?,
            entity_type: EntityType::new(&body.entity_type)?,
            expected: expected_of(body.expected_version)?,
            events: new_events(body.events)?,
        })
    }
}

impl TryFrom<StreamCheckBody> for StreamCheck {
    type Error = ApiError;

    fn try_from(body: StreamCheckBody) -> Result<Self, ApiError> {
        let entity_id = EntityId::new(&body.entity_id)?;
        match expected_of(body.expected_version)? {
            ExpectedVersion::Any => {
                Err(ApiError::invalid(format!("check of the stream {entity_id:?} expects any version")))
            }
            expected => Ok(Self { entity_id, expected }),
        }
    }
}

impl TryFrom<ConditionBody> for Condition {
    type Error = ApiError;

    fn try_from(body: ConditionBody) -> Result<Self, ApiError> {
        Ok(Self {
            after: Position(body.after),
            names: body.names.iter().map(EventName::new).collect::<Result<_, _>>()?,
            tags: body.tags.iter().map(Tag::new).collect::<Result<_, _>>()?,
        })
    }
}

/// The answer to a durable transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionResult {
    /// What became of each stream, in the order of the request.
    pub streams: Vec<AppendResult>,
    /// Position of the last event: the `min_position` for read-your-writes.
    pub last_position: u64,
    /// Whether an earlier transaction with the same idempotency key is answered again.
    pub repeated: bool,
}

impl From<&TransactionAck> for TransactionResult {
    fn from(ack: &TransactionAck) -> Self {
        Self {
            streams: ack.streams.iter().map(|(entity, ack)| AppendResult::new(entity, ack)).collect(),
            last_position: ack.last_position().unwrap_or_default().0,
            repeated: ack.repeated,
        }
    }
}

impl TransactionResult {
    /// The answer in the domain's words.
    ///
    /// # Errors
    /// `internal` when the answer contradicts itself: the outcome is not known.
    pub fn to_ack(&self) -> Result<TransactionAck, ApiError> {
        let stream = |result: &AppendResult| Ok((EntityId::new(&result.entity_id)?, result.to_ack()?));
        let streams = self.streams.iter().map(stream).collect::<Result<_, ApiError>>()?;
        Ok(TransactionAck { streams, repeated: self.repeated })
    }
}

/// The answer to a write that was only to be checked, and would be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validated {
    /// Always true: what would be refused is answered with its error.
    pub valid: bool,
    /// The position that was applied when it was checked.
    pub position: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Result<TransactionRequest, ApiError> {
        let body: TransactionBody =
            serde_json::from_str(body).map_err(|error| ApiError::invalid(error.to_string()))?;
        body.into_request(GroupId::DEFAULT, None)
    }

    const WHOLE: &str = r#"{"idempotencyKey":"k","appends":[
        {"entityId":"a","entityType":"account","expectedVersion":3,
         "events":[{"name":"withdrawn","data":{"n":1},"tags":["transfer:7"],
                    "id":"00000000-0000-0000-0000-000000000007"}]},
        {"entity_id":"b","entity_type":"account","expected_version":"exists","events":[{"name":"deposited"}]}],
        "checks":[{"entityId":"c","expectedVersion":"none"}],
        "conditions":[{"after":"41","names":["frozen"],"tags":["account:a"]}]}"#;

    #[test]
    fn a_transaction_survives_the_way() {
        let whole = request(WHOLE).unwrap();
        assert_eq!(whole.appends[1].expected, ExpectedVersion::Exists);
        assert_eq!(whole.appends[0].events[0].tags, [Tag::new("transfer:7").unwrap()]);
        assert_eq!(whole.conditions[0].after, Position(41));
        let again = TransactionBody::from_request(&whole);
        let again = serde_json::to_string(&again).unwrap();
        assert_eq!(request(&again), Ok(whole));
    }

    #[test]
    fn absurd_transactions_are_refused_by_their_codes() {
        for (from, to, code) in [
            (r#""entityId":"c""#, r#""entityId":"b""#, "invalid_request"),
            (r#""expectedVersion":"none""#, r#""expectedVersion":"any""#, "invalid_request"),
            (r#"{"name":"deposited"}"#, "", "empty_append"),
            (r#""entityId":"a""#, r#""entityId":"""#, "invalid_name"),
            (r#"["transfer:7"]"#, r#"["a\u0000b"]"#, "invalid_name"),
            (r#""id":"0000"#, r#""id":"zzzz"#, "invalid_request"),
            (r#""after":"41""#, r#""after":-1"#, "invalid_request"),
            (r#""checks""#, r#""cheks""#, "invalid_request"),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let error = request(&WHOLE.replace(from, to)).unwrap_err();
            assert_eq!(error.code.as_str(), code, "{from} -> {to}: {error:?}");
        }
        let tags: Vec<String> = (0..17).map(|n| format!("\"t{n}\"")).collect();
        let wide = WHOLE.replace(r#""transfer:7""#, &tags.join(","));
        assert_eq!(request(&wide).unwrap_err().code.as_str(), "too_large");
    }
}
