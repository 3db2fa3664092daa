//! The pinned bytes of what concerns key-value buckets.

use std::time::Duration;

use bytes::Bytes;
use weir_types::{
    AppendError, BucketConfig, BucketInfo, BucketName, DecidedWrite, KvCommand, KvError, KvGuard, KvKey,
    KvOperation, KvOutcome, KvWrite, LogIndex, Revision, StampedKv, Timestamp,
};

use super::{
    StoredBucket, StoredKvHead, StoredKvMark, command, decode, encode,
    forward::{ForwardRequest, ForwardResponse},
    golden::golden,
};
use crate::state::{Bucket, BucketNo, KvHead, KvMark, KvVersion};

fn config() -> BucketConfig {
    BucketConfig {
        name: BucketName::new("order-commands").unwrap(),
        description: "größe".into(),
        ttl: Some(Duration::from_secs(604_800)),
        value_bytes_max: Some(1_000),
        bytes_max: Some(70_000),
        history: 64,
    }
}

fn info() -> BucketInfo {
    BucketInfo {
        config: config(),
        created_at: Timestamp(1_760_000_000_000_000),
        revision: Revision(300),
        values: 7,
        bytes: 70_000,
    }
}

fn commands() -> Vec<KvCommand> {
    let (bucket, key) = (config().name, KvKey::new("user:1/ü").unwrap());
    let put = |guard, ttl| KvCommand::Put {
        bucket: bucket.clone(),
        key: key.clone(),
        value: Bytes::from_static(b"\x00\xffvalue"),
        guard,
        ttl,
    };
    vec![
        KvCommand::CreateBucket(config()),
        KvCommand::DeleteBucket(bucket.clone()),
        put(KvGuard::Any, None),
        put(KvGuard::Absent, Some(Duration::from_millis(1_500))),
        put(KvGuard::Revision(Revision(300)), None),
        KvCommand::Delete { bucket: bucket.clone(), key: key.clone(), guard: KvGuard::Any, purge: true },
        KvCommand::Sweep { keys_max: 500 },
        KvCommand::Change {
            bucket,
            checks: vec![(key.clone(), KvGuard::Exists), (KvKey::new("fence").unwrap(), KvGuard::Absent)],
            writes: vec![
                KvWrite {
                    ttl: Some(Duration::from_millis(30_000)),
                    ..KvWrite::put(key, Bytes::from_static(b"\x00\xffvalue"))
                },
                KvWrite::purge(KvKey::new("gone").unwrap()),
            ],
        },
    ]
}

#[test]
fn key_value_commands_keep_their_bytes() {
    let stamped = |command| StampedKv { command, at: Timestamp(1_760_000_000_000_000) };
    let writes: Vec<_> = commands().into_iter().map(|command| DecidedWrite::Kv(stamped(command))).collect();
    let payload = golden("command_kv", &command::encode_writes(&writes));
    let command::Command::Writes(decoded) = command::Command::decode(&payload).unwrap() else {
        panic!("a batch of writes")
    };
    let decoded: Vec<_> = decoded
        .into_iter()
        .map(|write| match write {
            command::CommandWrite::Kv(stamped) => DecidedWrite::Kv(stamped),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(decoded, writes);
    assert_eq!(command::event_count(&payload), 0);
}

#[test]
fn forwarded_key_value_commands_keep_their_bytes() {
    for (number, value) in commands().into_iter().map(ForwardRequest::Kv).enumerate() {
        let bytes = golden(&format!("forward_kv_{number:02}"), &value.encode());
        assert_eq!(ForwardRequest::decode(&bytes).unwrap(), value);
    }
    let refusals = [
        KvError::Invalid { reason: "why".into() },
        KvError::BucketExists,
        KvError::BucketNotFound,
        KvError::TooManyBuckets { max: 1_000 },
        KvError::KeyNotFound,
        KvError::RevisionConflict { actual: Revision(300) },
        KvError::ValueTooLarge { actual: 70_000, max: 65_536 },
        KvError::BucketFull { actual: 70_000, max: 65_536 },
        KvError::CheckFailed { number: 3, actual: Revision(300) },
    ];
    let expires_at = Some(Timestamp(1_760_000_000_500_000));
    let outcomes = [
        KvOutcome::BucketCreated(info()),
        KvOutcome::BucketDeleted,
        KvOutcome::Put { revision: Revision(300), at: Timestamp(1_760_000_000_000_000), expires_at },
        KvOutcome::Deleted { revision: Revision(301) },
        KvOutcome::Swept { keys: 7, more: true },
        KvOutcome::AppliedBefore,
        KvOutcome::Changed {
            first: Revision(300),
            last: Revision(302),
            at: Timestamp(1_760_000_000_000_000),
        },
    ];
    let mut answers: Vec<_> = outcomes.into_iter().map(Ok).collect();
    answers.extend(refusals.into_iter().map(|error| Ok(KvOutcome::Refused(error))));
    answers.push(Err(AppendError::Overloaded));
    for (number, value) in answers.into_iter().map(ForwardResponse::Kv).enumerate() {
        let bytes = golden(&format!("forward_kv_response_{number:02}"), &value.encode());
        assert_eq!(ForwardResponse::decode(&bytes).unwrap(), value);
    }
}

#[test]
fn stored_buckets_and_keys_keep_their_bytes() {
    let bucket = Bucket { no: BucketNo(9), info: info() };
    let bytes = golden("state_bucket", &encode(&StoredBucket::from(&bucket)));
    assert_eq!(Bucket::try_from(decode::<StoredBucket<'_>>("bucket", &bytes).unwrap()).unwrap(), bucket);

    let version = |revision, operation, bytes| KvVersion {
        revision: Revision(revision),
        at: Timestamp(1_760_000_000_000_000),
        operation,
        bytes,
    };
    let head = KvHead {
        versions: vec![version(299, KvOperation::Put, 70_000), version(300, KvOperation::Delete, 0)],
        expires_at: Some(Timestamp(1_760_000_000_500_000)),
    };
    let bytes = golden("state_kv_head", &encode(&StoredKvHead::from(&head)));
    assert_eq!(KvHead::try_from(decode::<StoredKvHead>("head", &bytes).unwrap()).unwrap(), head);

    let time = Timestamp(1_760_000_000_000_000);
    let mark = KvMark { applied: LogIndex(70_000), time, buckets: 9, pruned: LogIndex(300) };
    let bytes = golden("state_kv_mark", &encode(&StoredKvMark::from(&mark)));
    assert_eq!(KvMark::from(decode::<StoredKvMark>("mark", &bytes).unwrap()), mark);
    golden("state_kv_value", &super::encode_bytes(b"\x00\xffvalue"));
}
