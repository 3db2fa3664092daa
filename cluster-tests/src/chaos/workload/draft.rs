//! An append to be: what goes to a stream, and the marks by which it is found again.

use anyhow::Result;
use serde_json::{Value, json};
use weir_check::history::{Call, Expected};
use weir_client::Append;
use weir_types::AppendRequest;

/// An append. It can be sent again, as it is, to anybody.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) stream: String,
    /// The entity's type.
    pub(super) kind: String,
    pub(super) expected: Expected,
    pub(super) key: Option<String>,
    pub(super) events: Vec<DraftEvent>,
}

/// One event of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DraftEvent {
    pub(super) name: String,
    pub(super) mark: String,
    /// An object, which gets the mark as `op`.
    pub(super) data: Value,
    /// Fields of an event that REST takes beside them: an object, or nothing.
    pub(super) more: Value,
}

impl DraftEvent {
    /// An event with nothing but its mark.
    pub(super) fn new(name: &str, mark: &str) -> Self {
        Self { name: name.to_owned(), mark: mark.to_owned(), data: json!({}), more: Value::Null }
    }

    fn rest(&self) -> Value {
        let mut event = json!({ "name": self.name, "data": self.marked() });
        for (field, value) in self.more.as_object().into_iter().flatten() {
            event[field] = value.clone();
        }
        event
    }

    fn marked(&self) -> Value {
        let mut data = self.data.clone();
        data["op"] = json!(self.mark);
        data
    }
}

impl Draft {
    /// An unguarded append without a key, of events that carry nothing but their marks.
    pub(super) fn new(stream: &str, kind: &str, marks: &[String]) -> Self {
        let name = format!("{kind}.written");
        Self {
            stream: stream.to_owned(),
            kind: kind.to_owned(),
            expected: Expected::Any,
            key: None,
            events: marks.iter().map(|mark| DraftEvent::new(&name, mark)).collect(),
        }
    }

    pub(super) fn guarded(mut self, version: u64) -> Self {
        self.expected = Expected::Exact(version);
        self
    }

    pub(super) fn keyed(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// More data in its only or first event.
    pub(super) fn with(mut self, data: Value) -> Self {
        self.events[0].data = data;
        self
    }

    /// As the history names it.
    pub(super) fn call(&self, node: u64) -> Call {
        Call::Append {
            stream: self.stream.clone(),
            expected: self.expected,
            key: self.key.clone(),
            marks: self.events.iter().map(|event| event.mark.clone()).collect(),
            node,
        }
    }

    /// As REST takes it.
    pub(super) fn rest(&self) -> Value {
        let events: Vec<Value> = self.events.iter().map(DraftEvent::rest).collect();
        let mut body = json!({ "entityType": self.kind, "expectedVersion": self.number(), "events": events });
        if let Some(key) = &self.key {
            body["idempotencyKey"] = json!(key);
        }
        body
    }

    /// As Connect takes it, which is one event.
    pub(super) fn connect(&self) -> Value {
        let event = &self.events[0];
        json!({
            "entityId": self.stream,
            "entityType": self.kind,
            "eventName": event.name,
            "data": event.marked(),
            "expectedVersion": self.number(),
            "idempotencyKey": self.key.as_deref().unwrap_or_default(),
        })
    }

    /// As a session takes it.
    ///
    /// # Errors
    /// When a name is not legal.
    pub(super) fn request(&self) -> Result<AppendRequest> {
        let mut append = Append::to(&self.stream, &self.kind);
        if let Expected::Exact(version) = self.expected {
            append = append.expect_version(version);
        }
        if let Some(key) = &self.key {
            append = append.idempotency_key(key);
        }
        for event in &self.events {
            append = append.event(&event.name, &event.marked());
        }
        let mut request = append.build()?;
        // The builder makes a key of its own, by which a repeat would be known: here none is none.
        if self.key.is_none() {
            request.idempotency_key = None;
        }
        Ok(request)
    }

    fn number(&self) -> i64 {
        match self.expected {
            Expected::Any => -1,
            Expected::Exact(version) => i64::try_from(version).unwrap_or(i64::MAX),
        }
    }
}
