//! A call's trace context in the metadata of the events that it brings.

use std::{borrow::Cow, collections::HashMap};

use serde::de::IgnoredAny;
use weir_types::{NewEvent, TraceContext, limits};

/// Members of metadata by which a client says itself which trace an event belongs to.
const OWN: [&str; 3] = ["traceparent", "tracestate", "traceId"];

/// Gives events the trace context of the call that brings them: the first members of their metadata are `traceparent`
/// and, where there is one, `tracestate`. An event whose metadata names a trace keeps its own, and one whose metadata
/// has no room is left as it is; so are all of them when they would be more than one append may bring, `room` bytes.
pub fn give_trace<'a>(
    context: &TraceContext,
    events: impl IntoIterator<Item = &'a mut NewEvent>,
    mut room: usize,
) {
    let mut traced = Vec::new();
    for event in events {
        let metadata = context.put_in(&event.metadata);
        let more = metadata.len() - event.metadata.len();
        if metadata.len() > limits::METADATA_BYTES_MAX || has_its_own(&event.metadata) {
            continue;
        }
        match room.checked_sub(more) {
            Some(left) => room = left,
            None => return,
        }
        traced.push((event, metadata));
    }
    for (event, metadata) in traced {
        event.metadata = metadata;
    }
}

fn has_its_own(metadata: &[u8]) -> bool {
    if metadata.is_empty() {
        return false;
    }
    let members: Result<HashMap<Cow<'_, str>, IgnoredAny>, _> = serde_json::from_slice(metadata);
    members.map_or(true, |members| OWN.iter().any(|own| members.contains_key(*own)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::{ContentType, EventName, EventSource};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn event(metadata: &str) -> NewEvent {
        NewEvent {
            id: None,
            name: EventName::new("n").unwrap(),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(b"{}"),
            metadata: Bytes::from(metadata.to_owned()),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }
    }

    #[test]
    fn an_event_that_names_a_trace_keeps_its_own() {
        let context = TraceContext::read(PARENT, ["a=1"]).unwrap();
        let trace = format!("\"traceparent\":\"{PARENT}\",\"tracestate\":\"a=1\"");
        for (given, kept) in [
            ("", format!("{{{trace}}}")),
            (r#"{"tenantId":"t"}"#, format!(r#"{{{trace},"tenantId":"t"}}"#)),
            (r#"{"a":{"traceId":"inside"}}"#, format!(r#"{{{trace},"a":{{"traceId":"inside"}}}}"#)),
            (r#"{"traceId":"mine"}"#, r#"{"traceId":"mine"}"#.to_owned()),
            (r#"{"a":1,"\u0074raceparent":"mine"}"#, r#"{"a":1,"\u0074raceparent":"mine"}"#.to_owned()),
        ] {
            let mut events = [event(given)];
            give_trace(&context, &mut events, usize::MAX);
            assert_eq!(events[0].metadata, kept);
            assert!(serde_json::from_slice::<serde_json::Value>(&events[0].metadata).is_ok());
        }
    }

    #[test]
    fn a_trace_never_makes_an_append_too_large() {
        let context = TraceContext::read(PARENT, []).unwrap();
        let more = context.put_in(b"").len();
        let mut events = vec![event(""); 3];
        give_trace(&context, &mut events, 3 * more - 1);
        assert_eq!(events, vec![event(""); 3]);
        give_trace(&context, &mut events, 3 * more);
        assert!(events.iter().all(|event| event.metadata.len() == more));
        let full = format!("{{\"a\":\"{}\"}}", "x".repeat(limits::METADATA_BYTES_MAX - 10));
        let mut events = [event(&full), event("")];
        give_trace(&context, &mut events, usize::MAX);
        assert_eq!((events[0].metadata.len(), events[1].metadata.len()), (full.len(), more));
    }
}
