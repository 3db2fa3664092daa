//! Between the messages of `weir.v1.SubscriptionService` and the words of the domain.

use weir_types::{ContentType, EntityId, Pattern, RecordedEvent, Selector, SubscribeRequest};

use crate::{
    ApiError,
    proto::v1,
    source::source_text,
    v1::{Beginning, heartbeat_of, slow_of},
};

/// The request that a message makes.
///
/// # Errors
/// `invalid_request`, `invalid_name`, `invalid_pattern`, `invalid_cursor` or `too_large`.
pub fn request_from_proto(message: &v1::SubscribeRequest) -> Result<SubscribeRequest, ApiError> {
    use v1::subscribe_request::{Start, Target};
    let selector = match &message.target {
        Some(Target::Stream(id)) => Selector::Stream(EntityId::new(id)?),
        Some(Target::Pattern(pattern)) => Selector::Pattern(Pattern::new(pattern)?),
        None => return Err(ApiError::invalid("request has neither stream nor pattern")),
    };
    let none = Beginning::default();
    let beginning = match &message.start {
        None => none,
        Some(Start::AfterVersion(version)) => Beginning { after_version: Some(*version), ..none },
        Some(Start::AfterPosition(position)) => Beginning { after_position: Some(*position), ..none },
        Some(Start::Last(last)) => Beginning { last: Some(*last), ..none },
        Some(Start::Cursor(cursor)) => Beginning { cursor: Some(cursor), ..none },
    };
    Ok(SubscribeRequest {
        start: beginning.to_start(matches!(selector, Selector::Stream(_)))?,
        selector,
        slow: slow_of(&message.slow)?,
        heartbeat: heartbeat_of(Some(message.heartbeat_ms).filter(|ms| *ms > 0))?,
    })
}

/// An event as a message.
#[must_use]
pub fn event_to_proto(event: &RecordedEvent) -> v1::SubscribedEvent {
    v1::SubscribedEvent {
        id: event.id.to_string(),
        entity_id: event.entity_id.as_str().into(),
        entity_type: event.entity_type.as_str().into(),
        name: event.name.as_str().into(),
        version: event.version.0,
        position: event.position.0,
        schema_version: event.schema_version,
        data: event.data.to_vec(),
        metadata: event.metadata.to_vec(),
        content_type: match &event.content_type {
            ContentType::Json => String::new(),
            ContentType::Other(media_type) => media_type.clone(),
        },
        recorded_at_us: event.recorded_at.0,
        occurred_at_us: event.occurred_at.map(|at| at.0),
        source: source_text(event.source).into(),
        tags: event.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use weir_types::SubscriptionStart;

    use super::*;

    #[test]
    fn a_message_without_a_target_is_refused_and_a_start_is_read() {
        use v1::subscribe_request::{Start, Target};
        let message = v1::SubscribeRequest::default();
        assert!(request_from_proto(&message).is_err());
        let message = v1::SubscribeRequest {
            target: Some(Target::Pattern("entity:order.*".into())),
            start: Some(Start::Last(4)),
            ..Default::default()
        };
        assert_eq!(request_from_proto(&message).unwrap().start, SubscriptionStart::Last(4));
        let message = v1::SubscribeRequest { start: Some(Start::AfterVersion(1)), ..message };
        assert!(request_from_proto(&message).is_err(), "a version is of a stream");
    }
}
