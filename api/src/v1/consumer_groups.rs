//! Consumer groups.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    AckMode, ConsumerGroup, ConsumerGroupName, ConsumerStatus, ConsumerTerms, DeadLetter, DeathCause,
    FilterText, Pattern, Position, Settlement, Verdict, limits,
};

use super::{EventView, read::limit_of};
use crate::{ApiError, format_timestamp, number};

/// POST: make a consumer group. What is absent is as [`ConsumerTerms::default`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsumerGroupBody {
    /// Its name: ASCII letters, digits, `_` and `-`.
    pub name: String,
    /// Which events it hands out, as a subscription names them.
    pub pattern: String,
    /// Which of these events: an expression of CEL; all without it.
    #[serde(alias = "filterExpr", alias = "filter_expr", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// It begins after this position, 0 is the log's beginning; absent is what is there when it is created.
    #[serde(
        alias = "after_position",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub after_position: Option<u64>,
    /// Events that are with consumers at once.
    #[serde(
        alias = "max_in_flight",
        alias = "maxInflight",
        alias = "max_inflight",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_in_flight: Option<u64>,
    /// Milliseconds that a consumer has for an event.
    #[serde(
        alias = "ack_deadline_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub ack_deadline_ms: Option<u64>,
    /// How often an event is handed out again before it is dead.
    #[serde(
        alias = "max_redeliveries",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_redeliveries: Option<u64>,
    /// Milliseconds that an event rests after a `nak` that names no delay.
    #[serde(
        alias = "redeliver_delay_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub redeliver_delay_ms: Option<u64>,
    /// Whether it hands out events; absent is `active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GroupStatus>,
    /// What settles an event that is sent to a `JoinConsumerGroup`; absent is `auto`.
    #[serde(alias = "ack_mode", default, skip_serializing_if = "Option::is_none")]
    pub ack_mode: Option<GroupAckMode>,
}

/// Whether a consumer group hands out events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupStatus {
    /// It does.
    Active,
    /// It hands out none until it is resumed.
    Paused,
}

impl From<ConsumerStatus> for GroupStatus {
    fn from(status: ConsumerStatus) -> Self {
        match status {
            ConsumerStatus::Active => Self::Active,
            ConsumerStatus::Paused => Self::Paused,
        }
    }
}

impl From<GroupStatus> for ConsumerStatus {
    fn from(status: GroupStatus) -> Self {
        match status {
            GroupStatus::Active => Self::Active,
            GroupStatus::Paused => Self::Paused,
        }
    }
}

/// What settles an event that is sent to who joined a group and takes no verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupAckMode {
    /// That it is sent.
    Auto,
    /// A verdict, which comes another way.
    Manual,
}

impl From<AckMode> for GroupAckMode {
    fn from(mode: AckMode) -> Self {
        match mode {
            AckMode::Auto => Self::Auto,
            AckMode::Manual => Self::Manual,
        }
    }
}

impl From<GroupAckMode> for AckMode {
    fn from(mode: GroupAckMode) -> Self {
        match mode {
            GroupAckMode::Auto => Self::Auto,
            GroupAckMode::Manual => Self::Manual,
        }
    }
}

impl ConsumerGroupBody {
    /// The group that is asked for; `now` is where it begins if it does not say.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_pattern`, `invalid_filter` or `invalid_request`.
    pub fn to_group(&self, now: Position) -> Result<ConsumerGroup, ApiError> {
        if self.after_position == Some(u64::MAX) {
            return Err(ApiError::invalid("there is no event after the last of all positions"));
        }
        let standard = ConsumerTerms::default();
        let group = ConsumerGroup {
            name: ConsumerGroupName::new(&self.name)?,
            pattern: Pattern::new(&self.pattern)?,
            filter: FilterText::optional(self.filter.as_deref().unwrap_or_default())?,
            description: self.description.clone().unwrap_or_default(),
            after: self.after_position.map_or(now, Position),
            terms: ConsumerTerms {
                in_flight_max: count_of(self.max_in_flight, standard.in_flight_max),
                ack_deadline: time_of(self.ack_deadline_ms, standard.ack_deadline),
                redeliveries_max: count_of(self.max_redeliveries, standard.redeliveries_max),
                redeliver_delay: time_of(self.redeliver_delay_ms, standard.redeliver_delay),
            },
            status: self.status.map_or_else(ConsumerStatus::default, ConsumerStatus::from),
            ack_mode: self.ack_mode.map_or_else(AckMode::default, AckMode::from),
        };
        group.check_limits().map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(group)
    }
}

/// A number of a group's terms; one that is far over every limit is refused with them.
pub(super) fn count_of(given: Option<u64>, standard: u32) -> u32 {
    given.map_or(standard, |given| u32::try_from(given).unwrap_or(u32::MAX))
}

/// A time of a group's terms.
pub(super) fn time_of(given: Option<u64>, standard: Duration) -> Duration {
    given.map_or(standard, Duration::from_millis)
}

impl From<&ConsumerGroup> for ConsumerGroupBody {
    /// With everything said.
    fn from(group: &ConsumerGroup) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).ok();
        Self {
            name: group.name.to_string(),
            pattern: group.pattern.as_str().to_owned(),
            filter: group.filter.as_ref().map(|filter| filter.as_str().to_owned()),
            description: Some(group.description.clone()).filter(|text| !text.is_empty()),
            after_position: Some(group.after.0),
            max_in_flight: Some(group.terms.in_flight_max.into()),
            ack_deadline_ms: ms(group.terms.ack_deadline),
            max_redeliveries: Some(group.terms.redeliveries_max.into()),
            redeliver_delay_ms: ms(group.terms.redeliver_delay),
            status: Some(group.status.into()),
            ack_mode: Some(group.ack_mode.into()),
        }
    }
}

/// A consumer group, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroupView {
    /// What was asked for.
    #[serde(flatten)]
    pub group: ConsumerGroupBody,
    /// Every event of the pattern up to here is settled or dead.
    pub checkpoint: u64,
    /// Up to where the log was looked through.
    pub looked: u64,
    /// Events that are with consumers.
    pub in_flight: u64,
    /// Events that rest before they are handed out again.
    pub resting: u64,
    /// Events that wait to be handed out, as far as the log was looked through.
    pub waiting: u64,
}

/// All consumer groups, in order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroupList {
    /// The groups.
    pub groups: Vec<ConsumerGroupBody>,
}

/// The query of a POST that takes events in the name of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullQuery {
    /// At most so many; absent is 10, and [`limits::CONSUMER_PULL_MAX`] is the most.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Milliseconds to wait for one, at most [`limits::READ_WAIT_MS_MAX`].
    #[serde(
        alias = "wait_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub wait_ms: Option<u64>,
}

impl PullQuery {
    /// How many events, and how long to wait for the first.
    ///
    /// # Errors
    /// `too_large` or `invalid_request`.
    pub fn to_pull(&self) -> Result<(usize, Duration), ApiError> {
        let most = limit_of(self.max, 10, limits::CONSUMER_PULL_MAX)?;
        let wait = self.wait_ms.unwrap_or(0);
        if wait > limits::READ_WAIT_MS_MAX {
            return Err(ApiError::invalid(format!("waitMs is over {}", limits::READ_WAIT_MS_MAX)));
        }
        Ok((most, Duration::from_millis(wait)))
    }
}

/// Events that a consumer is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullResult {
    /// In order of position; none when the time was over.
    pub deliveries: Vec<DeliveryView>,
}

/// An event that a consumer is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The event.
    pub event: EventView,
    /// The first delivery is 1.
    pub attempt: u32,
    /// Whose delivery it is: a new leader counts attempts anew. 0 of a server that does not say.
    #[serde(default)]
    pub desk: u64,
}

/// POST: say what became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleBody {
    /// At most [`limits::CONSUMER_SETTLE_MAX`].
    pub settlements: Vec<SettlementBody>,
}

/// A verdict about one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettlementBody {
    /// The event's position.
    #[serde(deserialize_with = "number::or_zero")]
    pub position: u64,
    /// Of which delivery; absent is the newest.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// As the delivery said it; a `nak`, `term` or `release` of another desk is stale.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub desk: Option<u64>,
    /// `ack`, `nak`, `term` or `release`.
    pub verdict: VerdictKind,
    /// Of a `nak`: how long the event rests.
    #[serde(
        alias = "delay_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay_ms: Option<u64>,
}

/// The kinds of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Done.
    Ack,
    /// Not done: again.
    Nak,
    /// Not to be done.
    Term,
    /// Not looked at: again, and this delivery does not count.
    Release,
}

impl SettlementBody {
    /// What is said of a delivery.
    #[must_use]
    pub fn of(delivery: &DeliveryView, verdict: VerdictKind) -> Self {
        Self {
            position: delivery.event.position,
            attempt: Some(delivery.attempt),
            desk: Some(delivery.desk).filter(|desk| *desk > 0),
            verdict,
            delay_ms: None,
        }
    }
}

impl VerdictKind {
    /// The verdict.
    ///
    /// # Errors
    /// `invalid_request` when the delay is over its limit, or goes with another verdict than a `nak`.
    pub fn verdict(self, delay_ms: Option<u64>) -> Result<Verdict, ApiError> {
        let max = limits::CONSUMER_REDELIVER_DELAY_MS_MAX;
        match (self, delay_ms) {
            (_, Some(delay)) if delay > max => Err(ApiError::invalid(format!("delayMs is over {max}"))),
            (Self::Nak, delay) => Ok(Verdict::Nak(delay.map(Duration::from_millis))),
            (_, Some(delay)) if delay > 0 => Err(ApiError::invalid("delayMs goes with a nak alone")),
            (Self::Ack, _) => Ok(Verdict::Ack),
            (Self::Term, _) => Ok(Verdict::Term),
            (Self::Release, _) => Ok(Verdict::Release),
        }
    }
}

/// What became of verdicts, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettleResult {
    /// One each.
    pub results: Vec<SettlementView>,
}

/// What became of one verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettlementView {
    /// The event's position.
    pub position: u64,
    /// What became of it.
    pub outcome: SettlementKind,
}

/// What may become of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettlementKind {
    /// The event is settled: it is not handed out again.
    Settled,
    /// It was settled or dead before.
    AlreadySettled,
    /// It is handed out again.
    Redelivers,
    /// It is among the dead letters.
    Dead,
    /// It has been handed out again meanwhile, and this verdict was not taken.
    Stale,
    /// It is with no consumer of the group.
    NotDelivered,
}

impl From<Settlement> for SettlementKind {
    fn from(settlement: Settlement) -> Self {
        match settlement {
            Settlement::Settled => Self::Settled,
            Settlement::AlreadySettled => Self::AlreadySettled,
            Settlement::Redelivers => Self::Redelivers,
            Settlement::Dead => Self::Dead,
            Settlement::Stale => Self::Stale,
            Settlement::NotDelivered => Self::NotDelivered,
        }
    }
}

/// GET of dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLettersQuery {
    /// Those after this position.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most so many, up to [`limits::CONSUMER_DEAD_LETTERS_PAGE_MAX`], which is what absent is.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl DeadLettersQuery {
    /// After which position, and how many.
    ///
    /// # Errors
    /// `invalid_request` or `too_large`.
    pub fn to_page(&self) -> Result<(Position, usize), ApiError> {
        let max = limits::CONSUMER_DEAD_LETTERS_PAGE_MAX;
        Ok((Position(self.after.unwrap_or(0)), limit_of(self.limit, max, max)?))
    }
}

/// Dead letters, in order of position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterPage {
    /// Dead letters.
    pub dead_letters: Vec<DeadLetterView>,
    /// After which position the next page begins, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An event that the group has given up. It is also what is stored of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// Its position.
    pub position: u64,
    /// Its id.
    pub event_id: String,
    /// Its entity.
    pub entity_id: String,
    /// Its name.
    pub name: String,
    /// How often it was handed out.
    pub attempts: u32,
    /// `terminated` by a consumer, or `too_many_deliveries`.
    pub cause: String,
    /// Since when, in RFC 3339.
    pub at: String,
}

impl From<&DeadLetter> for DeadLetterView {
    fn from(letter: &DeadLetter) -> Self {
        let cause = match letter.cause {
            DeathCause::Terminated => "terminated",
            DeathCause::TooManyDeliveries => "too_many_deliveries",
        };
        Self {
            position: letter.position.0,
            event_id: letter.event_id.to_string(),
            entity_id: letter.entity_id.as_str().to_owned(),
            name: letter.name.as_str().to_owned(),
            attempts: letter.attempts,
            cause: cause.to_owned(),
            at: format_timestamp(letter.at),
        }
    }
}

/// POST: hand dead letters out again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayBody {
    /// Which; absent is the first [`limits::CONSUMER_REPLAYS_MAX`] that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Vec<u64>>,
}

/// How many dead letters are handed out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayResult {
    /// So many.
    pub replayed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_in_either_case_and_told_whole() {
        let text = r#"{"name":"mail","pattern":"entity:order.*","max_inflight":"5","ackDeadlineMs":1000}"#;
        let body: ConsumerGroupBody = serde_json::from_str(text).unwrap();
        let group = body.to_group(Position(7)).unwrap();
        assert_eq!((group.after, group.terms.in_flight_max), (Position(7), 5));
        let told = ConsumerGroupBody::from(&group);
        assert_eq!(told.to_group(Position(99)).unwrap(), group);
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            concat!(
                r#"{"name":"mail","pattern":"entity:order.*","afterPosition":7,"maxInFlight":5,"#,
                r#""ackDeadlineMs":1000,"maxRedeliveries":3,"redeliverDelayMs":5000,"#,
                r#""status":"active","ackMode":"auto"}"#
            )
        );
        for bad in [
            r#"{"name":"a.b","pattern":">"}"#,
            r#"{"name":"a","pattern":"x"}"#,
            r#"{"name":"a","pattern":">","maxInFlight":0}"#,
            r#"{"name":"a","pattern":">","ackDeadlineMs":1}"#,
        ] {
            let body: ConsumerGroupBody = serde_json::from_str(bad).unwrap();
            assert!(body.to_group(Position(0)).is_err(), "{bad}");
        }
    }

    #[test]
    fn verdicts_are_words_and_only_a_nak_has_a_delay() {
        let read = |text: &str| serde_json::from_str::<SettlementBody>(text).unwrap();
        let nak = read(r#"{"position":"3","verdict":"nak","delayMs":5}"#);
        let verdict = nak.verdict.verdict(nak.delay_ms).unwrap();
        assert_eq!((nak.position, verdict), (3, Verdict::Nak(Some(Duration::from_millis(5)))));
        assert_eq!(VerdictKind::Ack.verdict(None), Ok(Verdict::Ack));
        assert!(VerdictKind::Term.verdict(Some(5)).is_err());
        assert!(VerdictKind::Nak.verdict(Some(u64::MAX)).is_err());
    }
}
