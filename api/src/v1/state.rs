//! States of streams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{Consistency, LogIndex, Moment, Position, StreamHead, StreamVersion};

use super::{
    Freshness,
    read::{consistency_of, moment_of},
};
use crate::{ApiError, JsonText, number};

/// GET: which state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateQuery {
    /// The virtual projection that folds it. Absent: the invariant of its entity type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<String>,
    /// As of what was recorded until then, RFC 3339.
    #[serde(alias = "asOf", default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// As of what occurred until then, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// As of this version.
    #[serde(
        alias = "asOfVersion",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub as_of_version: Option<u64>,
    /// Absent: linearizable, unless `min_position` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
    /// A position that the answer must reflect.
    #[serde(
        alias = "minPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_position: Option<u64>,
}

impl StateQuery {
    /// The moment that is asked for.
    ///
    /// # Errors
    /// `invalid_request` when a time is none.
    pub fn to_moment(&self) -> Result<Moment, ApiError> {
        moment_of(self.as_of.as_deref(), self.at.as_deref(), self.as_of_version)
    }

    /// How fresh the answer must be.
    ///
    /// # Errors
    /// `invalid_request` when it is asked for in two ways.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency, self.min_position)
    }
}

/// The state of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateView {
    /// The stream.
    pub entity_id: String,
    /// The entity's type.
    pub entity_type: String,
    /// The stream's version now.
    pub version: u64,
    /// The last version that was recorded until the moment, and is not beyond the one asked for: what the state is of.
    pub as_of_version: u64,
    /// The state.
    pub state: JsonText,
    /// The log index of the invariant that folded it, or of upcasters that were changed later; or of the deployment of
    /// the projection that did.
    pub revision: u64,
    /// The position that the answering node had applied.
    pub position: u64,
}

impl StateView {
    /// The state of a stream as of a version.
    #[must_use]
    pub fn new(
        head: &StreamHead,
        last: StreamVersion,
        revision: LogIndex,
        state: &str,
        position: Position,
    ) -> Self {
        Self {
            entity_id: head.entity_id.as_str().to_owned(),
            entity_type: head.entity_type.as_str().to_owned(),
            version: head.version.0,
            as_of_version: last.0,
            state: JsonText::of_stored(state.as_bytes()),
            revision: revision.0,
            position: position.0,
        }
    }
}
