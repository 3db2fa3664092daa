//! What a stream actor knows and how it decides.
//!
//! Invariants. `version` is that of the last append decided here, or of the
//! head if there was none; all of `durable + 1 ..= version` is in flight.
//! `recorded_at` never falls. `keys` holds every idempotency key whose append
//! is in flight, and no other for long: what is not in it is in the index.

use std::collections::{HashSet, VecDeque};

use weir_types::{
    AppendError, AppendOutcome, AppendRequest, DecidedAppend, DecidedEvent, EntityType, EventId, Idempotency,
    IdempotencyKey, StreamHead, StreamVersion, Timestamp, ports::RememberedAppend,
};

use super::digest::digest_of;

/// The folded state of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StreamState {
    version: StreamVersion,
    entity_type: Option<EntityType>,
    recorded_at: Option<Timestamp>,
    keys: HashSet<IdempotencyKey>,
    keys_by_version: VecDeque<(StreamVersion, IdempotencyKey)>,
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
}

impl StreamState {
    /// The state of a stream with this head, nothing in flight.
    pub(crate) fn at_head(head: Option<StreamHead>) -> Self {
        let Some(head) = head else { return Self::default() };
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

    /// Takes a decision into the state, before it is durable.
    pub(crate) fn accept(&mut self, append: &DecidedAppend) {
        assert_eq!(append.base, self.version, "append was decided on another state");
        assert!(!append.events.is_empty(), "append without events was decided");
        self.version = append.base.plus(append.events.len() as u64);
        self.entity_type.get_or_insert_with(|| append.entity_type.clone());
        self.recorded_at = Some(append.recorded_at);
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
    let idempotency =
        request.idempotency_key.clone().map(|key| Idempotency { digest: digest_of(request), key });
    if let Some(idempotency) = &idempotency {
        if state.keys.contains(&idempotency.key) {
            return Decision::KeyInFlight;
        }
        if let Some(known) = remembered {
            return match known.idempotency.digest == idempotency.digest {
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
    let events = request.events.iter().map(|event| DecidedEvent {
        id: next_id(),
        name: event.name.clone(),
        schema_version: event.schema_version,
        content_type: event.content_type.clone(),
        data: event.data.clone(),
        metadata: event.metadata.clone(),
        occurred_at: event.occurred_at,
        source: event.source,
    });
    Decision::Append(DecidedAppend {
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
    if !request.expected.met_by(actual) {
        return Some(AppendError::VersionConflict { expected: request.expected, actual });
    }
    None
}
