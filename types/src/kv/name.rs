//! The names of buckets and keys.

use std::{fmt, sync::Arc};

use crate::{NameError, id, limits};

/// The name of a bucket: ASCII letters, digits, `_` and `-`, 1 to 128 of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, too long or holds other characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let (kind, text) = ("bucket name", text.as_ref());
        id::check(kind, text, limits::KV_BUCKET_NAME_BYTES_MAX)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        match text.char_indices().find(|(_, c)| !legal(*c)) {
            Some((at, found)) => {
                Err(NameError::Character { kind, found, at, allowed: "ASCII letters, digits, `_` and `-`" })
            }
            None => Ok(Self(Arc::from(text))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key in a bucket: any UTF-8 without control characters, 1 to 512 bytes.
///
/// It is opaque: `/`, `:`, `.`, `*` and `>` in it are data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvKey(Arc<str>);

impl KvKey {
    /// Checks and takes a key.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, too long or holds control characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        id::check("key", text, limits::KV_KEY_BYTES_MAX)?;
        Ok(Self(Arc::from(text)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}
as_text!(BucketName, KvKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_narrow_name_and_a_key_nearly_any() {
        for legal in ["orders", "order-commands", "A_1"] {
            assert!(BucketName::new(legal).is_ok(), "{legal}");
        }
        for bad in ["", "a.b", "a b", "a*", "a>", "é", "a/b"] {
            assert!(BucketName::new(bad).is_err(), "{bad}");
        }
        assert!(BucketName::new("b".repeat(128)).is_ok());
        assert!(BucketName::new("b".repeat(129)).is_err());
        for legal in ["user:123", "a/b", "..", "*", ">", "größe", " ", "a.b"] {
            assert_eq!(KvKey::new(legal).unwrap().as_str(), legal);
        }
        for bad in ["", "a\0", "\n"] {
            assert!(KvKey::new(bad).is_err(), "{bad:?}");
        }
        assert!(KvKey::new("k".repeat(512)).is_ok());
        assert!(KvKey::new("k".repeat(513)).is_err());
    }
}
