use serde_json::Value;
use weir_types::{ContentType, EventSource, RecordedEvent, Timestamp};

/// An event as a handler gets it, as JSON text.
///
/// Data that is not JSON is not given: `data` is null, and `contentType` says
/// what it was. Numbers above 2^53 lose their last digits in JavaScript.
pub(crate) fn event_text(event: &RecordedEvent) -> String {
    let mut text = String::with_capacity(event.data.len() + event.metadata.len() + 384);
    text.push_str("{\"id\":\"");
    text.push_str(&event.id.to_string());
    text.push('"');
    field(&mut text, "name", event.name.as_str());
    raw(&mut text, "data", data_text(event));
    field(&mut text, "entityId", event.entity_id.as_str());
    field(&mut text, "entityType", event.entity_type.as_str());
    raw(&mut text, "version", &event.version.to_string());
    raw(&mut text, "position", &event.position.to_string());
    field(&mut text, "timestamp", &rfc3339(event.recorded_at));
    match event.occurred_at {
        Some(at) => field(&mut text, "occurredAt", &rfc3339(at)),
        None => raw(&mut text, "occurredAt", "null"),
    }
    raw(&mut text, "metadata", metadata_text(event));
    raw(&mut text, "schemaVersion", &event.schema_version.to_string());
    field(&mut text, "source", source_text(event.source));
    if let ContentType::Other(content_type) = &event.content_type {
        field(&mut text, "contentType", content_type);
    }
    text.push('}');
    text
}

fn raw(text: &mut String, name: &str, json: &str) {
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":");
    text.push_str(json);
}

fn field(text: &mut String, name: &str, value: &str) {
    raw(text, name, &Value::from(value).to_string());
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

/// A time in UTC with as many digits of a second as it has; a time that no
/// calendar of four-digit years holds is an empty text.
fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map(|at| at.to_string()).unwrap_or_default()
}
