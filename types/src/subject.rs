//! JetStream subjects. Names from outside become tokens that hold no `.`, `*`,
//! `>`, space or control character, so that a name is never a wildcard.

use std::fmt::Write as _;

use crate::{EntityId, EntityType, EventName, GroupId, limits::SUBJECT_BYTES_MAX};

/// Bytes of a token before it is cut and closed with a hash of the whole.
const TOKEN_BYTES_MAX: usize = 120;

/// What subjects begin with, unless the cluster is told otherwise.
pub const SUBJECT_PREFIX: &str = "weir";

/// The subject of an event under the usual prefix: `weir.<group>.<type>.<entity>.<event>`.
#[must_use]
pub fn subject_of(
    group: GroupId,
    entity_type: &EntityType,
    entity_id: &EntityId,
    event: &EventName,
) -> String {
    subject_under(SUBJECT_PREFIX, group, entity_type, entity_id, event)
}

/// The subject of an event under a prefix, which is one token.
#[must_use]
pub fn subject_under(
    prefix: &str,
    group: GroupId,
    entity_type: &EntityType,
    entity_id: &EntityId,
    event: &EventName,
) -> String {
    let [entity_type, entity_id, event] =
        [entity_type.as_str(), entity_id.as_str(), event.as_str()].map(subject_token);
    format!("{prefix}.{group}.{entity_type}.{entity_id}.{event}")
}

/// One subject token: letters, digits, `_` and `-` stand for themselves, every
/// other byte is `%XX`. Longer than 120 bytes, it is cut and closed with `~`
/// and 16 hexadecimal digits of the FNV-1a hash of the whole name.
#[must_use]
pub fn subject_token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            token.push(char::from(byte));
        } else {
            write!(token, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    if token.len() > TOKEN_BYTES_MAX {
        token.truncate(TOKEN_BYTES_MAX);
        write!(token, "~{:016x}", fnv1a(name.as_bytes())).expect("writing to a string cannot fail");
    }
    token
}

/// Whether a text is a subject that a message can have: tokens without wildcards, and none of NATS itself.
#[must_use]
pub fn is_literal_subject(text: &str) -> bool {
    let is_literal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'*' | b'>');
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_literal);
    text.len() <= SUBJECT_BYTES_MAX
        && text.split('.').all(is_token)
        && !text.starts_with('$')
        && !text.starts_with("_INBOX.")
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): stable across versions, which a standard hasher is not.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_subject_has_no_wildcards_and_is_not_of_nats_itself() {
        for subject in ["mail", "shop.mail.v1", "a-b_c.D/e%20", &"a".repeat(255)] {
            assert!(is_literal_subject(subject), "{subject}");
        }
        for subject in [
            "",
            ".",
            "a..b",
            "a.",
            ".a",
            "a.*",
            "a.>",
            ">",
            "a b",
            "größe",
            "$JS.API",
            "_INBOX.1",
            &"a".repeat(256),
        ] {
            assert!(!is_literal_subject(subject), "{subject}");
        }
    }

    #[test]
    fn no_name_becomes_structure() {
        for (name, token) in [
            ("order-1", "order-1"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            (">", "%3E"),
            ("a b", "a%20b"),
            ("é", "%C3%A9"),
            ("%2E", "%252E"),
        ] {
            assert_eq!(subject_token(name), token);
        }
    }

    #[test]
    fn long_names_stay_apart() {
        let (a, b) = ("x".repeat(400), "x".repeat(401));
        assert_ne!(subject_token(&a), subject_token(&b));
        assert!(subject_token(&a).len() <= 137);
    }
}
