use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use uuid::Uuid;
use weir_api::{
    ApiError,
    v1::{AppendBody, AppendResult, Validated, paths},
};
use weir_types::{
    AppendAck, AppendRequest, ContentType, EntityId, EntityType, EventId, EventName, EventSource,
    ExpectedVersion, GroupId, IdempotencyKey, NewEvent, Position, StreamVersion, Tag, Timestamp,
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

/// Builds an append. Without an idempotency key it gets one of its own, so
/// that the client may repeat it.
#[derive(Debug, Clone)]
pub struct Append {
    request: Result<AppendRequest, ApiError>,
}

impl Append {
    /// An append to a stream, at any version.
    #[must_use]
    pub fn to(entity_id: &str, entity_type: &str) -> Self {
        let request = || {
            Ok(AppendRequest {
                group: GroupId::DEFAULT,
                entity_id: EntityId::new(entity_id)?,
                entity_type: EntityType::new(entity_type)?,
                expected: ExpectedVersion::Any,
                idempotency_key: None,
                events: Vec::new(),
            })
        };
        Self { request: request() }
    }

    /// The stream must be at exactly this version; 0: it must not exist.
    #[must_use]
    pub fn expect_version(mut self, version: u64) -> Self {
        if let Ok(request) = &mut self.request {
            request.expected = ExpectedVersion::Exact(StreamVersion(version));
        }
        self
    }

    /// The stream must exist, at whatever version.
    #[must_use]
    pub fn expect_exists(mut self) -> Self {
        if let Ok(request) = &mut self.request {
            request.expected = ExpectedVersion::Exists;
        }
        self
    }

    /// The key by which a repeat is recognised.
    #[must_use]
    pub fn idempotency_key(self, key: &str) -> Self {
        self.change(|request| {
            request.idempotency_key = Some(IdempotencyKey::new(key)?);
            Ok(())
        })
    }

    /// One more event, with data that becomes JSON.
    #[must_use]
    pub fn event(self, name: &str, data: &impl Serialize) -> Self {
        self.change(|request| {
            let data = serde_json::to_vec(data).map_err(|error| ApiError::invalid(error.to_string()))?;
            request.events.push(NewEvent {
                id: None,
                name: EventName::new(name)?,
                schema_version: 1,
                content_type: ContentType::Json,
                data: Bytes::from(data),
                metadata: Bytes::new(),
                occurred_at: None,
                source: EventSource::Api,
                tags: Vec::new(),
            });
            Ok(())
        })
    }

    /// Metadata of the last event: an object that becomes JSON.
    #[must_use]
    pub fn metadata(self, metadata: &impl Serialize) -> Self {
        self.change(|request| {
            let bytes = serde_json::to_vec(metadata).map_err(|error| ApiError::invalid(error.to_string()))?;
            last(request)?.metadata = Bytes::from(bytes);
            Ok(())
        })
    }

    /// When the last event happened.
    #[must_use]
    pub fn occurred_at(self, time: Timestamp) -> Self {
        self.change(|request| {
            last(request)?.occurred_at = Some(time);
            Ok(())
        })
    }

    /// Where the last event came from.
    #[must_use]
    pub fn source(self, source: EventSource) -> Self {
        self.change(|request| {
            last(request)?.source = source;
            Ok(())
        })
    }

    /// The id of the last event. The first event's is the key by which a repeat
    /// is recognised, where no other is given.
    #[must_use]
    pub fn event_id(self, id: EventId) -> Self {
        self.change(|request| {
            last(request)?.id = Some(id);
            Ok(())
        })
    }

    /// One more tag of the last event: what it is about, beside its stream.
    #[must_use]
    pub fn tag(self, tag: &str) -> Self {
        self.change(|request| {
            last(request)?.tags.push(Tag::new(tag)?);
            Ok(())
        })
    }

    /// The append, checked.
    ///
    /// # Errors
    /// The first thing that is not legal, as the server would say it.
    pub fn build(self) -> Result<AppendRequest, ClientError> {
        let mut request = self.unkeyed()?;
        if request.key().is_none() {
            request.idempotency_key = Some(own_key());
        }
        Ok(request)
    }

    /// As [`Append::build`], without a key of its own.
    pub(crate) fn unkeyed(self) -> Result<AppendRequest, ClientError> {
        let request = self.request?;
        request.check_limits().map_err(ApiError::from)?;
        Ok(request)
    }

    fn change(mut self, act: impl FnOnce(&mut AppendRequest) -> Result<(), ApiError>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(error) = act(request)
        {
            self.request = Err(error);
        }
        self
    }
}

fn last(request: &mut AppendRequest) -> Result<&mut NewEvent, ApiError> {
    request.events.last_mut().ok_or_else(|| ApiError::invalid("there is no event yet to change"))
}

pub(crate) fn own_key() -> IdempotencyKey {
    IdempotencyKey::new(Uuid::now_v7().to_string()).expect("a UUID is a legal key")
}

impl Client {
    /// Appends. Returns when it is durable on a quorum; repeats it, with one
    /// idempotency key, until the deadline.
    ///
    /// # Errors
    /// [`ClientError`]; ask it whether the outcome is known.
    pub async fn append(&self, request: &AppendRequest) -> Result<AppendAck, ClientError> {
        let mut body = AppendBody::from_request(request);
        if request.key().is_none() {
            body.idempotency_key = Some(own_key().to_string());
        }
        let path = paths::fill(paths::STREAM_EVENTS, request.entity_id.as_str());
        let call = Call::new(Method::POST, &path, Repeat::Harmless).body(&body);
        let result: AppendResult = self.call(call).await?;
        Ok(result.to_ack()?)
    }

    /// Checks all that would be checked, and writes nothing. Gives the position at which it would be taken.
    ///
    /// # Errors
    /// As [`Client::append`].
    pub async fn validate_append(&self, request: &AppendRequest) -> Result<Position, ClientError> {
        let body = AppendBody { validate_only: true, ..AppendBody::from_request(request) };
        let path = paths::fill(paths::STREAM_EVENTS, request.entity_id.as_str());
        let call = Call::new(Method::POST, &path, Repeat::Harmless).body(&body);
        let validated: Validated = self.call(call).await?;
        Ok(Position(validated.position))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_api::ErrorCode;

    use super::*;

    #[test]
    fn a_builder_checks_what_the_server_would_refuse() {
        let built = Append::to("o-1", "order").expect_version(0).event("order.placed", &json!({"a": 1}));
        let request = built.metadata(&json!({"by": "me"})).build().unwrap();
        assert_eq!(request.events[0].data, r#"{"a":1}"#);
        assert!(request.idempotency_key.is_some());
        for (append, code) in [
            (Append::to("", "order").event("n", &1), ErrorCode::InvalidName),
            (Append::to("o", "order"), ErrorCode::EmptyAppend),
            (Append::to("o", "order").event("", &1), ErrorCode::InvalidName),
            (Append::to("o", "order").metadata(&1), ErrorCode::InvalidRequest),
            (Append::to("o", "order").idempotency_key("a\n").event("n", &1), ErrorCode::InvalidName),
        ] {
            assert_eq!(append.build().unwrap_err().code(), Some(code));
        }
    }
}
