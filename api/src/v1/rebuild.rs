use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    BadEvent, LogIndex, PartitionKey, Position, ProjectionId, ProjectionName, Timestamp, limits, ports::View,
};

use super::read::limit_of;
use crate::{ApiError, JsonText, format_timestamp, number};

/// POST: fold a projection's source again, of all partitions or of one. An empty body is a rebuild of the whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RebuildBody {
    /// Only fold and compare, on the answering node: nothing answers from it.
    #[serde(alias = "dry_run", default)]
    pub dry_run: bool,
    /// With `dryRun`: fold up to this event and no further.
    #[serde(alias = "to_event_id", default, skip_serializing_if = "Option::is_none")]
    pub to_event_id: Option<String>,
    /// From the contract, and refused: a fold that begins amid the log is not the fold of the log.
    #[serde(alias = "from_event_id", default, skip_serializing_if = "Option::is_none")]
    pub from_event_id: Option<String>,
    /// Only this partition is folded again; the others stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

impl RebuildBody {
    /// The one partition that is to be folded again, where it is not all.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_partition(&self) -> Result<Option<PartitionKey>, ApiError> {
        let said = self.partition.as_deref().filter(|text| !text.is_empty());
        Ok(said.map(PartitionKey::new).transpose()?)
    }

    /// Refuses what cannot be exact. Empty texts are the contract's for nothing.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn check(&self) -> Result<(), ApiError> {
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if said(&self.from_event_id) {
            return Err(ApiError::invalid(
                "`fromEventId`: a fold that begins amid the log is not the fold of the log; a rebuild begins at its beginning",
            ));
        }
        if said(&self.to_event_id) && !self.dry_run {
            return Err(ApiError::invalid(
                "`toEventId`: a projection has no last event; it can be given for a dry run",
            ));
        }
        Ok(())
    }
}

/// What a rebuild does on the answering node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RebuildStatus {
    /// It folds; what answered before answers still.
    Rebuilding,
    /// It answers.
    Completed,
    /// It was given up; what answered before goes on.
    Cancelled,
    /// It met an event that it cannot fold; what answered before goes on.
    Failed,
    /// The projection is paused, and so is its rebuild.
    Paused,
    /// A dry run ended, and what answers is what it folded.
    DryRunOk,
    /// A dry run ended, and what answers is something else.
    DryRunDiffers,
}

/// A rebuild as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebuildJob {
    /// Its id: the projection and the log index of the command, or `dry-run`.
    pub job_id: String,
    /// The projection.
    pub projection_name: String,
    /// The projection, as SDKs of the contract name it.
    pub name: String,
    /// What it does.
    pub status: RebuildStatus,
    /// Positions that it has passed.
    pub events_processed: u64,
    /// Positions that there are.
    pub total_events: u64,
    /// What part that is, 0 to 1.
    pub progress: f64,
    /// Positions a second.
    pub events_per_second: f64,
    /// When it was asked for; absent for a deployment of another source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// How long it takes still, at that rate: `12.5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_remaining: Option<String>,
    /// The one partition that is folded again, where it is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it only folds and compares.
    pub dry_run: bool,
    /// What a dry run found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ComparisonView>,
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RebuildProgress {
    /// Positions that it has passed.
    pub folded: Position,
    /// Positions that there are.
    pub target: Position,
    /// Positions a second.
    pub rate: f64,
}

impl RebuildJob {
    /// A job that is so far.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a part of a whole is a float")]
    pub fn new(name: &ProjectionName, status: RebuildStatus, at: RebuildProgress) -> Self {
        let (folded, target) = (at.folded.0 as f64, at.target.0 as f64);
        let progress = if folded >= target { 1.0 } else { folded / target };
        let left = Duration::try_from_secs_f64((target - folded) / at.rate).ok();
        let left = left.filter(|_| status == RebuildStatus::Rebuilding);
        Self {
            job_id: format!("{name}@dry-run"),
            projection_name: name.as_str().into(),
            name: name.as_str().into(),
            status,
            events_processed: at.folded.0,
            total_events: at.target.0,
            progress,
            events_per_second: at.rate,
            started_at: None,
            estimated_remaining: left.map(|left| format!("{:.1}s", left.as_secs_f64())),
            partition: None,
            error: None,
            dry_run: false,
            result: None,
        }
    }

    /// The same, of the rebuild that makes this generation.
    #[must_use]
    pub fn of(self, id: &ProjectionId) -> Self {
        Self { job_id: format!("{}@{}", self.name, id.deployed), ..self }
    }

    /// The same, of the rebuild of one partition that a command asked for.
    #[must_use]
    pub fn of_partition(self, at: LogIndex, partition: &PartitionKey) -> Self {
        Self { job_id: format!("{}@{at}", self.name), partition: Some(partition.to_string()), ..self }
    }

    /// The same, asked for at a time.
    #[must_use]
    pub fn asked_at(self, at: Timestamp) -> Self {
        Self { started_at: Some(format_timestamp(at)), ..self }
    }

    /// The same, with the event that it failed at.
    #[must_use]
    pub fn failed_at(self, event: Option<&BadEvent>) -> Self {
        Self { error: event.map(ToString::to_string), ..self }
    }
}

/// The answer to a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelResult {
    /// The projection.
    pub name: String,
    /// Always `cancelled`.
    pub status: String,
}

/// POST: each of two names answers from now on from what the other one did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchBody {
    /// The other projection.
    pub with: String,
}

/// GET: compare with another projection on the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffQuery {
    /// The other projection.
    pub with: String,
    /// Partitions to name that differ, 1 to 1,000.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl DiffQuery {
    /// Partitions to name.
    ///
    /// # Errors
    /// `invalid_request` or `too_large`.
    pub fn limit(&self) -> Result<usize, ApiError> {
        limit_of(self.limit, 20, limits::LIST_STREAMS_MAX)
    }
}

/// A partition of which two folds hold something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DifferenceView {
    /// Its key.
    pub partition: String,
    /// What the one holds; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<serde_json::Value>,
    /// What the other holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<serde_json::Value>,
}

impl DifferenceView {
    /// A partition and both states.
    #[must_use]
    pub fn new(partition: &str, left: Option<&View>, right: Option<&View>) -> Self {
        let state = |view: Option<&View>| {
            view.map(|view| JsonText::of_stored(&view.state).to_value().unwrap_or_default())
        };
        Self { partition: partition.into(), left: state(left), right: state(right) }
    }
}

/// Two folds at one position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonView {
    /// The position.
    pub position: u64,
    /// Whether they hold the same.
    pub equal: bool,
    /// The digest of the one.
    pub left_digest: String,
    /// The digest of the other.
    pub right_digest: String,
    /// Partitions that differ, in byte order of their keys.
    pub differences: Vec<DifferenceView>,
    /// Whether there are more.
    pub truncated: bool,
}

/// POST: hold a projection on the answering node, or see it at a position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestBody {
    /// Fold on to exactly this position, answer, and let it go. Absent: hold it where it is, for at most 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// A projection's digest at a position, on the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DigestView {
    /// The projection.
    pub name: String,
    /// The node.
    pub node_id: u64,
    /// The log index of the generation that answers there.
    pub deployed: u64,
    /// The position.
    pub position: u64,
    /// 16 hexadecimal digits.
    pub digest: String,
    /// Events that its handler folded.
    pub folded_events: u64,
    /// Events that it passed without folding them.
    pub dead_letters: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_exact_is_refused() {
        for (body, refused) in [
            (r"{}", None),
            (r#"{"dry_run":true}"#, None),
            (r#"{"dryRun":true,"toEventId":"e"}"#, None),
            (r#"{"partition":"","from_event_id":""}"#, None),
            (r#"{"partition":"p"}"#, None),
            (r#"{"partition":"p","dryRun":true,"toEventId":"e"}"#, None),
            (r#"{"from_event_id":"e","dry_run":true}"#, Some("amid the log")),
            (r#"{"to_event_id":"e"}"#, Some("no last event")),
        ] {
            let checked = serde_json::from_str::<RebuildBody>(body).unwrap().check();
            match refused {
                None => assert_eq!(checked, Ok(()), "{body}"),
                Some(text) => assert!(checked.unwrap_err().message.contains(text), "{body}"),
            }
        }
    }

    #[test]
    fn a_partition_is_a_legal_key_or_none() {
        let of = |body: &str| serde_json::from_str::<RebuildBody>(body).unwrap().to_partition();
        assert_eq!(of("{}"), Ok(None));
        assert_eq!(of(r#"{"partition":""}"#), Ok(None));
        assert_eq!(of(r#"{"partition":"a b"}"#), Ok(Some(PartitionKey::new("a b").unwrap())));
        assert!(of(r#"{"partition":"a\u0000b"}"#).is_err());
    }

    #[test]
    fn a_job_tells_how_far_and_how_long() {
        let name = ProjectionName::new("p").unwrap();
        let at = |folded, target, rate| RebuildProgress {
            folded: Position(folded),
            target: Position(target),
            rate,
        };
        let job = RebuildJob::new(&name, RebuildStatus::Rebuilding, at(25, 100, 50.0));
        assert_eq!((job.progress, job.estimated_remaining.as_deref()), (0.25, Some("1.5s")));
        let unknown = RebuildJob::new(&name, RebuildStatus::Rebuilding, at(0, 100, 0.0));
        assert_eq!((unknown.progress, unknown.estimated_remaining), (0.0, None));
        let empty = RebuildJob::new(&name, RebuildStatus::Completed, at(0, 0, 0.0));
        assert_eq!((empty.progress, empty.estimated_remaining), (1.0, None));
    }
}
