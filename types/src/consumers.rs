//! Consumer groups: what is asked of them, and what they say of an event.
//!
//! A consumer group hands the events of a pattern to whoever asks in its name,
//! each until one of them says that it is done with it.

use std::time::Duration;

use crate::{EntityId, EventId, EventName, FilterText, Pattern, Position, Timestamp, id, limits};

id::name!(
    /// The name of a consumer group: ASCII letters, digits, `_` and `-`, 1 to 128 of them.
    ConsumerGroupName, "consumer group name", limits::CONSUMER_GROUP_NAME_BYTES_MAX, id::Allowed::NARROW
);

/// A consumer group. Its name, its pattern and where it begins never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Its name.
    pub name: ConsumerGroupName,
    /// Which events it hands out.
    pub pattern: Pattern,
    /// Which of them; all without it.
    pub filter: Option<FilterText>,
    /// What it is for; empty when nobody said.
    pub description: String,
    /// It begins after this position.
    pub after: Position,
    /// How it hands them out.
    pub terms: ConsumerTerms,
    /// Whether it hands out any.
    pub status: ConsumerStatus,
    /// What settles an event that was handed to who joined the group and cannot answer.
    pub ack_mode: AckMode,
}

/// Whether a consumer group hands out events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumerStatus {
    /// It does.
    #[default]
    Active,
    /// It hands out none until it is resumed. It takes verdicts, and keeps what it knows.
    Paused,
}

/// What settles an event that a stream is sent which takes no verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// That it is sent.
    #[default]
    Auto,
    /// A verdict, which comes another way.
    Manual,
}

/// How a consumer group hands out events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerTerms {
    /// Events that are with consumers at once: 1 to [`limits::CONSUMER_IN_FLIGHT_MAX`].
    pub in_flight_max: u32,
    /// How long a consumer has for an event before it is handed out again.
    pub ack_deadline: Duration,
    /// How often an event is handed out again before it is dead: 0 to [`limits::CONSUMER_REDELIVERIES_MAX`].
    pub redeliveries_max: u32,
    /// How long an event rests after a `nak` that names no delay.
    pub redeliver_delay: Duration,
}

impl Default for ConsumerTerms {
    fn default() -> Self {
        Self {
            in_flight_max: limits::CONSUMER_IN_FLIGHT_DEFAULT,
            ack_deadline: Duration::from_millis(limits::CONSUMER_ACK_DEADLINE_MS_DEFAULT),
            redeliveries_max: limits::CONSUMER_REDELIVERIES_DEFAULT,
            redeliver_delay: Duration::from_millis(limits::CONSUMER_REDELIVER_DELAY_MS_DEFAULT),
        }
    }
}

/// A consumer group that is not legal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConsumerGroupError(String);

impl ConsumerGroup {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`ConsumerGroupError`] naming the limit.
    pub fn check_limits(&self) -> Result<(), ConsumerGroupError> {
        let Self { terms, description, .. } = self;
        let refuse = |what: String| Err(ConsumerGroupError(what));
        if description.len() > limits::KV_DESCRIPTION_BYTES_MAX {
            return refuse(format!("description has over {} bytes", limits::KV_DESCRIPTION_BYTES_MAX));
        }
        if !(1..=limits::CONSUMER_IN_FLIGHT_MAX).contains(&terms.in_flight_max) {
            return refuse(format!("maxInFlight is not within 1 and {}", limits::CONSUMER_IN_FLIGHT_MAX));
        }
        if terms.redeliveries_max > limits::CONSUMER_REDELIVERIES_MAX {
            return refuse(format!("maxRedeliveries is over {}", limits::CONSUMER_REDELIVERIES_MAX));
        }
        let (min, max) = (limits::CONSUMER_ACK_DEADLINE_MS_MIN, limits::CONSUMER_ACK_DEADLINE_MS_MAX);
        if !(u128::from(min)..=u128::from(max)).contains(&terms.ack_deadline.as_millis()) {
            return refuse(format!("ackDeadlineMs is not within {min} and {max}"));
        }
        if terms.redeliver_delay.as_millis() > u128::from(limits::CONSUMER_REDELIVER_DELAY_MS_MAX) {
            return refuse(format!("redeliverDelayMs is over {}", limits::CONSUMER_REDELIVER_DELAY_MS_MAX));
        }
        Ok(())
    }
}

/// What a consumer says of an event that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with it.
    Ack,
    /// It could not do it: the event is handed out again, after this delay or the group's.
    Nak(Option<Duration>),
    /// Nobody can do it: the event is dead at once.
    Term,
    /// It did not look at it: the event is handed out again at once, and this delivery does not count.
    Release,
}

/// What became of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// The event is settled, on a quorum: it is not handed out again.
    Settled,
    /// It was settled before.
    AlreadySettled,
    /// The event is handed out again.
    Redelivers,
    /// The event is among the dead letters.
    Dead,
    /// The verdict is about an earlier delivery than the newest, and was not taken.
    Stale,
    /// The event is not with a consumer of the group.
    NotDelivered,
}

/// Why an event is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeathCause {
    /// A consumer said so.
    Terminated,
    /// It was handed out as often as the group allows.
    TooManyDeliveries,
}

/// An event that the group has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub event_id: EventId,
    /// Its entity.
    pub entity_id: EntityId,
    /// Its name.
    pub name: EventName,
    /// How often it was handed out.
    pub attempts: u32,
    /// Why it is dead.
    pub cause: DeathCause,
    /// Since when.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_within_its_limits_is_legal_and_any_other_is_not() {
        let plain = ConsumerGroup {
            name: ConsumerGroupName::new("mail").unwrap(),
            pattern: Pattern::everything(),
            filter: None,
            description: String::new(),
            after: Position::ZERO,
            terms: ConsumerTerms::default(),
            status: ConsumerStatus::Active,
            ack_mode: AckMode::Auto,
        };
        assert_eq!(plain.check_limits(), Ok(()));
        let ms = Duration::from_millis;
        let terms = ConsumerTerms::default();
        for bad in [
            ConsumerTerms { in_flight_max: 0, ..terms },
            ConsumerTerms { in_flight_max: limits::CONSUMER_IN_FLIGHT_MAX + 1, ..terms },
            ConsumerTerms { redeliveries_max: limits::CONSUMER_REDELIVERIES_MAX + 1, ..terms },
            ConsumerTerms { ack_deadline: ms(limits::CONSUMER_ACK_DEADLINE_MS_MIN - 1), ..terms },
            ConsumerTerms { ack_deadline: ms(limits::CONSUMER_ACK_DEADLINE_MS_MAX + 1), ..terms },
            ConsumerTerms { redeliver_delay: ms(limits::CONSUMER_REDELIVER_DELAY_MS_MAX + 1), ..terms },
        ] {
            assert!(ConsumerGroup { terms: bad, ..plain.clone() }.check_limits().is_err(), "{bad:?}");
        }
        for bad in ["", "a.b", "a b", "a/b", "é"] {
            assert!(ConsumerGroupName::new(bad).is_err(), "{bad}");
        }
    }
}
