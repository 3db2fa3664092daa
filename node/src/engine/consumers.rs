//! Consumer groups from any node: what is asked here is asked of the leader.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{Method, header::CONTENT_TYPE},
};
use serde::{Serialize, de::DeserializeOwned};
use weir_actors::consumers::Delivery;
use weir_api::{
    ApiError, ErrorBody, ErrorCode,
    connect::WantedGroup,
    v1::{
        ConsumerGroupBody, ConsumerGroupView, DeliveryView, PullResult, SettleBody, SettleResult,
        SettlementBody, SettlementKind, VerdictKind, paths,
    },
};
use weir_types::{Consistency, ConsumerGroupName, Position, RecordedEvent, limits};

use super::Engine;
use crate::{
    consumers::Consumers,
    http::{consumers::settle_of, to_leader},
};

/// Bytes of an answer of the leader: a pull of large events.
const ANSWER_BYTES_MAX: usize = 2 * limits::CONSUMER_WINDOW_BYTES_MAX;

/// How long the leader may take, beside what it is asked to wait: one that is cut off without a word says nothing.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// An event that was taken in the name of a group.
pub struct Taken {
    /// The event.
    pub event: Arc<RecordedEvent>,
    /// The first delivery is 1.
    pub attempt: u32,
    /// Whose delivery it is.
    pub desk: u64,
}

impl Engine {
    /// The groups of this node, which serves them while it leads.
    #[must_use]
    pub fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The group that is there; it is made if there is none.
    ///
    /// # Errors
    /// Those of [`Consumers::create`], or why the leader did not answer.
    pub async fn join_consumers(
        &self,
        name: &ConsumerGroupName,
        wanted: &WantedGroup<'_>,
    ) -> Result<ConsumerGroupBody, ApiError> {
        let body = ConsumerGroupBody {
            name: name.to_string(),
            pattern: wanted.pattern.as_str().to_owned(),
            filter: wanted.filter.as_ref().map(|filter| filter.as_str().to_owned()),
            ..ConsumerGroupBody::default()
        };
        let made = match self.decides() {
            true => self.consumers.create(&body).await.map(|_| ()),
            false => {
                let path = paths::CONSUMER_GROUPS;
                self.at_leader::<_, ConsumerGroupBody>(Method::POST, path, &body, ANSWER_WAIT)
                    .await
                    .map(|_| ())
            }
        };
        match made {
            Ok(()) => Ok(body),
            Err(error) if error.code == ErrorCode::ConsumerGroupExists => self.consumer_group(name).await,
            Err(error) => Err(error),
        }
    }

    /// A group, as it is now.
    ///
    /// # Errors
    /// `consumer_group_not_found`, or why the leader did not answer.
    pub async fn consumer_group(&self, name: &ConsumerGroupName) -> Result<ConsumerGroupBody, ApiError> {
        if self.decides() {
            return Ok(ConsumerGroupBody::from(&self.consumers.show(name).await?.0));
        }
        let path = paths::fill(paths::CONSUMER_GROUP, name.as_str());
        let there: ConsumerGroupView = self.at_leader(Method::GET, &path, &(), ANSWER_WAIT).await?;
        Ok(there.group)
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
    ) -> Result<Vec<Taken>, ApiError> {
        if self.decides() {
            let pulled = self.consumers.pull(name, most, wait).await?;
            let desk = pulled.desk;
            let taken = |one: Delivery| Taken { event: one.event, attempt: one.attempt, desk };
            return Ok(pulled.given.into_iter().map(taken).collect());
        }
        let path = paths::fill(paths::CONSUMER_GROUP_PULL, name.as_str());
        let path = format!("{path}?max={most}&waitMs={}", wait.as_millis());
        let pulled: PullResult = self.at_leader(Method::POST, &path, &(), wait + ANSWER_WAIT).await?;
        let taken = self.read_taken(&pulled.deliveries).await;
        if taken.is_err() {
            // Nobody will see them, so they do not count as handed out. If this fails too, their time runs out.
            let of = |one: &DeliveryView| SettlementBody::of(one, VerdictKind::Release);
            drop(self.settle_consumers(name, pulled.deliveries.iter().map(of).collect()).await);
        }
        taken
    }

    /// The events that the leader has handed out, read here: what it tells of them has another form.
    async fn read_taken(&self, deliveries: &[DeliveryView]) -> Result<Vec<Taken>, ApiError> {
        let mut taken = Vec::with_capacity(deliveries.len());
        for DeliveryView { event, attempt, desk } in deliveries {
            let position = Position(event.position);
            self.ready(Consistency::AtLeast(position)).await?;
            let event = self.ports.reader.read_log(self.group, position, 1).await?;
            let event = self.live.upcasting().first_part(event).await?.pop();
            let lost = || ApiError::new(ErrorCode::Internal, "event is not where the leader has it");
            taken.push(Taken { event: Arc::new(event.ok_or_else(lost)?), attempt: *attempt, desk: *desk });
        }
        Ok(taken)
    }

    /// Says what became of events.
    ///
    /// # Errors
    /// Those of [`Consumers::settle`], or why the leader did not answer.
    pub async fn settle_consumers(
        &self,
        name: &ConsumerGroupName,
        settlements: Vec<SettlementBody>,
    ) -> Result<Vec<SettlementKind>, ApiError> {
        if self.decides() {
            let verdicts = settlements.iter().map(settle_of).collect::<Result<Vec<_>, _>>()?;
            let told = self.consumers.settle(name, verdicts).await?;
            return Ok(told.into_iter().map(SettlementKind::from).collect());
        }
        let path = paths::fill(paths::CONSUMER_GROUP_SETTLE, name.as_str());
        let body = SettleBody { settlements };
        let told: SettleResult = self.at_leader(Method::POST, &path, &body, ANSWER_WAIT).await?;
        Ok(told.results.iter().map(|one| one.outcome).collect())
    }

    async fn at_leader<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        within: Duration,
    ) -> Result<T, ApiError> {
        let nobody = || ApiError::new(ErrorCode::Unavailable, "no leader is available: none is known");
        let (_, edge) = self.leader_edge().await.ok_or_else(nobody)?;
        let internal = |error: &dyn std::error::Error| ApiError::new(ErrorCode::Internal, error.to_string());
        let body = serde_json::to_vec(body).map_err(|error| internal(&error))?;
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let request = request.header("content-length", body.len()).body(Body::from(body));
        let request = request.map_err(|error| internal(&error))?;
        let (status, bytes) = to_leader::answer_of(&edge, request, ANSWER_BYTES_MAX, within).await?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| internal(&error));
        }
        let error = serde_json::from_slice::<ErrorBody>(&bytes).map_err(|error| internal(&error))?;
        Err(error.into_error(status.as_u16()))
    }
}
