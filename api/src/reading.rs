//! Between the messages of `weir.v1.ReadService` and the domain.

use bytes::Bytes;
use connectrpc::PreEncoded;
use weir_types::{LogSlice, Position, RecordedEvent, StreamPage, StreamVersion, Timestamp};

use crate::{
    ApiError,
    event::{event_from_view, event_view, id_text},
    format_timestamp, parse_timestamp,
    proto::v1,
    v1::{Freshness, LogQuery, ReadQuery},
};

/// What a message asks of a stream, as the query that asks the same over REST.
#[must_use]
pub fn stream_query(message: &v1::ReadStreamRequest) -> ReadQuery {
    use v1::read_stream_request::Freshness as Asked;
    let (consistency, min_position) = match message.freshness {
        Some(Asked::Local(true)) => (Some(Freshness::Local), None),
        Some(Asked::MinPosition(position)) => (None, Some(position)),
        Some(Asked::Local(false)) | None => (None, None),
    };
    ReadQuery {
        from_version: message.from_version,
        limit: given(message.limit),
        direction: message.backward.then(|| "backward".to_owned()),
        consistency,
        min_position,
        wait_ms: given(message.wait_ms),
        raw: message.raw,
        as_of: message.as_of.map(|time| format_timestamp(Timestamp(time))),
        at: message.at.map(|time| format_timestamp(Timestamp(time))),
        as_of_version: message.as_of_version,
    }
}

/// The message that asks what a query asks. A time that is none is left out: the query was made of times.
#[must_use]
pub fn stream_request(entity_id: &str, query: &ReadQuery) -> v1::ReadStreamRequest {
    use v1::read_stream_request::Freshness as Asked;
    let freshness = match (query.consistency, query.min_position) {
        (_, Some(position)) => Some(Asked::MinPosition(position)),
        (Some(Freshness::Local), None) => Some(Asked::Local(true)),
        (Some(Freshness::Linearizable) | None, None) => None,
    };
    v1::ReadStreamRequest {
        entity_id: entity_id.to_owned(),
        from_version: query.from_version,
        limit: query.limit.unwrap_or_default(),
        backward: query.direction.as_deref() == Some("backward"),
        freshness,
        wait_ms: query.wait_ms.unwrap_or_default(),
        raw: query.raw,
        as_of: micros(query.as_of.as_deref()),
        at: micros(query.at.as_deref()),
        as_of_version: query.as_of_version,
        ..Default::default()
    }
}

/// What a message asks of the log, as the query that asks the same over REST.
#[must_use]
pub fn log_query(message: v1::ReadLogRequest) -> LogQuery {
    use v1::read_log_request::Freshness as Asked;
    let (consistency, min_position) = match message.freshness {
        Some(Asked::Linearizable(true)) => (Some(Freshness::Linearizable), None),
        Some(Asked::MinPosition(position)) => (None, Some(position)),
        Some(Asked::Linearizable(false)) | None => (None, None),
    };
    let named = |text: String| Some(text).filter(|text| !text.is_empty());
    LogQuery {
        from_position: given(message.from_position),
        limit: given(message.limit),
        direction: message.backward.then(|| "backward".to_owned()),
        name: named(message.name),
        entity_type: named(message.entity_type),
        tag: named(message.tag),
        consistency,
        min_position,
        raw: message.raw,
    }
}

/// The message that asks what a query asks.
#[must_use]
pub fn log_request(query: &LogQuery) -> v1::ReadLogRequest {
    use v1::read_log_request::Freshness as Asked;
    let freshness = match (query.consistency, query.min_position) {
        (_, Some(position)) => Some(Asked::MinPosition(position)),
        (Some(Freshness::Linearizable), None) => Some(Asked::Linearizable(true)),
        (Some(Freshness::Local) | None, None) => None,
    };
    v1::ReadLogRequest {
        from_position: query.from_position.unwrap_or_default(),
        limit: query.limit.unwrap_or_default(),
        backward: query.direction.as_deref() == Some("backward"),
        freshness,
        name: query.name.clone().unwrap_or_default(),
        entity_type: query.entity_type.clone().unwrap_or_default(),
        tag: query.tag.clone().unwrap_or_default(),
        raw: query.raw,
        ..Default::default()
    }
}

/// A time in microseconds.
fn micros(time: Option<&str>) -> Option<i64> {
    time.and_then(|time| parse_timestamp(time).ok()).map(|time| time.0)
}

/// A number that a message leaves out by saying 0.
fn given(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number > 0)
}

/// The message of a page of a stream; of its past, with the last version of the moment.
pub fn stream_page(page: &StreamPage, as_of: Option<StreamVersion>) -> PreEncoded<v1::ReadStreamResponse> {
    let ids: Vec<_> = page.events.iter().map(id_text).collect();
    PreEncoded::from_view(&v1::ReadStreamResponseView {
        version: page.head.as_ref().map_or(0, |head| head.version.0),
        position: page.applied.0,
        next_version: page.next.map(|version| version.0),
        as_of_version: as_of.map(|version| version.0),
        events: page.events.iter().zip(&ids).map(|(event, id)| event_view(event, id)).collect(),
        ..Default::default()
    })
}

/// The message of a page of the log.
pub fn log_page(slice: &LogSlice) -> PreEncoded<v1::ReadLogResponse> {
    let ids: Vec<_> = slice.events.iter().map(id_text).collect();
    PreEncoded::from_view(&v1::ReadLogResponseView {
        position: slice.applied.0,
        next_position: slice.next.0,
        events: slice.events.iter().zip(&ids).map(|(event, id)| event_view(event, id)).collect(),
        ..Default::default()
    })
}

/// A page of a stream as a client has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The stream's version when it was read; 0 when it has no events.
    pub version: StreamVersion,
    /// The events, in the read's direction.
    pub events: Vec<RecordedEvent>,
    /// Where the next page begins, if there is more.
    pub next: Option<StreamVersion>,
    /// The position that the answering node had applied.
    pub applied: Position,
    /// Of the past: the last version that was recorded until the moment, and is not beyond the one asked for.
    pub as_of: Option<StreamVersion>,
}

/// The page that a message is; `message` is its bytes, which the events share.
///
/// # Errors
/// As [`event_from_view`].
pub fn event_page(view: &v1::ReadStreamResponseView<'_>, message: &Bytes) -> Result<EventPage, ApiError> {
    Ok(EventPage {
        version: StreamVersion(view.version),
        events: events(&view.events, message)?,
        next: view.next_version.map(StreamVersion),
        applied: Position(view.position),
        as_of: view.as_of_version.map(StreamVersion),
    })
}

/// The slice of the log that a message is; `message` is its bytes, which the events share.
///
/// # Errors
/// As [`event_from_view`].
pub fn log_slice(view: &v1::ReadLogResponseView<'_>, message: &Bytes) -> Result<LogSlice, ApiError> {
    Ok(LogSlice {
        events: events(&view.events, message)?,
        next: Position(view.next_position),
        applied: Position(view.position),
    })
}

fn events(views: &[v1::EventView<'_>], message: &Bytes) -> Result<Vec<RecordedEvent>, ApiError> {
    let mut events: Vec<RecordedEvent> = Vec::with_capacity(views.len());
    for view in views {
        let event = event_from_view(view, message, events.last())?;
        events.push(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use buffa::MessageView as _;
    use connectrpc::{CodecFormat, Encodable as _};
    use uuid::Uuid;
    use weir_types::{
        ContentType, EntityId, EntityType, EventId, EventName, EventSource, StreamHead, Tag, Timestamp,
    };

    use super::*;

    fn event(version: u64) -> RecordedEvent {
        RecordedEvent {
            id: EventId(Uuid::from_u128(u128::from(version))),
            entity_id: EntityId::new("order-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            name: EventName::new("order.placed").unwrap(),
            version: StreamVersion(version),
            position: Position(version + 40),
            schema_version: 3,
            content_type: ContentType::Other("application/cbor".into()),
            data: Bytes::from_static(b"\xa0"),
            metadata: Bytes::from_static(b"{}"),
            recorded_at: Timestamp(-7),
            occurred_at: (version == 2).then_some(Timestamp(9)),
            source: EventSource::Import,
            tags: vec![Tag::new("vip").unwrap()],
        }
    }

    #[test]
    fn a_query_comes_back_from_its_message() {
        let stream = [
            ReadQuery::default(),
            ReadQuery { limit: Some(7), consistency: Some(Freshness::Local), ..ReadQuery::default() },
            ReadQuery { min_position: Some(0), wait_ms: Some(3), raw: true, ..ReadQuery::default() },
            ReadQuery {
                as_of: Some("2026-01-02T03:04:05.000006Z".into()),
                at: Some("1969-12-31T23:59:59.000000Z".into()),
                as_of_version: Some(0),
                ..ReadQuery::default()
            },
            ReadQuery { from_version: Some(0), direction: Some("backward".into()), ..ReadQuery::default() },
        ];
        for query in stream {
            assert_eq!(stream_query(&stream_request("order-1", &query)), query);
        }
        let log = [
            LogQuery::default(),
            LogQuery { consistency: Some(Freshness::Linearizable), ..LogQuery::default() },
            LogQuery { from_position: Some(9), direction: Some("backward".into()), ..LogQuery::default() },
            LogQuery {
                name: Some("order.*".into()),
                tag: Some("vip".into()),
                raw: true,
                ..LogQuery::default()
            },
            LogQuery { min_position: Some(4), entity_type: Some("order".into()), ..LogQuery::default() },
        ];
        for query in log {
            assert_eq!(log_query(log_request(&query)), query);
        }
    }

    #[test]
    fn a_page_comes_back_from_its_message() {
        let page = StreamPage {
            events: vec![event(1), event(2)],
            head: Some(StreamHead {
                entity_id: EntityId::new("order-1").unwrap(),
                entity_type: EntityType::new("order").unwrap(),
                version: StreamVersion(5),
                first_position: Position(41),
                last_position: Position(45),
                created_at: Timestamp(1),
                updated_at: Timestamp(2),
            }),
            next: Some(StreamVersion(3)),
            applied: Position(50),
        };
        let message = stream_page(&page, Some(StreamVersion(4))).encode(CodecFormat::Proto).unwrap();
        let view = v1::ReadStreamResponseView::decode_view(&message).unwrap();
        let read = event_page(&view, &message).unwrap();
        assert_eq!(
            (read.version.0, &read.events, read.next, read.applied, read.as_of.map(|version| version.0)),
            (5, &page.events, page.next, page.applied, Some(4))
        );

        let slice = LogSlice { events: page.events, next: Position(43), applied: Position(50) };
        let message = log_page(&slice).encode(CodecFormat::Proto).unwrap();
        let view = v1::ReadLogResponseView::decode_view(&message).unwrap();
        assert_eq!(log_slice(&view, &message), Ok(slice));
    }
}
