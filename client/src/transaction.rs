use reqwest::Method;
use weir_api::{
    ApiError,
    v1::{TransactionBody, TransactionResult, Validated, paths},
};
use weir_types::{
    Condition, EntityId, EventName, ExpectedVersion, GroupId, IdempotencyKey, Position, StreamAppend,
    StreamCheck, StreamVersion, Tag, TransactionAck, TransactionRequest,
};

use crate::{Append, Client, ClientError, append::own_key, client::Call, retry::Repeat};

/// Builds a transaction: appends to several streams, all of it or nothing.
/// Without an idempotency key it gets one of its own, so that the client may repeat it.
#[derive(Debug, Clone)]
pub struct Transaction {
    request: Result<TransactionRequest, ClientError>,
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

impl Transaction {
    /// A transaction of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let request = TransactionRequest {
            group: GroupId::DEFAULT,
            idempotency_key: None,
            appends: Vec::new(),
            checks: Vec::new(),
            conditions: Vec::new(),
        };
        Self { request: Ok(request) }
    }

    /// One more append, to a stream that has none yet. A key of the append is
    /// refused: a transaction has one key.
    #[must_use]
    pub fn append(self, append: Append) -> Self {
        self.change(|request| {
            let append = append.unkeyed()?;
            if append.idempotency_key.is_some() {
                return Err(ApiError::invalid("append of a transaction has a key of its own").into());
            }
            request.appends.push(StreamAppend {
                entity_id: append.entity_id,
                entity_type: append.entity_type,
                expected: append.expected,
                events: append.events,
            });
            Ok(())
        })
    }

    /// A stream that is not written must be at exactly this version; 0: it must not exist.
    #[must_use]
    pub fn check_version(self, entity_id: &str, version: u64) -> Self {
        self.check(entity_id, ExpectedVersion::Exact(StreamVersion(version)))
    }

    /// A stream that is not written must exist.
    #[must_use]
    pub fn check_exists(self, entity_id: &str) -> Self {
        self.check(entity_id, ExpectedVersion::Exists)
    }

    fn check(self, entity_id: &str, expected: ExpectedVersion) -> Self {
        self.change(|request| {
            let entity_id = EntityId::new(entity_id).map_err(ApiError::from)?;
            request.checks.push(StreamCheck { entity_id, expected });
            Ok(())
        })
    }

    /// No event after `after` may be of one of the names (none is all) and carry all of the tags.
    #[must_use]
    pub fn condition(self, after: u64, names: &[&str], tags: &[&str]) -> Self {
        self.change(|request| {
            request.conditions.push(Condition {
                after: Position(after),
                names: names.iter().map(EventName::new).collect::<Result<_, _>>().map_err(ApiError::from)?,
                tags: tags.iter().map(Tag::new).collect::<Result<_, _>>().map_err(ApiError::from)?,
            });
            Ok(())
        })
    }

    /// The key by which a repeat is recognised; its scope is the first stream.
    #[must_use]
    pub fn idempotency_key(self, key: &str) -> Self {
        self.change(|request| {
            request.idempotency_key = Some(IdempotencyKey::new(key).map_err(ApiError::from)?);
            Ok(())
        })
    }

    /// The transaction, checked.
    ///
    /// # Errors
    /// The first thing that is not legal, as the server would say it.
    pub fn build(self) -> Result<TransactionRequest, ClientError> {
        let mut request = self.request?;
        request.check_limits().map_err(ApiError::from)?;
        if request.key().is_none() {
            request.idempotency_key = Some(own_key());
        }
        Ok(request)
    }

    fn change(mut self, act: impl FnOnce(&mut TransactionRequest) -> Result<(), ClientError>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(error) = act(request)
        {
            self.request = Err(error);
        }
        self
    }
}

impl Client {
    /// Appends to several streams. Returns when all of it is durable on a
    /// quorum; repeats it, with one idempotency key, until the deadline.
    ///
    /// # Errors
    /// [`ClientError`]; `transaction_refused` names everything that stands against it.
    pub async fn transact(&self, request: &TransactionRequest) -> Result<TransactionAck, ClientError> {
        let mut body = TransactionBody::from_request(request);
        if request.key().is_none() {
            body.idempotency_key = Some(own_key().to_string());
        }
        let call = Call::new(Method::POST, paths::TRANSACTIONS, Repeat::Harmless).body(&body);
        let result: TransactionResult = self.call(call).await?;
        Ok(result.to_ack()?)
    }

    /// Checks all that would be checked, and writes nothing. Gives the position at which it would be taken.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn validate(&self, request: &TransactionRequest) -> Result<Position, ClientError> {
        let body = TransactionBody { validate_only: true, ..TransactionBody::from_request(request) };
        let call = Call::new(Method::POST, paths::TRANSACTIONS, Repeat::Harmless).body(&body);
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
        let to = |entity: &str| Append::to(entity, "account").event("moved", &json!({}));
        let built = Transaction::new().append(to("a").expect_version(3)).append(to("b").expect_exists());
        let built = built.check_version("c", 0).condition(7, &["frozen"], &["account:a"]).build().unwrap();
        assert_eq!((built.appends.len(), built.checks.len(), built.conditions.len()), (2, 1, 1));
        assert!(built.idempotency_key.is_some());
        for (transaction, code) in [
            (Transaction::new(), ErrorCode::EmptyAppend),
            (Transaction::new().append(to("a")).append(to("a")), ErrorCode::InvalidRequest),
            (Transaction::new().append(to("a")).check_exists("a"), ErrorCode::InvalidRequest),
            (Transaction::new().append(to("a").idempotency_key("k")), ErrorCode::InvalidRequest),
            (Transaction::new().append(to("")), ErrorCode::InvalidName),
            (Transaction::new().append(to("a")).condition(0, &[""], &[]), ErrorCode::InvalidName),
        ] {
            assert_eq!(transaction.build().unwrap_err().code(), Some(code));
        }
    }
}
