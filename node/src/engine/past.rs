//! Projections as they were: folded beside what answers, on the node that is asked.

use std::time::Duration;

use weir_actors::projection::{Moment, Past, PastEnd, PastError};
use weir_api::{
    ApiError, ErrorCode,
    v1::{PastFold, PastMoment, PastPage, PastProgress, PastView, past_fault},
};
use weir_types::{
    PartitionKey, ProjectionKind, ProjectionName, RegistryError,
    limits::{PAST_PAGE_BYTES_MAX, PAST_PAGE_MAX},
};

use super::Engine;

impl Engine {
    /// One partition as it was at a moment, or how far the fold is after `patience`.
    ///
    /// # Errors
    /// `projection_not_found`, `stale` for a position that is not applied here, `projection_parked` where the
    /// projection cannot fold what lies before, `overloaded`, `invalid_request`, or a read error.
    pub async fn past_view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        moment: PastMoment,
        patience: Duration,
    ) -> Result<PastView, ApiError> {
        let past = self.past(name, moment, patience).await?;
        let view = match past.end {
            Some(_) => self.projections.past_view(&past, partition).await?,
            None => None,
        };
        Ok(PastView::new(fold_of(name, moment, &past), partition, view.as_ref()))
    }

    /// A page of all partitions as they were.
    ///
    /// # Errors
    /// As [`Engine::past_view`].
    pub async fn past_page(
        &self,
        name: &ProjectionName,
        (after, limit): (Option<PartitionKey>, usize),
        moment: PastMoment,
        patience: Duration,
    ) -> Result<PastPage, ApiError> {
        let past = self.past(name, moment, patience).await?;
        let mut views = match past.end {
            Some(_) => {
                let limit = limit.min(PAST_PAGE_MAX) + 1;
                self.projections.past_views(&past, after.as_ref(), limit).await?
            }
            None => Vec::new(),
        };
        let mut bytes = 0;
        let fits = views.iter().take(limit).take_while(|(_, view)| {
            let fits = bytes == 0 || bytes + view.state.len() <= PAST_PAGE_BYTES_MAX;
            bytes += view.state.len();
            fits
        });
        let fitting = fits.count();
        let more = views.len() > fitting;
        views.truncate(fitting);
        let next = views.last().map(|(key, _)| key.clone()).filter(|_| more);
        Ok(PastPage::new(fold_of(name, moment, &past), &views, next.as_ref()))
    }

    /// A fold that is at its moment, or on its way there.
    async fn past(
        &self,
        name: &ProjectionName,
        moment: PastMoment,
        patience: Duration,
    ) -> Result<Past, ApiError> {
        if self.workers.is_registered(name).await? {
            return Err(ApiError::invalid("workers fold this projection, and nodes have no source of it"));
        }
        let moment = match moment {
            PastMoment::At(position) => Moment::At(position),
            PastMoment::AsOf(time) if time > self.now() => {
                return Err(ApiError::invalid("`as_of` lies in the future"));
            }
            PastMoment::AsOf(time) => Moment::AsOf(time),
        };
        // One that is deployed and does not run yet is waited for as for any read.
        if self.followed(name).await?.definition.kind == ProjectionKind::Sql {
            return Err(ApiError::invalid(
                "tables have no past; deploy the projection under another name, and compare",
            ));
        }
        let past = self.projections.past(name, moment, patience).await.map_err(refusal)?;
        match &past.end {
            None | Some(PastEnd::Ready(_)) => Ok(past),
            Some(PastEnd::Parked(event)) => {
                let message = format!("projection cannot be folded up to there: {event}");
                Err(ApiError::new(ErrorCode::ProjectionParked, message).with("error", past_fault(event)))
            }
            Some(PastEnd::Failed(reason)) => Err(ApiError::new(ErrorCode::Unavailable, reason.clone())),
        }
    }
}

fn fold_of(name: &ProjectionName, moment: PastMoment, past: &Past) -> PastFold {
    let ready = match &past.end {
        Some(PastEnd::Ready(checkpoint)) => Some(checkpoint),
        _ => None,
    };
    let at = PastProgress { folded: past.folded, target: past.target, took: past.took, ready };
    PastFold::new(name, &past.id, moment, at)
}

fn refusal(error: PastError) -> ApiError {
    let message = error.to_string();
    match error {
        PastError::NotFound => RegistryError::NotFound.into(),
        PastError::NotApplied { wanted, applied } => {
            ApiError::new(ErrorCode::Stale, message).with("wanted", wanted.0).with("applied", applied.0)
        }
        PastError::Busy => ApiError::new(ErrorCode::Overloaded, message),
        PastError::Read(error) => error.into(),
    }
}
