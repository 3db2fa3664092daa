//! A consumer group as it lies in the bucket.
//!
//! The first form has no format and says what a group was made with. What it has no place for is in the second, which
//! is written for groups that have such alone: a node that knows the first form alone reads all others. In the same way
//! the third is that of groups with a filter: a node that knows none does not serve them, and hands out nothing of what
//! they do not want.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_api::{
    ApiError, ErrorCode,
    v1::{ConsumerGroupBody, GroupAckMode, GroupStatus},
};
use weir_types::{AckMode, ConsumerGroup, ConsumerStatus, Position, Revision};

/// The form of groups that were changed, or can only be changed to what they are.
const OF_CHANGED: u32 = 2;
/// The newest form, of groups with a filter.
const OF_FILTERED: u32 = 3;

/// A group that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredGroup {
    pub(super) group: ConsumerGroup,
    /// The revision that made it, by which it is told from one of the same name before.
    pub(super) id: Revision,
    /// The revision that wrote it last.
    pub(super) revision: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<u32>,
    /// Of a group that was changed: the revision that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    name: String,
    pattern: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    after_position: u64,
    max_in_flight: u32,
    ack_deadline_ms: u64,
    max_redeliveries: u32,
    redeliver_delay_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<GroupStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ack_mode: Option<GroupAckMode>,
}

/// The text of a group; `id` is the revision that made it, unless this does.
pub(super) fn to_text(group: &ConsumerGroup, id: Option<Revision>) -> Result<Vec<u8>, serde_json::Error> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let format = match &group.filter {
        Some(_) => Some(OF_FILTERED),
        None if id.is_none() && *group == of_first(group) => None,
        None => Some(OF_CHANGED),
    };
    serde_json::to_vec(&Stored {
        format,
        id: id.map(|id| id.0),
        name: group.name.to_string(),
        pattern: group.pattern.as_str().to_owned(),
        filter: group.filter.as_ref().map(|filter| filter.as_str().to_owned()),
        description: group.description.clone(),
        after_position: group.after.0,
        max_in_flight: group.terms.in_flight_max,
        ack_deadline_ms: ms(group.terms.ack_deadline),
        max_redeliveries: group.terms.redeliveries_max,
        redeliver_delay_ms: ms(group.terms.redeliver_delay),
        status: Some(group.status.into()).filter(|status| *status != GroupStatus::Active),
        ack_mode: Some(group.ack_mode.into()).filter(|mode| *mode != GroupAckMode::Auto),
    })
}

/// The group with what the first form has no place for as it is by default.
fn of_first(group: &ConsumerGroup) -> ConsumerGroup {
    ConsumerGroup { status: ConsumerStatus::default(), ack_mode: AckMode::default(), ..group.clone() }
}

/// Reads a text that a revision wrote.
///
/// # Errors
/// `internal` for what is no group, or of a newer version of Weir.
pub(super) fn from_text(text: &str, revision: Revision) -> Result<StoredGroup, ApiError> {
    #[derive(Deserialize)]
    struct Any {
        format: Option<u32>,
    }
    let illegal = |why: &dyn std::fmt::Display| {
        let message = format!("what is stored of the consumer group is not readable: {why}");
        ApiError::new(ErrorCode::Internal, message)
    };
    let Any { format } = serde_json::from_str(text).map_err(|error| illegal(&error))?;
    if let Some(format) = format.filter(|format| !matches!(*format, OF_CHANGED | OF_FILTERED)) {
        return Err(illegal(&format!("it has format {format}, and the newest known is {OF_FILTERED}")));
    }
    let stored: Stored = serde_json::from_str(text).map_err(|error| illegal(&error))?;
    let id = stored.id.map_or(revision, Revision);
    let group = ConsumerGroupBody {
        name: stored.name,
        pattern: stored.pattern,
        filter: stored.filter,
        description: Some(stored.description),
        after_position: Some(stored.after_position),
        max_in_flight: Some(stored.max_in_flight.into()),
        ack_deadline_ms: Some(stored.ack_deadline_ms),
        max_redeliveries: Some(stored.max_redeliveries.into()),
        redeliver_delay_ms: Some(stored.redeliver_delay_ms),
        status: stored.status,
        ack_mode: stored.ack_mode,
    };
    Ok(StoredGroup { group: group.to_group(Position::ZERO)?, id, revision })
}

#[cfg(test)]
mod tests {
    use weir_types::{ConsumerGroupName, ConsumerTerms, FilterText, Pattern};

    use super::*;

    fn group() -> ConsumerGroup {
        ConsumerGroup {
            name: ConsumerGroupName::new("mail").unwrap(),
            pattern: Pattern::new("entity:order.*").unwrap(),
            filter: None,
            description: String::new(),
            after: Position(7),
            terms: ConsumerTerms::default(),
            status: ConsumerStatus::Active,
            ack_mode: AckMode::Auto,
        }
    }

    #[test]
    fn what_was_stored_before_groups_could_change_is_read_and_written_as_it_was() {
        let text = concat!(
            r#"{"name":"mail","pattern":"entity:order.*","afterPosition":7,"maxInFlight":100,"#,
            r#""ackDeadlineMs":30000,"maxRedeliveries":3,"redeliverDelayMs":5000}"#
        );
        let read = from_text(text, Revision(9)).unwrap();
        assert_eq!(read, StoredGroup { group: group(), id: Revision(9), revision: Revision(9) });
        assert_eq!(to_text(&group(), None).unwrap(), text.as_bytes());
    }

    #[test]
    fn a_group_that_was_changed_has_this_text_and_is_still_itself() {
        let paused = ConsumerGroup {
            description: "mails".into(),
            status: ConsumerStatus::Paused,
            ack_mode: AckMode::Manual,
            ..group()
        };
        let text = concat!(
            r#"{"format":2,"id":9,"name":"mail","pattern":"entity:order.*","description":"mails","#,
            r#""afterPosition":7,"maxInFlight":100,"ackDeadlineMs":30000,"maxRedeliveries":3,"#,
            r#""redeliverDelayMs":5000,"status":"paused","ackMode":"manual"}"#
        );
        assert_eq!(to_text(&paused, Some(Revision(9))).unwrap(), text.as_bytes());
        let read = from_text(text, Revision(12)).unwrap();
        assert_eq!(read, StoredGroup { group: paused, id: Revision(9), revision: Revision(12) });
        let active = to_text(&group(), Some(Revision(9))).unwrap();
        assert_eq!(from_text(std::str::from_utf8(&active).unwrap(), Revision(13)).unwrap().id, Revision(9));
    }

    #[test]
    fn a_group_with_a_filter_is_of_a_form_that_nobody_takes_for_one_without() {
        let filter = FilterText::optional("data.amount > 100 && name != 'x'").unwrap();
        let filtered = ConsumerGroup { filter, ..group() };
        let text = concat!(
            r#"{"format":3,"name":"mail","pattern":"entity:order.*","filter":"data.amount > 100 && name != 'x'","#,
            r#""afterPosition":7,"maxInFlight":100,"ackDeadlineMs":30000,"maxRedeliveries":3,"redeliverDelayMs":5000}"#
        );
        assert_eq!(to_text(&filtered, None).unwrap(), text.as_bytes());
        let read = from_text(text, Revision(12)).unwrap();
        assert_eq!(read, StoredGroup { group: filtered, id: Revision(12), revision: Revision(12) });
    }

    #[test]
    fn what_a_newer_version_wrote_is_not_taken_for_something_else() {
        for bad in [r#"{"format":4,"new":[]}"#, "{}", "", r#"{"format":2,"name":"mail"}"#] {
            assert_eq!(from_text(bad, Revision(1)).unwrap_err().code, ErrorCode::Internal, "{bad}");
        }
    }
}
