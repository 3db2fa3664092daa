//! States of streams as of any moment, folded on the node that is asked.

use bytes::Bytes;
use weir_actors::states::{StateError, StateRead, StreamState};
use weir_api::{
    ApiError, ErrorCode,
    v1::{ProjectionStatus, StateQuery, StateView},
};
use weir_types::{
    Consistency, Deployment, EntityId, Moment, PartitionKey, ProjectionKind, ProjectionName, ports::View,
};

use super::{Engine, read::Timer};

impl Engine {
    /// A stream's state through the invariant of its entity type, or through a virtual projection.
    ///
    /// # Errors
    /// `stream_not_found`, `rules_not_found`, `projection_not_found`, `projection_kind_conflict`, `state_failed`, `too_large`, `overloaded`, or those of a read.
    pub async fn state(&self, entity_id: EntityId, query: &StateQuery) -> Result<StateView, ApiError> {
        let _timer = Timer::start("state");
        let (moment, consistency) = (query.to_moment()?, query.to_consistency()?);
        let projection = query.projection.as_deref().map(ProjectionName::new).transpose()?;
        let position = self.ready(consistency).await?;
        let read = StateRead { entity_id, moment };
        let found = match projection {
            None => self.states.through_invariant(read).await.map_err(refusal)?,
            Some(name) => self.through_projection(&self.deployed(&name).await?, read).await?,
        };
        Ok(StateView::new(&found.head, found.last, found.revision, &found.state, position))
    }

    /// The state of the stream whose id is the partition, through a virtual projection.
    pub(super) async fn virtual_view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        consistency: Consistency,
    ) -> Result<(ProjectionStatus, Option<View>), ApiError> {
        if *partition == PartitionKey::global() {
            let message = "`partition`: a virtual projection is read for one stream, by its entity id";
            return Err(ApiError::invalid(message));
        }
        let entity_id = EntityId::new(partition.as_str())?;
        let applied = self.ready(consistency).await?;
        let one = self.deployed(name).await?;
        let read = StateRead { entity_id, moment: Moment::default() };
        let view = match self.through_projection(&one, read).await {
            Ok(found) => {
                let state = Bytes::copy_from_slice(found.state.as_bytes());
                Some(View { state, position: found.head.last_position })
            }
            Err(error) if error.code == ErrorCode::StreamNotFound => None,
            Err(error) => return Err(error),
        };
        Ok((ProjectionStatus::of_virtual(&one, applied), view))
    }

    async fn through_projection(&self, one: &Deployment, read: StateRead) -> Result<StreamState, ApiError> {
        if one.definition.kind != ProjectionKind::Virtual {
            let kind = one.definition.kind.as_str();
            let message = format!("projection `{}` is {kind}: only a virtual one folds a stream", one.name);
            return Err(ApiError::new(ErrorCode::ProjectionKindConflict, message));
        }
        self.states.through_projection((&one.id, &one.definition), read).await.map_err(refusal)
    }
}

fn refusal(error: StateError) -> ApiError {
    let message = error.to_string();
    let of = |code| ApiError::new(code, message);
    match error {
        StateError::NoStream => ApiError::stream_not_found(),
        StateError::NoInvariant(entity_type) => {
            of(ErrorCode::RulesNotFound).with("entityType", entity_type.as_str())
        }
        StateError::TooLong { actual, max } => {
            of(ErrorCode::TooLarge).with("what", "events").with("actual", actual).with("max", max)
        }
        StateError::TooLarge { max } => of(ErrorCode::TooLarge).with("what", "bytes").with("max", max),
        StateError::Failed { reason } => of(ErrorCode::StateFailed).with("reason", reason),
        StateError::Overloaded => of(ErrorCode::Overloaded),
        StateError::Read(error) => error.into(),
    }
}
