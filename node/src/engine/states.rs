//! States of streams as of any moment, folded on the node that is asked.

use weir_actors::states::{StateError, StateRead};
use weir_api::{
    ApiError, ErrorCode,
    v1::{StateQuery, StateView},
};
use weir_types::EntityId;

use super::{Engine, read::Timer};

impl Engine {
    /// A stream's state through the invariant of its entity type.
    ///
    /// # Errors
    /// `stream_not_found`, `rules_not_found`, `state_failed`, `too_large`, `overloaded`, or those of a read.
    pub async fn state(&self, entity_id: EntityId, query: &StateQuery) -> Result<StateView, ApiError> {
        let _timer = Timer::start("state");
        let (moment, consistency) = (query.to_moment()?, query.to_consistency()?);
        let position = self.ready(consistency).await?;
        let found = self.states.through_invariant(StateRead { entity_id, moment }).await;
        let found = found.map_err(refusal)?;
        Ok(StateView::new(&found.head, found.last, found.revision, &found.state, position))
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
