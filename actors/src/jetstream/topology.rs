//! The streams in JetStream: their names, how they are kept, and what one says
//! of itself.

use std::{collections::HashMap, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};
use weir_types::{ClusterId, GroupId, Position, RecordedEvent, limits, subject_under};

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

/// The metadata of a stream that names the cluster whose events it carries.
pub const CLUSTER_KEY: &str = "weir-cluster";

/// Whose streams they are, and how they are called and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    cluster: ClusterId,
    prefix: String,
    replicas: usize,
}

impl Topology {
    /// The streams of a cluster. `prefix` is one token of a subject, in lower
    /// case: two clusters that share a NATS account differ in it.
    #[must_use]
    pub fn new(cluster: ClusterId, prefix: &str, replicas: usize) -> Self {
        Self { cluster, prefix: prefix.to_owned(), replicas }
    }

    /// What the names of streams and subjects begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a group's stream: `WEIR_1` under the usual prefix.
    #[must_use]
    pub fn stream_name(&self, group: GroupId) -> String {
        format!("{}_{group}", self.prefix.to_ascii_uppercase())
    }

    /// The subjects of a group's stream: `weir.1.>` under the usual prefix.
    #[must_use]
    pub fn subjects(&self, group: GroupId) -> String {
        format!("{}.{group}.>", self.prefix)
    }

    /// The subject of an event.
    #[must_use]
    pub fn subject(&self, group: GroupId, event: &RecordedEvent) -> String {
        subject_under(&self.prefix, group, &event.entity_type, &event.entity_id, &event.name)
    }

    /// How a group's stream is kept: on file, without limits.
    pub(crate) fn stream_config(&self, group: GroupId) -> Config {
        Config {
            name: self.stream_name(group),
            subjects: vec![self.subjects(group)],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            num_replicas: self.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_bytes: -1,
            description: Some("events of Weir, derived from its log; sequence = position".into()),
            metadata: HashMap::from([(CLUSTER_KEY.to_owned(), self.cluster.to_string())]),
            ..Config::default()
        }
    }

    /// Why a stream belongs to another cluster, if it does. One that names none
    /// may be an older version's: its events tell whose it is.
    pub(crate) fn foreign(&self, config: &Config) -> Option<String> {
        let owner = config.metadata.get(CLUSTER_KEY).filter(|owner| **owner != self.cluster.to_string())?;
        Some(format!(
            "stream {} is of the cluster {owner}, and this is {}: give one of them another cluster.nats_prefix, \
             or delete the stream if that cluster is gone",
            config.name, self.cluster
        ))
    }

    /// Why a stream of this configuration cannot carry the events of a group, if so.
    /// Operators may set limits and copies as they like.
    pub(crate) fn unfit(&self, config: &Config, group: GroupId) -> Option<String> {
        if let Some(reason) = self.foreign(config) {
            return Some(reason);
        }
        let name = self.stream_name(group);
        if config.subjects != [self.subjects(group)] {
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
    use uuid::Uuid;

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

    fn topology(cluster: u128, prefix: &str) -> Topology {
        Topology::new(ClusterId(Uuid::from_u128(cluster)), prefix, 3)
    }

    #[test]
    fn a_stream_of_another_shape_is_refused() {
        let ours = topology(1, "weir");
        let fit = ours.stream_config(GroupId(3));
        assert_eq!((fit.name.as_str(), fit.subjects.as_slice()), ("WEIR_3", &["weir.3.>".to_owned()][..]));
        assert_eq!(ours.unfit(&fit, GroupId(3)), None);
        assert_eq!(ours.unfit(&Config { max_age: DUPLICATE_WINDOW, ..fit.clone() }, GroupId(3)), None);
        assert_eq!(ours.unfit(&Config { metadata: HashMap::new(), ..fit.clone() }, GroupId(3)), None);
        for (case, bad) in [
            ("subjects", Config { subjects: vec!["weir.3.>".into(), "other".into()], ..fit.clone() }),
            ("queue", Config { retention: RetentionPolicy::WorkQueue, ..fit.clone() }),
            ("sealed", Config { sealed: true, ..fit.clone() }),
            ("mirror", Config { mirror: Some(async_nats::jetstream::stream::Source::default()), ..fit }),
        ] {
            assert!(ours.unfit(&bad, GroupId(3)).is_some(), "{case}");
        }
    }

    #[test]
    fn a_stream_of_another_cluster_is_named_with_what_to_do() {
        let (ours, theirs) = (topology(1, "weir"), topology(2, "weir"));
        let reason = ours.unfit(&theirs.stream_config(GroupId(1)), GroupId(1)).unwrap();
        for part in ["WEIR_1", "00000002", "00000001", "cluster.nats_prefix"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        let apart = topology(2, "shop-2");
        assert_eq!(
            (apart.stream_name(GroupId(1)), apart.subjects(GroupId(1))),
            ("SHOP-2_1".to_owned(), "shop-2.1.>".to_owned())
        );
    }
}
