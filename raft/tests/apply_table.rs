//! Apply's rules, one table each: given what was applied, when an append comes, then this outcome.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use uuid::Uuid;
use weir_raft::apply::{ApplyContext, Changes, Payload, Terms, apply_command};
use weir_storage::{
    codec::command::{Command, encode_writes},
    index::{IndexError, IndexHead, Remembered},
    log::Place,
};
use weir_types::{
    AppendOutcome, Condition, ContentType, DecidedAppend, DecidedEvent, DecidedTransaction, DecidedWrite,
    EntityId, EntityType, EventId, EventName, EventSource, ExpectedVersion, Facet, Idempotency,
    IdempotencyKey, Judged, LogIndex, Position, StreamCheck, StreamVersion, Tag, Timestamp,
    TransactionOutcome, Violation, WriteOutcome,
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

    fn facet_positions(&self, _: Facet<'_>, _: Position, _: usize) -> Result<Vec<Position>, IndexError> {
        Ok(Vec::new())
    }

    fn has_facet(&self, _: Facet<'_>, _: Position) -> Result<bool, IndexError> {
        Ok(false)
    }
}

/// `order-1/order@0 x2 key=k#7 name=n tag=a`: entity, type, base, number of events, idempotency key and
/// digest, the events' name and a tag.
fn append(text: &str) -> DecidedAppend {
    let mut words = text.split(' ');
    let (entity, rest) = words.next().unwrap().split_once('/').unwrap();
    let (kind, base) = rest.split_once('@').unwrap();
    let (mut count, mut idempotency, mut name, mut tags) = (1, None, "happened", Vec::new());
    for word in words {
        if let Some(number) = word.strip_prefix('x') {
            count = number.parse().unwrap();
        } else if let Some((key, digest)) = word.strip_prefix("key=").and_then(|word| word.split_once('#')) {
            let key = IdempotencyKey::new(key).unwrap();
            idempotency = Some(Idempotency { key, digest: digest.parse().unwrap() });
        } else if let Some(given) = word.strip_prefix("name=") {
            name = given;
        } else if let Some(tag) = word.strip_prefix("tag=") {
            tags.push(Tag::new(tag).unwrap());
        }
    }
    let event = DecidedEvent {
        id: EventId(Uuid::from_u128(1)),
        name: EventName::new(name).unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from_static(b"{}"),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags,
    };
    DecidedAppend {
        judged: None,
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new(kind).unwrap(),
        base: StreamVersion(base.parse().unwrap()),
        idempotency,
        recorded_at: Timestamp(1),
        events: vec![event; count],
    }
}

/// Writes of one entry, separated by `;`: an append, or a transaction `[append + append | condition]` with
/// `check=b@2`, `key=k#7` and `none=after:5,name:n,tag:a` among its parts.
fn write(text: &str) -> DecidedWrite {
    let Some(parts) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
        return DecidedWrite::Append(append(text));
    };
    let mut transaction = DecidedTransaction {
        idempotency: None,
        recorded_at: Timestamp(1),
        appends: Vec::new(),
        checks: Vec::new(),
        conditions: Vec::new(),
    };
    for part in parts.split(" + ") {
        if let Some(check) = part.strip_prefix("check=") {
            let (entity, version) = check.split_once('@').unwrap();
            let expected = match version {
                "exists" => ExpectedVersion::Exists,
                version => ExpectedVersion::Exact(StreamVersion(version.parse().unwrap())),
            };
            transaction.checks.push(StreamCheck { entity_id: EntityId::new(entity).unwrap(), expected });
        } else if let Some((key, digest)) = part.strip_prefix("key=").and_then(|key| key.split_once('#')) {
            let key = IdempotencyKey::new(key).unwrap();
            transaction.idempotency = Some(Idempotency { key, digest: digest.parse().unwrap() });
        } else if let Some(terms) = part.strip_prefix("none=") {
            transaction.conditions.push(condition(terms));
        } else {
            transaction.appends.push(append(part));
        }
    }
    DecidedWrite::Transaction(transaction)
}

fn condition(terms: &str) -> Condition {
    let mut condition = Condition { after: Position::ZERO, names: Vec::new(), tags: Vec::new() };
    for term in terms.split(',') {
        match term.split_once(':').unwrap() {
            ("after", position) => condition.after = Position(position.parse().unwrap()),
            ("name", name) => condition.names.push(EventName::new(name).unwrap()),
            ("tag", tag) => condition.tags.push(Tag::new(tag).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    condition
}

/// `+1..2@5` appended, `=1..2@5` repeated, `v3` version conflict, `t:order` type conflict, `key` key conflict;
/// of a transaction `+@5`, `=@5`, `key`, or what stands against it: `a:v3`, `a:t:order`, `0@5`, `0 too wide`.
fn shown(outcome: &WriteOutcome) -> String {
    match outcome {
        WriteOutcome::Append(outcome) => shown_append(outcome),
        WriteOutcome::Transaction(TransactionOutcome::Committed { first_position }) => {
            format!("+@{first_position}")
        }
        WriteOutcome::Transaction(TransactionOutcome::Repeated { first_position }) => {
            format!("=@{first_position}")
        }
        WriteOutcome::Transaction(TransactionOutcome::IdempotencyConflict) => "key".to_owned(),
        WriteOutcome::Kv(outcome) => panic!("no bucket was written: {outcome:?}"),
        WriteOutcome::Transaction(TransactionOutcome::Violated(violations)) => {
            violations.iter().map(shown_violation).collect::<Vec<_>>().join(" ")
        }
    }
}

fn shown_violation(violation: &Violation) -> String {
    match violation {
        Violation::Version { entity_id, actual, .. } => format!("{entity_id}:v{actual}"),
        Violation::Type { entity_id, actual } => format!("{entity_id}:t:{actual}"),
        Violation::Condition { number, position } => format!("{number}@{position}"),
        Violation::ConditionTooWide { number } => format!("{number} too wide"),
        Violation::JudgedOnOther { entity_id } => format!("{entity_id} judged on other"),
    }
}

fn shown_append(outcome: &AppendOutcome) -> String {
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
        AppendOutcome::JudgedOnOther => "judged on other".to_owned(),
    }
}

/// Applies entries in order and shows every outcome.
fn outcomes(entries: &[&[&str]]) -> Vec<String> {
    let entries: Vec<Vec<DecidedWrite>> =
        entries.iter().map(|entry| entry.iter().map(|text| write(text)).collect()).collect();
    outcomes_under(0, &entries)
}

/// As [`outcomes`], where rules were last changed at this log index.
fn outcomes_under(rules: u64, entries: &[Vec<DecidedWrite>]) -> Vec<String> {
    let terms = Terms { window: WINDOW, rules: LogIndex(rules) };
    let (mut changes, mut last) = (Changes::default(), Position::ZERO);
    let mut shown_all = Vec::new();
    for entry in entries {
        let bytes = encode_writes(entry);
        let Command::Writes(decoded) = Command::decode(&bytes).unwrap() else { panic!("a batch of writes") };
        let payload = Payload { place: PLACE, bytes: &bytes };
        let outcomes = apply_command(&Empty, &decoded, payload, terms, &mut last, &mut changes).unwrap();
        shown_all.extend(outcomes.iter().map(shown));
    }
    shown_all
}

/// The append or transaction that `text` says, each of its streams judged against these.
fn judged(text: &str, rules: u64, last: Option<u128>) -> DecidedWrite {
    let against = Some(Judged { rules: LogIndex(rules), last: last.map(|id| EventId(Uuid::from_u128(id))) });
    let mut write = write(text);
    match &mut write {
        DecidedWrite::Append(append) => append.judged = against,
        DecidedWrite::Transaction(transaction) => {
            transaction.appends.iter_mut().for_each(|append| append.judged = against);
        }
        DecidedWrite::Kv(_) => panic!("buckets have no rules"),
    }
    write
}

#[test]
fn what_was_judged_against_something_else_is_refused() {
    let with_id = |text: &str, id: u128| {
        let mut write = judged(text, 7, None);
        let DecidedWrite::Append(append) = &mut write else { panic!("an append") };
        append.events.last_mut().unwrap().id = EventId(Uuid::from_u128(id));
        write
    };
    for (rules, second, expected) in [
        (7, judged("a/t@2", 7, None), "+3..3@3"),
        (7, judged("a/t@2", 7, Some(42)), "+3..3@3"),
        // The right version over another event.
        (7, judged("a/t@2", 7, Some(41)), "judged on other"),
        // A repeat is known before it is judged, a wrong version before what it rests on.
        (7, judged("a/t@1", 7, Some(41)), "v2"),
    ] {
        let entries = [vec![with_id("a/t@0 x2", 42)], vec![second]];
        assert_eq!(outcomes_under(rules, &entries), ["+1..2@1", expected]);
    }
    for (rules, write, expected) in [
        (0, judged("a/t@0", 0, None), "+1..1@1"),
        (0, judged("a/t@0", 3, None), "judged on other"),
        (3, judged("a/t@0", 2, None), "judged on other"),
        (3, judged("a/t@0", 4, None), "judged on other"),
        (3, write("a/t@0"), "judged on other"),
        (3, judged("a/t@0", 3, Some(1)), "judged on other"),
    ] {
        assert_eq!(outcomes_under(rules, &[vec![write]]), [expected]);
    }
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

#[test]
fn a_transaction_is_written_whole_or_not_at_all() {
    for (entries, expected) in [
        (vec![&["[a/t@0 x2 + b/u@0]", "a/t@2", "b/u@1"][..]], vec!["+@1", "+3..3@4", "+2..2@5"]),
        // Nothing of a refused one is there, and it takes no position.
        (vec![&["a/t@0", "[b/t@0 + a/t@0]", "b/t@0"]], vec!["+1..1@1", "a:v1", "+1..1@2"]),
        // Everything that stands against it is told.
        (
            vec![&["a/t@0", "b/t@0", "[a/x@1 + b/t@3 + c/t@0 + check=d@exists + check=a@7]"]],
            vec!["+1..1@1", "+1..1@2", "a:t:t b:v1 d:v0 a:v1"],
        ),
        // Checks see what came before them in the entry.
        (vec![&["a/t@0", "[b/t@0 + check=a@1]", "[c/t@0 + check=b@0]"]], vec!["+1..1@1", "+@2", "b:v1"]),
        (vec![&["[a/t@0 + check=b@exists]", "[a/t@0 + check=b@0]"]], vec!["b:v0", "+@1"]),
    ] {
        assert_eq!(outcomes(&entries), expected, "{entries:?}");
    }
}

#[test]
fn a_transactions_key_is_in_the_scope_of_its_first_stream() {
    for (entries, expected) in [
        (vec![&["[a/t@0 + b/t@0 + key=k#7]"][..], &["[a/t@9 + b/t@9 + key=k#7]"]], vec!["+@1", "=@1"]),
        (vec![&["[a/t@0 + key=k#7]", "[a/t@1 + key=k#8]"]], vec!["+@1", "key"]),
        (vec![&["[a/t@0 + key=k#7]", "a/t@1 key=k#8"]], vec!["+@1", "key"]),
        (vec![&["[a/t@0 + b/t@0 + key=k#7]", "[b/t@1 + key=k#7]"]], vec!["+@1", "+@3"]),
    ] {
        assert_eq!(outcomes(&entries), expected, "{entries:?}");
    }
}

#[test]
fn a_condition_is_violated_by_an_event_after_its_position() {
    let before = "a/t@0 name=placed tag=c:1 tag=c:2";
    let later = "b/t@0 name=paid tag=c:1";
    for (condition, expected) in [
        ("after:0,tag:c:9", "+@3"),
        ("after:0,tag:c:1", "0@1"),
        ("after:1,tag:c:1", "0@2"),
        ("after:2,tag:c:1", "+@3"),
        ("after:0,tag:c:1,tag:c:2", "0@1"),
        ("after:1,tag:c:1,tag:c:2", "+@3"),
        ("after:0,tag:c:1,name:paid", "0@2"),
        ("after:0,tag:c:2,name:paid", "+@3"),
        ("after:0,name:paid,name:placed", "0@1"),
        ("after:0,name:shipped", "+@3"),
        ("after:0", "0@1"),
        ("after:2", "+@3"),
        ("after:18446744073709551615", "+@3"),
        ("after:18446744073709551615,tag:c:1", "+@3"),
    ] {
        let write = format!("[d/t@0 + none={condition}]");
        for entries in [vec![&[before, later, &write][..]], vec![&[before], &[later], &[&write]]] {
            assert_eq!(outcomes(&entries).pop().unwrap(), expected, "{entries:?}");
        }
    }
}

#[test]
fn a_condition_that_would_look_at_too_many_events_is_refused() {
    for (events, expected) in [("x1000", "0@1"), ("x1001", "0 too wide")] {
        let many = format!("a/t@0 {events} tag=c name=n");
        let write = "[b/t@0 + none=tag:c,name:n]";
        assert_eq!(outcomes(&[&[&many, write]]).pop().unwrap(), expected);
    }
    // The rarest tag decides.
    let entries: [&[&str]; 1] = [&["a/t@0 x2000 tag=c", "b/t@0 tag=c tag=d", "[e/t@0 + none=tag:c,tag:d]"]];
    assert_eq!(outcomes(&entries).pop().unwrap(), "0@2001");
}
