//! The digest of a request's content, by which the reuse of an idempotency key
//! for other content is noticed.

use weir_types::{
    AppendRequest, ContentType, EntityType, EventSource, NewEvent, TransactionRequest, untraced,
};
use xxhash_rust::xxh3::Xxh3;

/// xxh3-64 over the entity type and the events, every field closed by its
/// length so that no two contents run into each other. The guard and the time
/// are left out: a retry may carry another expectation and means the same. So is
/// the trace that metadata begins with: a retry is another call.
///
/// The digest is stored, so its input never changes.
pub(crate) fn digest_of(request: &AppendRequest) -> u64 {
    let mut hasher = Xxh3::new();
    append(&mut hasher, &request.entity_type, &request.events);
    hasher.digest()
}

/// As [`digest_of`], over all streams that a transaction writes. Its checks and
/// conditions are left out as a guard is.
pub(crate) fn digest_of_transaction(request: &TransactionRequest) -> u64 {
    let mut hasher = Xxh3::new();
    // No entity type begins so: an append is no transaction with one stream.
    field(&mut hasher, b"\0transaction");
    for part in &request.appends {
        field(&mut hasher, part.entity_id.as_str().as_bytes());
        field(&mut hasher, &(part.events.len() as u64).to_le_bytes());
        append(&mut hasher, &part.entity_type, &part.events);
    }
    hasher.digest()
}

fn append(hasher: &mut Xxh3, entity_type: &EntityType, events: &[NewEvent]) {
    field(hasher, entity_type.as_str().as_bytes());
    for event in events {
        field(hasher, event.name.as_str().as_bytes());
        field(hasher, &event.schema_version.to_le_bytes());
        match &event.content_type {
            ContentType::Json => field(hasher, b""),
            ContentType::Other(media_type) => field(hasher, media_type.as_bytes()),
        }
        field(hasher, &event.data);
        parts(hasher, &untraced(&event.metadata));
        match event.occurred_at {
            None => field(hasher, b""),
            Some(at) => field(hasher, &at.0.to_le_bytes()),
        }
        field(hasher, &[source_byte(event.source)]);
        extras(hasher, event);
    }
}

/// What most events have not, marked as no name can be.
fn extras(hasher: &mut Xxh3, event: &NewEvent) {
    if let Some(id) = event.id {
        field(hasher, b"\0id");
        field(hasher, id.0.as_bytes());
    }
    for tag in &event.tags {
        field(hasher, b"\0tag");
        field(hasher, tag.as_str().as_bytes());
    }
}

fn field(hasher: &mut Xxh3, bytes: &[u8]) {
    parts(hasher, &[bytes]);
}

/// One field, in parts.
fn parts(hasher: &mut Xxh3, parts: &[&[u8]]) {
    parts.iter().for_each(|part| hasher.update(part));
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    hasher.update(&(bytes as u64).to_le_bytes());
}

fn source_byte(source: EventSource) -> u8 {
    match source {
        EventSource::Api => 0,
        EventSource::Cron => 1,
        EventSource::Webhook => 2,
        EventSource::Import => 3,
    }
}
