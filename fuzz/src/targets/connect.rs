//! The Connect service's requests.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use weir_api::{
    connect::{
        AppendEventRequest, GetEntityHistoryRequest, GetStreamInfoRequest, ListStreamsRequest,
        ReadStreamRequest,
    },
    objects,
};
use weir_types::{AppendRequest, GroupId, limits};

use super::PARSER;
use crate::Target;

pub(super) const CONNECT: Target = Target {
    name: "connect-json",
    about: "the JSON of every method: camel case and snake case mean the same",
    run: requests,
    memory: PARSER,
    seeds: &["fuzz/corpus/rest-append"],
    slow_ms: 0,
};

/// The fields that have two spellings.
const CASES: [(&str, &str); 6] = [
    ("entityId", "entity_id"),
    ("entityType", "entity_type"),
    ("eventName", "event_name"),
    ("expectedVersion", "expected_version"),
    ("idempotencyKey", "idempotency_key"),
    ("fromVersion", "from_version"),
];

fn requests(data: &[u8]) {
    meaning(data);
    let Ok(mut fields) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(data) else { return };
    if CASES.iter().any(|(camel, snake)| fields.contains_key(*camel) && fields.contains_key(*snake)) {
        return;
    }
    let camel = meaning(&serde_json::to_vec(&fields).expect("it was JSON"));
    for (camel, snake) in CASES {
        if let Some(value) = fields.remove(camel) {
            fields.insert(snake.to_owned(), value);
        } else if let Some(value) = fields.remove(snake) {
            fields.insert(camel.to_owned(), value);
        }
    }
    assert_eq!(meaning(&serde_json::to_vec(&fields).expect("it was JSON")), camel);
}

/// What a body means to each method; refusals are alike.
fn meaning(data: &[u8]) -> (Option<AppendRequest>, String) {
    let group = GroupId::DEFAULT;
    let append = objects::from_slice::<AppendEventRequest>(data).ok();
    let append = append.and_then(|body| body.into_request(group).ok());
    if let Some(append) = &append {
        append.check_limits().expect("what is taken is within the limits");
    }
    let read = objects::from_slice::<ReadStreamRequest>(data).ok().and_then(|body| body.to_read(group).ok());
    if let Some((read, wanted)) = &read {
        assert!((1..=limits::READ_EVENTS_MAX).contains(&read.limit) && *wanted != Some(0));
    }
    let history = objects::from_slice::<GetEntityHistoryRequest>(data).ok();
    let history = history.and_then(|body| body.to_read(group).ok());
    let info = objects::from_slice::<GetStreamInfoRequest>(data).ok();
    let info = info.and_then(|body| body.to_entity_id().ok());
    let list = objects::from_slice::<ListStreamsRequest>(data).ok().and_then(|body| body.to_page().ok());
    if let Some((_, _, limit)) = &list {
        assert!((1..=limits::LIST_STREAMS_MAX).contains(limit));
    }
    (append, format!("{read:?} {history:?} {info:?} {list:?}"))
}
