//! The names of buckets and keys.

use crate::{
    id::{Allowed, name},
    limits,
};

name!(
    /// The name of a bucket: ASCII letters, digits, `_` and `-`, 1 to 128 of them.
    BucketName, "bucket name", limits::KV_BUCKET_NAME_BYTES_MAX, Allowed::NARROW
);
name!(
    /// A key in a bucket: any UTF-8 without control characters, 1 to 512 bytes.
    ///
    /// It is opaque: `/`, `:`, `.`, `*` and `>` in it are data.
    KvKey, "key", limits::KV_KEY_BYTES_MAX
);

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
