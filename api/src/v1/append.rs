use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use weir_types::{
    AppendAck, AppendRequest, ContentType, EntityId, EntityType, EventId, EventName, ExpectedVersion,
    GroupId, IdempotencyKey, NewEvent, Planted, Position, StreamVersion, Tag, planted,
};

use crate::{
    ApiError, ErrorCode, JsonText,
    error::expected_number,
    format_timestamp,
    json::{checked_data, checked_metadata, present},
    number, parse_timestamp,
    source::{parse_content_type, parse_source, source_text},
};

use super::event::{data_in, media_type_of};

/// POST to a stream's events: one event by its own fields, or `events`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppendBody {
    /// The stream; if given, it must be that of the path.
    #[serde(alias = "entity_id", skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// The entity's type.
    #[serde(alias = "entity_type", default)]
    pub entity_type: String,
    /// −1, `"any"` or absent: any; 0 or `"none"`: the stream must not exist; n: exactly n; −2 or `"exists"`: any but none.
    #[serde(
        alias = "expected_version",
        default,
        deserialize_with = "expected_version",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "crate::openapi::expected")]
    pub expected_version: Option<i64>,
    /// The key by which a repeat is recognised; empty or absent means none.
    #[serde(alias = "idempotency_key", skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The events; absent when the event stands in the fields below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventBody>>,
    /// As [`EventBody::name`].
    #[serde(
        alias = "eventName",
        alias = "event_name",
        alias = "eventType",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
    /// As [`EventBody::data`].
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub data: Option<JsonText>,
    /// As [`EventBody::content_type`].
    #[serde(alias = "content_type", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// As [`EventBody::metadata`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    /// As [`EventBody::schema_version`].
    #[serde(
        alias = "schema_version",
        alias = "version",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub schema_version: Option<u32>,
    /// As [`EventBody::occurred_at`].
    #[serde(alias = "occurred_at", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// As [`EventBody::source`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// As [`EventBody::id`].
    #[serde(alias = "eventId", alias = "event_id", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As [`EventBody::tags`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Whether everything is checked and nothing written.
    #[serde(alias = "validate_only", default, skip_serializing_if = "std::ops::Not::not")]
    pub validate_only: bool,
}

/// One event to append.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventBody {
    /// What happened.
    #[serde(alias = "eventName", alias = "event_name", alias = "eventType", default)]
    pub name: String,
    /// Any JSON value; absent means `{}`. A string of base64 where `contentType` is there.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub data: Option<JsonText>,
    /// The media type of data that are bytes; absent means JSON.
    #[serde(alias = "content_type", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// A JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    /// The version of the data's schema; absent or 0 means 1.
    #[serde(
        alias = "schema_version",
        alias = "version",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub schema_version: Option<u32>,
    /// When it happened, in RFC 3339 with an offset.
    #[serde(alias = "occurred_at", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// `api` (default), `cron`, `webhook` or `import`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A UUID that the client chose; absent means that the server chooses one.
    #[serde(alias = "eventId", alias = "event_id", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the event is about, beside its stream; at most 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl AppendBody {
    /// The append that is asked for. `entity_id` is from the path, `header_key`
    /// from the header `Idempotency-Key`, which may stand instead of the field.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name`, `empty_append` or `too_large`.
    pub fn into_request(
        self,
        group: GroupId,
        entity_id: EntityId,
        header_key: Option<&str>,
    ) -> Result<AppendRequest, ApiError> {
        if self.entity_id.as_ref().is_some_and(|id| id != entity_id.as_str()) {
            return Err(ApiError::invalid("entity id of the body is not that of the path"));
        }
        let (expected, entity_type) =
            (expected_of(self.expected_version)?, EntityType::new(&self.entity_type)?);
        let idempotency_key = key_of(self.idempotency_key.as_deref(), header_key)?;
        let events = new_events(self.into_events()?)?;
        let request = AppendRequest { group, entity_id, entity_type, expected, idempotency_key, events };
        request.check_limits()?;
        Ok(request)
    }

    /// The body that asks for an append.
    #[must_use]
    pub fn from_request(request: &AppendRequest) -> Self {
        Self {
            entity_type: request.entity_type.as_str().into(),
            expected_version: Some(expected_number(request.expected)),
            idempotency_key: request.idempotency_key.as_ref().map(ToString::to_string),
            events: Some(request.events.iter().map(EventBody::from_event).collect()),
            ..Self::default()
        }
    }

    fn into_events(self) -> Result<Vec<EventBody>, ApiError> {
        let single = self.name.is_some()
            || self.data.is_some()
            || self.content_type.is_some()
            || self.metadata.is_some()
            || self.schema_version.is_some()
            || self.occurred_at.is_some()
            || self.source.is_some()
            || self.id.is_some()
            || self.tags.is_some();
        match (self.events, single) {
            (Some(_), true) => {
                Err(ApiError::invalid("append holds both `events` and the fields of one event"))
            }
            (Some(events), false) => Ok(events),
            (None, true) => Ok(vec![EventBody {
                name: self.name.unwrap_or_default(),
                data: self.data,
                content_type: self.content_type,
                metadata: self.metadata,
                schema_version: self.schema_version,
                occurred_at: self.occurred_at,
                source: self.source,
                id: self.id,
                tags: self.tags,
            }]),
            (None, false) => Err(ApiError::new(ErrorCode::EmptyAppend, "append holds no event")),
        }
    }
}

/// The key of a body or of its header `Idempotency-Key`; empty means none.
pub(super) fn key_of(body: Option<&str>, header: Option<&str>) -> Result<Option<IdempotencyKey>, ApiError> {
    let given = |key: &&str| !key.is_empty();
    let (body, header) = (body.filter(given), header.filter(given));
    if let (Some(body), Some(header)) = (body, header)
        && body != header
    {
        return Err(ApiError::invalid("idempotency key of the body is not that of the header"));
    }
    Ok(body.or(header).map(IdempotencyKey::new).transpose()?)
}

impl EventBody {
    pub(super) fn from_event(event: &NewEvent) -> Self {
        Self {
            name: event.name.as_str().into(),
            data: Some(data_in(&event.content_type, &event.data)),
            content_type: media_type_of(&event.content_type),
            metadata: (!event.metadata.is_empty()).then(|| JsonText::of_stored(&event.metadata)),
            schema_version: Some(event.schema_version),
            occurred_at: event.occurred_at.map(format_timestamp),
            source: Some(source_text(event.source).into()),
            id: event.id.map(|id| id.to_string()),
            tags: (!event.tags.is_empty()).then(|| event.tags.iter().map(ToString::to_string).collect()),
        }
    }
}

/// The events that are asked for.
pub(super) fn new_events(bodies: Vec<EventBody>) -> Result<Vec<NewEvent>, ApiError> {
    let events = bodies.into_iter().map(NewEvent::try_from).collect::<Result<Vec<_>, _>>()?;
    let mut chosen: Vec<EventId> = events.iter().filter_map(|event| event.id).collect();
    chosen.sort_unstable();
    match chosen.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(ApiError::invalid(format!("event id {} is there more than once", twice[0]))),
        None => Ok(events),
    }
}

impl TryFrom<EventBody> for NewEvent {
    type Error = ApiError;

    fn try_from(body: EventBody) -> Result<Self, ApiError> {
        let text = |json: JsonText| Bytes::from(json.get().to_owned());
        let content_type = parse_content_type(body.content_type.as_deref().unwrap_or_default())?;
        let data = match content_type {
            ContentType::Json => checked_data(body.data.map_or_else(|| Bytes::from_static(b"{}"), text))?,
            ContentType::Other(_) => bytes_in(body.data.as_ref())?,
        };
        Ok(Self {
            name: EventName::new(&body.name)?,
            schema_version: body.schema_version.unwrap_or(1).max(1),
            content_type,
            data,
            metadata: checked_metadata(body.metadata.map_or_else(Bytes::new, text))?,
            occurred_at: body.occurred_at.as_deref().map(parse_timestamp).transpose()?,
            source: parse_source(body.source.as_deref().unwrap_or_default())?,
            id: body.id.as_deref().map(parse_event_id).transpose()?,
            tags: body.tags.unwrap_or_default().iter().map(Tag::new).collect::<Result<_, _>>()?,
        })
    }
}

/// The bytes that a string of base64 stands for.
fn bytes_in(data: Option<&JsonText>) -> Result<Bytes, ApiError> {
    let text = data.and_then(|data| serde_json::from_str::<String>(data.get()).ok());
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes
        .ok_or_else(|| ApiError::invalid("event has a content type, and its data is no string of base64"))?;
    Ok(bytes.into())
}

/// An event id as text.
pub(crate) fn parse_event_id(text: &str) -> Result<EventId, ApiError> {
    text.parse().map(EventId).map_err(|_| ApiError::invalid(format!("event id {text:?} is not a UUID")))
}

/// The answer to a durable append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppendResult {
    /// The stream.
    pub entity_id: String,
    /// Version of the first event.
    pub first_version: u64,
    /// Version of the last event, which is the stream's version after it.
    pub last_version: u64,
    /// Position of the first event.
    pub first_position: u64,
    /// Position of the last event: the `min_position` for read-your-writes.
    pub last_position: u64,
    /// The events' ids, in order.
    pub event_ids: Vec<String>,
    /// Whether an earlier append with the same idempotency key is answered again.
    pub repeated: bool,
    /// `last_version`, by the contract's name.
    pub entity_version: u64,
    /// The last event's id, by the contract's name.
    pub event_id: String,
}

impl AppendResult {
    /// The answer for a stream.
    #[must_use]
    pub fn new(entity_id: &EntityId, ack: &AppendAck) -> Self {
        let event_ids: Vec<String> = ack.event_ids.iter().map(ToString::to_string).collect();
        Self {
            entity_id: entity_id.as_str().into(),
            first_version: ack.first_version.0,
            last_version: ack.last_version.0,
            first_position: ack.first_position.0,
            last_position: ack.last_position().0,
            event_id: event_ids.last().cloned().unwrap_or_default(),
            event_ids,
            repeated: ack.repeated,
            entity_version: ack.last_version.0,
        }
    }
}

impl AppendResult {
    /// The answer in the domain's words.
    ///
    /// # Errors
    /// `internal` when the answer contradicts itself: the outcome is not known.
    pub fn to_ack(&self) -> Result<AppendAck, ApiError> {
        let broken = || ApiError::new(ErrorCode::Internal, "answer to an append contradicts itself");
        let ids = self.event_ids.iter().map(|id| id.parse().map(EventId).map_err(|_| broken()));
        let ack = AppendAck {
            first_version: StreamVersion(self.first_version),
            last_version: StreamVersion(self.last_version),
            first_position: Position(self.first_position),
            event_ids: ids.collect::<Result<_, _>>()?,
            repeated: self.repeated,
        };
        if has_its_ids(&ack) { Ok(ack) } else { Err(broken()) }
    }
}

/// Whether an answer's numbers fit each other, and it has an id for each event.
pub(crate) fn has_its_ids(ack: &AppendAck) -> bool {
    let more = ack.event_ids.len().checked_sub(1).map(|more| more as u64);
    ack.is_whole() && more == Some(ack.last_version.0 - ack.first_version.0)
}

/// What a number on the wire guards: absent or −1 is any, −2 any but none.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`] below −2.
pub(crate) fn expected_of(number: Option<i64>) -> Result<ExpectedVersion, ApiError> {
    match number {
        None | Some(-1) => Ok(ExpectedVersion::Any),
        Some(-2) => Ok(ExpectedVersion::Exists),
        Some(0) if planted(Planted::ZeroMeansAny) => Ok(ExpectedVersion::Any),
        Some(number) => match u64::try_from(number) {
            Ok(version) => Ok(ExpectedVersion::Exact(StreamVersion(version))),
            Err(_) => Err(ApiError::invalid(format!("expected version {number} is below -2"))),
        },
    }
}

pub(super) fn expected_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelling {
        Number(#[serde(deserialize_with = "number::optional")] Option<i64>),
        Word(String),
    }
    match Spelling::deserialize(deserializer) {
        Ok(Spelling::Number(number)) => Ok(number),
        Ok(Spelling::Word(word)) if word == "any" => Ok(Some(-1)),
        Ok(Spelling::Word(word)) if word == "none" => Ok(Some(0)),
        Ok(Spelling::Word(word)) if word == "exists" => Ok(Some(-2)),
        _ => Err(D::Error::custom("expected version is not a whole number, `any`, `none` or `exists`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Result<AppendRequest, ApiError> {
        let body: AppendBody =
            serde_json::from_str(body).map_err(|error| ApiError::invalid(error.to_string()))?;
        body.into_request(GroupId::DEFAULT, EntityId::new("o-1").unwrap(), None)
    }

    #[test]
    fn both_cases_and_both_shapes_mean_the_same() {
        let expected = request(
            r#"{"entityType":"order","expectedVersion":3,"idempotencyKey":"k","name":"order.placed",
                "data":{"n": 1.10},"metadata":{"a":1},"schemaVersion":2,"occurredAt":"2026-01-02T03:04:05Z"}"#,
        )
        .unwrap();
        assert_eq!(expected.expected, ExpectedVersion::Exact(StreamVersion(3)));
        assert_eq!(expected.events[0].data, "{\"n\": 1.10}");
        for other in [
            r#"{"entity_type":"order","expected_version":"3","idempotency_key":"k","event_name":"order.placed",
                "data":{"n": 1.10},"metadata":{"a":1},"version":"2","occurred_at":"2026-01-02T04:04:05+01:00"}"#,
            r#"{"entityType":"order","expectedVersion":3,"idempotencyKey":"k","entityId":"o-1","events":[
                {"eventName":"order.placed","data":{"n": 1.10},"metadata":{"a":1},"schema_version":2,
                 "occurredAt":"2026-01-02T03:04:05Z","source":"api"}]}"#,
        ] {
            assert_eq!(request(other).unwrap(), expected, "{other}");
        }
    }

    #[test]
    fn expected_versions_have_words_and_bounds() {
        let of = |text: &str| {
            request(&format!(r#"{{"entityType":"t","name":"n","expectedVersion":{text}}}"#))
                .map(|r| r.expected)
        };
        for (text, expected) in [
            ("-1", ExpectedVersion::Any),
            ("\"any\"", ExpectedVersion::Any),
            ("null", ExpectedVersion::Any),
            ("0", ExpectedVersion::Exact(StreamVersion(0))),
            ("\"none\"", ExpectedVersion::Exact(StreamVersion(0))),
            ("-2", ExpectedVersion::Exists),
            ("\"exists\"", ExpectedVersion::Exists),
            ("9223372036854775807", ExpectedVersion::Exact(StreamVersion(i64::MAX as u64))),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
        for bad in ["-3", "\"-9\"", "1.5", "9223372036854775808", "\"latest\"", "{}", "true"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn typos_and_contradictions_are_refused() {
        for (body, part) in [
            (r#"{"entityType":"t","name":"n","expectedVersoin":3}"#, "expectedVersoin"),
            (r#"{"entityType":"t","events":[{"name":"n","datas":1}]}"#, "datas"),
            (r#"{"entityType":"t","events":[{"name":"n"}],"data":{}}"#, "both"),
            (r#"{"entityType":"t"}"#, "no event"),
            (r#"{"entityType":"t","events":[]}"#, "no event"),
            (r#"{"name":"n"}"#, "entity type is empty"),
            (r#"{"entityType":"t","data":{}}"#, "event name is empty"),
            (r#"{"entityType":"t","name":"n","entityId":"other"}"#, "path"),
            (r#"{"entityType":"t","name":"n","metadata":[1]}"#, "metadata"),
            (r#"{"entityType":"t","name":"n","occurredAt":"noon"}"#, "noon"),
            (r#"{"entityType":"t","name":"n","source":"moon"}"#, "moon"),
            (r#"{"entityType":"t","name":"n","schemaVersion":-1}"#, "out of range"),
        ] {
            let error = request(body).unwrap_err();
            assert!(error.message.contains(part), "{body}: {error}");
        }
    }

    #[test]
    fn what_a_client_writes_a_server_reads() {
        let body = AppendBody {
            entity_type: "t".into(),
            expected_version: Some(0),
            name: Some("n".into()),
            data: Some(JsonText::null()),
            ..AppendBody::default()
        };
        let request = request(&serde_json::to_string(&body).unwrap()).unwrap();
        assert_eq!(request.events[0].data, "null");
        assert_eq!(request.events[0].schema_version, 1);
    }

    #[test]
    fn requests_and_answers_survive_the_way() {
        let original = request(
            r#"{"entityType":"order","expectedVersion":3,"idempotencyKey":"k","name":"order.placed",
                "data":[1],"metadata":{"a":1},"occurredAt":"2026-01-02T03:04:05Z","source":"import"}"#,
        )
        .unwrap();
        let body = AppendBody::from_request(&original);
        assert_eq!(request(&serde_json::to_string(&body).unwrap()), Ok(original));
        let ack = AppendAck {
            first_version: StreamVersion(4),
            last_version: StreamVersion(5),
            first_position: Position(8),
            event_ids: vec![EventId(uuid::Uuid::from_u128(1)), EventId(uuid::Uuid::from_u128(2))],
            repeated: false,
        };
        let result = AppendResult::new(&EntityId::new("o-1").unwrap(), &ack);
        assert_eq!((result.last_position, result.to_ack()), (9, Ok(ack)));
    }

    #[test]
    fn bytes_come_as_base64_with_their_media_type() {
        let body = |data: &str| format!(r#"{{"entityType":"t",{data}"name":"n","contentType":"image/png"}}"#);
        let bytes = request(&body(r#""data":"AP8=","#)).unwrap();
        assert_eq!(bytes.events[0].content_type, ContentType::Other("image/png".into()));
        assert_eq!(bytes.events[0].data, &b"\x00\xff"[..]);
        let again = AppendBody::from_request(&bytes);
        assert_eq!(request(&serde_json::to_string(&again).unwrap()), Ok(bytes));
        for bad in ["", r#""data":"A","#, r#""data":[0,255],"#, r#""data":null,"#] {
            let error = request(&body(bad)).unwrap_err();
            assert!(error.message.contains("base64"), "{bad}: {error:?}");
        }
        let json = request(
            r#"{"entityType":"t","name":"n","data":"AP8=","contentType":"Application/JSON; charset=utf-8"}"#,
        )
        .unwrap();
        assert_eq!(json.events[0].content_type, ContentType::Json);
    }

    #[test]
    fn the_header_may_carry_the_idempotency_key() {
        let body = |key: &str| AppendBody {
            entity_type: "t".into(),
            name: Some("n".into()),
            idempotency_key: Some(key.into()),
            ..AppendBody::default()
        };
        let key = |body: AppendBody, header| {
            body.into_request(GroupId::DEFAULT, EntityId::new("e").unwrap(), header)
                .map(|request| request.idempotency_key.map(|key| key.to_string()))
        };
        assert_eq!(key(body(""), None), Ok(None));
        assert_eq!(key(body(""), Some("h")), Ok(Some("h".into())));
        assert_eq!(key(body("h"), Some("h")), Ok(Some("h".into())));
        assert!(key(body("b"), Some("h")).is_err());
    }
}
