//! Which keys a listing gives.

use std::sync::Arc;

use crate::{KvKey, NameError, id, limits};

/// A NATS wildcard over keys: tokens between dots, where `*` is any one token
/// and `>`, only at the end, is one token or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvFilter(Arc<str>);

impl KvFilter {
    /// The filter that every key matches.
    #[must_use]
    pub fn all() -> Self {
        Self(Arc::from(">"))
    }

    /// Checks and takes a filter.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, too long, holds control characters, or has a `>` before its end.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let kind = "key filter";
        id::check(kind, text, limits::KV_KEY_BYTES_MAX)?;
        let mut at = 0;
        for token in text.split('.') {
            if token == ">" && at + 1 < text.len() {
                let allowed = "a token `>` only at the end";
                return Err(NameError::Character { kind, found: '>', at, allowed });
            }
            at += token.len() + 1;
        }
        Ok(Self(Arc::from(text)))
    }

    /// Whether a key is meant.
    #[must_use]
    pub fn matches(&self, key: &KvKey) -> bool {
        let mut tokens = key.as_str().split('.');
        for wanted in self.0.split('.') {
            let Some(token) = tokens.next() else { return false };
            match wanted {
                ">" => return true,
                "*" => {}
                literal if literal == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// What every key that matches begins with: a listing begins there.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let mut end = 0;
        for token in self.0.split('.') {
            if matches!(token, "*" | ">") {
                return &self.0[..end];
            }
            end += token.len() + 1;
        }
        &self.0
    }

    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_tokens() {
        for (filter, key, expected) in [
            (">", "a", true),
            (">", "a.b.c", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("*.b", "a.b", true),
            ("*.b", "a.c", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", false),
            ("a*", "a*", true),
            ("user:1", "user:1", true),
            ("a.b", "a", false),
        ] {
            let found = KvFilter::new(filter).unwrap().matches(&KvKey::new(key).unwrap());
            assert_eq!(found, expected, "{filter} {key}");
        }
        for bad in ["", ">.a", "a.>.b", "a\n"] {
            assert!(KvFilter::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_filter_knows_what_its_keys_begin_with() {
        for (filter, prefix) in [(">", ""), ("a.*", "a."), ("a.b.>", "a.b."), ("a.b", "a.b"), ("*.b", "")] {
            assert_eq!(KvFilter::new(filter).unwrap().prefix(), prefix, "{filter}");
        }
    }
}
