//! Names from outside, and times.

use weir_api::{format_timestamp, parse_timestamp, v1::paths};
use weir_types::{
    EntityId, EntityType, EventName, EventPattern, GroupId, IdempotencyKey, NameError, PartitionKey,
    ProjectionName, limits, subject_of, subject_token,
};

use super::PARSER;
use crate::Target;

pub(super) const NAMES: Target = Target {
    name: "names",
    about: "ids, keys, patterns and subjects; a pattern and a name stand on two lines",
    run: names,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

pub(super) const TIMES: Target = Target {
    name: "times",
    about: "times of RFC 3339: what is read is written as what is read as the same",
    run: times,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    for text in [first, second] {
        each_kind(text);
        subject(text);
    }
    pattern(first, second);
}

/// A name is what has 1 to so many bytes and no control character.
fn each_kind(text: &str) {
    let legal = |max: usize| !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control);
    let check = |made: Result<String, NameError>, max: usize| match made {
        Ok(name) => assert!(legal(max) && name == text, "{text:?} was taken as {name:?}"),
        Err(error) => assert!(!legal(max), "{text:?} was refused: {error}"),
    };
    check(EntityId::new(text).map(|name| name.to_string()), limits::ENTITY_ID_BYTES_MAX);
    check(EntityType::new(text).map(|name| name.to_string()), limits::NAME_BYTES_MAX);
    check(EventName::new(text).map(|name| name.to_string()), limits::NAME_BYTES_MAX);
    check(IdempotencyKey::new(text).map(|name| name.to_string()), limits::IDEMPOTENCY_KEY_BYTES_MAX);
    check(PartitionKey::new(text).map(|name| name.to_string()), limits::PARTITION_KEY_BYTES_MAX);
    if let Ok(name) = ProjectionName::new(text) {
        assert!(legal(limits::PROJECTION_NAME_BYTES_MAX) && name.as_str().is_ascii());
    }
    let path = paths::fill(paths::STREAM, text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.%/".contains(&byte);
    assert!(path.bytes().all(plain) && path.matches('/').count() == 4, "{path}");
}

/// A name is one token of a subject, never a wildcard, and two names never share a token.
fn subject(text: &str) {
    let token = subject_token(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_%~".contains(&byte);
    assert!(token.bytes().all(plain) && token.len() <= 137, "{token}");
    if !token.contains('~') {
        assert_eq!(decoded(&token), text.as_bytes());
    }
    let (Ok(kind), Ok(id), Ok(name)) = (EntityType::new(text), EntityId::new(text), EventName::new(text))
    else {
        return;
    };
    let subject = subject_of(GroupId::DEFAULT, &kind, &id, &name);
    assert_eq!(subject.split('.').count(), 5, "{subject}");
}

fn decoded(token: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| {
            byte.and_then(|byte| char::from(byte).to_digit(16)).expect("two digits follow")
        };
        bytes.push(if byte == b'%' { (hex(rest.next()) * 16 + hex(rest.next())) as u8 } else { byte });
    }
    bytes
}

/// A pattern means what its words say: all, all below a prefix, or one name.
fn pattern(pattern: &str, name: &str) {
    let Ok(name) = EventName::new(name) else { return };
    let Ok(parsed) = EventPattern::new(pattern) else { return };
    let words: Vec<&str> = pattern.split('.').collect();
    let parts: Vec<&str> = name.as_str().split('.').collect();
    let meant = match words.as_slice() {
        ["*"] => true,
        [prefix @ .., "*"] => {
            // `a.*` takes `a.b` and not `a` or `a.`, whose rest is empty.
            parts.len() > prefix.len() && parts[..prefix.len()] == *prefix && parts[prefix.len()..] != [""]
        }
        _ => pattern == name.as_str(),
    };
    assert_eq!(parsed.matches(&name), meant, "{pattern:?} and {name:?}");
    assert_eq!(parsed.as_str(), pattern);
}

fn times(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = parse_timestamp(text) {
        let written = format_timestamp(time);
        assert_eq!(parse_timestamp(&written).expect("what was written is read"), time, "{text} {written}");
    }
}
