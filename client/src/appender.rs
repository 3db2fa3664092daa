use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use uuid::Uuid;
use weir_types::{AppendAck, AppendRequest};

use crate::{
    AppendSession, Client, ClientError,
    retry::{Repeat, pause},
};

/// Appends until they are answered, one call at a time or over a session that
/// is opened again, to whoever leads, when it is lost. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Appender {
    client: Client,
    session: Option<Arc<Slot>>,
}

#[derive(Debug)]
struct Slot {
    in_flight: usize,
    open: Mutex<Option<AppendSession>>,
}

impl Appender {
    /// One HTTP request for each append.
    #[must_use]
    pub fn unary(client: Client) -> Self {
        Self { client, session: None }
    }

    /// One session for all appends, with at most `in_flight` unanswered. It is
    /// opened with the first append.
    #[must_use]
    pub fn session(client: Client, in_flight: usize) -> Self {
        Self { client, session: Some(Arc::new(Slot { in_flight, open: Mutex::new(None) })) }
    }

    /// Appends, and repeats it until `patience` ends: as it is when it has an
    /// idempotency key, else only while nothing can have happened.
    ///
    /// # Errors
    /// [`ClientError`]; ask it whether the outcome is known.
    pub async fn append(
        &self,
        request: &AppendRequest,
        patience: Duration,
    ) -> Result<AppendAck, ClientError> {
        match &self.session {
            None => self.client.with_deadline(patience).append(request).await,
            Some(slot) => self.append_over(slot, request, patience).await,
        }
    }

    async fn append_over(
        &self,
        slot: &Slot,
        request: &AppendRequest,
        patience: Duration,
    ) -> Result<AppendAck, ClientError> {
        let repeat = match request.idempotency_key {
            Some(_) => Repeat::Harmless,
            None => Repeat::OnlyIfNothingHappened,
        };
        let end = Instant::now() + patience;
        let (mut tries, mut unknown) = (0, false);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = left.min(self.client.options().attempt * 2);
            let error = match self.attempt(slot, request, limit).await {
                Ok(ack) => return Ok(ack),
                Err(error) => error,
            };
            tries += 1;
            unknown |= error.outcome_unknown();
            if !repeat.allows(&error) {
                return Err(error);
            }
            let pause = pause(tries, Uuid::new_v4().as_bytes()[0]);
            if Instant::now() + pause >= end {
                let last = Box::new(error);
                return Err(ClientError::Deadline { after: patience, outcome_unknown: unknown, last });
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        slot: &Slot,
        request: &AppendRequest,
        limit: Duration,
    ) -> Result<AppendAck, ClientError> {
        let session = self.open(slot).await?;
        let outcome = session.append(request, limit).await;
        if let Err(error) = &outcome
            && (error.blames_node() || matches!(error, ClientError::Deadline { .. }))
        {
            self.client.node_failed(session.url());
            slot.leave(&session).await;
        }
        outcome
    }

    /// The session in use, or a new one with the leader.
    async fn open(&self, slot: &Slot) -> Result<AppendSession, ClientError> {
        let mut open = slot.open.lock().await;
        if let Some(session) = open.as_ref().filter(|session| !session.is_ended()) {
            return Ok(session.clone());
        }
        self.client.find_leader().await.ok();
        let url = self.client.current_url();
        match AppendSession::open(&url, slot.in_flight).await {
            Ok(session) => Ok(open.insert(session).clone()),
            Err(error) => {
                *open = None;
                self.client.node_failed(&url);
                Err(error)
            }
        }
    }
}

impl Slot {
    /// Forgets a session, unless another caller has replaced it already.
    async fn leave(&self, session: &AppendSession) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|known| known.is_same(session)) {
            *open = None;
        }
    }
}
