//! The part of `ironflow.v1.ProjectionService` that reads: states, statuses, and waits.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use weir_types::{EventId, PartitionKey, ProjectionName, limits};

use super::proto_json::{is_zero, string, text};
use crate::{
    ApiError, ErrorCode, number,
    v1::{ProjectionStatus, ProjectionView, Wait, WaitResult, event_id, patience, wait_of, waits_of},
};

/// `GetProjection`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetProjectionRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The partition's key; empty is that of a projection without partitions.
    #[serde(deserialize_with = "text")]
    pub partition: String,
    /// Reserved by the contract.
    #[serde(alias = "as_of", deserialize_with = "text")]
    pub as_of: String,
}

impl GetProjectionRequest {
    /// The projection and the partition.
    ///
    /// # Errors
    /// `invalid_name`, or `unimplemented` where `asOf` is set.
    pub fn to_view(&self) -> Result<(ProjectionName, PartitionKey), ApiError> {
        if !self.as_of.is_empty() {
            return Err(ApiError::new(ErrorCode::Unimplemented, "asOf is not served here"));
        }
        let partition = match self.partition.as_str() {
            "" => PartitionKey::global(),
            key => PartitionKey::new(key)?,
        };
        Ok((ProjectionName::new(&self.name)?, partition))
    }
}

/// The answer to `GetProjection`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetProjectionResponse {
    name: String,
    partition: String,
    state: serde_json::Value,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_event_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_event_time: String,
    version: &'static str,
    mode: String,
}

impl From<ProjectionView> for GetProjectionResponse {
    /// A partition without a state has an empty object, as clients of the contract expect.
    fn from(view: ProjectionView) -> Self {
        let (state, last_event_id, last_event_time) = match view.state {
            Some(state) => (state.state, state.last_event_id, state.last_event_time),
            None => (serde_json::json!({}), String::new(), String::new()),
        };
        let (name, mode) = (view.status.name, view.status.mode);
        Self { name, partition: view.partition, state, last_event_id, last_event_time, version: "1", mode }
    }
}

/// `ListProjections`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListProjectionsRequest {
    /// Only those with this status; empty is all.
    #[serde(deserialize_with = "text")]
    pub status: String,
    /// Only those of this mode; empty is all.
    #[serde(deserialize_with = "text")]
    pub mode: String,
    /// How many; 0 is all.
    #[serde(deserialize_with = "number::or_zero")]
    pub limit: u32,
    /// How many to pass over.
    #[serde(deserialize_with = "number::or_zero")]
    pub offset: u32,
}

impl ListProjectionsRequest {
    /// The answer, of all projections that there are.
    #[must_use]
    pub fn page(&self, all: &[ProjectionStatus]) -> ListProjectionsResponse {
        let wanted = |asked: &str, is: &str| asked.is_empty() || asked == is;
        let fits = |one: &&ProjectionStatus| {
            wanted(&self.status, one.status.as_str()) && wanted(&self.mode, &one.mode)
        };
        let fitting: Vec<&ProjectionStatus> = all.iter().filter(fits).collect();
        let limit = if self.limit == 0 { usize::MAX } else { self.limit as usize };
        let page = fitting.iter().skip(self.offset as usize).take(limit);
        ListProjectionsResponse {
            projections: page.map(|one| ListedProjection::from(*one)).collect(),
            total_count: fitting.len(),
        }
    }
}

/// The answer to `ListProjections`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListProjectionsResponse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    projections: Vec<ListedProjection>,
    #[serde(skip_serializing_if = "is_zero")]
    total_count: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedProjection {
    name: String,
    mode: String,
    status: &'static str,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<String>,
    version: u32,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    last_event_seq: u64,
}

impl From<&ProjectionStatus> for ListedProjection {
    fn from(status: &ProjectionStatus) -> Self {
        Self {
            name: status.name.clone(),
            mode: status.mode.clone(),
            status: status.status.as_str(),
            events: status.events.clone(),
            partition_key: status.partition_key.clone(),
            version: 1,
            last_event_seq: status.checkpoint,
        }
    }
}

/// `GetProjectionStatus`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetProjectionStatusRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
}

/// The answer to `GetProjectionStatus`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetProjectionStatusResponse {
    name: String,
    status: &'static str,
    mode: String,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    last_event_seq: u64,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl From<&ProjectionStatus> for GetProjectionStatusResponse {
    fn from(status: &ProjectionStatus) -> Self {
        Self {
            name: status.name.clone(),
            status: status.status.as_str(),
            mode: status.mode.clone(),
            last_event_seq: status.checkpoint,
            lag: status.lag,
            error_message: status.error_message.clone(),
        }
    }
}

/// `WaitProjectionCatchup`, `WaitProjectionCatchupStream`, and an item of `WaitProjectionCatchupBatch`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitCatchupRequest {
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The position that must be folded; 0 waits for nothing.
    #[serde(alias = "min_seq", deserialize_with = "number::or_zero")]
    pub min_seq: u64,
    /// How long it may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// A partition, which catches up with its projection.
    #[serde(deserialize_with = "text")]
    pub partition: String,
}

impl WaitCatchupRequest {
    /// The wait, and how long it may take.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_wait(&self) -> Result<(Wait, Duration), ApiError> {
        self.within(limits::PROJECTION_WAIT_MS_MAX)
    }

    /// As [`Self::to_wait`], where the progress is streamed.
    ///
    /// # Errors
    /// `invalid_name`.
    pub fn to_streamed(&self) -> Result<(Wait, Duration), ApiError> {
        self.within(limits::PROJECTION_WAIT_STREAM_MS_MAX)
    }

    fn within(&self, max: u64) -> Result<(Wait, Duration), ApiError> {
        Ok((wait_of(&self.name, self.min_seq, Some(&self.partition))?, patience_of(self.timeout, max)))
    }
}

/// `WaitProjectionCatchupBatch`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitCatchupBatchRequest {
    /// 1 to 16 waits; what each says of time does not count.
    pub items: Vec<WaitCatchupRequest>,
    /// How long they may take together.
    #[serde(deserialize_with = "duration")]
    pub timeout: Option<Duration>,
}

impl WaitCatchupBatchRequest {
    /// The waits, and how long they may take together.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name` or `too_large`.
    pub fn to_waits(&self) -> Result<(Vec<Wait>, Duration), ApiError> {
        let items = self.items.iter().map(|item| (item.name.as_str(), item.min_seq, Some(&*item.partition)));
        Ok((waits_of(items)?, patience_of(self.timeout, limits::PROJECTION_WAIT_MS_MAX)))
    }
}

/// `WaitForEvent`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitForEventRequest {
    /// The event's id.
    #[serde(alias = "event_id", deserialize_with = "text")]
    pub event_id: String,
    /// The projection.
    #[serde(deserialize_with = "text")]
    pub projection: String,
    /// A partition, which catches up with its projection.
    #[serde(deserialize_with = "text")]
    pub partition: String,
    /// How long it may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Option<Duration>,
}

impl WaitForEventRequest {
    /// The event, the projection, and how long the wait may take.
    ///
    /// # Errors
    /// `invalid_request` or `invalid_name`.
    pub fn to_wait(&self) -> Result<(EventId, ProjectionName, Duration), ApiError> {
        let wait = wait_of(&self.projection, 0, Some(&self.partition))?;
        let within = patience_of(self.timeout, limits::PROJECTION_WAIT_MS_MAX);
        Ok((event_id(&self.event_id)?, wait.name, within))
    }
}

/// The answer to a wait.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitCatchupResponse {
    #[serde(skip_serializing_if = "is_zero")]
    caught_up: bool,
    #[serde(skip_serializing_if = "is_zero")]
    timed_out: bool,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    current_seq: u64,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    target_seq: u64,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    behind_by_events: u64,
    mode: String,
}

impl From<WaitResult> for WaitCatchupResponse {
    fn from(result: WaitResult) -> Self {
        Self {
            caught_up: result.caught_up,
            timed_out: result.timed_out,
            current_seq: result.current_seq,
            target_seq: result.target_seq,
            behind_by_events: result.behind_by_events,
            mode: result.mode,
        }
    }
}

/// The answer to `WaitProjectionCatchupBatch`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WaitCatchupBatchResponse {
    results: Vec<BatchOutcome>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct BatchOutcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<WaitCatchupResponse>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

impl WaitCatchupBatchResponse {
    /// The answer of these outcomes, in the order of the request.
    #[must_use]
    pub fn new(outcomes: Vec<Result<WaitResult, ApiError>>) -> Self {
        let outcome = |outcome| match outcome {
            Ok(result) => BatchOutcome { result: Some(WaitResult::into(result)), error: String::new() },
            Err(error) => BatchOutcome { result: None, error: ApiError::to_string(&error) },
        };
        Self { results: outcomes.into_iter().map(outcome).collect() }
    }
}

/// What a frame of `WaitProjectionCatchupStream` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum WaitFrameKind {
    /// It came closer.
    #[serde(rename = "WAIT_STREAM_FRAME_KIND_PROGRESS")]
    Progress,
    /// Nothing new, and it still waits.
    #[serde(rename = "WAIT_STREAM_FRAME_KIND_HEARTBEAT")]
    Heartbeat,
    /// The last: how it ended.
    #[serde(rename = "WAIT_STREAM_FRAME_KIND_DONE")]
    Done,
}

/// A frame of `WaitProjectionCatchupStream`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitFrame {
    kind: WaitFrameKind,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    current_seq: u64,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    target_seq: u64,
    #[serde(serialize_with = "string", skip_serializing_if = "is_zero")]
    behind_by_events: u64,
    #[serde(skip_serializing_if = "is_zero")]
    caught_up: bool,
    #[serde(skip_serializing_if = "is_zero")]
    timed_out: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    mode: String,
}

impl WaitFrame {
    /// A frame that says how far it is. Only the last says whether the time is over.
    #[must_use]
    pub fn new(kind: WaitFrameKind, result: WaitResult) -> Self {
        Self {
            kind,
            current_seq: result.current_seq,
            target_seq: result.target_seq,
            behind_by_events: result.behind_by_events,
            caught_up: result.caught_up,
            timed_out: result.timed_out && kind == WaitFrameKind::Done,
            error: String::new(),
            mode: result.mode,
        }
    }

    /// The last frame of a wait that failed.
    #[must_use]
    pub fn failed(so_far: WaitResult, error: &ApiError) -> Self {
        Self { timed_out: false, error: error.to_string(), ..Self::new(WaitFrameKind::Done, so_far) }
    }
}

fn patience_of(given: Option<Duration>, max: u64) -> Duration {
    patience(given.map(|given| u64::try_from(given.as_millis()).unwrap_or(u64::MAX)), max)
}

/// A duration as protobuf's JSON spells it: `5s`, `0.250s`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(given) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let seconds = given.strip_suffix('s').and_then(|number| number.parse::<f64>().ok());
    let read = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    read.map(Some).ok_or_else(|| D::Error::custom(format!("`{given}` is not a duration such as `5s`")))
}

#[cfg(test)]
mod tests {
    use weir_types::Position;

    use super::*;

    #[test]
    fn durations_are_those_of_protobuf_json() {
        for (text, millis) in [
            ("{}", Some(30_000)),
            (r#"{"timeout":null}"#, Some(30_000)),
            (r#"{"timeout":"3s"}"#, Some(3_000)),
            (r#"{"timeout":"0.250s"}"#, Some(250)),
            (r#"{"timeout":"0s"}"#, Some(0)),
            (r#"{"timeout":"600s"}"#, Some(60_000)),
            (r#"{"timeout":"5"}"#, None),
            (r#"{"timeout":"-1s"}"#, None),
            (r#"{"timeout":"NaNs"}"#, None),
            (r#"{"timeout":"1e300s"}"#, None),
        ] {
            let request: Option<WaitCatchupRequest> = serde_json::from_str(text).ok();
            let got = request.map(|asked| WaitCatchupRequest { name: "orders".into(), ..asked });
            let got = got.map(|asked| asked.to_wait().unwrap().1);
            assert_eq!(got, millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn waits_answer_as_the_contract_says() {
        let result = WaitResult::new(Position(36), Position(36));
        let text = serde_json::to_string(&WaitCatchupResponse::from(result.clone())).unwrap();
        assert_eq!(text, r#"{"caughtUp":true,"currentSeq":"36","targetSeq":"36","mode":"managed"}"#);
        let late = WaitResult::new(Position(3), Position(7));
        let text = serde_json::to_string(&WaitFrame::new(WaitFrameKind::Progress, late.clone())).unwrap();
        let expected = concat!(
            r#"{"kind":"WAIT_STREAM_FRAME_KIND_PROGRESS","currentSeq":"3","targetSeq":"7","#,
            r#""behindByEvents":"4","mode":"managed"}"#
        );
        assert_eq!(text, expected);
        let error = ApiError::new(ErrorCode::ProjectionNotFound, "projection not found");
        let batch = WaitCatchupBatchResponse::new(vec![Ok(result), Err(error)]);
        let value = serde_json::to_value(&batch).unwrap();
        assert_eq!(value["results"][0]["result"]["caughtUp"], true);
        assert_eq!(value["results"][1]["error"], "projection not found");
    }

    #[test]
    fn a_read_at_a_past_time_is_refused_and_not_answered_otherwise() {
        let asked = GetProjectionRequest {
            name: "orders".into(),
            as_of: "2026-01-01T00:00:00Z".into(),
            ..GetProjectionRequest::default()
        };
        assert_eq!(asked.to_view().unwrap_err().code, ErrorCode::Unimplemented);
    }
}
