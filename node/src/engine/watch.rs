//! Following the states of projections.

use std::{sync::Arc, time::Duration};

use weir_api::{ApiError, ErrorCode, ViewUpdate};
use weir_types::{
    PartitionKey, Partitions, Position, ProjectionId, ProjectionName, ReadError, RegistryError, ViewPattern,
    limits::PROJECTION_WATCHES_MAX, ports::View,
};

use super::{
    Engine,
    projections::{must_have_states, refusal},
};
use crate::live::views::{Followed, Updates};

impl Engine {
    /// Follows the states of a projection that changed after a position, whoever folds it. Of one that workers fold all
    /// states are given first.
    ///
    /// # Errors
    /// `not_initialized`, `projection_not_found`, `projection_kind_conflict`, `subscriptions_full`, or a read's error.
    pub(crate) async fn watch_views(
        self: &Arc<Self>,
        name: &ProjectionName,
        partitions: Partitions,
        after: Position,
        heartbeat: Duration,
    ) -> Result<Updates, ApiError> {
        self.must_be_in_cluster()?;
        let slot = self.watches.clone().try_acquire_owned().map_err(|_| {
            let message =
                format!("node has {PROJECTION_WATCHES_MAX} followers of projections, which is its limit");
            ApiError::new(ErrorCode::SubscriptionsFull, message).with("max", PROJECTION_WATCHES_MAX)
        })?;
        if let Ok(one) = self.deployed(name).await
            && let Some(id) = self.projections.serving(&one)
        {
            must_have_states(&one, &id)?;
        }
        let watch = match self.workers.is_registered(name).await? {
            true => Followed::Saved(Box::new(self.workers.watch(name, partitions, heartbeat).await?)),
            false => {
                let watch = self.projections.watch(name, partitions, after, heartbeat).await;
                Followed::Folded(Box::new(watch.map_err(refusal)?))
            }
        };
        Ok(Updates::new(self.clone(), watch, slot))
    }

    /// As [`Self::watch_views`], by a pattern of the contract.
    ///
    /// # Errors
    /// As [`Self::watch_views`], and `invalid_pattern`.
    pub(crate) async fn watch_pattern(
        self: &Arc<Self>,
        pattern: &str,
        after: Position,
        heartbeat: Duration,
    ) -> Result<Updates, ApiError> {
        self.must_be_in_cluster()?;
        let pattern = ViewPattern::new(pattern)?;
        let deployed = self.ports.views.projections(self.group).await?;
        for (name, partitions) in pattern.readings() {
            if deployed.iter().any(|(id, _)| id.name == *name) || self.workers.is_registered(name).await? {
                return self.watch_views(name, partitions.clone(), after, heartbeat).await;
            }
        }
        Err(RegistryError::NotFound.into())
    }

    /// A state with what is known of the event that changed it last.
    ///
    /// # Errors
    /// A [`ReadError`].
    pub(crate) async fn view_update(
        &self,
        id: &ProjectionId,
        partition: PartitionKey,
        view: View,
    ) -> Result<ViewUpdate, ApiError> {
        let events = self.ports.reader.read_log(self.group, view.position, 1).await?;
        let last = events.into_iter().next().filter(|event| event.position == view.position);
        let last = last.ok_or_else(|| ReadError::Unavailable {
            reason: format!("position {} is folded here and not applied", view.position),
        })?;
        Ok(ViewUpdate {
            name: id.name.clone(),
            deployed: id.deployed,
            partition,
            state: view.state,
            position: view.position,
            last_event: (last.id, last.name, last.recorded_at),
        })
    }
}
