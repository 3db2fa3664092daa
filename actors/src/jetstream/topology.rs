//! The streams in JetStream: their names, how they are kept, and what one says
//! of itself.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};
use weir_types::{GroupId, Position, limits};

/// The header that holds the event's position, equal to the message's sequence.
pub const POSITION_HEADER: &str = "Weir-Position";
/// The header that holds the event's id.
pub const EVENT_ID_HEADER: &str = "Weir-Event-Id";
/// The header that holds the version of the body's format.
pub const FORMAT_HEADER: &str = "Weir-Format";
/// The version of the body's format.
pub const FORMAT: &str = "1";

/// How long NATS remembers message ids. Only a saving: order and uniqueness
/// rest on the expected sequence.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The name of a group's stream.
#[must_use]
pub fn stream_name(group: GroupId) -> String {
    format!("WEIR_{group}")
}

/// The subjects of a group's stream.
#[must_use]
pub fn stream_subjects(group: GroupId) -> String {
    format!("weir.{group}.>")
}

/// How a group's stream is kept: on file, without limits.
pub(crate) fn stream_config(group: GroupId, replicas: usize) -> Config {
    Config {
        name: stream_name(group),
        subjects: vec![stream_subjects(group)],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        num_replicas: replicas,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        description: Some("events of Weir, derived from its log; sequence = position".into()),
        ..Config::default()
    }
}

/// Why a stream of this configuration cannot carry the events of a group, if so.
/// Operators may set limits and copies as they like.
pub(crate) fn unfit(config: &Config, group: GroupId) -> Option<String> {
    let name = stream_name(group);
    if config.subjects != [stream_subjects(group)] {
        return Some(format!("stream {name} takes the subjects {:?}", config.subjects));
    }
    if config.mirror.is_some() || config.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
        return Some(format!("stream {name} is fed by other streams"));
    }
    if config.retention != RetentionPolicy::Limits {
        return Some(format!("stream {name} drops messages that were consumed"));
    }
    if config.max_message_size > 0 {
        return Some(format!("stream {name} limits the size of messages"));
    }
    if config.sealed || config.no_ack {
        return Some(format!("stream {name} is sealed or does not acknowledge"));
    }
    None
}

/// Whether the message at a sequence is what an outbox published there. `None`
/// is a message that was trimmed or deleted: sequences stay, so it is no hole.
///
/// # Errors
/// In words, when it is not.
pub(crate) fn vouch(sequence: u64, message: Option<&HeaderMap>) -> Result<(), String> {
    let Some(headers) = message else { return Ok(()) };
    match position_of(headers) {
        None => Err(format!("message {sequence} is not from an outbox")),
        Some(position) if position.0 != sequence => {
            Err(format!("message {sequence} holds position {position}"))
        }
        Some(_) => Ok(()),
    }
}

/// The sequences that nobody has vouched for: those after `verified`, as far
/// back as a publisher may have got without hearing what became of them.
pub(crate) fn unverified(verified: Position, held: Position) -> std::ops::RangeInclusive<u64> {
    let oldest = held.0.saturating_sub(limits::OUTBOX_BATCH_MAX as u64);
    verified.0.max(oldest) + 1..=held.0
}

/// The position that a message's headers name.
#[must_use]
pub fn position_of(headers: &HeaderMap) -> Option<Position> {
    headers.get(POSITION_HEADER)?.as_str().parse().ok().map(Position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(position: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(POSITION_HEADER, position);
        headers
    }

    #[test]
    fn a_message_is_ours_only_if_it_says_so() {
        for (case, message, ours) in [
            ("ours", Some(headers("7")), true),
            ("trimmed", None, true),
            ("another's message", Some(HeaderMap::new()), false),
            ("a position in words", Some(headers("seven")), false),
            ("position and sequence apart", Some(headers("8")), false),
        ] {
            assert_eq!(vouch(7, message.as_ref()).is_ok(), ours, "{case}");
        }
    }

    #[test]
    fn only_what_may_be_the_last_batch_is_verified_again() {
        for (verified, held, sequences) in [
            (0, 0, (1, 0)),
            (0, 3, (1, 3)),
            (3, 3, (4, 3)),
            (3, 5, (4, 5)),
            (0, 10_000, (9_501, 10_000)),
            (9_900, 10_000, (9_901, 10_000)),
        ] {
            assert_eq!(unverified(Position(verified), Position(held)).into_inner(), sequences);
        }
    }

    #[test]
    fn a_stream_of_another_shape_is_refused() {
        let fit = stream_config(GroupId(3), 3);
        assert_eq!(unfit(&fit, GroupId(3)), None);
        assert_eq!(unfit(&Config { max_age: DUPLICATE_WINDOW, ..fit.clone() }, GroupId(3)), None);
        for (case, bad) in [
            ("subjects", Config { subjects: vec!["weir.3.>".into(), "other".into()], ..fit.clone() }),
            ("queue", Config { retention: RetentionPolicy::WorkQueue, ..fit.clone() }),
            ("sealed", Config { sealed: true, ..fit.clone() }),
            ("mirror", Config { mirror: Some(async_nats::jetstream::stream::Source::default()), ..fit }),
        ] {
            assert!(unfit(&bad, GroupId(3)).is_some(), "{case}");
        }
    }
}
