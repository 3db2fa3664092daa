//! The digest of a request's content, by which the reuse of an idempotency key
//! for other content is noticed.

use weir_types::{AppendRequest, ContentType, EventSource};
use xxhash_rust::xxh3::Xxh3;

/// xxh3-64 over the entity type and the events, every field closed by its
/// length so that no two contents run into each other. The guard and the time
/// are left out: a retry may carry another expectation and means the same.
///
/// The digest is stored, so its input never changes.
pub(crate) fn digest_of(request: &AppendRequest) -> u64 {
    let mut hasher = Xxh3::new();
    field(&mut hasher, request.entity_type.as_str().as_bytes());
    for event in &request.events {
        field(&mut hasher, event.name.as_str().as_bytes());
        field(&mut hasher, &event.schema_version.to_le_bytes());
        match &event.content_type {
            ContentType::Json => field(&mut hasher, b""),
            ContentType::Other(media_type) => field(&mut hasher, media_type.as_bytes()),
        }
        field(&mut hasher, &event.data);
        field(&mut hasher, &event.metadata);
        match event.occurred_at {
            None => field(&mut hasher, b""),
            Some(at) => field(&mut hasher, &at.0.to_le_bytes()),
        }
        field(&mut hasher, &[source_byte(event.source)]);
    }
    hasher.digest()
}

fn field(hasher: &mut Xxh3, bytes: &[u8]) {
    hasher.update(bytes);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
}

fn source_byte(source: EventSource) -> u8 {
    match source {
        EventSource::Api => 0,
        EventSource::Cron => 1,
        EventSource::Webhook => 2,
        EventSource::Import => 3,
    }
}
