//! The states of projections as they come: what every edge says of them.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use weir_actors::projection::{ViewFrame, ViewWatch};
use weir_api::{ApiError, ErrorCode, ViewUpdate};
use weir_types::{Position, ProjectionId};

use crate::{engine::Engine, workers::watch::SavedStates};

/// What is said of a projection's states.
pub(crate) enum Update {
    /// A partition's newest state.
    State(Box<ViewUpdate>),
    /// Once: all that there was is given.
    CaughtUp(Position),
    /// Nothing new.
    Heartbeat(Position),
    /// Another deployment has taken the place of the one before.
    Redeployed(ProjectionId),
    /// The last.
    Ended(ApiError),
}

/// Whose states are followed.
pub(crate) enum Followed {
    /// A projection's that this node folds.
    Folded(Box<ViewWatch>),
    /// A projection's that workers fold.
    Saved(Box<SavedStates>),
}

impl Followed {
    fn id(&self) -> &ProjectionId {
        match self {
            Self::Folded(watch) => watch.id(),
            Self::Saved(watch) => watch.id(),
        }
    }

    async fn next(&mut self) -> Result<Option<ViewFrame>, ApiError> {
        match self {
            Self::Folded(watch) => watch.next().await.map_err(crate::engine::view_refusal),
            Self::Saved(watch) => watch.next().await,
        }
    }
}

/// One client that follows states.
pub(crate) struct Updates {
    engine: Arc<Engine>,
    watch: Followed,
    ended: bool,
    _slot: OwnedSemaphorePermit,
}

impl Updates {
    pub(crate) fn new(engine: Arc<Engine>, watch: Followed, slot: OwnedSemaphorePermit) -> Self {
        Self { engine, watch, ended: false, _slot: slot }
    }

    /// The next that is said; `None` after the end.
    pub(crate) async fn next(&mut self) -> Option<Update> {
        if self.ended {
            return None;
        }
        let update = tokio::select! {
            update = said(&self.engine, &mut self.watch) => update,
            () = self.engine.closing().cancelled() => {
                Update::Ended(ApiError::new(ErrorCode::Unavailable, "node is stopping"))
            }
        };
        self.ended = matches!(update, Update::Ended(_));
        Some(update)
    }
}

async fn said(engine: &Engine, watch: &mut Followed) -> Update {
    match watch.next().await {
        Ok(Some(ViewFrame::State { partition, view })) => {
            match engine.view_update(watch.id(), partition, view).await {
                Ok(update) => Update::State(Box::new(update)),
                Err(error) => Update::Ended(error),
            }
        }
        Ok(Some(ViewFrame::CaughtUp { checkpoint })) => Update::CaughtUp(checkpoint),
        Ok(Some(ViewFrame::Heartbeat { checkpoint })) => Update::Heartbeat(checkpoint),
        Ok(Some(ViewFrame::Redeployed { id })) => Update::Redeployed(id),
        Ok(Some(ViewFrame::Removed) | None) => {
            Update::Ended(ApiError::new(ErrorCode::ProjectionNotFound, "projection not found: it is removed"))
        }
        Err(error) => Update::Ended(error),
    }
}
