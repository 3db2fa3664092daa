//! Appends: decided here when this node leads, else forwarded once to the leader.

use std::{sync::atomic::Ordering, time::Duration};

use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use weir_types::{
    AppendAck, AppendError, AppendRequest, Consistency, NodeId, Planted, Position, ReadError, TransactionAck,
    TransactionRequest, Violation, planted, ports::Leadership,
};

use super::Engine;

/// Before an append that was refused for want of a leader is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Appends to one stream. While no leader is known or reachable it waits
    /// and tries again, as long as nothing can have been written.
    ///
    /// Appends whose futures are first polled in some order reach their
    /// stream's actor in that order.
    ///
    /// # Errors
    /// [`AppendError`]; after `OutcomeUnknown` the append may or may not be in the stream.
    pub async fn append(&self, request: AppendRequest) -> Result<AppendAck, AppendError> {
        request.check_limits()?;
        let began = Instant::now();
        let events = request.events.len();
        let result = self.append_by(request, began + self.leader_wait).await;
        self.meter.note(began.elapsed(), events, result.as_ref().map(|ack| ack.repeated));
        result
    }

    /// Appends to several streams, with checks and conditions, all or nothing.
    /// It waits for a leader as [`Engine::append`] does.
    ///
    /// # Errors
    /// [`AppendError`]; after `OutcomeUnknown` all of it may be written, or nothing.
    pub async fn transact(&self, request: TransactionRequest) -> Result<TransactionAck, AppendError> {
        request.check_limits()?;
        let began = Instant::now();
        let events = request.events();
        let attempt = |seen| self.attempt_transaction(seen, &request);
        let result = self.on_the_leader(attempt, began + self.leader_wait).await;
        self.meter.note(began.elapsed(), events, result.as_ref().map(|ack| ack.repeated));
        result
    }

    /// What stands against a transaction now, the rules included, and the position at which that holds. Nothing is written.
    ///
    /// # Errors
    /// [`AppendError`] of limits and [`ReadError`].
    pub async fn validate(
        &self,
        request: &TransactionRequest,
    ) -> Result<Result<Position, AppendError>, ReadError> {
        if let Err(error) = request.check_limits() {
            return Ok(Err(error));
        }
        let position = self.ready(Consistency::Linearizable).await?;
        match self.router.repeats_transaction(request).await {
            Ok(true) => Ok(Ok(position)),
            Ok(false) => self.validate_at(position, request).await,
            Err(error) => Ok(Err(error)),
        }
    }

    async fn validate_at(
        &self,
        position: Position,
        request: &TransactionRequest,
    ) -> Result<Result<Position, AppendError>, ReadError> {
        let (guards, conditions) = (request.guards(), request.conditions.clone());
        let violations = self.ports.reader.violations(self.group, guards, conditions).await?;
        if !violations.is_empty() {
            return Ok(Err(AppendError::Violated { violations }));
        }
        Ok(self.router.validate(request).await.map(|()| position))
    }

    /// As [`Engine::validate`], of an append; a refusal is the one that the append would meet.
    ///
    /// # Errors
    /// As [`Engine::validate`].
    pub async fn validate_append(
        &self,
        request: AppendRequest,
    ) -> Result<Result<Position, AppendError>, ReadError> {
        if let Err(error) = request.check_limits() {
            return Ok(Err(error));
        }
        let position = self.ready(Consistency::Linearizable).await?;
        let answer = match self.router.repeats(&request).await {
            Ok(true) => return Ok(Ok(position)),
            Ok(false) => self.validate_at(position, &request.into()).await?,
            Err(error) => return Ok(Err(error)),
        };
        Ok(answer.map_err(|error| match error {
            AppendError::Violated { mut violations } => match violations.pop() {
                Some(Violation::Version { expected, actual, .. }) => {
                    AppendError::VersionConflict { expected, actual }
                }
                Some(Violation::Type { actual, .. }) => AppendError::TypeConflict { actual },
                other => unreachable!("an append has no condition, and {other:?} is none of its refusals"),
            },
            error => error,
        }))
    }

    async fn append_by(&self, request: AppendRequest, deadline: Instant) -> Result<AppendAck, AppendError> {
        self.on_the_leader(|seen| self.attempt(seen, &request), deadline).await
    }

    /// Tries by whoever leads, until the deadline and as long as nothing can have been written.
    pub(super) async fn on_the_leader<T, F: Future<Output = Result<T, AppendError>>>(
        &self,
        attempt: impl Fn(Leadership) -> F,
        deadline: Instant,
    ) -> Result<T, AppendError> {
        loop {
            let seen = self.ports.leadership.current();
            let refusal = match attempt(seen).await {
                Err(error @ (AppendError::NotLeader { .. } | AppendError::Unavailable { .. })) => error,
                Err(error @ AppendError::OutcomeUnknown { .. }) if planted(Planted::UnknownIsRetried) => {
                    error
                }
                result => return result,
            };
            if !self.leader_may_have_changed(seen, deadline).await {
                return Err(refusal);
            }
        }
    }

    async fn attempt(&self, seen: Leadership, request: &AppendRequest) -> Result<AppendAck, AppendError> {
        match seen.leader {
            _ if seen.decides => self.router.append(request.clone()).await,
            Some(leader) if leader != self.node => self.forward_append(leader, request.clone()).await,
            other => Err(nobody_decides(other)),
        }
    }

    async fn attempt_transaction(
        &self,
        seen: Leadership,
        request: &TransactionRequest,
    ) -> Result<TransactionAck, AppendError> {
        match seen.leader {
            _ if seen.decides => self.router.transact(request.clone()).await,
            Some(leader) if leader != self.node => self.forward_transaction(leader, request.clone()).await,
            other => Err(nobody_decides(other)),
        }
    }

    /// Waits until leadership is not as it was `seen`, or a pause has passed
    /// (the leader may be the same and reachable again). False at the deadline,
    /// and where no leader is to come.
    pub(super) async fn leader_may_have_changed(&self, seen: Leadership, deadline: Instant) -> bool {
        let now = Instant::now();
        if now >= deadline || self.hopeless.load(Ordering::Acquire) || self.was_removed() {
            return false;
        }
        let changed = async {
            let other = self.ports.leadership.changes().any(|current| async move { current != seen });
            if !other.await {
                // Raft has ended: nothing changes any more, and only time passes.
                std::future::pending::<()>().await;
            }
        };
        // A pause that ends is no failure: it is time to look again.
        let _ = timeout_at(deadline.min(now + RETRY_PAUSE), changed).await;
        true
    }
}

/// Why no node decides, where `leader` is this one or not known.
pub(super) fn nobody_decides(leader: Option<NodeId>) -> AppendError {
    let reason = match leader {
        Some(_) => "the leader is catching up with its log",
        None => "none is known",
    };
    AppendError::Unavailable { reason: reason.to_owned() }
}
