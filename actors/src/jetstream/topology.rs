//! The streams in JetStream: their names, how they are kept, and what one says
//! of itself.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};
use weir_types::{GroupId, Position};

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

/// What a stream in JetStream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) messages: u64,
    pub(crate) last_sequence: u64,
}

/// The last position that a stream holds. `last` are the headers of the message
/// at its last sequence; `None` when that message was trimmed or deleted, which
/// leaves the sequence as the only witness.
///
/// # Errors
/// In words, when the stream holds what no outbox published.
pub(crate) fn held(holding: Holding, last: Option<&HeaderMap>) -> Result<Position, String> {
    let Holding { messages, last_sequence } = holding;
    if last_sequence == 0 || messages == 0 {
        return Ok(Position(last_sequence));
    }
    let Some(headers) = last else { return Ok(Position(last_sequence)) };
    match position_of(headers) {
        None => Err(format!("message {last_sequence} is not from an outbox")),
        Some(position) if position.0 != last_sequence => {
            Err(format!("message {last_sequence} holds position {position}"))
        }
        Some(position) => Ok(position),
    }
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
    fn a_stream_is_ours_only_if_its_last_message_says_so() {
        let (ours, wrong, alien) = (headers("7"), headers("8"), HeaderMap::new());
        let garbled = headers("seven");
        for (case, messages, last_sequence, last, expected) in [
            ("fresh", 0, 0, None, Some(0)),
            ("filled", 7, 7, Some(&ours), Some(7)),
            ("trimmed from its start", 2, 7, Some(&ours), Some(7)),
            ("purged", 0, 7, None, Some(7)),
            ("its last message deleted", 6, 7, None, Some(7)),
            ("another's message", 7, 7, Some(&alien), None),
            ("a position in words", 7, 7, Some(&garbled), None),
            ("position and sequence apart", 7, 7, Some(&wrong), None),
        ] {
            let held = held(Holding { messages, last_sequence }, last);
            assert_eq!(held.ok(), expected.map(Position), "{case}");
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
