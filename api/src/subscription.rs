//! Between the messages of `weir.v1.SubscriptionService` and the words of the domain.

use weir_types::{EntityId, FilterText, Pattern, Selector, SubscribeRequest};

use crate::{
    ApiError,
    proto::v1,
    v1::{Beginning, heartbeat_of, slow_of},
};

/// The request that a message makes.
///
/// # Errors
/// `invalid_request`, `invalid_name`, `invalid_pattern`, `invalid_filter`, `invalid_cursor` or `too_large`.
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
        filter: FilterText::optional(&message.filter)?,
        slow: slow_of(&message.slow)?,
        heartbeat: heartbeat_of(Some(message.heartbeat_ms).filter(|ms| *ms > 0))?,
    })
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
            filter: "data.n > 1".into(),
            ..Default::default()
        };
        let request = request_from_proto(&message).unwrap();
        assert_eq!(request.start, SubscriptionStart::Last(4));
        assert_eq!(request.filter, FilterText::optional("data.n > 1").unwrap());
        let message = v1::SubscribeRequest { start: Some(Start::AfterVersion(1)), ..message };
        assert!(request_from_proto(&message).is_err(), "a version is of a stream");
    }
}
