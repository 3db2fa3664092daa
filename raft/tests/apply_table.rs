//! Apply's rules, one table each: given what was applied, when an append comes, then this outcome.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use uuid::Uuid;
use weir_raft::apply::{ApplyContext, Changes, apply_command};
use weir_storage::{
    codec::command::{Command, CommandAppend, encode_appends},
    index::{IndexError, IndexHead, Remembered},
    log::Place,
};
use weir_types::{
    AppendOutcome, ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName,
    EventSource, Idempotency, IdempotencyKey, Position, StreamVersion, Timestamp,
};

const WINDOW: u64 = 10;
const PLACE: Place = Place { segment: 1, offset: 4_096, len: 1_000 };

/// Nothing was applied before.
struct Empty;

impl ApplyContext for Empty {
    fn head(&self, _: &EntityId) -> Result<Option<IndexHead>, IndexError> {
        Ok(None)
    }

    fn remembered(&self, _: &EntityId, _: &IdempotencyKey) -> Result<Option<Remembered>, IndexError> {
        Ok(None)
    }
}

/// `order-1/order@0 x2 key=k#7`: entity, type, base, number of events, idempotency key and digest.
fn append(text: &str) -> DecidedAppend {
    let mut words = text.split(' ');
    let (entity, rest) = words.next().unwrap().split_once('/').unwrap();
    let (kind, base) = rest.split_once('@').unwrap();
    let (mut count, mut idempotency) = (1, None);
    for word in words {
        if let Some(number) = word.strip_prefix('x') {
            count = number.parse().unwrap();
        } else if let Some((key, digest)) = word.strip_prefix("key=").and_then(|word| word.split_once('#')) {
            let key = IdempotencyKey::new(key).unwrap();
            idempotency = Some(Idempotency { key, digest: digest.parse().unwrap() });
        }
    }
    let event = DecidedEvent {
        id: EventId(Uuid::from_u128(1)),
        name: EventName::new("happened").unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from_static(b"{}"),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
    };
    DecidedAppend {
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new(kind).unwrap(),
        base: StreamVersion(base.parse().unwrap()),
        idempotency,
        recorded_at: Timestamp(1),
        events: vec![event; count],
    }
}

fn decoded(appends: &[&str]) -> Vec<CommandAppend> {
    let appends: Vec<DecidedAppend> = appends.iter().map(|text| append(text)).collect();
    let Command::Appends(appends) = Command::decode(&encode_appends(&appends)).unwrap() else {
        panic!("an append batch")
    };
    appends
}

/// `+1..2@5` appended, `=1..2@5` repeated, `v3` version conflict, `t:order` type conflict, `key` key conflict.
fn shown(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Appended { first_version, last_version, first_position } => {
            format!("+{first_version}..{last_version}@{first_position}")
        }
        AppendOutcome::Repeated { first_version, last_version, first_position } => {
            format!("={first_version}..{last_version}@{first_position}")
        }
        AppendOutcome::VersionConflict { actual } => format!("v{actual}"),
        AppendOutcome::TypeConflict { actual } => format!("t:{actual}"),
        AppendOutcome::IdempotencyConflict => "key".to_owned(),
    }
}

/// Applies entries in order and shows every outcome.
fn outcomes(entries: &[&[&str]]) -> Vec<String> {
    let (mut changes, mut last) = (Changes::default(), Position::ZERO);
    let mut shown_all = Vec::new();
    for entry in entries {
        let outcomes =
            apply_command(&Empty, &decoded(entry), PLACE, WINDOW, &mut last, &mut changes).unwrap();
        shown_all.extend(outcomes.iter().map(shown));
    }
    shown_all
}

#[test]
fn versions_and_positions_are_dense() {
    for (entries, expected) in [
        (vec![&["a/t@0"][..]], vec!["+1..1@1"]),
        (vec![&["a/t@0 x3"], &["a/t@3 x2"]], vec!["+1..3@1", "+4..5@4"]),
        (vec![&["a/t@0 x2", "b/t@0", "a/t@2"]], vec!["+1..2@1", "+1..1@3", "+3..3@4"]),
        // Several appends to one stream inside one entry see each other.
        (vec![&["a/t@0", "a/t@1", "a/t@2 x2"]], vec!["+1..1@1", "+2..2@2", "+3..4@3"]),
        // A refused append takes no position (invariants A4 and R2).
        (vec![&["a/t@0", "a/t@0", "b/t@0"]], vec!["+1..1@1", "v1", "+1..1@2"]),
    ] {
        assert_eq!(outcomes(&entries), expected, "{entries:?}");
    }
}

#[test]
fn a_wrong_base_is_told_the_version_that_holds() {
    for (entries, expected) in [
        (vec![&["a/t@1"][..]], vec!["v0"]),
        (vec![&["a/t@0 x3"], &["a/t@2"], &["a/t@4"]], vec!["+1..3@1", "v3", "v3"]),
        // What follows a refused append of one decider is refused too, since its base never came.
        (vec![&["a/t@1", "a/t@2", "a/t@0"]], vec!["v0", "v0", "+1..1@1"]),
    ] {
        assert_eq!(outcomes(&entries), expected, "{entries:?}");
    }
}

#[test]
fn the_first_event_fixes_the_type() {
    for (entries, expected) in [
        (vec![&["a/order@0"][..], &["a/account@1"]], vec!["+1..1@1", "t:order"]),
        // The type is judged before the version.
        (vec![&["a/order@0", "a/account@0"]], vec!["+1..1@1", "t:order"]),
        // A refused first append fixes nothing.
        (vec![&["a/order@1", "a/account@0"]], vec!["v0", "+1..1@1"]),
    ] {
        assert_eq!(outcomes(&entries), expected, "{entries:?}");
    }
}

#[test]
fn a_repeated_key_gets_its_first_result() {
    for (entries, expected) in [
        (vec![&["a/t@0 x2 key=k#7"][..], &["a/t@2 x2 key=k#7"]], vec!["+1..2@1", "=1..2@1"]),
        // Repeated inside one entry.
        (vec![&["a/t@0 key=k#7", "a/t@0 key=k#7", "a/t@1"]], vec!["+1..1@1", "=1..1@1", "+2..2@2"]),
        // Judged before version and type: the stream has moved on, the answer has not.
        (vec![&["a/t@0 key=k#7", "a/t@1", "a/u@9 key=k#7"]], vec!["+1..1@1", "+2..2@2", "=1..1@1"]),
        (vec![&["a/t@0 key=k#7"], &["a/t@1 key=k#8"]], vec!["+1..1@1", "key"]),
        // The key's scope is the stream.
        (vec![&["a/t@0 key=k#7", "b/t@0 key=k#8"]], vec!["+1..1@1", "+1..1@2"]),
        // A refused append is not remembered.
        (vec![&["a/t@5 key=k#7", "a/t@0 key=k#8"]], vec!["v0", "+1..1@1"]),
    ] {
        assert_eq!(outcomes(&entries), expected, "{entries:?}");
    }
}

#[test]
fn a_key_counts_up_to_the_windows_edge_and_not_beyond() {
    // The key is remembered at position 1; the window is 10, so it counts while the next position is 11.
    for (between, expected) in [
        ("b/t@0 x8", "=1..1@1"),
        ("b/t@0 x9", "=1..1@1"),
        ("b/t@0 x10", "+2..2@12"),
        ("b/t@0 x11", "+2..2@13"),
    ] {
        let entries: [&[&str]; 3] = [&["a/t@0 key=k#7"], &[between], &["a/t@1 key=k#7"]];
        assert_eq!(outcomes(&entries).pop().unwrap(), expected, "{between}");
        let entry: [&[&str]; 1] = [&["a/t@0 key=k#7", between, "a/t@1 key=k#7"]];
        assert_eq!(outcomes(&entry).pop().unwrap(), expected, "{between} in one entry");
    }
    // Used again after it fell out, it counts from its second use, with other content too.
    let entries: [&[&str]; 4] =
        [&["a/t@0 key=k#7"], &["b/t@0 x10"], &["a/t@1 key=k#8"], &["a/t@2 key=k#8", "a/t@2 key=k#7"]];
    assert_eq!(outcomes(&entries)[2..], ["+2..2@12", "=2..2@12", "key"]);
}
