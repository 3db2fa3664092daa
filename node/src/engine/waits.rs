//! Waits for projections: woken by the fold of this node, and bounded in number and time.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, Stream, future::BoxFuture, future::join_all, stream};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};
use weir_actors::projection::ViewError;
use weir_api::{
    ApiError, ErrorCode,
    connect::{WaitFrame, WaitFrameKind},
    v1::{Wait, WaitResult},
};
use weir_types::{EventId, Position, ProjectionName, limits::PROJECTION_WAITS_MAX};

use super::{Engine, projections::refusal};

/// Between two frames of progress at the least.
const PROGRESS_PACE: Duration = Duration::from_millis(200);
/// How long a stream of progress may say nothing.
const SILENCE: Duration = Duration::from_secs(15);

impl Engine {
    /// Waits until a projection has folded a position on this node, at most `within`.
    ///
    /// # Errors
    /// `overloaded`, `projection_not_found`, `projection_parked`, `unavailable` at the node's end, or a read's error.
    pub async fn wait_for_projection(&self, wait: &Wait, within: Duration) -> Result<WaitResult, ApiError> {
        let _slot = self.wait_slots(1)?;
        self.caught_up(wait, within).await
    }

    /// As [`Self::wait_for_projection`] for several together: all of them wait, or none does.
    ///
    /// # Errors
    /// `overloaded`; the others are each wait's own.
    pub async fn wait_for_projections(
        &self,
        waits: &[Wait],
        within: Duration,
    ) -> Result<Vec<Result<WaitResult, ApiError>>, ApiError> {
        let _slots = self.wait_slots(waits.len())?;
        Ok(join_all(waits.iter().map(|wait| self.caught_up(wait, within))).await)
    }

    /// Waits until a projection has folded an event, which may be one that this node does not know yet.
    ///
    /// # Errors
    /// As [`Self::wait_for_projection`], and `event_not_found`.
    pub async fn wait_for_event(
        &self,
        event: EventId,
        name: ProjectionName,
        within: Duration,
    ) -> Result<WaitResult, ApiError> {
        let _slot = self.wait_slots(1)?;
        let deadline = Instant::now() + within;
        // One that is not there is told at once.
        if !self.workers.is_registered(&name).await? {
            self.followed(&name).await?;
        }
        let Some(until) = self.find_event(event, deadline).await? else {
            return Err(ApiError::new(ErrorCode::EventNotFound, "event not found"));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        self.caught_up(&Wait { name, until }, left).await
    }

    /// As [`Self::wait_for_projection`], telling how far it is meanwhile. The last frame says how it ended.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn watch_wait(
        self: Arc<Self>,
        wait: Wait,
        within: Duration,
    ) -> Result<impl Stream<Item = WaitFrame> + Send + use<>, ApiError> {
        let slot = self.wait_slots(1)?;
        let (engine, waited) = (self.clone(), wait.clone());
        let folded = async move { engine.caught_up(&waited, within).await }.boxed();
        let mut pace = interval(PROGRESS_PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watched = Watched {
            engine: self,
            wait,
            folded,
            pace,
            told: None,
            said: Instant::now(),
            done: false,
            _slot: slot,
        };
        Ok(stream::unfold(watched, |mut watched| async move {
            watched.next().await.map(|frame| (frame, watched))
        }))
    }

    fn wait_slots(&self, count: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.waits.clone().try_acquire_many_owned(count).map_err(|_| {
            let message =
                format!("node has {PROJECTION_WAITS_MAX} waits for projections, which is its limit");
            ApiError::new(ErrorCode::Overloaded, message).with("max", PROJECTION_WAITS_MAX)
        })
    }

    async fn caught_up(&self, wait: &Wait, within: Duration) -> Result<WaitResult, ApiError> {
        if self.workers.is_registered(&wait.name).await? {
            return self.saved(wait, within).await;
        }
        let folded = tokio::select! {
            folded = self.projections.folded_to(&wait.name, wait.until, within) => folded,
            () = self.closing.cancelled() => {
                return Err(ApiError::new(ErrorCode::Unavailable, "node is stopping"));
            }
        };
        match folded {
            Ok(checkpoint) => Ok(WaitResult::new(checkpoint.position, wait.until)),
            Err(ViewError::Stale { folded, .. }) => Ok(WaitResult::new(folded, wait.until)),
            Err(error @ ViewError::Parked { .. }) => {
                Err(ApiError { code: ErrorCode::ProjectionParked, ..refusal(error) })
            }
            Err(error) => Err(refusal(error)),
        }
    }
}

impl Engine {
    /// The same of a projection that workers fold.
    async fn saved(&self, wait: &Wait, within: Duration) -> Result<WaitResult, ApiError> {
        let saved = tokio::select! {
            saved = timeout(within, self.workers.saved_to(&wait.name, wait.until)) => saved,
            () = self.closing.cancelled() => {
                return Err(ApiError::new(ErrorCode::Unavailable, "node is stopping"));
            }
        };
        match saved {
            Ok(saved) => Ok(WaitResult::new(saved?, wait.until)),
            Err(_) => {
                let progress = self.workers.progress(&wait.name).await?;
                Ok(WaitResult::new(Position(progress.checkpoint), wait.until))
            }
        }
    }
}

/// A wait whose progress is told.
struct Watched {
    engine: Arc<Engine>,
    wait: Wait,
    folded: BoxFuture<'static, Result<WaitResult, ApiError>>,
    pace: Interval,
    /// What was told last.
    told: Option<Position>,
    /// When.
    said: Instant,
    done: bool,
    _slot: OwnedSemaphorePermit,
}

impl Watched {
    async fn next(&mut self) -> Option<WaitFrame> {
        if self.done {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                result = &mut self.folded => {
                    self.done = true;
                    return Some(match result {
                        Ok(result) => WaitFrame::new(WaitFrameKind::Done, result),
                        Err(error) => WaitFrame::failed(so_far(&self.engine, &self.wait).await, &error),
                    });
                }
                _ = self.pace.tick() => {
                    let so_far = so_far(&self.engine, &self.wait).await;
                    let current = Some(Position(so_far.current_seq));
                    let kind = match current > self.told {
                        true => WaitFrameKind::Progress,
                        false if self.said.elapsed() >= SILENCE => WaitFrameKind::Heartbeat,
                        false => continue,
                    };
                    (self.told, self.said) = (current, Instant::now());
                    return Some(WaitFrame::new(kind, so_far));
                }
            }
        }
    }
}

async fn so_far(engine: &Engine, wait: &Wait) -> WaitResult {
    let folded = match engine.projections.status(&wait.name) {
        Some(status) => status.checkpoint.position,
        // Of one that workers fold; or there is none, which is told at the end.
        None => {
            let progress = engine.workers.progress(&wait.name).await;
            Position(progress.map_or(0, |progress| progress.checkpoint))
        }
    };
    WaitResult::new(folded, wait.until)
}
