//! The decision of a transaction on where its streams stand.

use weir_types::{
    DecidedAppend, DecidedEvent, DecidedTransaction, EventId, Idempotency, NewEvent, StreamAppend, Timestamp,
    TransactionRequest,
};

use crate::stream::{digest::digest_of_transaction, state::Standing};

/// What is to be proposed, or `None` when a guard of a written stream does not
/// hold. `standings` are of the streams that are written, in their order. The
/// recorded time is one for all of it, and falls in none of its streams.
pub(crate) fn decide(
    request: &TransactionRequest,
    standings: &[&Standing],
    now: Timestamp,
    next_id: impl FnMut() -> EventId,
) -> Option<DecidedTransaction> {
    assert_eq!(request.appends.len(), standings.len(), "each written stream stands somewhere");
    let mut parts = request.appends.iter().zip(standings);
    parts
        .all(|(append, standing)| meets(append, standing))
        .then(|| decide_on(request, standings, now, next_id))
}

/// The same, whether its guards hold or not.
pub(super) fn decide_on(
    request: &TransactionRequest,
    standings: &[&Standing],
    now: Timestamp,
    mut next_id: impl FnMut() -> EventId,
) -> DecidedTransaction {
    let parts = request.appends.iter().zip(standings);
    let latest = standings.iter().filter_map(|standing| standing.recorded_at).max();
    let recorded_at = latest.map_or(now, |latest| latest.max(now));
    let appends = parts.map(|(append, standing)| DecidedAppend {
        judged: None,
        entity_id: append.entity_id.clone(),
        entity_type: append.entity_type.clone(),
        base: standing.version,
        idempotency: None,
        recorded_at,
        events: append.events.iter().map(|event| decided_event(event, &mut next_id)).collect(),
    });
    let digest = |key| Idempotency { key, digest: digest_of_transaction(request) };
    DecidedTransaction {
        appends: appends.collect(),
        idempotency: request.key().map(digest),
        recorded_at,
        checks: request.checks.clone(),
        conditions: request.conditions.clone(),
    }
}

fn meets(append: &StreamAppend, standing: &Standing) -> bool {
    let of_type = standing.entity_type.as_ref().is_none_or(|found| *found == append.entity_type);
    of_type && append.expected.met_by(standing.version)
}

/// An event with its id: the client's, or the next one.
pub(crate) fn decided_event(event: &NewEvent, next_id: &mut impl FnMut() -> EventId) -> DecidedEvent {
    DecidedEvent {
        id: event.id.unwrap_or_else(next_id),
        name: event.name.clone(),
        schema_version: event.schema_version,
        content_type: event.content_type.clone(),
        data: event.data.clone(),
        metadata: event.metadata.clone(),
        occurred_at: event.occurred_at,
        source: event.source,
        tags: event.tags.clone(),
    }
}
