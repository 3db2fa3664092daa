use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use ractor::ActorRef;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info};
use weir_types::{
    GroupId, Position, ProjectionId, ProjectionKind, ReadError, RecordedEvent,
    ports::{BusError, EventReader, Feed, Subscription},
};

use super::{
    actor::Message,
    progress::{FeedKind, FoldState, ProgressSender},
    state::{Step, step},
};

/// Events of one read of the local log.
const LOG_BATCH_EVENTS: usize = 2_000;
/// Further behind than this, the bus is not asked at all.
const CATCH_UP_EVENTS: u64 = 2_000;
/// Between the begins of two steps of a projection that has caught up. A step costs the same for one event as for
/// hundreds, on every node; appends that come one by one would each pay for one. An event after a pause waits for
/// nothing.
const STEP_EVERY: Duration = Duration::from_millis(5);
/// How long the bus may be silent about an event that is applied here.
const BUS_PATIENCE: Duration = Duration::from_millis(250);
/// How long the bus may take to give a subscription.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(5);
/// After how long the bus is tried again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Why following ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error("local log is not readable: {0}")]
    Log(#[from] ReadError),
    #[error("local log has no event at position {0}, which is applied")]
    Hole(Position),
    #[error("applied position is not followed any more")]
    Unwatched,
    #[error("task panicked: {0}")]
    Panicked(String),
    /// The actor takes no more: it is parked or gone.
    #[error("projection takes no more events")]
    Refused,
}

/// Why the bus is left.
enum Leave {
    Bus(BusError),
    Follow(FollowError),
}

impl From<BusError> for Leave {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}

impl From<FollowError> for Leave {
    fn from(error: FollowError) -> Self {
        Self::Follow(error)
    }
}

/// What following needs to know.
#[derive(Clone)]
pub(super) struct Stores {
    pub(super) group: GroupId,
    pub(super) id: ProjectionId,
    pub(super) kind: ProjectionKind,
    pub(super) reader: Arc<dyn EventReader>,
    pub(super) feed: Option<Arc<dyn Feed>>,
    pub(super) progress: Arc<ProgressSender>,
}

impl Stores {
    /// Events that are applied, from a position on: at least one, without a hole.
    async fn read_log(&self, from: Position, count: usize) -> Result<Vec<RecordedEvent>, FollowError> {
        let limit = count.clamp(1, LOG_BATCH_EVENTS);
        let mut events = self.reader.read_log(self.group, from, limit).await?;
        let applied = self.reader.applied(self.group);
        events.truncate(events.partition_point(|event| event.position <= applied));
        match events.first() {
            Some(first) if first.position == from => Ok(events),
            _ => Err(FollowError::Hole(from)),
        }
    }
}

/// Brings events to the projection's actor, in order and without a hole, from
/// the bus while it keeps up, else from the local log.
pub(super) struct Follow {
    stores: Stores,
    actor: ActorRef<Message>,
    /// The last position that the actor stored.
    folded: Position,
    applied: BoxStream<'static, Position>,
    /// The next step does not begin before.
    next_step: Instant,
    retry: Duration,
}

impl Follow {
    pub(super) fn new(stores: Stores, actor: ActorRef<Message>, folded: Position) -> Self {
        let applied = stores.reader.applied_changes(stores.group);
        Self { stores, actor, folded, applied, next_step: Instant::now(), retry: RETRY_FIRST }
    }

    /// Runs until the actor takes no more (which is no error) or the log fails.
    pub(super) async fn run(mut self) -> Result<(), FollowError> {
        match self.follow().await {
            Err(FollowError::Refused) => Ok(()),
            other => other,
        }
    }

    async fn follow(&mut self) -> Result<(), FollowError> {
        // The bus is behind the log, and readers of an inline projection wait for the fold.
        let feed = self.stores.feed.clone().filter(|_| self.stores.kind != ProjectionKind::Inline);
        let Some(feed) = feed else {
            return self.follow_log_until(None).await;
        };
        loop {
            self.drain_log().await?;
            let error = match self.subscribe(&feed).await? {
                Ok(subscription) => match self.follow_bus(subscription).await {
                    Leave::Bus(error) => error,
                    Leave::Follow(error) => return Err(error),
                },
                Err(error) => error,
            };
            let retry_ms = self.retry.as_millis();
            if self.retry == RETRY_FIRST {
                info!(projection = %self.stores.id.name, %error, retry_ms, "projection follows the local log");
            } else {
                debug!(projection = %self.stores.id.name, %error, retry_ms, "bus is still not usable");
            }
            self.follow_log_until(Some(Instant::now() + self.retry)).await?;
            self.retry = (self.retry * 2).min(RETRY_MAX);
        }
    }

    /// Asks the bus for a subscription, and follows the log meanwhile.
    async fn subscribe(
        &mut self,
        feed: &Arc<dyn Feed>,
    ) -> Result<Result<Box<dyn Subscription>, BusError>, FollowError> {
        let (feed, group, id, folded) =
            (feed.clone(), self.stores.group, self.stores.id.clone(), self.folded);
        let asked = timeout(SUBSCRIBE_PATIENCE, async move { feed.subscribe(group, &id, folded).await });
        tokio::pin!(asked);
        let late = || BusError::Unavailable { reason: "no subscription in time".into() };
        loop {
            tokio::select! {
                biased;
                answer = &mut asked => return Ok(answer.unwrap_or_else(|_| Err(late()))),
                applied = self.applied.next() => {
                    applied.ok_or(FollowError::Unwatched)?;
                }
            }
            self.drain_log().await?;
        }
    }

    async fn follow_bus(&mut self, mut subscription: Box<dyn Subscription>) -> Leave {
        // Set while the bus owes an event that is applied here.
        let mut owed: Option<Instant> = None;
        // While the bus is late the log leads.
        let mut late = false;
        self.report(FeedKind::Jetstream, FoldState::Live);
        loop {
            let before = self.folded;
            let (patience, next_step) = (owed.unwrap_or_else(|| Instant::now() + RETRY_MAX), self.next_step);
            let batch = async {
                sleep_until(next_step).await;
                subscription.next().await
            };
            let done = tokio::select! {
                batch = batch => match batch {
                    Ok(batch) => {
                        late &= batch.last().is_some_and(|event| event.position < self.folded);
                        self.take(&mut subscription, batch).await
                    }
                    Err(error) => Err(error.into()),
                },
                applied = self.applied.next() => match applied {
                    None => Err(FollowError::Unwatched.into()),
                    Some(_) if late => self.drain_log().await.map_err(Leave::from),
                    Some(_) => Ok(()),
                },
                () = sleep_until(patience), if owed.is_some() => {
                    late = true;
                    debug!(projection = %self.stores.id.name, folded = %self.folded, "bus is late");
                    self.drain_log().await.map_err(Leave::from)
                }
            };
            if let Err(leave) = done {
                return leave;
            }
            self.report(if late { FeedKind::Log } else { FeedKind::Jetstream }, FoldState::Live);
            let behind = self.stores.reader.applied(self.stores.group) > self.folded;
            let still_owed = owed.filter(|_| self.folded == before);
            owed = behind.then(|| still_owed.unwrap_or_else(|| Instant::now() + BUS_PATIENCE));
        }
    }

    /// Folds what the bus brought, fills holes from the log, and tells the bus.
    async fn take(
        &mut self,
        subscription: &mut Box<dyn Subscription>,
        batch: Vec<RecordedEvent>,
    ) -> Result<(), Leave> {
        let positions: Vec<_> = batch.iter().map(|event| event.position).collect();
        let before = self.folded;
        loop {
            let applied = self.stores.reader.applied(self.stores.group);
            match step(self.folded, applied, &positions) {
                Step::Skip => break,
                Step::Wait(position) => self.wait_applied(position).await?,
                Step::Fill { from, count } => {
                    debug!(projection = %self.stores.id.name, %from, count, "hole is filled from the log");
                    let limit = usize::try_from(count).unwrap_or(LOG_BATCH_EVENTS);
                    let events = self.stores.read_log(from, limit).await?;
                    self.deliver(events).await?;
                }
                Step::Fold { skip, take } => {
                    let events = &batch[skip..skip + take];
                    self.verify(&events[take - 1]).await?;
                    self.deliver(events.to_vec()).await?;
                }
            }
        }
        if self.folded > before {
            self.retry = RETRY_FIRST;
        }
        subscription.done(self.folded).await?;
        Ok(())
    }

    /// The bus is believed only as long as it says what the log says: else a
    /// view would be the fold of another log (P2). One small read per batch.
    async fn verify(&mut self, event: &RecordedEvent) -> Result<(), Leave> {
        let position = event.position;
        let ours = self.stores.reader.read_log(self.stores.group, position, 1).await;
        let ours = ours.map_err(FollowError::from)?;
        match ours.first() {
            Some(ours) if ours.id == event.id => Ok(()),
            Some(_) => {
                let reason = format!("another event is at position {position}");
                Err(BusError::Diverged { reason }.into())
            }
            None => Err(FollowError::Hole(position).into()),
        }
    }

    async fn wait_applied(&mut self, position: Position) -> Result<(), FollowError> {
        while self.stores.reader.applied(self.stores.group) < position {
            self.applied.next().await.ok_or(FollowError::Unwatched)?;
        }
        Ok(())
    }

    /// Follows the applied position, up to a time or for ever.
    async fn follow_log_until(&mut self, until: Option<Instant>) -> Result<(), FollowError> {
        loop {
            self.drain_log().await?;
            self.report(FeedKind::Log, FoldState::Live);
            let end = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                applied = self.applied.next() => {
                    applied.ok_or(FollowError::Unwatched)?;
                }
                () = sleep_until(end), if until.is_some() => return Ok(()),
            }
        }
    }

    /// Folds all that is applied, from the local log.
    async fn drain_log(&mut self) -> Result<(), FollowError> {
        let mut ahead = None;
        loop {
            let applied = self.stores.reader.applied(self.stores.group);
            if self.folded >= applied {
                return Ok(());
            }
            if applied.0 - self.folded.0 > CATCH_UP_EVENTS {
                self.report(FeedKind::Log, FoldState::CatchingUp);
            } else {
                sleep_until(self.next_step).await;
            }
            let from = self.folded.next();
            let events = match ahead.take() {
                Some(events) => events,
                None => self.stores.read_log(from, LOG_BATCH_EVENTS).await?,
            };
            ahead = self.fold_and_read_on(events, applied).await?;
        }
    }

    /// Folds events, and reads those that follow them meanwhile, if they are applied.
    async fn fold_and_read_on(
        &mut self,
        events: Vec<RecordedEvent>,
        applied: Position,
    ) -> Result<Option<Vec<RecordedEvent>>, FollowError> {
        let last = events.last().map_or(self.folded, |event| event.position);
        if last >= applied {
            self.deliver(events).await?;
            return Ok(None);
        }
        let stores = self.stores.clone();
        let (folded, ahead) =
            tokio::join!(self.deliver(events), stores.read_log(last.next(), LOG_BATCH_EVENTS));
        folded?;
        let ahead = ahead?;
        Ok(Some(ahead).filter(|_| self.folded == last))
    }

    async fn deliver(&mut self, events: Vec<RecordedEvent>) -> Result<(), FollowError> {
        self.next_step = match self.stores.kind {
            ProjectionKind::Async | ProjectionKind::Virtual | ProjectionKind::Sql => {
                Instant::now() + STEP_EVERY
            }
            ProjectionKind::Inline => Instant::now(),
        };
        let (reply, stored) = oneshot::channel();
        self.actor.cast(Message::Batch { events, reply }).map_err(|_| FollowError::Refused)?;
        self.folded = stored.await.map_err(|_| FollowError::Refused)?;
        Ok(())
    }

    fn report(&self, feed: FeedKind, state: FoldState) {
        self.stores.progress.send_if_modified(|progress| {
            let stopped = matches!(progress.state, FoldState::Parked | FoldState::Paused);
            let changed = !stopped && (progress.feed, progress.state) != (feed, state);
            if changed {
                (progress.feed, progress.state) = (feed, state);
            }
            changed
        });
    }
}
