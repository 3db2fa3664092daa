use std::fmt::{Display, Write as _};

use weir_types::{ContentType, EventSource, RecordedEvent, Timestamp};

/// An event as a handler gets it, as JSON text.
///
/// Data that is not JSON is not given: `data` is null, and `contentType` says
/// what it was. Numbers above 2^53 lose their last digits in JavaScript.
pub(crate) fn event_text(event: &RecordedEvent) -> String {
    let mut text = String::with_capacity(event.data.len() + event.metadata.len() + 384);
    text.push('{');
    quoted(&mut text, "id", event.id);
    escaped(&mut text, "name", event.name.as_str());
    plain(&mut text, "data", data_text(event));
    escaped(&mut text, "entityId", event.entity_id.as_str());
    escaped(&mut text, "entityType", event.entity_type.as_str());
    plain(&mut text, "version", event.version);
    plain(&mut text, "position", event.position);
    quoted(&mut text, "timestamp", Rfc3339(event.recorded_at));
    match event.occurred_at {
        Some(at) => quoted(&mut text, "occurredAt", Rfc3339(at)),
        None => plain(&mut text, "occurredAt", "null"),
    }
    plain(&mut text, "metadata", metadata_text(event));
    plain(&mut text, "schemaVersion", event.schema_version);
    quoted(&mut text, "source", source_text(event.source));
    if let ContentType::Other(content_type) = &event.content_type {
        escaped(&mut text, "contentType", content_type);
    }
    text.push('}');
    text
}

/// A member whose value is JSON as it is written.
fn plain(text: &mut String, name: &str, json: impl Display) {
    let comma = if text.ends_with('{') { "" } else { "," };
    // A text takes all that is written to it.
    let _ = write!(text, "{comma}\"{name}\":{json}");
}

/// A member whose value is written without anything that would have to be escaped.
fn quoted(text: &mut String, name: &str, value: impl Display) {
    plain(text, name, format_args!("\"{value}\""));
}

/// A member whose value may hold anything.
fn escaped(text: &mut String, name: &str, value: &str) {
    let clean = value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if clean { quoted(text, name, value) } else { plain(text, name, serde_json::Value::from(value)) }
}

fn data_text(event: &RecordedEvent) -> &str {
    match event.content_type {
        ContentType::Json => std::str::from_utf8(&event.data).unwrap_or("null"),
        ContentType::Other(_) => "null",
    }
}

fn metadata_text(event: &RecordedEvent) -> &str {
    match std::str::from_utf8(&event.metadata) {
        Ok(metadata) if !metadata.is_empty() => metadata,
        _ => "{}",
    }
}

fn source_text(source: EventSource) -> &'static str {
    match source {
        EventSource::Api => "api",
        EventSource::Cron => "cron",
        EventSource::Webhook => "webhook",
        EventSource::Import => "import",
    }
}

/// A time in UTC to the microsecond, as every answer has it; a time that no
/// calendar of four-digit years holds is an empty text.
struct Rfc3339(Timestamp);

impl Display for Rfc3339 {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        jiff::Timestamp::from_microsecond(self.0.0).map_or(Ok(()), |at| write!(out, "{at:.6}"))
    }
}
