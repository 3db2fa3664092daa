mod worker;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    BadEvent, Consistency, Deployment, EventId, PartitionKey, Position, ProjectionDefinition, ProjectionId,
    Timestamp, limits,
    ports::{Checkpoint, View},
};

pub use self::worker::{
    LeaseQuery, PollQuery, WorkerHeard, WorkerLetter, WorkerLetters, WorkerProgress, WorkerView,
};
use super::{
    projection_fault::ProjectionFault,
    read::{Freshness, consistency_of, limit_of},
    rebuild::RebuildJob,
};
use crate::{ApiError, ErrorCode, JsonText, format_timestamp, number};

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
    /// Its state is built anew; the one before is served.
    Rebuilding,
}

impl ProjectionStatusKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Error => "error",
            Self::Paused => "paused",
            Self::Rebuilding => "rebuilding",
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
    /// Events that were passed because they have no partition key, since the answering node began to fold it.
    #[serde(default)]
    pub unkeyed_events: u64,
    /// Why it is parked, or the generation that is to take its place is, or why the answering node cannot go on with it
    /// now, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The event that it is parked at, or else the generation that is to take its place, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProjectionFault>,
    /// How far the generation is that is to take its place on the answering node, or the rebuild of one partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildJob>,
    /// `async`, `inline` where no read is behind what the answering node has applied, `sql` where it folds into
    /// tables, or `virtual` where a read folds the stream it asks for; absent where workers fold it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// `managed`, or `external` where it is for its effects.
    pub mode: String,
    /// What is special of a projection that workers fold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerView>,
    #[serde(rename = "last_event_seq", default)]
    checkpoint_snake: u64,
    #[serde(rename = "error_message", default, skip_serializing_if = "Option::is_none")]
    error_snake: Option<String>,
}

impl ProjectionStatus {
    /// The status of a projection whose node has applied `applied`.
    #[must_use]
    pub fn new(deployment: &Deployment, checkpoint: &Checkpoint, applied: weir_types::Position) -> Self {
        Self::of_generation(deployment, &deployment.id, checkpoint, applied)
    }

    /// The status of a projection of which this generation answers.
    #[must_use]
    pub fn of_generation(
        deployment: &Deployment,
        id: &ProjectionId,
        checkpoint: &Checkpoint,
        applied: weir_types::Position,
    ) -> Self {
        let Deployment { name, paused, .. } = deployment;
        let known = deployment.generations().find(|(known, _)| *known == id);
        let definition = known.map_or(&deployment.definition, |(_, definition)| definition);
        let parked = checkpoint.parked.as_ref().map(|parked| &parked.event);
        let message = parked.map(ToString::to_string);
        Self {
            name: name.as_str().into(),
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
            unkeyed_events: 0,
            error_message: message.clone(),
            error: parked.map(ProjectionFault::from),
            rebuild: None,
            kind: definition.kind.as_str().into(),
            mode: "managed".into(),
            worker: None,
            checkpoint_snake: checkpoint.position.0,
            error_snake: message,
        }
    }

    /// The status of a virtual projection: nothing follows the log, so that it is never behind.
    #[must_use]
    pub fn of_virtual(deployment: &Deployment, applied: weir_types::Position) -> Self {
        let checkpoint = Checkpoint { position: applied, ..Checkpoint::default() };
        Self::new(deployment, &checkpoint, applied)
    }

    /// The same, where the node has failed to go on with it, and tries again.
    #[must_use]
    pub fn failing(self, reason: Option<String>) -> Self {
        let told = self.error_message.clone().or(reason);
        Self { error_message: told.clone(), error_snake: told, ..self }
    }

    /// The same, where the generation that is to take its place is parked: until another is deployed this one answers,
    /// and is not what was deployed last.
    #[must_use]
    pub fn before_a_parked(self, next: &ProjectionId, at: &BadEvent) -> Self {
        if self.error.is_some() {
            return self;
        }
        let (deployed, answers) = (next.deployed, self.deployed);
        let message = Some(format!("deployment {deployed} is parked, so {answers} still answers: {at}"));
        Self { error_message: message.clone(), error_snake: message, error: Some(at.into()), ..self }
    }

    /// The same, while another generation catches up.
    #[must_use]
    pub fn rebuilding(self, job: RebuildJob) -> Self {
        let status = match self.status {
            ProjectionStatusKind::Active => ProjectionStatusKind::Rebuilding,
            other => other,
        };
        Self { status, rebuild: Some(job), ..self }
    }

    /// The same, while one partition is folded again. All others are folded on, and so its own status stays.
    #[must_use]
    pub fn rebuilding_partition(self, job: RebuildJob) -> Self {
        Self { rebuild: Some(job), ..self }
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

/// The event that changed a partition last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastEvent {
    /// Its id.
    pub id: EventId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// The state of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectionState {
    /// The projection's name.
    pub projection_name: String,
    /// Always `env_default`; from the contract.
    #[serde(default)]
    pub environment_id: String,
    /// The partition's key.
    pub partition_key: String,
    /// The state.
    pub state: serde_json::Value,
    /// Id of the last event that changed it.
    #[serde(default)]
    pub last_event_id: String,
    /// Position of that event.
    pub last_event_seq: u64,
    /// When that event was recorded.
    #[serde(default)]
    pub last_event_time: String,
    /// Always 1.
    pub version: u32,
    /// The same as `last_event_time`: nothing else changes a state.
    #[serde(default)]
    pub updated_at: String,
}

impl ProjectionView {
    /// The answer for a partition.
    #[must_use]
    pub fn new(
        status: ProjectionStatus,
        partition: &PartitionKey,
        view: Option<(&View, Option<LastEvent>)>,
    ) -> Self {
        let state = view.map(|(view, last)| {
            let time = last.map_or_else(String::new, |last| format_timestamp(last.recorded_at));
            ProjectionState {
                projection_name: status.name.clone(),
                environment_id: "env_default".into(),
                partition_key: partition.as_str().into(),
                state: JsonText::of_stored(&view.state).to_value().unwrap_or_default(),
                last_event_id: last.map_or_else(String::new, |last| last.id.to_string()),
                last_event_seq: view.position.0,
                last_event_time: time.clone(),
                version: 1,
                updated_at: time,
            }
        });
        Self { status, partition: partition.as_str().into(), version: 1, state }
    }
}

/// The entity tag of a partition's state: a state is told by its deployment and the last event that changed it. It is
/// weak, for the envelope also says how far the projection is.
#[must_use]
pub fn entity_tag(status: &ProjectionStatus, view: Option<&View>) -> String {
    let position = view.map_or(0, |view| view.position.0);
    let what = status.status;
    let mark = if what == ProjectionStatusKind::Active { "" } else { what.as_str() };
    format!("W/\"{}-{position}{mark}\"", status.deployed)
}

/// Whether a header `If-None-Match` names this entity tag, weakly compared.
#[must_use]
pub fn names_tag(header: &str, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.trim() == "*" || header.split(',').any(|given| bare(given) == bare(tag))
}

/// GET of a projection's partitions, in byte order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionsQuery {
    /// Only keys after this one: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Only keys that hold this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only keys that begin with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Keys in the page, 1 to 1,000.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Which partitions are asked for, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionSearch {
    /// Only keys after this one.
    pub after: Option<PartitionKey>,
    /// What their keys begin with.
    pub prefix: Option<PartitionKey>,
    /// What their keys hold.
    pub text: String,
    /// Keys in the page.
    pub limit: usize,
}

impl PartitionSearch {
    /// Whether a key is asked for.
    #[must_use]
    pub fn takes(&self, key: &PartitionKey) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| key.as_str().starts_with(prefix.as_str()))
            && key.as_str().contains(&self.text)
    }

    /// Whether no key after this one can begin as asked.
    #[must_use]
    pub fn ends_at(&self, key: &PartitionKey) -> bool {
        let within = |prefix: &PartitionKey| key.as_str().starts_with(prefix.as_str()) || key < prefix;
        !self.prefix.as_ref().is_none_or(within)
    }
}

impl PartitionsQuery {
    /// What is asked for.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` or `too_large`.
    pub fn to_search(&self) -> Result<PartitionSearch, ApiError> {
        let key = |given: &Option<String>| {
            given.as_deref().filter(|key| !key.is_empty()).map(PartitionKey::new).transpose()
        };
        let (text, max) = (self.q.clone().unwrap_or_default(), limits::PARTITION_KEY_BYTES_MAX);
        if text.len() > max {
            let message = format!("q has {} bytes, over the limit of {max}", text.len());
            return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max));
        }
        let limit = limit_of(self.limit, 100, limits::LIST_STREAMS_MAX)?;
        Ok(PartitionSearch { after: key(&self.after)?, prefix: key(&self.prefix)?, text, limit })
    }
}

/// One page of partitions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionsPage {
    /// The keys.
    pub partitions: Vec<String>,
    /// The same with what is known of each.
    #[serde(default)]
    pub entries: Vec<PartitionEntry>,
    /// How many keys this page has.
    pub returned: usize,
    /// The `after` of the next page, if there may be one. A page may be short, or empty, and go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is known of one partition. Its lag and its error are its projection's: all of them are folded together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionEntry {
    /// Its key.
    pub partition: String,
    /// Position of the last event that changed it.
    pub last_event_seq: u64,
    /// Bytes of its state.
    pub bytes: u64,
}

impl PartitionsPage {
    /// The page of these partitions, each with the position of its last event and its bytes.
    #[must_use]
    pub fn new(found: &[(PartitionKey, Position, usize)], next: Option<&PartitionKey>) -> Self {
        let entry = |(key, position, bytes): &(PartitionKey, Position, usize)| PartitionEntry {
            partition: key.as_str().to_owned(),
            last_event_seq: position.0,
            bytes: *bytes as u64,
        };
        Self {
            partitions: found.iter().map(|(key, ..)| key.as_str().to_owned()).collect(),
            entries: found.iter().map(entry).collect(),
            returned: found.len(),
            next: next.map(|key| key.as_str().to_owned()),
        }
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
            kind: weir_types::ProjectionKind::Async,
            sink: None,
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
        let checkpoint = Checkpoint {
            position: Position(7),
            events: 3,
            digest: 0xab,
            parked,
            dead_letters: 2,
            serves: true,
        };
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
        let last = LastEvent { id: EventId(uuid::Uuid::from_u128(7)), recorded_at: Timestamp(0) };
        let full = ProjectionView::new(status(None), &PartitionKey::global(), Some((&view, Some(last))));
        let value = serde_json::to_value(&full).unwrap();
        assert_eq!(value["state"]["state"]["n"], 1);
        assert_eq!(value["state"]["last_event_seq"], 6);
        assert_eq!(value["state"]["last_event_id"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(value["state"]["last_event_time"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(serde_json::from_value::<ProjectionView>(value).unwrap(), full);
        let empty = ProjectionView::new(status(None), &PartitionKey::global(), None);
        assert!(serde_json::to_value(empty).unwrap().get("state").is_none());
    }

    #[test]
    fn an_entity_tag_is_of_a_deployment_and_an_event() {
        let view = View { state: Bytes::from_static(b"{}"), position: Position(6) };
        let tag = entity_tag(&status(None), Some(&view));
        assert_eq!(tag, "W/\"4-6\"");
        for (header, named) in
            [("*", true), ("W/\"4-6\"", true), ("\"1-1\", \"4-6\"", true), ("W/\"4-7\"", false), ("", false)]
        {
            assert_eq!(names_tag(header, &tag), named, "{header}");
        }
        assert_ne!(entity_tag(&status(Some("boom")), Some(&view)), tag);
        assert_eq!(entity_tag(&status(None), None), "W/\"4-0\"");
    }

    #[test]
    fn partitions_are_searched_by_beginning_and_text() {
        let query = PartitionsQuery { prefix: Some("eu/".into()), q: Some("7".into()), ..Default::default() };
        let search = query.to_search().unwrap();
        let key = |text: &str| PartitionKey::new(text).unwrap();
        for (text, taken, ends) in
            [("ap/7", false, false), ("eu/7", true, false), ("eu/8", false, false), ("us/7", false, true)]
        {
            assert_eq!((search.takes(&key(text)), search.ends_at(&key(text))), (taken, ends), "{text}");
        }
        let long = PartitionsQuery { q: Some("x".repeat(600)), ..Default::default() };
        assert_eq!(long.to_search().unwrap_err().code, ErrorCode::TooLarge);
    }
}
