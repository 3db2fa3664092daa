use std::fmt::{Display, Write as _};

use jiff::fmt::temporal::DateTimePrinter;
use uuid::fmt::Hyphenated;
use weir_types::{ContentType, EventSource, RecordedEvent, Timestamp};

/// Prints times to the microsecond, as every answer has them.
const TIMES: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// An event as a handler gets it, as JSON text.
///
/// Data that is not JSON is not given: `data` is null, and `contentType` says
/// what it was. Numbers above 2^53 lose their last digits in JavaScript.
pub(crate) fn event_text(event: &RecordedEvent) -> String {
    let mut text = Text(String::with_capacity(event.data.len() + event.metadata.len() + 384));
    let mut id = [0; Hyphenated::LENGTH];
    text.quoted("{\"id\":", event.id.0.as_hyphenated().encode_lower(&mut id));
    text.escaped(",\"name\":", event.name.as_str());
    text.plain(",\"data\":", data_text(event));
    text.escaped(",\"entityId\":", event.entity_id.as_str());
    text.escaped(",\"entityType\":", event.entity_type.as_str());
    text.shown(",\"version\":", event.version);
    text.shown(",\"position\":", event.position);
    text.time(",\"timestamp\":", event.recorded_at);
    match event.occurred_at {
        Some(at) => text.time(",\"occurredAt\":", at),
        None => text.plain(",\"occurredAt\":", "null"),
    }
    text.plain(",\"metadata\":", metadata_text(event));
    text.shown(",\"schemaVersion\":", event.schema_version);
    text.quoted(",\"source\":", source_text(event.source));
    if let ContentType::Other(content_type) = &event.content_type {
        text.escaped(",\"contentType\":", content_type);
    }
    text.0.push('}');
    text.0
}

/// JSON that grows member by member; `lead` is what stands before a value. This is a large part of what a fold costs
/// besides the engine, hence without formatters where none is needed.
struct Text(String);

impl Text {
    /// A value that is JSON as it is.
    fn plain(&mut self, lead: &str, json: &str) {
        self.0.push_str(lead);
        self.0.push_str(json);
    }

    /// A value that holds nothing that would have to be escaped.
    fn quoted(&mut self, lead: &str, value: &str) {
        self.0.push_str(lead);
        self.0.push('"');
        self.0.push_str(value);
        self.0.push('"');
    }

    /// A value that may hold anything.
    fn escaped(&mut self, lead: &str, value: &str) {
        let clean = value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        if clean { self.quoted(lead, value) } else { self.shown(lead, serde_json::Value::from(value)) }
    }

    /// A value that is shown as JSON.
    fn shown(&mut self, lead: &str, value: impl Display) {
        self.0.push_str(lead);
        // A text takes all that is written to it.
        let _ = write!(self.0, "{value}");
    }

    /// A time in UTC; one that no calendar of four-digit years holds is an empty text.
    fn time(&mut self, lead: &str, at: Timestamp) {
        self.0.push_str(lead);
        self.0.push('"');
        print_time(&mut self.0, at);
        self.0.push('"');
    }
}

fn print_time(text: &mut String, at: Timestamp) {
    if let Ok(at) = jiff::Timestamp::from_microsecond(at.0) {
        // A text takes all that is written to it.
        let _ = TIMES.print_timestamp(&at, text);
    }
}

/// A time in UTC, of which later ones are greater as texts too; one that no calendar of four-digit years holds is empty.
pub(crate) fn time_text(at: Timestamp) -> String {
    let mut text = String::with_capacity(27);
    print_time(&mut text, at);
    text
}

pub(super) fn data_text(event: &RecordedEvent) -> &str {
    match event.content_type {
        ContentType::Json => std::str::from_utf8(&event.data).unwrap_or("null"),
        ContentType::Other(_) => "null",
    }
}

pub(super) fn metadata_text(event: &RecordedEvent) -> &str {
    match std::str::from_utf8(&event.metadata) {
        Ok(metadata) if !metadata.is_empty() => metadata,
        _ => "{}",
    }
}

pub(crate) fn source_text(source: EventSource) -> &'static str {
    match source {
        EventSource::Api => "api",
        EventSource::Cron => "cron",
        EventSource::Webhook => "webhook",
        EventSource::Import => "import",
    }
}
