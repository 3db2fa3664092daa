use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{EventId, PartitionKey, Position, ProjectionName, limits};

use crate::{ApiError, ErrorCode, number};

/// A wait for a projection, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The projection.
    pub name: ProjectionName,
    /// The position that must be folded.
    pub until: Position,
}

/// What is waited for. A projection folds all its partitions together, so a
/// partition is only checked: it has caught up when the projection has.
pub(crate) fn wait_of(name: &str, until: u64, partition: Option<&str>) -> Result<Wait, ApiError> {
    check_partition(partition)?;
    Ok(Wait { name: ProjectionName::new(name)?, until: Position(until) })
}

fn check_partition(partition: Option<&str>) -> Result<(), ApiError> {
    match partition {
        None | Some("") => Ok(()),
        Some(key) => Ok(PartitionKey::new(key).map(drop)?),
    }
}

/// How long a wait may take; more than `max` is cut to it, as in the contract.
pub(crate) fn patience(millis: Option<u64>, max: u64) -> Duration {
    Duration::from_millis(millis.unwrap_or(limits::PROJECTION_WAIT_MS_DEFAULT).min(max))
}

/// An event's id as clients spell it.
pub(crate) fn event_id(text: &str) -> Result<EventId, ApiError> {
    let id = text.parse().map(EventId);
    id.map_err(|_| ApiError::invalid(format!("event id `{text}` is not a UUID")))
}

/// GET: wait until a projection has folded a position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatchupQuery {
    /// The position, such as `lastPosition` of an append; absent or 0 waits for nothing.
    #[serde(
        rename = "minSeq",
        alias = "min_seq",
        alias = "minPosition",
        alias = "min_position",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_seq: Option<u64>,
    /// Milliseconds, at most 60,000; absent is 30,000.
    #[serde(
        alias = "timeoutMs",
        alias = "timeout_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<u64>,
    /// A partition, which catches up with its projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

impl CatchupQuery {
    /// The wait, and how long it may take.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_wait(&self, name: &str) -> Result<(Wait, Duration), ApiError> {
        let wait = wait_of(name, self.min_seq.unwrap_or(0), self.partition.as_deref())?;
        Ok((wait, patience(self.timeout, limits::PROJECTION_WAIT_MS_MAX)))
    }
}

/// POST: wait until several projections have folded a position each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatchupBatchBody {
    /// 1 to 16 waits.
    pub items: Vec<CatchupItem>,
    /// Milliseconds for all of them together, at most 60,000; absent is 30,000.
    #[serde(
        alias = "timeout_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout_ms: Option<u64>,
}

/// One wait of a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatchupItem {
    /// The projection.
    pub name: String,
    /// The position that must be folded; absent or 0 waits for nothing.
    #[serde(
        alias = "min_seq",
        alias = "minPosition",
        alias = "min_position",
        default,
        deserialize_with = "number::or_zero"
    )]
    pub min_seq: u64,
    /// A partition, which catches up with its projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

impl CatchupBatchBody {
    /// The waits, and how long they may take together.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name` or `too_large`.
    pub fn to_waits(&self) -> Result<(Vec<Wait>, Duration), ApiError> {
        let items =
            self.items.iter().map(|item| (item.name.as_str(), item.min_seq, item.partition.as_deref()));
        Ok((waits_of(items)?, patience(self.timeout_ms, limits::PROJECTION_WAIT_MS_MAX)))
    }
}

/// The waits of a batch, each by name, position and partition.
pub(crate) fn waits_of<'a>(
    items: impl ExactSizeIterator<Item = (&'a str, u64, Option<&'a str>)>,
) -> Result<Vec<Wait>, ApiError> {
    let (count, max) = (items.len(), limits::PROJECTION_WAIT_BATCH_MAX);
    if count == 0 {
        return Err(ApiError::invalid("batch holds no waits"));
    }
    if count > max {
        let message = format!("batch holds {count} waits, over the limit of {max}");
        return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max));
    }
    items.map(|(name, until, partition)| wait_of(name, until, partition)).collect()
}

/// POST: wait until a projection has folded an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitForEventBody {
    /// The event's id.
    #[serde(alias = "event_id")]
    pub event_id: String,
    /// The projection.
    pub projection: String,
    /// Milliseconds, at most 60,000; absent is 30,000.
    #[serde(
        alias = "timeout_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout_ms: Option<u64>,
    /// A partition, which catches up with its projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

impl WaitForEventBody {
    /// The event, the projection, and how long the wait may take.
    ///
    /// # Errors
    /// `invalid_request` or `invalid_name`.
    pub fn to_wait(&self) -> Result<(EventId, ProjectionName, Duration), ApiError> {
        check_partition(self.partition.as_deref())?;
        let (event, name) = (event_id(&self.event_id)?, ProjectionName::new(&self.projection)?);
        Ok((event, name, patience(self.timeout_ms, limits::PROJECTION_WAIT_MS_MAX)))
    }
}

/// How a wait ended; not to have caught up in time is no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitResult {
    /// Whether the position is folded on the answering node.
    pub caught_up: bool,
    /// Whether the time was over before.
    pub timed_out: bool,
    /// The position that is folded.
    pub current_seq: u64,
    /// The position that was waited for.
    pub target_seq: u64,
    /// Positions between the two.
    pub behind_by_events: u64,
    /// Always false; from the contract.
    pub rebuilding: bool,
    /// Always `managed`; from the contract.
    pub mode: String,
}

impl WaitResult {
    /// The result of a wait for `target` that ended with `current` folded.
    #[must_use]
    pub fn new(current: Position, target: Position) -> Self {
        Self {
            caught_up: current >= target,
            timed_out: current < target,
            current_seq: current.0,
            target_seq: target.0,
            behind_by_events: target.0.saturating_sub(current.0),
            rebuilding: false,
            mode: "managed".into(),
        }
    }
}

/// How the waits of a batch ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CatchupBatchResult {
    /// In the order of the batch.
    pub results: Vec<CatchupOutcome>,
}

/// How one wait of a batch ended: with a result or with an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CatchupOutcome {
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<WaitResult>,
    /// The message of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The code of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl From<Result<WaitResult, ApiError>> for CatchupOutcome {
    fn from(outcome: Result<WaitResult, ApiError>) -> Self {
        match outcome {
            Ok(result) => Self { result: Some(result), error: None, code: None },
            Err(error) => {
                Self { result: None, error: Some(error.message), code: Some(error.code.as_str().into()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_default_and_a_ceiling() {
        for (text, millis) in [("{}", 30_000), (r#"{"timeout":"0"}"#, 0), (r#"{"timeoutMs":99999}"#, 60_000)]
        {
            let query: CatchupQuery = serde_json::from_str(text).unwrap();
            assert_eq!(query.to_wait("orders").unwrap().1, Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn a_batch_holds_one_to_sixteen_waits() {
        let item = CatchupItem { name: "orders".into(), min_seq: 7, ..CatchupItem::default() };
        for (count, code) in
            [(0, Some(ErrorCode::InvalidRequest)), (1, None), (16, None), (17, Some(ErrorCode::TooLarge))]
        {
            let body = CatchupBatchBody { items: vec![item.clone(); count], timeout_ms: None };
            assert_eq!(body.to_waits().err().map(|error| error.code), code, "{count}");
        }
        let body: CatchupBatchBody =
            serde_json::from_str(r#"{"items":[{"name":"orders","minSeq":"12","partition":"p"}]}"#).unwrap();
        assert_eq!(body.to_waits().unwrap().0[0].until, Position(12));
    }

    #[test]
    fn a_wait_for_an_event_names_both() {
        let id = "018f0000-0000-7000-8000-000000000001";
        for (event, projection, code) in [
            (id, "orders", None),
            ("evt_1", "orders", Some(ErrorCode::InvalidRequest)),
            (id, "", Some(ErrorCode::InvalidName)),
        ] {
            let body = WaitForEventBody {
                event_id: event.into(),
                projection: projection.into(),
                ..WaitForEventBody::default()
            };
            assert_eq!(body.to_wait().err().map(|error| error.code), code, "{event} {projection}");
        }
    }

    #[test]
    fn a_result_says_how_far_it_is() {
        let late = serde_json::to_value(WaitResult::new(Position(3), Position(7))).unwrap();
        for (field, expected) in
            [("caughtUp", false.into()), ("timedOut", true.into()), ("behindByEvents", 4.into())]
        {
            let expected: serde_json::Value = expected;
            assert_eq!(late[field], expected);
        }
        assert!(WaitResult::new(Position(9), Position(7)).caught_up);
    }
}
