use std::sync::Arc;

use tokio::{sync::Mutex, time::sleep};
use weir_client::{ApiError, AppendSession, Client, ClientError, PendingAppend};
use weir_types::{AppendRequest, EntityId, ExpectedVersion, GroupId, IdempotencyKey, StreamVersion};

use super::{
    load::Load,
    pace::Pace,
    sessions::{PAUSE, Sessions},
    tally::Tally,
};

/// One stream that all callers append to, over one session. An append is sent
/// before the ones ahead of it are answered, so it is guarded by what they will leave.
#[derive(Debug)]
pub(super) struct Hot {
    client: Client,
    sessions: Sessions,
    load: Load,
    next: Mutex<Next>,
}

/// What the next append begins with.
#[derive(Debug, Default)]
struct Next {
    session: Option<AppendSession>,
    version: u64,
    /// How often the version was asked for: what was sent before knows nothing of it.
    round: u64,
}

impl Hot {
    pub(super) fn new(client: Client, load: Load, in_flight: usize) -> Self {
        let sessions = Sessions::new(client.clone(), in_flight);
        Self { client, sessions, load, next: Mutex::default() }
    }

    /// One caller's loop.
    pub(super) async fn run(self: Arc<Self>, pace: Pace, tally: Tally) {
        let events = self.load.events.len() as u64;
        while let Some(begin) = pace.next().await {
            let (round, sent) = self.send().await;
            let outcome = match sent {
                Ok(pending) => pending.outcome().await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(_) => tally.count(begin, Ok(events)),
                Err(error) => {
                    tally.count(begin, Err(&error));
                    self.ask(round, &error).await;
                }
            }
        }
    }

    /// Sends the next append: in the order of the versions, which is why all wait for one lock.
    async fn send(&self) -> (u64, Result<PendingAppend, ClientError>) {
        let mut next = self.next.lock().await;
        let sent = self.submit(&mut next).await;
        (next.round, sent)
    }

    async fn submit(&self, next: &mut Next) -> Result<PendingAppend, ClientError> {
        let request = self.request(next.version)?;
        let session = match &next.session {
            Some(session) => session,
            None => next.session.insert(self.sessions.get().await?),
        };
        let pending = session.submit(&request).await?;
        next.version += request.events.len() as u64;
        Ok(pending)
    }

    fn request(&self, version: u64) -> Result<AppendRequest, ApiError> {
        let entity_id = EntityId::new(self.load.prefix.as_str())?;
        let key = self.load.keys.then(|| IdempotencyKey::new(format!("{entity_id}:{version}")));
        Ok(AppendRequest {
            group: GroupId::DEFAULT,
            entity_type: self.load.kind.clone(),
            expected: match self.load.guarded {
                true => ExpectedVersion::Exact(StreamVersion(version)),
                false => ExpectedVersion::Any,
            },
            idempotency_key: key.transpose()?,
            events: self.load.events.clone(),
            entity_id,
        })
    }

    /// After an error all that was sent behind it fails too; the first of them asks where the stream is.
    async fn ask(&self, round: u64, error: &ClientError) {
        let mut next = self.next.lock().await;
        if next.round != round {
            return;
        }
        if error.code().is_none() {
            next.session = None;
            sleep(PAUSE).await;
        }
        if let Ok(found) = self.client.stream(&self.load.prefix).await {
            next.version = found.version;
        }
        next.round += 1;
    }
}
