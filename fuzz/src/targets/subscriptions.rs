//! What subscribers send: patterns, cursors, and the frames of the contract.

use bytes::Bytes;
use weir_api::{
    connect::{ConsumerGroupRequest, Envelopes, JoinConsumerGroupRequest, PubSubSubscribe, SubscriptionAck},
    socket::SocketRequest,
};
use weir_types::{Cursor, Pattern, Position, limits};

use super::PARSER;
use crate::Target;

pub(super) const PATTERNS: Target = Target {
    name: "subscriptions",
    about: "a pattern, type, id and name on lines of their own; or a frame of a socket; or frames of Connect",
    run: subscriptions,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn subscriptions(data: &[u8]) {
    streamed(data);
    if let Ok(SocketRequest::Subscribe { subscription }) = serde_json::from_slice(data) {
        asked(&subscription);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, entity_type, entity_id, name) = (line(), line(), line(), line());
    matched(pattern, entity_type, entity_id, name);
    if let Ok(cursor) = pattern.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), pattern, "a cursor has one text");
    }
}

/// Frames mean the same however they are cut on their way.
fn streamed(data: &[u8]) {
    let whole = frames(&[data]);
    let (first, rest) = data.split_at(data.len() / 2);
    assert_eq!(frames(&[first, rest]), whole);
    for frame in whole.iter().map(AsRef::as_ref).chain([data]) {
        let _ = serde_json::from_slice::<SubscriptionAck>(frame);
        if let Ok(join) = serde_json::from_slice::<JoinConsumerGroupRequest>(frame) {
            let _ = join.to_name();
        }
        grouped(frame);
    }
}

/// The frames before the first that is none.
fn frames(parts: &[&[u8]]) -> Vec<Bytes> {
    let (mut envelopes, mut frames) = (Envelopes::new(limits::SOCKET_FRAME_BYTES_MAX), Vec::new());
    for part in parts {
        envelopes.push(part);
        while let Ok(Some(frame)) = envelopes.payload() {
            assert!(frame.len() <= limits::SOCKET_FRAME_BYTES_MAX);
            frames.push(frame);
        }
    }
    frames
}

fn grouped(frame: &[u8]) {
    let Ok(asked) = serde_json::from_slice::<ConsumerGroupRequest>(frame) else { return };
    if let Ok(Ok(group)) = asked.to_body().map(|body| body.to_group(Position::ZERO)) {
        group.check_limits().expect("what is taken is within the limits");
        if let Ok((_, change)) = asked.to_change()
            && let Ok(changed) = change.apply(&group)
        {
            changed.check_limits().expect("what is taken is within the limits");
            assert_eq!(changed.pattern, group.pattern);
        }
    }
}

fn asked(subscription: &PubSubSubscribe) {
    if let Ok(request) = subscription.to_request() {
        let ms = u64::try_from(request.heartbeat.as_millis()).unwrap_or(u64::MAX);
        assert!(
            (limits::SUBSCRIPTION_HEARTBEAT_MS_MIN..=limits::SUBSCRIPTION_HEARTBEAT_MS_MAX).contains(&ms)
        );
    }
}

fn matched(pattern: &str, entity_type: &str, entity_id: &str, name: &str) {
    let Ok(read) = Pattern::new(pattern) else { return };
    assert!(pattern.len() <= limits::SUBSCRIPTION_PATTERN_BYTES_MAX && read.as_str() == pattern);
    let takes = read.takes(entity_type, entity_id, name);
    // What is written out takes exactly what it says, whatever dots and wildcards the names hold.
    if let Ok(exact) = Pattern::new(&format!("entity:{entity_type}.{entity_id}.{name}")) {
        assert!(exact.takes(entity_type, entity_id, name), "{exact:?}");
    }
    if pattern.ends_with(".>") && pattern.starts_with("events:") && takes {
        assert!(read.takes(entity_type, entity_id, &format!("{name}.more")), "{read:?}");
    }
}
