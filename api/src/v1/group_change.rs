use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{ConsumerGroup, ConsumerTerms, FilterText};

use super::consumer_groups::{GroupAckMode, GroupStatus, count_of, time_of};
use crate::{ApiError, number};

/// PATCH: change a consumer group. What is absent stays as it is. Its name, its pattern and where it begins do not
/// change: they may be said as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConsumerGroupChange {
    /// Its name, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its pattern, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Where it begins, as it is.
    #[serde(
        alias = "after_position",
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub after_position: Option<u64>,
    /// Which events of its pattern it hands out from now on: an expression of CEL; all of them when it is empty.
    #[serde(alias = "filterExpr", alias = "filter_expr", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Events that are with consumers at once.
    #[serde(
        alias = "max_in_flight",
        alias = "maxInflight",
        alias = "max_inflight",
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_in_flight: Option<u64>,
    /// Milliseconds that a consumer has for an event that it is given from now on.
    #[serde(
        alias = "ack_deadline_ms",
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub ack_deadline_ms: Option<u64>,
    /// How often an event is handed out again before it is dead.
    #[serde(
        alias = "max_redeliveries",
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_redeliveries: Option<u64>,
    /// Milliseconds that an event rests after a `nak` that names no delay.
    #[serde(
        alias = "redeliver_delay_ms",
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub redeliver_delay_ms: Option<u64>,
    /// `paused`: hand out nothing from now on; `active`: go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<GroupStatus>,
    /// What settles an event that is sent to a `JoinConsumerGroup` from now on.
    #[serde(alias = "ack_mode", skip_serializing_if = "Option::is_none")]
    pub ack_mode: Option<GroupAckMode>,
}

impl ConsumerGroupChange {
    /// Hand out nothing, or go on.
    #[must_use]
    pub fn of_status(status: GroupStatus) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The group as it is after the change.
    ///
    /// # Errors
    /// `invalid_filter`, `invalid_request` for what does not change, and for terms beyond their limits.
    pub fn apply(&self, group: &ConsumerGroup) -> Result<ConsumerGroup, ApiError> {
        let fixed = |what: &str| {
            let message = format!("{what} of a consumer group does not change: make another group");
            Err(ApiError::invalid(message).with("field", what))
        };
        if self.name.as_deref().is_some_and(|name| name != group.name.as_str()) {
            return fixed("name");
        }
        if self.pattern.as_deref().is_some_and(|pattern| pattern != group.pattern.as_str()) {
            return fixed("pattern");
        }
        if self.after_position.is_some_and(|after| after != group.after.0) {
            return fixed("afterPosition");
        }
        let ConsumerTerms { in_flight_max, ack_deadline, redeliveries_max, redeliver_delay } = group.terms;
        let filter = match &self.filter {
            Some(filter) => FilterText::optional(filter)?,
            None => group.filter.clone(),
        };
        let changed = ConsumerGroup {
            filter,
            description: self.description.clone().unwrap_or_else(|| group.description.clone()),
            terms: ConsumerTerms {
                in_flight_max: count_of(self.max_in_flight, in_flight_max),
                ack_deadline: time_of(self.ack_deadline_ms, ack_deadline),
                redeliveries_max: count_of(self.max_redeliveries, redeliveries_max),
                redeliver_delay: time_of(self.redeliver_delay_ms, redeliver_delay),
            },
            status: self.status.map_or(group.status, Into::into),
            ack_mode: self.ack_mode.map_or(group.ack_mode, Into::into),
            ..group.clone()
        };
        changed.check_limits().map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weir_types::{ConsumerStatus, Position};

    use super::*;
    use crate::v1::ConsumerGroupBody;

    fn group() -> ConsumerGroup {
        let text = r#"{"name":"mail","pattern":"entity:order.*","afterPosition":7,"description":"mails"}"#;
        serde_json::from_str::<ConsumerGroupBody>(text).unwrap().to_group(Position(0)).unwrap()
    }

    fn changed(text: &str) -> Result<ConsumerGroup, ApiError> {
        serde_json::from_str::<ConsumerGroupChange>(text).unwrap().apply(&group())
    }

    #[test]
    fn what_is_absent_stays_as_it_is() {
        assert_eq!(changed("{}").unwrap(), group());
        let some = changed(r#"{"max_inflight":"5","ackDeadlineMs":1000,"status":"paused"}"#).unwrap();
        assert_eq!((some.terms.in_flight_max, some.terms.ack_deadline), (5, Duration::from_secs(1)));
        assert_eq!((some.status, some.terms.redeliveries_max), (ConsumerStatus::Paused, 3));
        assert_eq!(some.description, "mails");
        assert_eq!(changed(r#"{"description":""}"#).unwrap().description, "");
        let filtered = changed(r#"{"filter":"data.n > 1"}"#).unwrap();
        assert_eq!(filtered.filter.as_ref().map(FilterText::as_str), Some("data.n > 1"));
        let apply = |text: &str| serde_json::from_str::<ConsumerGroupChange>(text).unwrap().apply(&filtered);
        assert_eq!(apply("{}").unwrap(), filtered);
        assert_eq!(apply(r#"{"filterExpr":""}"#).unwrap().filter, None);
    }

    #[test]
    fn what_a_group_is_does_not_change() {
        let same = r#"{"name":"mail","pattern":"entity:order.*","afterPosition":7}"#;
        assert_eq!(changed(same).unwrap(), group(), "it may be said as it is");
        for (text, said) in [
            (r#"{"name":"post"}"#, "name of a consumer group does not change"),
            (r#"{"pattern":">"}"#, "pattern of a consumer group does not change"),
            (r#"{"afterPosition":0}"#, "afterPosition of a consumer group does not change"),
            (r#"{"maxInFlight":0}"#, "maxInFlight is not within"),
            (r#"{"ackDeadlineMs":1}"#, "ackDeadlineMs is not within"),
        ] {
            let refused = changed(text).unwrap_err();
            assert!(refused.message.starts_with(said), "{text}: {}", refused.message);
        }
    }
}
