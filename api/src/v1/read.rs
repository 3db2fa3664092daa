use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    Consistency, Direction, EntityId, GroupId, Moment, Position, StreamPage, StreamRead, StreamVersion,
    limits,
};

use super::EventView;
use crate::{ApiError, ErrorCode, number, parse_timestamp};

/// The freshness that a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Every append acknowledged before the read, on any node.
    Linearizable,
    /// What the answering node has applied.
    Local,
}

/// What a query's `consistency` and `min_position` ask for together:
/// `min_position` alone waits for it on the answering node.
pub(crate) fn consistency_of(
    freshness: Option<Freshness>,
    min_position: Option<u64>,
) -> Result<Consistency, ApiError> {
    match (freshness, min_position) {
        (Some(Freshness::Linearizable), Some(_)) => {
            Err(ApiError::invalid("a read is linearizable or has a minimal position, not both"))
        }
        (Some(Freshness::Local) | None, Some(position)) => Ok(Consistency::AtLeast(Position(position))),
        (Some(Freshness::Local), None) => Ok(Consistency::Local),
        (Some(Freshness::Linearizable) | None, None) => Ok(Consistency::Linearizable),
    }
}

/// A page's limit: absent means the default, 0 and over the limit are refused.
pub(crate) fn limit_of(limit: Option<u64>, default: usize, max: usize) -> Result<usize, ApiError> {
    match limit {
        None => Ok(default),
        Some(0) => Err(ApiError::invalid("limit is 0")),
        Some(limit) if limit > max as u64 => {
            let message = format!("limit is {limit}, over the limit of {max}");
            Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max))
        }
        Some(limit) => Ok(usize::try_from(limit).expect("it is at most max")),
    }
}

/// GET of a stream's events or history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    /// First version, inclusive; absent or 0 is the start, or the end when backward.
    #[serde(
        alias = "fromVersion",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub from_version: Option<u64>,
    /// Events in the page, 1 to [`limits::READ_EVENTS_MAX`].
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `forward` or `backward`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
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
    /// How long to wait for an event when there is none, at most [`limits::READ_WAIT_MS_MAX`].
    #[serde(
        alias = "waitMs",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub wait_ms: Option<u64>,
    /// Whether events are given as they are in the log, without upcasters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Only what was recorded until then, RFC 3339.
    #[serde(alias = "asOf", default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Only what occurred until then, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Only what is up to this version.
    #[serde(
        alias = "asOfVersion",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub as_of_version: Option<u64>,
}

impl ReadQuery {
    /// The read that is asked for.
    ///
    /// # Errors
    /// `invalid_request` or `too_large`.
    pub fn to_read(&self, group: GroupId, entity_id: EntityId) -> Result<StreamRead, ApiError> {
        Ok(StreamRead {
            group,
            entity_id,
            from: self.from_version.filter(|version| *version > 0).map(StreamVersion),
            direction: direction_of(self.direction.as_deref().unwrap_or_default())?,
            limit: limit_of(self.limit, limits::READ_EVENTS_DEFAULT, limits::READ_EVENTS_MAX)?,
        })
    }

    /// The moment of the stream's past that is asked for.
    ///
    /// # Errors
    /// `invalid_request` when a time is none, or the past is to be waited for.
    pub fn to_moment(&self) -> Result<Moment, ApiError> {
        let moment = moment_of(self.as_of.as_deref(), self.at.as_deref(), self.as_of_version)?;
        if !moment.is_now() && self.wait_ms.is_some_and(|wait| wait > 0) {
            return Err(ApiError::invalid("a read of the past waits for nothing"));
        }
        Ok(moment)
    }

    /// How fresh the answer must be.
    ///
    /// # Errors
    /// `invalid_request` when it is asked for in two ways.
    pub fn to_consistency(&self) -> Result<Consistency, ApiError> {
        consistency_of(self.consistency, self.min_position)
    }

    /// How long to wait for an event.
    ///
    /// # Errors
    /// `too_large` over [`limits::READ_WAIT_MS_MAX`].
    pub fn to_wait(&self) -> Result<Duration, ApiError> {
        let (wait, max) = (self.wait_ms.unwrap_or(0), limits::READ_WAIT_MS_MAX);
        if wait > max {
            let message = format!("wait_ms is {wait}, over the limit of {max}");
            return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max));
        }
        Ok(Duration::from_millis(wait))
    }
}

/// The moment that is asked for.
pub(crate) fn moment_of(
    as_of: Option<&str>,
    at: Option<&str>,
    as_of_version: Option<u64>,
) -> Result<Moment, ApiError> {
    Ok(Moment {
        as_of: as_of.map(parse_timestamp).transpose()?,
        at: at.map(parse_timestamp).transpose()?,
        as_of_version: as_of_version.map(StreamVersion),
    })
}

/// The direction that a word means; the empty word is forward.
pub(crate) fn direction_of(word: &str) -> Result<Direction, ApiError> {
    match word {
        "" | "forward" => Ok(Direction::Forward),
        "backward" => Ok(Direction::Backward),
        other => Err(ApiError::invalid(format!("direction `{other}` is not forward or backward"))),
    }
}

/// One page of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadPage {
    /// The stream.
    pub entity_id: String,
    /// The stream's version when the page was read; 0 when it has no events.
    pub version: u64,
    /// The events, in the read's direction.
    pub events: Vec<EventView>,
    /// Where the next page begins, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_version: Option<u64>,
    /// The position that the answering node had applied.
    pub position: u64,
    /// Of the past: the last version that was recorded until the moment, and is not beyond the one asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_version: Option<u64>,
}

impl ReadPage {
    /// The page of a stream.
    #[must_use]
    pub fn new(entity_id: &EntityId, page: &StreamPage, as_of: Option<StreamVersion>) -> Self {
        Self {
            entity_id: entity_id.as_str().into(),
            version: page.head.as_ref().map_or(0, |head| head.version.0),
            events: page.events.iter().map(EventView::from).collect(),
            next_version: page.next.map(|version| version.0),
            position: page.applied.0,
            as_of_version: as_of.map(|version| version.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::Timestamp;

    use super::*;

    fn query(json: &str) -> Result<ReadQuery, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_query_says_where_how_much_and_how_fresh() {
        let read = |json: &str| {
            let query = query(json).map_err(|error| ApiError::invalid(error.to_string()))?;
            let read = query.to_read(GroupId::DEFAULT, EntityId::new("e").unwrap())?;
            Ok::<_, ApiError>((read.from.map(|v| v.0), read.direction, read.limit, query.to_consistency()?))
        };
        let fresh = Consistency::Linearizable;
        for (json, expected) in [
            ("{}", (None, Direction::Forward, 1_000, fresh)),
            (r#"{"from_version":"0"}"#, (None, Direction::Forward, 1_000, fresh)),
            (r#"{"fromVersion":"7","limit":"10"}"#, (Some(7), Direction::Forward, 10, fresh)),
            (
                r#"{"direction":"backward","consistency":"local"}"#,
                (None, Direction::Backward, 1_000, Consistency::Local),
            ),
            (r#"{"minPosition":"5"}"#, (None, Direction::Forward, 1_000, Consistency::AtLeast(Position(5)))),
        ] {
            assert_eq!(read(json), Ok(expected), "{json}");
        }
        for bad in [
            r#"{"limit":0}"#,
            r#"{"limit":4097}"#,
            r#"{"limit":-1}"#,
            r#"{"from_version":-1}"#,
            r#"{"direction":"sideways"}"#,
            r#"{"consistency":"eventual"}"#,
            r#"{"consistency":"linearizable","min_position":5}"#,
            r#"{"min_postion":5}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_has_three_parts() {
        let moment = |json: &str| query(json).unwrap().to_moment();
        assert!(moment("{}").unwrap().is_now());
        let all =
            moment(r#"{"asOf":"1970-01-01T00:00:01Z","at":"1970-01-01T01:00:00+01:00","asOfVersion":"3"}"#);
        let expected = Moment {
            as_of: Some(Timestamp(1_000_000)),
            at: Some(Timestamp(0)),
            as_of_version: Some(StreamVersion(3)),
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(moment(r#"{"as_of_version":0}"#).unwrap().as_of_version, Some(StreamVersion(0)));
        for bad in [r#"{"asOf":"today"}"#, r#"{"at":"7"}"#, r#"{"asOfVersion":1,"waitMs":5}"#] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn waiting_has_a_limit() {
        assert_eq!(query(r#"{"wait_ms":30000}"#).unwrap().to_wait(), Ok(Duration::from_secs(30)));
        assert!(query(r#"{"waitMs":30001}"#).unwrap().to_wait().is_err());
    }
}
