use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    BadEvent, PartitionKey, Position, ProjectionId, ProjectionName, Timestamp, limits,
    ports::{Checkpoint, View},
};

use super::{projection_fault::ProjectionFault, read::limit_of};
use crate::{ApiError, JsonText, format_timestamp, number, parse_timestamp};

/// Milliseconds that a read of the past waits at most for the fold to be there.
const WAIT_MS_MAX: u64 = 5_000;
/// And where it does not say.
const WAIT_MS_DEFAULT: u64 = 1_000;

/// GET: one partition's state as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PastQuery {
    /// When the log ended with this position. Either this or `as_of` is given.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Before the first event that was recorded later than this, in RFC 3339.
    #[serde(alias = "asOf", default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The partition's key; absent or empty is that of a projection without partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Milliseconds to wait for the fold, at most 5,000; 1,000 if not given.
    #[serde(
        alias = "waitMs",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub wait_ms: Option<u64>,
}

/// GET: all partitions as they were, in byte order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PastPageQuery {
    /// As of one partition.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// As of one partition.
    #[serde(alias = "asOf", default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Only partitions after this key: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Partitions in the page, 1 to 100; fewer where their states are large.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// As of one partition.
    #[serde(
        alias = "waitMs",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub wait_ms: Option<u64>,
}

/// Which moment is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastMoment {
    /// When the log ended with this position.
    At(Position),
    /// Before the first event that was recorded later.
    AsOf(Timestamp),
}

fn moment_of(position: Option<u64>, as_of: Option<&str>) -> Result<PastMoment, ApiError> {
    match (position, as_of) {
        (Some(position), None) => Ok(PastMoment::At(Position(position))),
        (None, Some(time)) => Ok(PastMoment::AsOf(parse_timestamp(time)?)),
        _ => Err(ApiError::invalid("one of `position` and `as_of` must be given")),
    }
}

fn patience(wait_ms: Option<u64>) -> Duration {
    Duration::from_millis(wait_ms.unwrap_or(WAIT_MS_DEFAULT).min(WAIT_MS_MAX))
}

impl PastQuery {
    /// The moment, and how long it may take.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn to_moment(&self) -> Result<(PastMoment, Duration), ApiError> {
        Ok((moment_of(self.position, self.as_of.as_deref())?, patience(self.wait_ms)))
    }

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
}

impl PastPageQuery {
    /// The moment, and how long it may take.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn to_moment(&self) -> Result<(PastMoment, Duration), ApiError> {
        Ok((moment_of(self.position, self.as_of.as_deref())?, patience(self.wait_ms)))
    }

    /// After which key, and how many.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(Option<PartitionKey>, usize), ApiError> {
        let after = self.after.as_deref().filter(|key| !key.is_empty()).map(PartitionKey::new).transpose()?;
        Ok((after, limit_of(self.limit, 20, limits::PAST_PAGE_MAX)?))
    }
}

/// What a fold of the past does on the answering node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PastStatus {
    /// It is not at its moment yet: ask again.
    Folding,
    /// It is there.
    Ready,
}

/// A fold of the past, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastFold {
    /// The projection.
    pub name: String,
    /// The log index of the generation whose source is folded.
    pub deployed: u64,
    /// What it does.
    pub status: PastStatus,
    /// The moment, where it was given as a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// What is folded; the position of the moment when it is ready.
    pub checkpoint: u64,
    /// Up to where it folds at most.
    pub target: u64,
    /// What part that is, 0 to 1.
    pub progress: f64,
    /// Positions a second.
    pub events_per_second: f64,
    /// How long it takes still at most, at that rate: `12.5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_remaining: Option<String>,
    /// Events that its handler folded, when it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded_events: Option<u64>,
    /// 16 hexadecimal digits, when it is ready: those that the projection had then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Events that were passed though its handler could not fold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
}

/// How far a fold of the past is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastProgress<'a> {
    /// What is folded.
    pub folded: Position,
    /// Up to where it folds at most.
    pub target: Position,
    /// Time that it has taken.
    pub took: Duration,
    /// What it came to, when it is ready.
    pub ready: Option<&'a Checkpoint>,
}

impl PastFold {
    /// A fold that is so far.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a part of a whole is a float")]
    pub fn new(name: &ProjectionName, id: &ProjectionId, moment: PastMoment, at: PastProgress<'_>) -> Self {
        let (folded, target) = (at.folded.0 as f64, at.target.0 as f64);
        let rate = folded / at.took.as_secs_f64().max(0.001);
        let left = Duration::try_from_secs_f64((target - folded) / rate).ok();
        Self {
            name: name.as_str().into(),
            deployed: id.deployed.0,
            status: if at.ready.is_some() { PastStatus::Ready } else { PastStatus::Folding },
            as_of: match moment {
                PastMoment::At(_) => None,
                PastMoment::AsOf(time) => Some(format_timestamp(time)),
            },
            checkpoint: at.folded.0,
            target: at.target.0,
            progress: if folded >= target { 1.0 } else { folded / target },
            events_per_second: rate,
            estimated_remaining: left
                .filter(|_| at.ready.is_none())
                .map(|left| format!("{:.1}s", left.as_secs_f64())),
            folded_events: at.ready.map(|checkpoint| checkpoint.events),
            digest: at.ready.map(|checkpoint| format!("{:016x}", checkpoint.digest)),
            dead_letters: at.ready.map(|checkpoint| checkpoint.dead_letters),
        }
    }
}

/// One partition as it was. `state` is absent when it had none, or is not folded yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastView {
    /// The fold.
    #[serde(flatten)]
    pub fold: PastFold,
    /// The partition's key.
    pub partition: String,
    /// The state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<serde_json::Value>,
    /// Position of the last event that had changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_position: Option<u64>,
}

impl PastView {
    /// A partition of a fold.
    #[must_use]
    pub fn new(fold: PastFold, partition: &PartitionKey, view: Option<&View>) -> Self {
        Self {
            fold,
            partition: partition.as_str().into(),
            state: view.map(|view| JsonText::of_stored(&view.state).to_value().unwrap_or_default()),
            last_event_position: view.map(|view| view.position.0),
        }
    }
}

/// A partition in a page of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastPartition {
    /// Its key.
    pub partition: String,
    /// Its state.
    pub state: serde_json::Value,
    /// Position of the last event that had changed it.
    pub last_event_position: u64,
}

/// A page of partitions as they were; without any while they are folded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastPage {
    /// The fold.
    #[serde(flatten)]
    pub fold: PastFold,
    /// The partitions.
    pub partitions: Vec<PastPartition>,
    /// The `after` of the next page, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl PastPage {
    /// A page of a fold.
    #[must_use]
    pub fn new(fold: PastFold, views: &[(PartitionKey, View)], next: Option<&PartitionKey>) -> Self {
        let partition = |(key, view): &(PartitionKey, View)| PastPartition {
            partition: key.as_str().into(),
            state: JsonText::of_stored(&view.state).to_value().unwrap_or_default(),
            last_event_position: view.position.0,
        };
        let partitions = views.iter().map(partition).collect();
        Self { fold, partitions, next: next.map(|key| key.as_str().into()) }
    }
}

/// The event that a fold of the past cannot pass, in the details of an error.
#[must_use]
pub fn past_fault(event: &BadEvent) -> serde_json::Value {
    serde_json::to_value(ProjectionFault::from(event)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        let of = |position, as_of: Option<&str>| moment_of(position, as_of);
        assert_eq!(of(Some(7), None), Ok(PastMoment::At(Position(7))));
        assert_eq!(of(None, Some("1970-01-01T00:00:01Z")), Ok(PastMoment::AsOf(Timestamp(1_000_000))));
        for (position, as_of) in [(None, None), (Some(1), Some("1970-01-01T00:00:01Z")), (None, Some("now"))]
        {
            assert!(of(position, as_of).is_err(), "{position:?} {as_of:?}");
        }
    }

    #[test]
    fn a_fold_tells_how_far_and_how_long() {
        let id = ProjectionId { name: ProjectionName::new("p").unwrap(), deployed: weir_types::LogIndex(3) };
        let at = PastProgress {
            folded: Position(50),
            target: Position(100),
            took: Duration::from_secs(1),
            ready: None,
        };
        let fold = PastFold::new(&id.name, &id, PastMoment::At(Position(100)), at);
        assert_eq!(
            (fold.status, fold.progress, fold.estimated_remaining.as_deref()),
            (PastStatus::Folding, 0.5, Some("1.0s"))
        );
        let checkpoint = Checkpoint::default();
        let done = PastProgress { folded: Position(100), ready: Some(&checkpoint), ..at };
        let fold = PastFold::new(&id.name, &id, PastMoment::At(Position(100)), done);
        assert_eq!((fold.status, fold.progress, fold.estimated_remaining), (PastStatus::Ready, 1.0, None));
    }
}
