use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use weir_client::{AppendSession, Client, ClientError};
use weir_types::{AppendAck, AppendRequest};

/// How long a caller waits before it asks for the leader again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// How callers append. Unlike the client's `Appender` it repeats nothing and
/// sets no timer for each append, since the run has a deadline.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// One HTTP request for each append.
    Unary(Client),
    /// All over one session.
    Session(Arc<Sessions>),
}

/// The session with whoever leads, opened again when it is lost.
#[derive(Debug)]
pub(super) struct Sessions {
    client: Client,
    in_flight: usize,
    open: Mutex<Option<AppendSession>>,
}

impl Way {
    pub(super) fn session(client: Client, in_flight: usize) -> Self {
        Self::Session(Arc::new(Sessions::new(client, in_flight)))
    }

    /// One caller's own hold on it.
    pub(super) fn caller(&self) -> Caller {
        Caller { way: self.clone(), session: None }
    }
}

/// One caller. It keeps the session in hand, so that an append asks nobody for it.
#[derive(Debug)]
pub(super) struct Caller {
    way: Way,
    session: Option<AppendSession>,
}

impl Caller {
    pub(super) async fn append(&mut self, request: &AppendRequest) -> Result<AppendAck, ClientError> {
        let sessions = match &self.way {
            Way::Unary(client) => return client.append(request).await,
            Way::Session(sessions) => sessions,
        };
        let session = match &self.session {
            Some(session) => session,
            None => self.session.insert(sessions.get().await?),
        };
        let outcome = match session.submit(request).await {
            Ok(pending) => pending.outcome().await,
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome
            && error.code().is_none()
        {
            self.session = None;
            tokio::time::sleep(PAUSE).await;
        }
        outcome
    }
}

impl Sessions {
    pub(super) fn new(client: Client, in_flight: usize) -> Self {
        Self { client, in_flight, open: Mutex::new(None) }
    }

    pub(super) async fn get(&self) -> Result<AppendSession, ClientError> {
        let mut open = self.open.lock().await;
        if let Some(session) = open.as_ref().filter(|session| !session.is_ended()) {
            return Ok(session.clone());
        }
        self.client.find_leader().await.ok();
        let session = AppendSession::open(&self.client.current_url(), self.in_flight).await?;
        Ok(open.insert(session).clone())
    }
}
