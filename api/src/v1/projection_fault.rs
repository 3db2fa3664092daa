use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{BadEvent, Position, limits};

use super::read::limit_of;
use crate::{ApiError, number};

/// An event that a projection's handler could not fold, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionFault {
    /// The event's id.
    pub event_id: String,
    /// Its name.
    pub event_name: String,
    /// Its stream.
    pub entity_id: String,
    /// Its version in the stream.
    pub version: u64,
    /// Its position.
    pub position: u64,
    /// The error, with its name.
    pub message: String,
    /// Where in the source; absent where no code of it ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack: String,
}

impl From<&BadEvent> for ProjectionFault {
    fn from(event: &BadEvent) -> Self {
        Self {
            event_id: event.id.to_string(),
            event_name: event.name.as_str().into(),
            entity_id: event.entity_id.as_str().into(),
            version: event.version.0,
            position: event.position.0,
            message: event.message.clone(),
            stack: event.stack.clone(),
        }
    }
}

/// GET of a projection's dead letters, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectionDeadLettersQuery {
    /// Only those after this position.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Dead letters in the page, 1 to 256.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl ProjectionDeadLettersQuery {
    /// Position to begin after, and limit.
    ///
    /// # Errors
    /// `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(Position, usize), ApiError> {
        let max = limits::PROJECTION_DEAD_LETTERS_PAGE_MAX;
        Ok((Position(self.after.unwrap_or(0)), limit_of(self.limit, 100, max)?))
    }
}

/// One page of a projection's dead letters, on the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionDeadLetters {
    /// The events that were passed without being folded.
    pub dead_letters: Vec<ProjectionFault>,
    /// How many this page has.
    pub returned: usize,
    /// How many there are in all.
    pub total: u64,
}

impl ProjectionDeadLetters {
    /// The page of these, of a deployment that has `total`.
    #[must_use]
    pub fn new(events: &[BadEvent], total: u64) -> Self {
        let dead_letters: Vec<_> = events.iter().map(ProjectionFault::from).collect();
        Self { returned: dead_letters.len(), dead_letters, total }
    }
}
