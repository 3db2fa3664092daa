//! Consumer groups from any node: what is asked here is asked of the leader.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, header::CONTENT_TYPE},
};
use serde::{Serialize, de::DeserializeOwned};
use weir_api::{
    ApiError, ErrorBody, ErrorCode,
    v1::{ConsumerGroupBody, ConsumerGroupView, PullResult, SettleBody, SettleResult, SettlementBody, paths},
};
use weir_types::{Consistency, ConsumerGroupName, Position, RecordedEvent, limits};

use super::Engine;
use crate::{
    consumers::Consumers,
    http::{consumers::settle_of, to_leader},
};

/// Bytes of an answer of the leader: a pull of large events.
const ANSWER_BYTES_MAX: usize = 2 * limits::CONSUMER_WINDOW_BYTES_MAX;

impl Engine {
    /// The groups of this node, which serves them while it leads.
    #[must_use]
    pub fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The pattern of a group; it is made if there is none.
    ///
    /// # Errors
    /// Those of [`Consumers::create`], or why the leader did not answer.
    pub async fn join_consumers(&self, name: &ConsumerGroupName, pattern: &str) -> Result<String, ApiError> {
        let body = ConsumerGroupBody {
            name: name.to_string(),
            pattern: pattern.to_owned(),
            ..ConsumerGroupBody::default()
        };
        let made = match self.decides() {
            true => self.consumers.create(&body).await.map(|_| ()),
            false => {
                let made =
                    self.at_leader::<_, ConsumerGroupBody>(Method::POST, paths::CONSUMER_GROUPS, &body);
                made.await.map(|_| ())
            }
        };
        match made {
            Ok(()) => Ok(body.pattern),
            Err(error) if error.code == ErrorCode::ConsumerGroupExists => {
                if self.decides() {
                    return Ok(self.consumers.show(name).await?.0.pattern.as_str().to_owned());
                }
                let path = paths::fill(paths::CONSUMER_GROUP, name.as_str());
                let there = self.at_leader::<_, ConsumerGroupView>(Method::GET, &path, &()).await?;
                Ok(there.group.pattern)
            }
            Err(error) => Err(error),
        }
    }

    /// Events in the name of a group, each with which delivery it is.
    ///
    /// # Errors
    /// Those of [`Consumers::pull`], or why the leader did not answer.
    pub async fn pull_consumers(
        &self,
        name: &ConsumerGroupName,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<(Arc<RecordedEvent>, u32)>, ApiError> {
        if self.decides() {
            let given = self.consumers.pull(name, most, wait).await?;
            return Ok(given.into_iter().map(|one| (one.event, one.attempt)).collect());
        }
        let path = paths::fill(paths::CONSUMER_GROUP_PULL, name.as_str());
        let path = format!("{path}?max={most}&waitMs={}", wait.as_millis());
        let given = self.at_leader::<_, PullResult>(Method::POST, &path, &()).await?;
        let mut events = Vec::with_capacity(given.deliveries.len());
        for delivery in given.deliveries {
            // The event itself is read here: what the leader tells of it has another form.
            let position = Position(delivery.event.position);
            self.ready(Consistency::AtLeast(position)).await?;
            let event = self.ports.reader.read_log(self.group, position, 1).await?.pop();
            let lost = || ApiError::new(ErrorCode::Internal, "event is not where the leader has it");
            events.push((Arc::new(event.ok_or_else(lost)?), delivery.attempt));
        }
        Ok(events)
    }

    /// Says what became of events.
    ///
    /// # Errors
    /// Those of [`Consumers::settle`], or why the leader did not answer.
    pub async fn settle_consumers(
        &self,
        name: &ConsumerGroupName,
        settlements: Vec<SettlementBody>,
    ) -> Result<(), ApiError> {
        if self.decides() {
            let verdicts = settlements.iter().map(settle_of).collect::<Result<Vec<_>, _>>()?;
            return self.consumers.settle(name, verdicts).await.map(|_| ());
        }
        let path = paths::fill(paths::CONSUMER_GROUP_SETTLE, name.as_str());
        let body = SettleBody { settlements };
        self.at_leader::<_, SettleResult>(Method::POST, &path, &body).await.map(|_| ())
    }

    async fn at_leader<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        let nobody = || ApiError::new(ErrorCode::Unavailable, "no leader is available: none is known");
        let (_, edge) = self.leader_edge().await.ok_or_else(nobody)?;
        let internal = |error: &dyn std::error::Error| ApiError::new(ErrorCode::Internal, error.to_string());
        let body = serde_json::to_vec(body).map_err(|error| internal(&error))?;
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let request = request.header("content-length", body.len()).body(Body::from(body));
        let answer = to_leader::send(&edge, request.map_err(|error| internal(&error))?).await?;
        let status = answer.status();
        let lost =
            |error| ApiError::new(ErrorCode::OutcomeUnknown, format!("leader did not answer: {error}"));
        let bytes = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.map_err(lost)?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| internal(&error));
        }
        let error = serde_json::from_slice::<ErrorBody>(&bytes).map_err(|error| internal(&error))?;
        Err(error.into_error(status.as_u16()))
    }
}
