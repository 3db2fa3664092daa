//! What subscribers send: patterns, cursors, and the frames of the contract.

use weir_api::{connect::PubSubSubscribe, socket::SocketRequest};
use weir_types::{Cursor, Pattern, limits};

use super::PARSER;
use crate::Target;

pub(super) const PATTERNS: Target = Target {
    name: "subscriptions",
    about: "patterns and cursors on lines of their own: a pattern, type, id and name; or a frame of a socket",
    run: subscriptions,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn subscriptions(data: &[u8]) {
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
