use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    EntityId, FilterText, PartitionKey, Partitions, Pattern, Position, Selector, Slow, StreamVersion,
    SubscribeRequest, SubscriptionStart, limits,
};

use crate::{ApiError, ErrorCode, number};

/// The names of server-sent events; an event of the log has none.
pub mod sse {
    /// Where it begins.
    pub const OPENED: &str = "opened";
    /// History has ended.
    pub const CAUGHT_UP: &str = "caught-up";
    /// Nothing new up to here.
    pub const HEARTBEAT: &str = "heartbeat";
    /// Another deployment has taken the place of the one before.
    pub const REDEPLOYED: &str = "redeployed";
    /// Events were left out.
    pub const LEFT_OUT: &str = "left-out";
    /// The subscription ends.
    pub const END: &str = "end";
}

/// GET of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeQuery {
    /// The pattern; not beside a stream in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Which of the events: an expression of CEL, at most [`limits::FILTER_BYTES_MAX`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// `now`, which is the default, or `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// After a position; of a stream, after a version.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// After a position, of a stream too.
    #[serde(
        alias = "afterPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub after_position: Option<u64>,
    /// With the newest events, 1 to [`limits::SUBSCRIPTION_LAST_MAX`].
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Where an earlier subscription was; goes before every other beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Milliseconds between heartbeats.
    #[serde(
        alias = "heartbeatMs",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub heartbeat_ms: Option<u64>,
    /// `disconnect`, which is the default, or `conflate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
}

impl SubscribeQuery {
    /// The request, for the stream in the path or by the pattern.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_pattern`, `invalid_filter`, `invalid_cursor` or `too_large`.
    pub fn to_request(&self, stream: Option<EntityId>) -> Result<SubscribeRequest, ApiError> {
        let selector = match (stream, &self.pattern) {
            (Some(entity), None) => Selector::Stream(entity),
            (None, Some(pattern)) => Selector::Pattern(Pattern::new(pattern)?),
            (Some(_), Some(_)) => return Err(ApiError::invalid("a stream's subscription takes no pattern")),
            (None, None) => return Err(ApiError::invalid("query has no pattern; `>` is every event")),
        };
        let is_stream = matches!(selector, Selector::Stream(_));
        let beginning = Beginning {
            from: self.from.as_deref(),
            after_version: self.after.filter(|_| is_stream),
            after_position: self.after.filter(|_| !is_stream).or(self.after_position),
            last: self.last,
            cursor: self.cursor.as_deref(),
        };
        if !is_stream && self.after.is_some() && self.after_position.is_some() {
            return Err(several());
        }
        Ok(SubscribeRequest {
            start: beginning.to_start(is_stream)?,
            selector,
            filter: FilterText::optional(self.filter.as_deref().unwrap_or_default())?,
            slow: slow_of(self.slow.as_deref().unwrap_or_default())?,
            heartbeat: heartbeat_of(self.heartbeat_ms)?,
        })
    }
}

/// GET of the states of a projection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatesQuery {
    /// One partition; absent is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Only states that changed after a position.
    #[serde(
        alias = "afterPosition",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub after_position: Option<u64>,
    /// Milliseconds between heartbeats.
    #[serde(
        alias = "heartbeatMs",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub heartbeat_ms: Option<u64>,
}

impl StatesQuery {
    /// Which partitions, after which position, and the time between heartbeats.
    ///
    /// # Errors
    /// `invalid_name` or `invalid_request`.
    pub fn to_watch(&self) -> Result<(Partitions, Position, Duration), ApiError> {
        let partitions = match self.partition.as_deref() {
            None | Some("") => Partitions::All,
            Some(key) => Partitions::One(PartitionKey::new(key)?),
        };
        Ok((partitions, Position(self.after_position.unwrap_or(0)), heartbeat_of(self.heartbeat_ms)?))
    }
}

/// The ways to say where a subscription begins, of which at most one is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beginning<'a> {
    /// `now` or `start`.
    pub from: Option<&'a str>,
    /// After a version, of a stream alone.
    pub after_version: Option<u64>,
    /// After a position.
    pub after_position: Option<u64>,
    /// With the newest events.
    pub last: Option<u64>,
    /// A cursor, which goes before all others: it is what a client that comes back adds.
    pub cursor: Option<&'a str>,
}

fn several() -> ApiError {
    ApiError::invalid("a subscription begins at one place: from, after, last or cursor")
}

impl Beginning<'_> {
    /// The start.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_cursor` or `too_large`.
    pub fn to_start(self, is_stream: bool) -> Result<SubscriptionStart, ApiError> {
        if let Some(cursor) = self.cursor.filter(|cursor| !cursor.is_empty()) {
            return Ok(SubscriptionStart::Cursor(cursor.parse()?));
        }
        let said = [self.from.is_some(), self.after_version.is_some(), self.after_position.is_some()];
        if said.into_iter().chain([self.last.is_some()]).filter(|said| *said).count() > 1 {
            return Err(several());
        }
        if [self.after_version, self.after_position].contains(&Some(u64::MAX)) {
            return Err(ApiError::invalid("no log gets as far as the subscription is to begin"));
        }
        match (self.from, self.after_version, self.after_position, self.last) {
            (_, Some(_), _, _) if !is_stream => {
                Err(ApiError::invalid("a version is of a stream; begin after a position"))
            }
            (_, Some(version), _, _) => Ok(SubscriptionStart::AfterVersion(StreamVersion(version))),
            (_, _, Some(position), _) => Ok(SubscriptionStart::AfterPosition(Position(position))),
            (_, _, _, Some(last)) => last_of(last),
            (None | Some("now"), ..) => Ok(SubscriptionStart::Now),
            (Some("start"), ..) if is_stream => Ok(SubscriptionStart::AfterVersion(StreamVersion::ZERO)),
            (Some("start"), ..) => Ok(SubscriptionStart::AfterPosition(Position::ZERO)),
            (Some(from), ..) => Err(ApiError::invalid(format!("from is `{from}`, not now or start"))),
        }
    }
}

fn last_of(last: u64) -> Result<SubscriptionStart, ApiError> {
    match last {
        0 => Ok(SubscriptionStart::Now),
        1..=limits::SUBSCRIPTION_LAST_MAX => Ok(SubscriptionStart::Last(last)),
        _ => {
            let max = limits::SUBSCRIPTION_LAST_MAX;
            let message = format!("last is {last}, over the limit of {max}");
            Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max))
        }
    }
}

/// `disconnect`, `conflate`, or nothing said.
///
/// # Errors
/// `invalid_request`.
pub(crate) fn slow_of(slow: &str) -> Result<Slow, ApiError> {
    match slow {
        "" | "disconnect" => Ok(Slow::Disconnect),
        "conflate" => Ok(Slow::Conflate),
        other => Err(ApiError::invalid(format!("slow is `{other}`, not disconnect or conflate"))),
    }
}

/// The time between heartbeats.
///
/// # Errors
/// `invalid_request`.
pub(crate) fn heartbeat_of(ms: Option<u64>) -> Result<Duration, ApiError> {
    let (min, max) = (limits::SUBSCRIPTION_HEARTBEAT_MS_MIN, limits::SUBSCRIPTION_HEARTBEAT_MS_MAX);
    match ms.unwrap_or(limits::SUBSCRIPTION_HEARTBEAT_MS_DEFAULT) {
        ms if (min..=max).contains(&ms) => Ok(Duration::from_millis(ms)),
        ms => Err(ApiError::invalid(format!("heartbeat_ms is {ms}, not {min} to {max}"))),
    }
}

/// What is said between events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionMark {
    /// All up to here was given, or left out with a mark.
    pub position: u64,
    /// When it opens with the last events: how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// Events that are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// Why a subscription ended, and where to go on from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionEnd {
    /// The error's code.
    pub code: String,
    /// For people.
    pub message: String,
    /// All up to here was given.
    pub position: u64,
    /// To go on from.
    pub cursor: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(json: &str) -> SubscribeQuery {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_query_is_one_beginning() {
        let start = |json: &str, stream: Option<&str>| {
            let stream = stream.map(|id| EntityId::new(id).unwrap());
            query(json).to_request(stream).map(|request| request.start)
        };
        let (of_log, position) =
            (r#"{"pattern":">","after":"7"}"#, SubscriptionStart::AfterPosition(Position(7)));
        assert_eq!(start(of_log, None), Ok(position));
        for (json, expected) in [
            (r#"{}"#, SubscriptionStart::Now),
            (r#"{"from":"now"}"#, SubscriptionStart::Now),
            (r#"{"from":"start"}"#, SubscriptionStart::AfterVersion(StreamVersion(0))),
            (r#"{"after":7}"#, SubscriptionStart::AfterVersion(StreamVersion(7))),
            (r#"{"afterPosition":7}"#, position),
            (r#"{"last":5}"#, SubscriptionStart::Last(5)),
            (r#"{"last":0}"#, SubscriptionStart::Now),
        ] {
            assert_eq!(start(json, Some("order-1")), Ok(expected), "{json}");
        }
        for (json, code) in [
            (r#"{"after":7,"last":5}"#, ErrorCode::InvalidRequest),
            (r#"{"from":"then"}"#, ErrorCode::InvalidRequest),
            (r#"{"after":18446744073709551615}"#, ErrorCode::InvalidRequest),
            (r#"{"afterPosition":18446744073709551615}"#, ErrorCode::InvalidRequest),
            (r#"{"last":1001}"#, ErrorCode::TooLarge),
            (r#"{"cursor":"x"}"#, ErrorCode::InvalidCursor),
            (r#"{"slow":"x"}"#, ErrorCode::InvalidRequest),
            (r#"{"heartbeat_ms":1}"#, ErrorCode::InvalidRequest),
            (r#"{"pattern":">"}"#, ErrorCode::InvalidRequest),
        ] {
            assert_eq!(start(json, Some("order-1")).map_err(|error| error.code), Err(code), "{json}");
        }
        assert!(start("{}", None).is_err());
        let filtered =
            |text: &str| SubscribeQuery { filter: Some(text.into()), ..query(r#"{"pattern":">"}"#) };
        let filter = filtered("data.n > 1").to_request(None).unwrap().filter;
        assert_eq!(filter, FilterText::optional("data.n > 1").unwrap());
        assert_eq!(filtered("").to_request(None).unwrap().filter, None);
        let long = filtered(&"x".repeat(limits::FILTER_BYTES_MAX + 1)).to_request(None).unwrap_err();
        assert_eq!(long.code, ErrorCode::InvalidFilter);
        let bad = start(r#"{"pattern":"order"}"#, None).unwrap_err();
        assert_eq!(bad.code, ErrorCode::InvalidPattern);
        let topic = start(r#"{"pattern":"topic:x"}"#, None).unwrap_err();
        assert_eq!(topic.code, ErrorCode::Unimplemented);
    }
}
