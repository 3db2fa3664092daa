//! The judgement of a change of one key.

use std::time::Duration;

use weir_storage::state::{KvHead, KvVersion};
use weir_types::{BucketInfo, KvError, KvGuard, KvKey, KvOperation, Planted, Revision, Timestamp, planted};

/// What a change of a key meets.
#[derive(Debug, Clone, Copy)]
pub struct KvStanding<'a> {
    /// The bucket.
    pub bucket: &'a BucketInfo,
    /// The key.
    pub key: &'a KvKey,
    /// What is kept of it, due or not.
    pub head: Option<&'a KvHead>,
    /// The time.
    pub now: Timestamp,
}

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The bucket's revision after it.
    pub revision: Revision,
    /// What is kept of the key; nothing without it.
    pub head: Option<KvHead>,
}

impl KvStanding<'_> {
    /// What is kept and counts: what is due is gone, whether it was dropped or not.
    fn kept(&self) -> Option<&KvHead> {
        self.head.filter(|head| {
            !(head.is_due(self.now) || head.expires_at.is_some() && planted(Planted::DueTooEarly))
        })
    }

    /// The revision of the value that the key holds; 0 when it holds none.
    fn revision(&self) -> Revision {
        let live = self.kept().map(KvHead::newest).filter(|newest| newest.operation == KvOperation::Put);
        live.map_or(Revision::ZERO, |newest| newest.revision)
    }

    /// Whether a guard holds.
    pub(super) fn check(&self, guard: KvGuard) -> Result<(), KvError> {
        let actual = self.revision();
        let wanted = match guard {
            KvGuard::Any => return Ok(()),
            KvGuard::Exists if actual > Revision::ZERO => return Ok(()),
            KvGuard::Exists => return Err(KvError::RevisionConflict { actual }),
            KvGuard::Absent => Revision::ZERO,
            KvGuard::Revision(_) if actual > Revision::ZERO && planted(Planted::CasIgnoresRevision) => {
                return Ok(());
            }
            KvGuard::Revision(revision) => revision,
        };
        if wanted == actual { Ok(()) } else { Err(KvError::RevisionConflict { actual }) }
    }

    /// The key with one version more, and no more than its bucket keeps.
    fn with(&self, version: KvVersion, expires_at: Option<Timestamp>) -> KvHead {
        let before = self.kept().map_or(&[][..], |head| &head.versions);
        let keep = usize::from(self.bucket.config.history).saturating_sub(1);
        let from = before.len().saturating_sub(keep);
        let versions = before[from..].iter().copied().chain([version]).collect();
        KvHead { versions, expires_at }
    }
}

/// What becomes of a value of `bytes` bytes that is put.
///
/// # Errors
/// [`KvError`]; nothing changes then.
pub fn judge_put(
    standing: KvStanding<'_>,
    bytes: u64,
    guard: KvGuard,
    ttl: Option<Duration>,
) -> Result<KeyChange, KvError> {
    let config = &standing.bucket.config;
    let max = config.value_limit();
    if bytes > max {
        return Err(KvError::ValueTooLarge { actual: bytes, max });
    }
    standing.check(guard)?;
    let revision = standing.bucket.revision.next();
    let version = KvVersion {
        revision,
        at: standing.now,
        operation: KvOperation::Put,
        bytes: bytes + standing.key.as_str().len() as u64,
    };
    let ttl = config.ttl.into_iter().chain(ttl).min();
    let head = standing.with(version, ttl.map(|ttl| after(standing.now, ttl)));
    let before = standing.head.map_or(0, KvHead::bytes);
    let actual = standing.bucket.bytes - before + head.bytes();
    match config.bytes_max {
        Some(max) if actual > max => Err(KvError::BucketFull { actual, max }),
        _ => Ok(KeyChange { revision, head: Some(head) }),
    }
}

/// What becomes of a key that is deleted, or purged.
///
/// # Errors
/// [`KvError`]; nothing changes then.
pub fn judge_delete(standing: KvStanding<'_>, guard: KvGuard, purge: bool) -> Result<KeyChange, KvError> {
    let holds_value = standing.revision() > Revision::ZERO;
    if !(holds_value || purge && standing.kept().is_some()) {
        return Err(KvError::KeyNotFound);
    }
    standing.check(guard)?;
    let revision = standing.bucket.revision.next();
    if purge {
        return Ok(KeyChange { revision, head: None });
    }
    let version = KvVersion { revision, at: standing.now, operation: KvOperation::Delete, bytes: 0 };
    let expires_at = standing.bucket.config.ttl.map(|ttl| after(standing.now, ttl));
    Ok(KeyChange { revision, head: Some(standing.with(version, expires_at)) })
}

fn after(now: Timestamp, ttl: Duration) -> Timestamp {
    let micros = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketConfig, BucketName};

    use super::*;

    fn key() -> KvKey {
        KvKey::new("k").unwrap()
    }

    fn bucket(history: u8, revision: u64) -> BucketInfo {
        BucketInfo {
            config: BucketConfig { history, ..BucketConfig::new(BucketName::new("b").unwrap()) },
            created_at: Timestamp(0),
            revision: Revision(revision),
            values: 0,
            bytes: 1_000,
        }
    }

    fn head(versions: &[(u64, KvOperation)], expires_at: Option<i64>) -> KvHead {
        let version = |&(revision, operation)| KvVersion {
            revision: Revision(revision),
            at: Timestamp(1),
            operation,
            bytes: if operation == KvOperation::Put { 11 } else { 0 },
        };
        KvHead { versions: versions.iter().map(version).collect(), expires_at: expires_at.map(Timestamp) }
    }

    /// What kind of key a command meets, at time 100.
    fn heads() -> [(&'static str, Option<KvHead>); 4] {
        use KvOperation::{Delete, Put};
        [
            ("nothing", None),
            ("a value", Some(head(&[(7, Put)], Some(101)))),
            ("a deletion", Some(head(&[(3, Put), (7, Delete)], None))),
            ("a value that is due", Some(head(&[(7, Put)], Some(100)))),
        ]
    }

    fn standing<'a>(bucket: &'a BucketInfo, key: &'a KvKey, head: Option<&'a KvHead>) -> KvStanding<'a> {
        KvStanding { bucket, key, head, now: Timestamp(100) }
    }

    #[test]
    fn a_put_is_made_when_its_guard_holds() {
        let (bucket, key) = (bucket(1, 9), key());
        let conflict = |actual| Err(KvError::RevisionConflict { actual: Revision(actual) });
        let guard = |revision| KvGuard::Revision(Revision(revision));
        for (guard, expected) in [
            (KvGuard::Any, [Ok(10), Ok(10), Ok(10), Ok(10)]),
            (KvGuard::Absent, [Ok(10), conflict(7), Ok(10), Ok(10)]),
            (guard(0), [Ok(10), conflict(7), Ok(10), Ok(10)]),
            (guard(7), [conflict(0), Ok(10), conflict(0), conflict(0)]),
            (guard(6), [conflict(0), conflict(7), conflict(0), conflict(0)]),
        ] {
            for ((what, head), expected) in heads().into_iter().zip(expected) {
                let put = judge_put(standing(&bucket, &key, head.as_ref()), 5, guard, None);
                assert_eq!(put.map(|change| change.revision.0), expected, "{guard:?} meets {what}");
            }
        }
    }

    #[test]
    fn a_value_is_deleted_and_a_key_that_keeps_anything_is_purged() {
        let (bucket, key) = (bucket(1, 9), key());
        let guard = |revision| KvGuard::Revision(Revision(revision));
        let conflict = || Err(KvError::RevisionConflict { actual: Revision(7) });
        let missing = || Err(KvError::KeyNotFound);
        for (purge, guard, expected) in [
            (false, KvGuard::Any, [missing(), Ok(10), missing(), missing()]),
            (false, guard(7), [missing(), Ok(10), missing(), missing()]),
            (false, guard(6), [missing(), conflict(), missing(), missing()]),
            (true, KvGuard::Any, [missing(), Ok(10), Ok(10), missing()]),
            (
                true,
                guard(6),
                [missing(), conflict(), Err(KvError::RevisionConflict { actual: Revision(0) }), missing()],
            ),
        ] {
            for ((what, head), expected) in heads().into_iter().zip(expected) {
                let change = judge_delete(standing(&bucket, &key, head.as_ref()), guard, purge);
                if let Ok(change) = &change {
                    assert_eq!(change.head.is_none(), purge, "{what}");
                }
                assert_eq!(change.map(|change| change.revision.0), expected, "{purge} {guard:?} {what}");
            }
        }
    }

    #[test]
    fn as_many_versions_are_kept_as_the_bucket_says() {
        let key = key();
        for (history, expected) in [(1, vec![10]), (2, vec![7, 10]), (64, vec![3, 7, 10])] {
            let bucket = bucket(history, 9);
            let before = head(&[(3, KvOperation::Put), (7, KvOperation::Put)], None);
            for change in [
                judge_put(standing(&bucket, &key, Some(&before)), 5, KvGuard::Any, None),
                judge_delete(standing(&bucket, &key, Some(&before)), KvGuard::Any, false),
            ] {
                let kept = change.unwrap().head.unwrap();
                let revisions: Vec<_> = kept.versions.iter().map(|version| version.revision.0).collect();
                assert_eq!(revisions, expected, "history {history}");
            }
        }
        let due = head(&[(3, KvOperation::Put), (7, KvOperation::Put)], Some(100));
        let put = judge_put(standing(&bucket(64, 9), &key, Some(&due)), 5, KvGuard::Any, None).unwrap();
        assert_eq!(put.head.unwrap().versions.len(), 1, "what was due is no history");
    }

    #[test]
    fn an_entry_lives_as_long_as_the_shorter_of_its_own_time_and_its_buckets() {
        let key = key();
        let ms = Duration::from_millis;
        for (of_bucket, own, expected) in [
            (None, None, None),
            (Some(ms(2)), None, Some(2_100)),
            (None, Some(ms(3)), Some(3_100)),
            (Some(ms(2)), Some(ms(3)), Some(2_100)),
            (Some(ms(2)), Some(ms(1)), Some(1_100)),
        ] {
            let mut bucket = bucket(1, 9);
            bucket.config.ttl = of_bucket;
            let put = judge_put(standing(&bucket, &key, None), 5, KvGuard::Any, own).unwrap();
            assert_eq!(put.head.unwrap().expires_at, expected.map(Timestamp), "{of_bucket:?} {own:?}");
        }
    }

    #[test]
    fn a_value_over_its_bucket_is_refused_and_what_it_replaces_makes_room() {
        let key = key();
        let mut bucket = bucket(1, 9);
        bucket.config.value_bytes_max = Some(10);
        let too_large = Err(KvError::ValueTooLarge { actual: 11, max: 10 });
        assert_eq!(judge_put(standing(&bucket, &key, None), 11, KvGuard::Any, None), too_large);
        bucket.config.bytes_max = Some(1_000);
        let full = Err(KvError::BucketFull { actual: 1_011, max: 1_000 });
        assert_eq!(judge_put(standing(&bucket, &key, None), 10, KvGuard::Any, None), full);
        let before = head(&[(7, KvOperation::Put)], None);
        assert!(judge_put(standing(&bucket, &key, Some(&before)), 10, KvGuard::Any, None).is_ok());
    }
}
