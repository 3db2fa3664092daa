//! What a stream actor knows and how it decides.
//!
//! Invariants. `version` is that of the last append decided here, or of the
//! head if there was none; all of `durable + 1 ..= version` is in flight.
//! `recorded_at` never falls. `keys` holds every idempotency key whose append
//! is in flight, and no other for long: what is not in it is in the index.

use std::collections::{HashSet, VecDeque};

use weir_types::{
    AppendError, AppendOutcome, AppendRequest, DecidedAppend, EntityType, EventId, Idempotency,
    IdempotencyKey, Planted, StreamHead, StreamVersion, Timestamp, planted, ports::RememberedAppend,
};

use super::digest::digest_of;
use crate::transaction::decided_event;

/// The folded state of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StreamState {
    version: StreamVersion,
    entity_type: Option<EntityType>,
    recorded_at: Option<Timestamp>,
    keys: HashSet<IdempotencyKey>,
    keys_by_version: VecDeque<(StreamVersion, IdempotencyKey)>,
}

/// Where a stream stands after all that was decided of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) version: StreamVersion,
    /// `None` when it has no events.
    pub(crate) entity_type: Option<EntityType>,
    pub(crate) recorded_at: Option<Timestamp>,
}

/// What is to be done with an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Propose this.
    Append(DecidedAppend),
    /// Answer with the outcome that the key led to before.
    Repeated(AppendOutcome),
    /// An append with the same key is in flight: wait for it, then look the key up.
    KeyInFlight,
    /// Refuse. The refusal rests on all up to the stream's version, and is held
    /// until that is durable.
    Refuse(AppendError),
    /// Refuse at once: what it rests on is durable and cannot change.
    RefuseNow(AppendError),
    /// The stream does not stand where it was thought to: ask the router again.
    Moved,
}

impl StreamState {
    /// The state of a stream with this head, nothing in flight.
    pub(crate) fn at_head(head: Option<StreamHead>) -> Self {
        let Some(mut head) = head else { return Self::default() };
        if planted(Planted::HoleAfterActivation) {
            head.version = head.version.next();
        }
        Self {
            version: head.version,
            entity_type: Some(head.entity_type),
            recorded_at: Some(head.updated_at),
            ..Self::default()
        }
    }

    /// The version after all that was decided.
    pub(crate) fn version(&self) -> StreamVersion {
        self.version
    }

    /// Whether the key's outcome, if there is one, must be looked up in the index.
    pub(crate) fn must_look_up(&self, key: &IdempotencyKey) -> bool {
        self.version > StreamVersion::ZERO && !self.keys.contains(key)
    }

    /// Forgets the keys of appends up to `durable`: the index remembers them.
    pub(crate) fn settle(&mut self, durable: StreamVersion) {
        while let Some((version, _)) = self.keys_by_version.front()
            && *version <= durable
        {
            let (_, key) = self.keys_by_version.pop_front().expect("front was just seen");
            self.keys.remove(&key);
        }
    }

    /// What a decision that concerns several streams must know of this one.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            version: self.version,
            entity_type: self.entity_type.clone(),
            recorded_at: self.recorded_at,
        }
    }

    /// Takes decided events into the state, before they are durable.
    pub(crate) fn advance(
        &mut self,
        base: StreamVersion,
        events: usize,
        entity_type: &EntityType,
        recorded_at: Timestamp,
    ) {
        assert_eq!(base, self.version, "append was decided on another state");
        assert!(events > 0, "append without events was decided");
        self.version = base.plus(events as u64);
        self.entity_type.get_or_insert_with(|| entity_type.clone());
        self.recorded_at = Some(recorded_at);
    }

    /// Takes a decision into the state, before it is durable.
    pub(crate) fn accept(&mut self, append: &DecidedAppend) {
        self.advance(append.base, append.events.len(), &append.entity_type, append.recorded_at);
        if let Some(idempotency) = &append.idempotency {
            self.keys.insert(idempotency.key.clone());
            self.keys_by_version.push_back((self.version, idempotency.key.clone()));
        }
    }
}

/// Decides an append on a state. `durable` is the last durable version,
/// `remembered` is what the index says of the request's key, `now` the clock,
/// and `next_id` gives event ids.
pub(crate) fn decide(
    state: &StreamState,
    durable: StreamVersion,
    request: &AppendRequest,
    remembered: Option<&RememberedAppend>,
    now: Timestamp,
    mut next_id: impl FnMut() -> EventId,
) -> Decision {
    let idempotency = request.key().map(|key| Idempotency { digest: digest_of(request), key });
    if let Some(idempotency) = &idempotency {
        if state.keys.contains(&idempotency.key) {
            return Decision::KeyInFlight;
        }
        if let Some(known) = remembered {
            return match known.idempotency.digest == idempotency.digest || planted(Planted::KeyWithoutDigest)
            {
                true => Decision::Repeated(known.outcome.clone()),
                false => Decision::RefuseNow(AppendError::IdempotencyConflict),
            };
        }
    }
    if let Some(error) = refusal(request, state.entity_type.as_ref(), state.version) {
        let type_is_fixed = durable > StreamVersion::ZERO;
        return match error {
            AppendError::TypeConflict { .. } if type_is_fixed => Decision::RefuseNow(error),
            _ => Decision::Refuse(error),
        };
    }
    let recorded_at = state.recorded_at.map_or(now, |last| last.max(now));
    let events = request.events.iter().map(|event| decided_event(event, &mut next_id));
    Decision::Append(DecidedAppend {
        judged: None,
        entity_id: request.entity_id.clone(),
        entity_type: request.entity_type.clone(),
        base: state.version,
        idempotency,
        recorded_at,
        events: events.collect(),
    })
}

/// Whether a stream of this type and version refuses the request, and how.
pub(crate) fn refusal(
    request: &AppendRequest,
    entity_type: Option<&EntityType>,
    actual: StreamVersion,
) -> Option<AppendError> {
    if let Some(entity_type) = entity_type
        && *entity_type != request.entity_type
    {
        return Some(AppendError::TypeConflict { actual: entity_type.clone() });
    }
    if !request.expected.met_by(actual) && !planted(Planted::GuardIgnored) {
        return Some(AppendError::VersionConflict { expected: request.expected, actual });
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;
    use weir_types::{
        ContentType, EntityId, EventName, EventSource, ExpectedVersion, GroupId, NewEvent, Position,
    };

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn request(expected: Option<u64>, key: Option<&str>, data: &'static str) -> AppendRequest {
        AppendRequest {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new("order-1").unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            expected: expected.map_or(ExpectedVersion::Any, |v| ExpectedVersion::Exact(StreamVersion(v))),
            idempotency_key: key.map(|key| IdempotencyKey::new(key).unwrap()),
            events: vec![NewEvent {
                id: None,
                name: EventName::new("order.placed").unwrap(),
                schema_version: 1,
                content_type: ContentType::Json,
                data: Bytes::from_static(data.as_bytes()),
                metadata: Bytes::new(),
                occurred_at: None,
                source: EventSource::Api,
                tags: Vec::new(),
            }],
        }
    }

    fn at(version: u64, entity_type: &str, updated_at: i64) -> StreamState {
        StreamState::at_head(Some(StreamHead {
            entity_id: EntityId::new("order-1").unwrap(),
            entity_type: EntityType::new(entity_type).unwrap(),
            version: StreamVersion(version),
            first_position: Position(1),
            last_position: Position(version),
            created_at: Timestamp(0),
            updated_at: Timestamp(updated_at),
        }))
    }

    fn remembered(of: &AppendRequest) -> RememberedAppend {
        RememberedAppend {
            idempotency: Idempotency { key: of.idempotency_key.clone().unwrap(), digest: digest_of(of) },
            outcome: AppendOutcome::Repeated {
                first_version: StreamVersion(2),
                last_version: StreamVersion(2),
                first_position: Position(9),
            },
        }
    }

    fn decide_at(
        state: &StreamState,
        durable: u64,
        request: &AppendRequest,
        known: Option<&RememberedAppend>,
    ) -> Decision {
        let mut drawn = 0;
        decide(state, StreamVersion(durable), request, known, NOW, || {
            drawn += 1;
            EventId(Uuid::from_u128(drawn))
        })
    }

    #[test]
    fn the_guard_is_checked_against_what_was_decided_last() {
        for (version, expected, passes) in [
            (0, None, true),
            (0, Some(0), true),
            (0, Some(1), false),
            (5, None, true),
            (5, Some(5), true),
            (5, Some(4), false),
            (5, Some(6), false),
            (5, Some(0), false),
        ] {
            let state = if version == 0 { StreamState::default() } else { at(version, "order", 0) };
            let request = request(expected, None, "1");
            match decide_at(&state, version, &request, None) {
                Decision::Append(append) if passes => {
                    assert_eq!(append.base, StreamVersion(version), "the guard is always exact");
                    assert_eq!(append.idempotency, None);
                }
                Decision::Refuse(AppendError::VersionConflict { expected, actual }) if !passes => {
                    assert_eq!((expected, actual), (request.expected, StreamVersion(version)));
                }
                other => panic!("{version} {expected:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_type_is_fixed_once_it_is_durable_and_held_before() {
        let other = at(1, "account", 0);
        let conflict = AppendError::TypeConflict { actual: EntityType::new("account").unwrap() };
        let request = request(None, None, "1");
        assert_eq!(decide_at(&other, 1, &request, None), Decision::RefuseNow(conflict.clone()));
        assert_eq!(decide_at(&other, 0, &request, None), Decision::Refuse(conflict));
    }

    #[test]
    fn a_recorded_time_never_falls() {
        for (last, expected) in [(500, 1_000), (1_000, 1_000), (2_000, 2_000)] {
            let Decision::Append(append) =
                decide_at(&at(1, "order", last), 1, &request(None, None, "1"), None)
            else {
                panic!("an append without guard is decided")
            };
            assert_eq!(append.recorded_at, Timestamp(expected));
        }
    }

    #[test]
    fn a_key_decides_before_guard_and_type() {
        let first = request(Some(1), Some("k"), "1");
        let known = remembered(&first);
        let state = at(2, "account", 0);
        for (case, again, decision) in [
            ("same content", request(Some(1), Some("k"), "1"), Decision::Repeated(known.outcome.clone())),
            ("another guard", request(None, Some("k"), "1"), Decision::Repeated(known.outcome.clone())),
            (
                "other content",
                request(Some(2), Some("k"), "2"),
                Decision::RefuseNow(AppendError::IdempotencyConflict),
            ),
        ] {
            assert_eq!(decide_at(&state, 2, &again, Some(&known)), decision, "{case}");
        }
    }

    #[test]
    fn a_key_in_flight_is_waited_for_and_forgotten_when_durable() {
        let mut state = StreamState::default();
        let key = IdempotencyKey::new("k").unwrap();
        assert!(!state.must_look_up(&key), "a stream without events has no keys");
        let Decision::Append(append) = decide_at(&state, 0, &request(Some(0), Some("k"), "1"), None) else {
            panic!("the first is decided")
        };
        state.accept(&append);
        assert_eq!(state.version(), StreamVersion(1));
        assert_eq!(decide_at(&state, 0, &request(None, Some("k"), "2"), None), Decision::KeyInFlight);
        assert!(!state.must_look_up(&key));
        state.settle(StreamVersion(0));
        assert!(!state.must_look_up(&key), "nothing is durable yet");
        state.settle(StreamVersion(1));
        assert!(state.must_look_up(&key), "the index knows it now");
    }

    #[test]
    fn the_next_append_is_decided_on_the_last_one_in_flight() {
        let mut state = StreamState::default();
        for version in 0..3 {
            let Decision::Append(append) = decide_at(&state, 0, &request(Some(version), None, "1"), None)
            else {
                panic!("version {version} is decided")
            };
            assert_eq!(append.events.len(), 1);
            state.accept(&append);
        }
        assert_eq!(state.version(), StreamVersion(3));
    }

    #[test]
    fn the_digest_tells_contents_apart_and_never_changes() {
        let plain = request(None, Some("k"), "1");
        assert_eq!(digest_of(&plain), digest_of(&request(Some(4), Some("other"), "1")));
        let changes: Vec<fn(&mut AppendRequest)> = vec![
            |r| r.entity_type = EntityType::new("orde").unwrap(),
            |r| r.events[0].data = Bytes::from_static(b"2"),
            |r| r.events[0].metadata = Bytes::from_static(b"1"),
            |r| r.events[0].schema_version = 2,
            |r| r.events[0].occurred_at = Some(Timestamp(0)),
            |r| r.events[0].source = EventSource::Import,
            |r| r.events[0].content_type = ContentType::Other("text/plain".into()),
            |r| r.events.push(r.events[0].clone()),
        ];
        let mut seen = std::collections::HashSet::from([digest_of(&plain)]);
        for change in changes {
            let mut changed = plain.clone();
            change(&mut changed);
            assert!(seen.insert(digest_of(&changed)), "{changed:?}");
        }
        for metadata in ["", r#"{"a":1}"#] {
            let (mut first, mut again) = (plain.clone(), plain.clone());
            first.events[0].metadata = Bytes::from_static(metadata.as_bytes());
            let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let trace = weir_types::TraceContext::read(parent, ["a=1"]).unwrap();
            again.events[0].metadata = trace.put_in(metadata.as_bytes());
            assert_eq!(digest_of(&first), digest_of(&again), "a retry has another trace");
        }
        assert_eq!(digest_of(&plain), DIGEST_OF_FORMAT_1, "stored digests would not match");
    }

    /// Computed once, when the format was fixed.
    const DIGEST_OF_FORMAT_1: u64 = 3_755_062_181_602_954_702;
}
