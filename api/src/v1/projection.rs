use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    Consistency, Deployment, PartitionKey, ProjectionDefinition, ProjectionId, limits,
    ports::{Checkpoint, View},
};

use super::{
    projection_fault::ProjectionFault,
    read::{Freshness, consistency_of, limit_of},
};
use crate::{ApiError, JsonText, number};

/// POST: deploy a projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployBody {
    /// The JavaScript module's text.
    pub source: String,
}

/// The answer to a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeployResult {
    /// The projection's name, from its source.
    pub name: String,
    /// The log index of the deployment: another one folds from the start.
    pub deployed: u64,
    /// The patterns of the events that it folds.
    pub events: Vec<String>,
    /// JSONPath of the partition key, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<String>,
}

impl DeployResult {
    /// The answer for a definition that is deployed.
    #[must_use]
    pub fn new(id: &ProjectionId, definition: &ProjectionDefinition) -> Self {
        Self {
            name: id.name.as_str().into(),
            deployed: id.deployed.0,
            events: definition.events.iter().map(|pattern| pattern.as_str().into()).collect(),
            partition_key: definition.partition_key.clone(),
        }
    }
}

/// What a projection does on the answering node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectionStatusKind {
    /// It folds events as they come.
    Active,
    /// Its handler failed; it is parked at the event after its checkpoint.
    Error,
    /// It was told to fold nothing for now.
    Paused,
}

impl ProjectionStatusKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Error => "error",
            Self::Paused => "paused",
        }
    }
}

/// How far a projection is, on the answering node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// The log index of the deployment.
    pub deployed: u64,
    /// The patterns of the events that it folds.
    pub events: Vec<String>,
    /// JSONPath of the partition key, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<String>,
    /// What it does.
    pub status: ProjectionStatusKind,
    /// The position that it has folded.
    pub checkpoint: u64,
    /// Positions applied on this node and not folded yet.
    pub lag: u64,
    /// Events handed to its handler so far.
    pub folded_events: u64,
    /// 16 hexadecimal digits: equal on two nodes at the same checkpoint.
    pub digest: String,
    /// What becomes of an event that its handler cannot fold: `park` or `skip`.
    #[serde(default)]
    pub on_error: String,
    /// Events that were passed though its handler could not fold them.
    #[serde(default)]
    pub dead_letters: u64,
    /// Why it is parked, if it is, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The event that it is parked at, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProjectionFault>,
    /// Always `managed`; from the contract.
    pub mode: String,
    #[serde(rename = "last_event_seq", default)]
    checkpoint_snake: u64,
    #[serde(rename = "error_message", default, skip_serializing_if = "Option::is_none")]
    error_snake: Option<String>,
}

impl ProjectionStatus {
    /// The status of a projection whose node has applied `applied`.
    #[must_use]
    pub fn new(deployment: &Deployment, checkpoint: &Checkpoint, applied: weir_types::Position) -> Self {
        let Deployment { id, definition, paused, .. } = deployment;
        let parked = checkpoint.parked.as_ref().map(|parked| &parked.event);
        let message = parked.map(ToString::to_string);
        Self {
            name: id.name.as_str().into(),
            deployed: id.deployed.0,
            events: definition.events.iter().map(|pattern| pattern.as_str().into()).collect(),
            partition_key: definition.partition_key.clone(),
            status: match parked {
                _ if *paused => ProjectionStatusKind::Paused,
                Some(_) => ProjectionStatusKind::Error,
                None => ProjectionStatusKind::Active,
            },
            checkpoint: checkpoint.position.0,
            lag: applied.0.saturating_sub(checkpoint.position.0),
            folded_events: checkpoint.events,
            digest: format!("{:016x}", checkpoint.digest),
            on_error: definition.on_error.as_str().into(),
            dead_letters: checkpoint.dead_letters,
            error_message: message.clone(),
            error: parked.map(ProjectionFault::from),
            mode: "managed".into(),
            checkpoint_snake: checkpoint.position.0,
            error_snake: message,
        }
    }
}

/// All projections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectionList {
    /// Each with its status on the answering node.
    pub projections: Vec<ProjectionStatus>,
}

/// GET of one partition's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewQuery {
    /// The partition's key; absent or empty is that of a projection without partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// A position that must be folded before the answer.
    #[serde(
        alias = "minPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_position: Option<u64>,
    /// `linearizable`: all that was acknowledged before must be folded. Absent: local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
}

impl ViewQuery {
    /// The partition.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_partition(&self) -> Result<PartitionKey, ApiError> {
        match self.partition.as_deref() {
            None | Some("") => Ok(PartitionKey::global()),
            Some(key) => Ok(PartitionKey::new(key)?),
        }
    }

    /// How fresh the answer must be; local when nothing is said.
    ///
    /// # Errors
    /// `invalid_request` when it is asked for in two ways.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency.or(Some(Freshness::Local)), self.min_position)
    }
}

/// One partition of a projection. `state` is absent when it has none; the
/// nesting and the snake case are the contract's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionView {
    /// The projection.
    #[serde(flatten)]
    pub status: ProjectionStatus,
    /// The partition's key.
    pub partition: String,
    /// Always 1; from the contract.
    pub version: u32,
    /// The partition's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ProjectionState>,
}

/// The state of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectionState {
    /// The projection's name.
    pub projection_name: String,
    /// The partition's key.
    pub partition_key: String,
    /// The state.
    pub state: serde_json::Value,
    /// Position of the last event that changed it.
    pub last_event_seq: u64,
    /// Always 1.
    pub version: u32,
}

impl ProjectionView {
    /// The answer for a partition.
    #[must_use]
    pub fn new(status: ProjectionStatus, partition: &PartitionKey, view: Option<&View>) -> Self {
        let state = view.map(|view| ProjectionState {
            projection_name: status.name.clone(),
            partition_key: partition.as_str().into(),
            state: JsonText::of_stored(&view.state).to_value().unwrap_or_default(),
            last_event_seq: view.position.0,
            version: 1,
        });
        Self { status, partition: partition.as_str().into(), version: 1, state }
    }
}

/// GET of a projection's partitions, in byte order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionsQuery {
    /// Only keys after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Keys in the page, 1 to 1,000.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl PartitionsQuery {
    /// Key to begin after, and limit.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(Option<PartitionKey>, usize), ApiError> {
        let after = self.after.as_deref().filter(|key| !key.is_empty()).map(PartitionKey::new).transpose()?;
        Ok((after, limit_of(self.limit, 100, limits::LIST_STREAMS_MAX)?))
    }
}

/// One page of partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionsPage {
    /// The keys.
    pub partitions: Vec<String>,
    /// How many keys this page has.
    pub returned: usize,
}

impl PartitionsPage {
    /// The page of these keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PartitionKey>) -> Self {
        let partitions: Vec<String> = keys.into_iter().map(|key| key.as_str().to_owned()).collect();
        Self { returned: partitions.len(), partitions }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use uuid::Uuid;
    use weir_types::{
        BadEvent, EntityId, EventId, EventName, EventPattern, LogIndex, OnError, Position, ProjectionName,
        StreamVersion, ports::Parked,
    };

    use super::*;

    fn status(error: Option<&str>) -> ProjectionStatus {
        let id = ProjectionId { name: ProjectionName::new("orders").unwrap(), deployed: LogIndex(4) };
        let definition = ProjectionDefinition {
            name: id.name.clone(),
            events: vec![EventPattern::new("order.*").unwrap()],
            partition_key: None,
            source: Arc::from(""),
            on_error: OnError::Park,
        };
        let event = |message: &str| BadEvent {
            id: EventId(Uuid::from_u128(1)),
            name: EventName::new("order.placed").unwrap(),
            entity_id: EntityId::new("order-1").unwrap(),
            version: StreamVersion(2),
            position: Position(8),
            message: message.to_owned(),
            stack: "at handler".to_owned(),
        };
        let parked = error.map(|text| Box::new(Parked { event: event(text), resumed: LogIndex::ZERO }));
        let checkpoint =
            Checkpoint { position: Position(7), events: 3, digest: 0xab, parked, dead_letters: 2 };
        ProjectionStatus::new(&Deployment::new(id, definition), &checkpoint, Position(9))
    }

    #[test]
    fn a_status_says_how_far_and_why_not_further() {
        let value = serde_json::to_value(status(Some("boom"))).unwrap();
        for (field, expected) in [
            ("status", "error"),
            ("errorMessage", "event `order.placed` at position 8: boom"),
            ("error_message", "event `order.placed` at position 8: boom"),
            ("onError", "park"),
            ("digest", "00000000000000ab"),
        ] {
            assert_eq!(value[field], expected);
        }
        let error = &value["error"];
        assert_eq!((&error["message"], &error["stack"]), (&"boom".into(), &"at handler".into()));
        assert_eq!((&error["entityId"], &error["version"]), (&"order-1".into(), &2.into()));
        assert_eq!((&error["position"], &value["deadLetters"]), (&8.into(), &2.into()));
        assert_eq!((&value["lag"], &value["last_event_seq"]), (&2.into(), &7.into()));
        assert_eq!(serde_json::to_value(status(None)).unwrap()["status"], "active");
    }

    #[test]
    fn a_view_is_an_envelope_and_a_missing_one_leaves_it_out() {
        let view = View { state: Bytes::from_static(b"{\"n\":1}"), position: Position(6) };
        let full = ProjectionView::new(status(None), &PartitionKey::global(), Some(&view));
        let value = serde_json::to_value(&full).unwrap();
        assert_eq!(value["state"]["state"]["n"], 1);
        assert_eq!(value["state"]["last_event_seq"], 6);
        assert_eq!(serde_json::from_value::<ProjectionView>(value).unwrap(), full);
        let empty = ProjectionView::new(status(None), &PartitionKey::global(), None);
        assert!(serde_json::to_value(empty).unwrap().get("state").is_none());
    }
}
