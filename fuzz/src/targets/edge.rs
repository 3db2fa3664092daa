//! Requests at the HTTP edge, from the line on.

use weir_api::v1::paths;
use weir_node::inside::ask;
use weir_types::EntityId;

use super::PARSER;
use crate::{Target, memory::Bound};

pub(super) const REQUESTS: Target = Target {
    name: "edge-requests",
    about: "`METHOD URI`, a line feed and a body: an answer in JSON, never a status of 500",
    run: requests,
    memory: Bound { fixed: 1024 * 1024, ..PARSER },
    seeds: &[],
    slow_ms: 0,
};

pub(super) const PATHS: Target = Target {
    name: "edge-paths",
    about: "an entity's id in a path is read as it was filled in",
    run: in_a_path,
    memory: Bound { fixed: 1024 * 1024, ..PARSER },
    seeds: &["fuzz/corpus/names"],
    slow_ms: 0,
};

fn requests(data: &[u8]) {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let body = data.get(line.len() + 1..).unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return };
    let Some((method, uri)) = line.split_once(' ') else { return };
    let Some((status, answer)) = ask(method, uri, body) else { return };
    assert!(matches!(status, 200 | 400..=499), "{line} is answered with {status}");
    // Those of no route are the router's own, and empty here.
    if !matches!(status, 200 | 404 | 405) {
        let error: weir_api::ErrorBody = serde_json::from_slice(&answer).expect("a refusal is JSON");
        assert!(!error.code.is_empty() && !error.message.is_empty(), "{line}");
    }
}

fn in_a_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(entity) = EntityId::new(text) else { return };
    let uri = paths::fill(paths::STREAM, entity.as_str());
    let (status, answer) = ask("GET", &uri, &[]).expect("a filled path is a URI");
    assert_eq!((status, &answer[..]), (200, text.as_bytes()), "{uri}");
}
