//! Between the messages of `weir.v1.StreamService` and the domain.

use bytes::Bytes;
use serde_json::Map;
use uuid::Uuid;
use weir_types::{
    AppendAck, AppendRequest, ContentType, EntityId, EntityType, EventId, EventName, ExpectedVersion,
    GroupId, IdempotencyKey, NewEvent, Position, StreamVersion, Tag,
};

use crate::{
    ApiError, ErrorCode,
    error::expected_number,
    json::{checked_data, checked_metadata},
    proto::v1,
    rfc3339::checked_timestamp,
    source::{parse_content_type, parse_source, source_text},
    v1::{expected_of, has_its_ids},
};

const EVENT_ID_BYTES: usize = 16;
/// The most that a field costs beside its text, and the most that all other fields of an event do.
const FIELD_BYTES: usize = 6;
const EVENT_FIELDS_BYTES: usize = 96;

/// The append that a message asks for.
///
/// # Errors
/// `invalid_request`, `invalid_name`, `empty_append` or `too_large`.
pub fn request_from_proto(group: GroupId, message: v1::AppendRequest) -> Result<AppendRequest, ApiError> {
    let key = Some(message.idempotency_key.as_str()).filter(|key| !key.is_empty());
    let request = AppendRequest {
        group,
        entity_id: EntityId::new(&message.entity_id)?,
        entity_type: EntityType::new(&message.entity_type)?,
        expected: expected_of(message.expected_version)?,
        idempotency_key: key.map(IdempotencyKey::new).transpose()?,
        events: message.events.into_iter().map(event_from_proto).collect::<Result<_, _>>()?,
    };
    request.check_limits()?;
    Ok(request)
}

fn event_from_proto(message: v1::NewEvent) -> Result<NewEvent, ApiError> {
    let content_type = parse_content_type(&message.content_type)?;
    let data = Bytes::from(message.data);
    let id = match message.id.as_slice() {
        [] => None,
        bytes => {
            Some(EventId(Uuid::from_slice(bytes).map_err(|_| ApiError::invalid("event id is not 16 bytes"))?))
        }
    };
    Ok(NewEvent {
        id,
        name: EventName::new(&message.name)?,
        schema_version: message.schema_version.max(1),
        data: if content_type == ContentType::Json { checked_data(data)? } else { data },
        content_type,
        metadata: checked_metadata(Bytes::from(message.metadata))?,
        occurred_at: message.occurred_at_us.map(checked_timestamp).transpose()?,
        source: parse_source(&message.source)?,
        tags: message.tags.iter().map(Tag::new).collect::<Result<_, _>>()?,
    })
}

/// The message that asks for an append.
#[must_use]
pub fn request_to_proto(request: &AppendRequest) -> v1::AppendRequest {
    v1::AppendRequest {
        entity_id: request.entity_id.as_str().into(),
        entity_type: request.entity_type.as_str().into(),
        expected_version: match request.expected {
            ExpectedVersion::Any => None,
            expected => Some(expected_number(expected)),
        },
        idempotency_key: request.idempotency_key.as_ref().map(ToString::to_string).unwrap_or_default(),
        events: request.events.iter().map(event_to_proto).collect(),
        ..Default::default()
    }
}

fn event_to_proto(event: &NewEvent) -> v1::NewEvent {
    v1::NewEvent {
        id: event.id.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default(),
        tags: event.tags.iter().map(ToString::to_string).collect(),
        name: event.name.as_str().into(),
        data: event.data.to_vec(),
        metadata: event.metadata.to_vec(),
        schema_version: event.schema_version,
        content_type: match &event.content_type {
            ContentType::Json => String::new(),
            ContentType::Other(media_type) => media_type.clone(),
        },
        occurred_at_us: event.occurred_at.map(|time| time.0),
        source: source_text(event.source).into(),
        ..Default::default()
    }
}

/// The message that answers a durable append.
#[must_use]
pub fn ack_to_proto(ack: &AppendAck) -> v1::AppendResponse {
    v1::AppendResponse {
        first_version: ack.first_version.0,
        last_version: ack.last_version.0,
        first_position: ack.first_position.0,
        event_ids: ack.event_ids.iter().flat_map(|id| id.0.into_bytes()).collect(),
        repeated: ack.repeated,
        ..Default::default()
    }
}

/// The answer that a message gives.
///
/// # Errors
/// [`ErrorCode::Internal`] when the message contradicts itself: the outcome is not known.
pub fn ack_from_proto(message: &v1::AppendResponse) -> Result<AppendAck, ApiError> {
    let events = message.event_ids.chunks_exact(EVENT_ID_BYTES);
    let whole = events.remainder().is_empty();
    let ack = AppendAck {
        first_version: StreamVersion(message.first_version),
        last_version: StreamVersion(message.last_version),
        first_position: Position(message.first_position),
        event_ids: events
            .map(|id| EventId(Uuid::from_slice(id).expect("every chunk has the length of an id")))
            .collect(),
        repeated: message.repeated,
    };
    if whole && has_its_ids(&ack) {
        return Ok(ack);
    }
    Err(ApiError::new(ErrorCode::Internal, "answer to an append contradicts itself"))
}

/// The message that refuses an append.
#[must_use]
pub fn failure_to_proto(error: &ApiError) -> v1::AppendFailure {
    v1::AppendFailure {
        code: error.code.as_str().into(),
        message: error.message.clone(),
        expected_version: error.details.get("expectedVersion").and_then(serde_json::Value::as_i64),
        actual_version: error.details.get("actualVersion").and_then(serde_json::Value::as_u64),
        ..Default::default()
    }
}

/// The refusal that a message means; a code of a newer server is
/// [`ErrorCode::Internal`], whose outcome is not known.
#[must_use]
pub fn failure_from_proto(message: &v1::AppendFailure) -> ApiError {
    let mut details = Map::new();
    if let Some(expected) = message.expected_version {
        details.insert("expectedVersion".into(), expected.into());
    }
    if let Some(actual) = message.actual_version {
        details.insert("actualVersion".into(), actual.into());
    }
    let code = message.code.parse().unwrap_or(ErrorCode::Internal);
    ApiError { code, message: message.message.clone(), details }
}

/// Bytes of the message that asks for an append, about, and never less.
#[must_use]
pub fn weight_of(request: &AppendRequest) -> usize {
    let of_event = |event: &NewEvent| {
        let tags: usize = event.tags.iter().map(|tag| tag.as_str().len() + FIELD_BYTES).sum();
        let named = event.name.as_str().len() + content_type_bytes(&event.content_type);
        event.data.len() + event.metadata.len() + named + tags + EVENT_FIELDS_BYTES
    };
    let key = request.idempotency_key.as_ref().map_or(0, |key| key.as_str().len());
    let names = request.entity_id.as_str().len() + request.entity_type.as_str().len() + key;
    EVENT_FIELDS_BYTES + names + request.events.iter().map(of_event).sum::<usize>()
}

fn content_type_bytes(content_type: &ContentType) -> usize {
    match content_type {
        ContentType::Json => 0,
        ContentType::Other(media_type) => media_type.len(),
    }
}

/// What became of one request of a session.
pub type Outcome = Result<AppendAck, ApiError>;

/// The message that asks for appends, each with its id.
///
/// # Panics
/// Panics when there is none.
#[must_use]
pub fn requests_to_proto(
    appends: impl IntoIterator<Item = (u64, v1::AppendRequest)>,
) -> v1::AppendSessionRequest {
    let mut appends = appends.into_iter();
    let (request_id, append) = appends.next().expect("a message holds an append");
    let more = appends.map(|(request_id, append)| v1::SessionAppend {
        request_id,
        append: append.into(),
        ..Default::default()
    });
    v1::AppendSessionRequest {
        request_id,
        append: append.into(),
        more: more.collect(),
        answers_together: true,
        ..Default::default()
    }
}

/// The appends that a message asks for, each with its id, in order; `None` where one is missing.
pub fn requests_from_proto(
    message: v1::AppendSessionRequest,
) -> impl Iterator<Item = (u64, Option<v1::AppendRequest>)> + Send {
    let first = (message.request_id, message.append.into_option());
    let more = message.more.into_iter().map(|more| (more.request_id, more.append.into_option()));
    std::iter::once(first).chain(more)
}

/// The message that answers requests of a session, each by its id.
///
/// # Panics
/// Panics when there is none.
#[must_use]
pub fn outcomes_to_proto(outcomes: impl IntoIterator<Item = (u64, Outcome)>) -> v1::AppendSessionResponse {
    let mut outcomes = outcomes.into_iter();
    let (request_id, outcome) = outcomes.next().expect("a message holds an answer");
    let outcome = match &outcome {
        Ok(ack) => ack_to_proto(ack).into(),
        Err(error) => failure_to_proto(error).into(),
    };
    let more = outcomes.map(|(request_id, outcome)| {
        let outcome = match &outcome {
            Ok(ack) => ack_to_proto(ack).into(),
            Err(error) => failure_to_proto(error).into(),
        };
        v1::SessionOutcome { request_id, outcome, ..Default::default() }
    });
    let more = more.collect();
    v1::AppendSessionResponse { request_id, outcome, more, reads_more: true, ..Default::default() }
}

/// The requests' ids and the outcomes that a message gives.
pub fn outcomes_from_proto(message: &v1::AppendSessionResponse) -> impl Iterator<Item = (u64, Outcome)> + '_ {
    use v1::{append_session_response::Outcome as First, session_outcome::Outcome as Further};
    let first = match &message.outcome {
        Some(First::Ack(ack)) => ack_from_proto(ack),
        Some(First::Failure(failure)) => Err(failure_from_proto(failure)),
        None => Err(empty()),
    };
    let more = message.more.iter().map(|more| {
        let outcome = match &more.outcome {
            Some(Further::Ack(ack)) => ack_from_proto(ack),
            Some(Further::Failure(failure)) => Err(failure_from_proto(failure)),
            None => Err(empty()),
        };
        (more.request_id, outcome)
    });
    std::iter::once((message.request_id, first)).chain(more)
}

fn empty() -> ApiError {
    ApiError::new(ErrorCode::Internal, "answer to an append is empty")
}

#[cfg(test)]
mod tests {
    use buffa::Message as _;
    use weir_types::{AppendError, EventSource, Timestamp};

    use super::*;

    fn request() -> AppendRequest {
        AppendRequest {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new("o-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            expected: ExpectedVersion::Exact(StreamVersion(0)),
            idempotency_key: Some(IdempotencyKey::new("k").unwrap()),
            events: vec![event()],
        }
    }

    fn event() -> NewEvent {
        NewEvent {
            id: Some(EventId(Uuid::from_u128(5))),
            name: EventName::new("order.placed").unwrap(),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(b"{ }"),
            metadata: Bytes::from_static(b"{\"a\":1}"),
            occurred_at: Some(Timestamp(-1)),
            source: EventSource::Import,
            tags: vec![Tag::new("customer:42").unwrap()],
        }
    }

    #[test]
    fn requests_survive_the_way() {
        let any = AppendRequest { expected: ExpectedVersion::Any, idempotency_key: None, ..request() };
        let exists = AppendRequest { expected: ExpectedVersion::Exists, ..request() };
        for request in [request(), any, exists] {
            assert_eq!(request_from_proto(GroupId::DEFAULT, request_to_proto(&request)), Ok(request));
        }
    }

    #[test]
    fn appends_of_one_message_keep_their_order_and_ids() {
        let appends: Vec<_> = (3..6).map(|id| (id, request_to_proto(&request()))).collect();
        let mut message = requests_to_proto(appends.clone());
        assert!(message.answers_together);
        let expected: Vec<_> = appends.into_iter().map(|(id, append)| (id, Some(append))).collect();
        assert_eq!(requests_from_proto(message.clone()).collect::<Vec<_>>(), expected);
        message.more[0].append = None.into();
        assert_eq!(requests_from_proto(message).nth(1), Some((4, None)));
    }

    #[test]
    fn a_message_weighs_no_more_than_it_is_said_to() {
        let plain =
            AppendRequest { events: vec![NewEvent { id: None, tags: Vec::new(), ..event() }], ..request() };
        let tags =
            (0..16).map(|number| Tag::new(format!("{number:03}{}", "t".repeat(200))).unwrap()).collect();
        let tagged = NewEvent { tags, content_type: ContentType::Other("a/b".into()), ..event() };
        let many = AppendRequest { events: vec![tagged; 1_000], ..request() };
        for request in [request(), plain, many] {
            let bytes = request_to_proto(&request).encode_to_vec().len();
            let weight = weight_of(&request);
            assert!(
                bytes <= weight && weight <= bytes + 128 * (request.events.len() + 1),
                "{bytes}, {weight}"
            );
        }
    }

    #[test]
    fn absurd_requests_are_refused() {
        let good = request_to_proto(&request());
        for change in [
            |m: &mut v1::AppendRequest| m.entity_id.clear(),
            |m: &mut v1::AppendRequest| m.expected_version = Some(-3),
            |m: &mut v1::AppendRequest| m.events.clear(),
            |m: &mut v1::AppendRequest| m.events[0].data = b"{".to_vec(),
            |m: &mut v1::AppendRequest| m.events[0].metadata = b"[]".to_vec(),
            |m: &mut v1::AppendRequest| m.events[0].occurred_at_us = Some(i64::MAX),
            |m: &mut v1::AppendRequest| m.events[0].source = "moon".into(),
            |m: &mut v1::AppendRequest| m.events[0].content_type = "a\r\nb".into(),
        ] {
            let mut message = good.clone();
            change(&mut message);
            assert!(request_from_proto(GroupId::DEFAULT, message).is_err());
        }
    }

    #[test]
    fn outcomes_survive_the_way() {
        let ack = AppendAck {
            first_version: StreamVersion(3),
            last_version: StreamVersion(4),
            first_position: Position(17),
            event_ids: vec![EventId(Uuid::from_u128(1)), EventId(Uuid::from_u128(2))],
            repeated: true,
        };
        let conflict = AppendError::VersionConflict {
            expected: ExpectedVersion::Exact(StreamVersion(2)),
            actual: StreamVersion(5),
        };
        let all = [Ok(ack), Err(ApiError::from(conflict)), Err(ApiError::invalid("x"))];
        let all: Vec<(u64, Outcome)> = (9..).zip(all).collect();
        for outcomes in [&all[..], &all[..1], &all[1..]] {
            let message = outcomes_to_proto(outcomes.to_vec());
            assert_eq!(outcomes_from_proto(&message).collect::<Vec<_>>(), outcomes);
        }
        let short = v1::AppendResponse { first_version: 1, last_version: 2, ..Default::default() };
        assert!(ack_from_proto(&short).is_err());
    }
}
