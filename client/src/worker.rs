use std::{
    future::Future,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned, de::IgnoredAny};
use uuid::Uuid;
use weir_api::{
    ErrorCode, JsonText,
    connect::{
        OkResponse, PollProjectionResponse, ProjectionEvent, RegisterProjectionRequest,
        RegisterProjectionResponse, SaveProjectionRequest,
    },
    v1::{
        DeadLettersQuery, LeaseQuery, PollQuery, ReplayBody, ReplayResult, WorkerHeard, WorkerLetters, paths,
    },
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

/// How long one poll waits for events.
const POLL_WAIT: Duration = Duration::from_secs(20);
/// Between polls that failed.
const FAILED_PAUSE: Duration = Duration::from_millis(200);

/// The calls of which a worker is made.
impl Client {
    /// Makes a projection that workers fold, or changes what was asked for.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_kind_conflict`, `projection_invalid`.
    pub async fn register_projection(
        &self,
        asked: &RegisterProjectionRequest,
    ) -> Result<RegisterProjectionResponse, ClientError> {
        let path = paths::fill(paths::PROJECTION_WORKER, &asked.name);
        self.call(Call::new(Method::POST, &path, Repeat::Harmless).body(asked)).await
    }

    /// Events after a position that a projection of workers was not given any more, in order of position.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn worker_dead_letters(
        &self,
        name: &str,
        query: &DeadLettersQuery,
    ) -> Result<WorkerLetters, ClientError> {
        let path = paths::fill(paths::PROJECTION_LETTERS, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// Has the cluster send them again, those named or the first ones. How many were taken.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`; `invalid_request` where workers do what the events are for.
    pub async fn replay_dead_letters(
        &self,
        name: &str,
        positions: Option<Vec<u64>>,
    ) -> Result<u64, ClientError> {
        let path = paths::fill(paths::PROJECTION_LETTERS_REPLAY, name);
        let body = ReplayBody { positions };
        let call = Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened).body(&body);
        self.call::<_, _, ReplayResult>(call).await.map(|replayed| replayed.replayed)
    }

    /// Takes events of a projection, of one partition, with its state. The same come again until they are saved.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn poll_projection(
        &self,
        name: &str,
        query: &PollQuery,
    ) -> Result<PollProjectionResponse, ClientError> {
        let path = paths::fill(paths::PROJECTION_POLL, name);
        let wait = Duration::from_millis(query.wait_ms.unwrap_or(0));
        // A repeat would count as another delivery; whoever polls polls again.
        let call = Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened).query(query).wait(wait);
        self.call(call).await
    }

    /// Saves the state of a partition with its checkpoint. Under a lease number it may be said again.
    ///
    /// # Errors
    /// [`ClientError`]; `lease_lost`.
    pub async fn save_projection(&self, save: &SaveProjectionRequest) -> Result<(), ClientError> {
        let path = paths::fill(paths::PROJECTION_SAVE, &save.name);
        let repeat =
            if save.lease_number.is_some() { Repeat::Harmless } else { Repeat::OnlyIfNothingHappened };
        self.call::<_, _, OkResponse>(Call::new(Method::POST, &path, repeat).body(save)).await.map(|_| ())
    }

    /// Says that a worker is alive, by which its leases go on. Of which projections.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn heartbeat(&self, worker: &str) -> Result<Vec<String>, ClientError> {
        let path = paths::fill(paths::WORKER_HEARTBEAT, worker);
        let call = Call::new(Method::POST, &path, Repeat::Harmless);
        self.call::<_, _, WorkerHeard>(call).await.map(|heard| heard.projections)
    }

    /// Gives the lease of a projection up, so that another worker need not wait for its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release_projection(&self, name: &str, lease: &LeaseQuery) -> Result<(), ClientError> {
        let path = paths::fill(paths::PROJECTION_LEASE, name);
        let call = Call::new(Method::DELETE, &path, Repeat::Harmless).query(lease);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }
}

/// A projection that this process folds, as long as it has the lease.
///
/// ```no_run
/// # async fn fold(client: weir_client::Client) -> Result<(), weir_client::WorkerError> {
/// use serde_json::{Value, json};
///
/// weir_client::Worker::projection(&client, "orders-of-customers")
///     .events(["order.*"])
///     .partition_key("$.data.customer.id")
///     .fold(|state: Option<Value>, event| {
///         let mut orders = state.unwrap_or_else(|| json!({ "orders": [] }));
///         orders["orders"].as_array_mut().unwrap().push(event.id.clone().into());
///         Ok(orders)
///     })
///     .run()
///     .await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Worker {
    client: Client,
    id: String,
    asked: RegisterProjectionRequest,
    batch: u32,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The projection is not to be had: it was removed, or its registration was refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A state is no JSON, or what is stored is not one of this worker's.
    #[error("state of partition `{partition}` is not understood: {reason}")]
    State {
        /// The partition.
        partition: String,
        /// Why.
        reason: String,
    },
}

/// What a handler could not do with an event: it comes again, and after so many times the projection is parked.
pub type FoldError = Box<dyn std::error::Error + Send + Sync>;

impl Worker {
    /// A worker for a projection, under a name that no other worker has.
    #[must_use]
    pub fn projection(client: &Client, name: impl Into<String>) -> Self {
        let asked = RegisterProjectionRequest { name: name.into(), ..RegisterProjectionRequest::default() };
        Self { client: client.clone(), id: format!("worker-{}", Uuid::new_v4().simple()), asked, batch: 0 }
    }

    /// The patterns of its events.
    #[must_use]
    pub fn events<S: Into<String>>(mut self, events: impl IntoIterator<Item = S>) -> Self {
        self.asked.events = events.into_iter().map(Into::into).collect();
        self
    }

    /// JSONPath of the partition within an event. Without it, or where an event has nothing there, it is of the one
    /// partition `__global__`.
    #[must_use]
    pub fn partition_key(mut self, path: impl Into<String>) -> Self {
        self.asked.partition_key = path.into();
        self
    }

    /// Its name, by which a lease is told apart; one that no other process has.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// How long the lease goes on without a sign of life.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.asked.lease_ms = u64::try_from(lease.as_millis()).ok();
        self
    }

    /// How often an event is handed out before it counts as not to be folded.
    #[must_use]
    pub fn deliveries_max(mut self, deliveries: u32) -> Self {
        self.asked.deliveries_max = Some(deliveries);
        self
    }

    /// An event that cannot be folded is put aside, and the next ones come; else the projection is parked at it.
    #[must_use]
    pub fn put_bad_events_aside(mut self) -> Self {
        self.asked.on_failure = "dead_letter".into();
        self
    }

    /// Events at once, at most.
    #[must_use]
    pub fn batch(mut self, events: u32) -> Self {
        self.batch = events;
        self
    }

    /// What folds an event into the state of its partition, which is none at first. It must give the same for the same,
    /// because events may come again whose state was not saved.
    #[must_use]
    pub fn fold<S, F>(self, fold: F) -> FoldingWorker<F>
    where
        S: Serialize + DeserializeOwned,
        F: FnMut(Option<S>, &ProjectionEvent) -> Result<S, FoldError>,
    {
        FoldingWorker { worker: self, fold }
    }

    /// What an event is to lead to outside. It may come again: its id tells it apart.
    #[must_use]
    pub fn effect<F, R>(mut self, effect: F) -> EffectWorker<F>
    where
        F: FnMut(ProjectionEvent) -> R,
        R: Future<Output = Result<(), FoldError>>,
    {
        self.asked.mode = "external".into();
        EffectWorker { worker: self, effect }
    }

    async fn register(&self) -> Result<(), WorkerError> {
        self.client.register_projection(&self.asked).await?;
        Ok(())
    }

    /// The next events; nothing where there are none, or it is to be asked again.
    async fn poll(&self) -> Result<Option<PollProjectionResponse>, WorkerError> {
        let wait_ms = u64::try_from(POLL_WAIT.as_millis()).ok();
        let query = PollQuery { worker_id: self.id.clone(), max: Some(self.batch), wait_ms };
        match self.client.poll_projection(&self.asked.name, &query).await {
            Ok(polled) => Ok(Some(polled).filter(|polled| !polled.events.is_empty())),
            Err(error) if error.code() == Some(ErrorCode::ProjectionNotFound) => Err(error.into()),
            Err(_) => {
                tokio::time::sleep(FAILED_PAUSE).await;
                Ok(None)
            }
        }
    }

    /// Says how far it came. What is refused comes again.
    async fn save(
        &self,
        polled: &PollProjectionResponse,
        count: usize,
        state: Option<JsonText>,
    ) -> Result<(), WorkerError> {
        let Some(last) = count.checked_sub(1).and_then(|last| polled.events.get(last)) else { return Ok(()) };
        let save = SaveProjectionRequest {
            name: self.asked.name.clone(),
            partition_key: polled.partition.clone(),
            state,
            last_event_id: last.id.clone(),
            last_event_seq: last.seq,
            worker_id: self.id.clone(),
            lease_number: Some(polled.lease_number),
        };
        match self.client.save_projection(&save).await {
            Ok(()) => Ok(()),
            Err(error) if gives_up(&error) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }

    /// The lease goes on while a batch is worked on.
    async fn beat_if_due(&self, polled: &PollProjectionResponse, beaten: &mut Instant) {
        if beaten.elapsed() > Duration::from_millis(polled.lease_ms / 3) {
            *beaten = Instant::now();
            // Whether it was heard, the save tells.
            self.client.heartbeat(&self.id).await.ok();
        }
    }
}

/// Whether what was refused would be refused for ever.
fn gives_up(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::ProjectionNotFound | ErrorCode::TooLarge | ErrorCode::InvalidRequest)
    )
}

/// A worker with what folds.
#[derive(Debug)]
pub struct FoldingWorker<F> {
    worker: Worker,
    fold: F,
}

impl<F> FoldingWorker<F> {
    /// Folds until the projection is removed.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn run<S>(mut self) -> Result<(), WorkerError>
    where
        S: Serialize + DeserializeOwned,
        F: FnMut(Option<S>, &ProjectionEvent) -> Result<S, FoldError>,
    {
        self.worker.register().await?;
        loop {
            self.step().await?;
        }
    }

    /// Polls once, folds what came, and saves it. Whether anything came.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn step<S>(&mut self) -> Result<bool, WorkerError>
    where
        S: Serialize + DeserializeOwned,
        F: FnMut(Option<S>, &ProjectionEvent) -> Result<S, FoldError>,
    {
        let Some(polled) = self.worker.poll().await? else { return Ok(false) };
        let partition = &polled.partition;
        let illegal = |error: serde_json::Error| WorkerError::State {
            partition: partition.clone(),
            reason: error.to_string(),
        };
        let stored = || match polled.current_state.as_ref() {
            Some(state) => serde_json::from_str::<S>(state.get()).map(Some).map_err(illegal),
            None => Ok(None),
        };
        let mut state = stored()?;
        let (mut count, mut beaten) = (0, Instant::now());
        for event in &polled.events {
            match (self.fold)(state.take(), event) {
                Ok(next) => state = Some(next),
                Err(_) => break,
            }
            count += 1;
            self.worker.beat_if_due(&polled, &mut beaten).await;
        }
        if count < polled.events.len() && count > 0 {
            // The event that failed took the state with it. What came before it is saved; it comes again alone.
            state = stored()?;
            for event in &polled.events[..count] {
                match (self.fold)(state.take(), event) {
                    Ok(next) => state = Some(next),
                    Err(_) => return Ok(true),
                }
            }
        }
        let state = state.filter(|_| count > 0).map(|state| serde_json::to_value(&state)).transpose();
        let state = state.map_err(illegal)?.as_ref().map(JsonText::from);
        let failed = count < polled.events.len();
        self.worker.save(&polled, count, state).await?;
        if failed {
            tokio::time::sleep(FAILED_PAUSE).await;
        }
        Ok(true)
    }
}

/// A worker with what has effects.
#[derive(Debug)]
pub struct EffectWorker<F> {
    worker: Worker,
    effect: F,
}

impl<F, R> EffectWorker<F>
where
    F: FnMut(ProjectionEvent) -> R,
    R: Future<Output = Result<(), FoldError>>,
{
    /// Works until the projection is removed.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn run(mut self) -> Result<(), WorkerError> {
        self.worker.register().await?;
        loop {
            let Some(polled) = self.worker.poll().await? else { continue };
            let (mut count, mut beaten) = (0, Instant::now());
            for event in &polled.events {
                if (self.effect)(event.clone()).await.is_err() {
                    break;
                }
                count += 1;
                self.worker.beat_if_due(&polled, &mut beaten).await;
            }
            self.worker.save(&polled, count, None).await?;
            if count < polled.events.len() {
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
    }
}
