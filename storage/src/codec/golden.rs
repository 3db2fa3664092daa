//! The format, pinned: bytes that this version wrote once must be read for
//! ever, and must still be what it writes. A difference is a format change and
//! needs a new version byte and a new folder beside `golden/v1`.
//!
//! `WEIR_WRITE_GOLDEN=1` writes files that are missing; it never overwrites one.

use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;
use weir_types::{
    AppendAck, AppendError, BadEvent, Deployment, EntityId, EntityType, EventId, ExpectedVersion,
    IdempotencyKey, LogId, LogIndex, NodeId, PartitionKey, PartitionRebuild, Position, ProjectionId,
    ProjectionKind, ProjectionName, Rebuild, RegistryCommand, RegistryError, RegistryOutcome, StreamHead,
    StreamVersion, Term, Timestamp, TransactionAck, Violation,
    ports::{Checkpoint, Parked, PartitionRebuildEnd, View},
};

use super::{
    StoredBadEvent, StoredCheckpoint, StoredDefinition, StoredExpiry, StoredHead, StoredMark,
    StoredPartitionRebuildEnd, StoredPositions, StoredRegistryOutcome, StoredRemembered, StoredRun,
    StoredView, command, decode, encode, event,
    forward::{ForwardRequest, ForwardResponse},
    peer, samples,
};
use crate::{
    index::{AppliedMark, Expiring, Frame, IndexHead, Remembered, Run},
    schema::StreamNo,
    state::{decode_deployment, encode_deployment},
};

/// The pinned bytes of `name`, after checking that `encoded` equals them.
pub(super) fn golden(name: &str, encoded: &[u8]) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(format!("{name}.bin"));
    if !path.exists() && std::env::var_os("WEIR_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, encoded).unwrap();
    }
    let pinned = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(pinned, encoded, "{name} is no longer encoded as it was");
    Bytes::from(pinned)
}

#[test]
fn append_batches_keep_their_bytes() {
    let appends = samples::appends();
    let payload = golden("command_appends", &command::encode_appends(&appends));
    let command::Command::Writes(decoded) = command::Command::decode(&payload).unwrap() else {
        panic!("an append batch")
    };
    assert_eq!(decoded.len(), appends.len());
    for (decoded, append) in decoded.iter().flat_map(command::CommandWrite::appends).zip(&appends) {
        assert_eq!(decoded.meta.entity_id, append.entity_id);
        assert_eq!(decoded.meta.entity_type, append.entity_type);
        assert_eq!(decoded.meta.base, append.base);
        assert_eq!(decoded.meta.idempotency, append.idempotency);
        assert_eq!(decoded.meta.recorded_at, append.recorded_at);
        assert_eq!(decoded.frames.len(), append.events.len());
        for (number, (frame, event)) in (1..).zip(decoded.frames.iter().zip(&append.events)) {
            let read = event::decode(&frame.body(&payload), Position(9)).unwrap();
            assert_eq!((read.id, &read.name, &read.data), (event.id, &event.name, &event.data));
            assert_eq!(read.version, append.base.plus(number));
        }
    }
}

#[test]
fn mixed_batches_keep_their_bytes() {
    let (writes, transaction) = samples::writes();
    let payload = golden("command_writes", &command::encode_writes(&writes));
    let command::Command::Writes(decoded) = command::Command::decode(&payload).unwrap() else {
        panic!("a batch of writes")
    };
    let [command::CommandWrite::Append(_), command::CommandWrite::Transaction(read)] = &decoded[..] else {
        panic!("an append and a transaction")
    };
    let meta = &read.meta;
    assert_eq!((&meta.checks, &meta.conditions), (&transaction.checks, &transaction.conditions));
    assert_eq!((&meta.idempotency, meta.recorded_at), (&transaction.idempotency, transaction.recorded_at));
    let frame = read.appends[0].frames[0].body(&payload);
    let event = event::decode(&frame, Position(1)).unwrap();
    assert_eq!(event.tags, transaction.appends[0].events[0].tags);
    assert_eq!(event::facets(&frame).unwrap(), ("order.placed", vec!["customer:42", "größe"]));
}

#[test]
fn tagged_event_frames_keep_their_bytes() {
    let (_, transaction) = samples::writes();
    let (append, event) = (&transaction.appends[0], &transaction.appends[0].events[0]);
    let mut frame = Vec::new();
    event::encode_frame(append, event, StreamVersion(9), &mut frame);
    let read = event::decode_frame(&golden("event_frame_tagged", &frame), Position(42)).unwrap();
    assert_eq!((&read.tags, read.source), (&event.tags, event.source));
}

#[test]
fn event_frames_keep_their_bytes() {
    let appends = samples::appends();
    let (append, event) = (&appends[0], &appends[0].events[1]);
    let mut frame = Vec::new();
    event::encode_frame(append, event, StreamVersion(9), &mut frame);
    let frame = golden("event_frame", &frame);
    let read = event::decode_frame(&frame, Position(42)).unwrap();
    assert_eq!((&read.entity_id, &read.entity_type), (&append.entity_id, &append.entity_type));
    assert_eq!((read.version, read.position), (StreamVersion(9), Position(42)));
    assert_eq!((&read.content_type, &read.metadata), (&event.content_type, &event.metadata));
    assert_eq!((read.recorded_at, read.occurred_at), (append.recorded_at, event.occurred_at));
    assert_eq!((read.schema_version, read.source), (event.schema_version, event.source));
}

#[test]
fn registry_commands_keep_their_bytes() {
    let name = samples::definition().name;
    for (file, value) in [
        ("command_registry_deploy", RegistryCommand::Deploy(samples::definition())),
        ("command_registry_remove", RegistryCommand::Remove(name.clone())),
        ("command_registry_pause", RegistryCommand::Pause(name.clone())),
        ("command_registry_resume", RegistryCommand::Resume(name.clone())),
        (
            "command_registry_rebuild",
            RegistryCommand::Rebuild { name: name.clone(), asked_at: Timestamp(1_760_000_000_000_000) },
        ),
        ("command_registry_cancel_rebuild", RegistryCommand::CancelRebuild(name.clone())),
        (
            "command_registry_rebuild_partition",
            RegistryCommand::RebuildPartition {
                name: name.clone(),
                partition: PartitionKey::new("größe").unwrap(),
                asked_at: Timestamp(1_760_000_000_000_000),
            },
        ),
        ("command_registry_switch", RegistryCommand::Switch(name, ProjectionName::new("v2").unwrap())),
    ] {
        let payload = golden(file, &command::encode_registry(&value));
        assert!(command::is_registry(&payload));
        assert_eq!(command::Command::decode(&payload).unwrap(), command::Command::Registry(value));
    }
}

#[test]
fn forwarded_requests_keep_their_bytes() {
    let append = &samples::appends()[0];
    let event = weir_types::NewEvent {
        id: None,
        name: append.events[0].name.clone(),
        schema_version: 1,
        content_type: append.events[1].content_type.clone(),
        data: Bytes::from_static(b"\x00\xff"),
        metadata: Bytes::new(),
        occurred_at: None,
        source: weir_types::EventSource::Webhook,
        tags: Vec::new(),
    };
    let chosen = weir_types::NewEvent {
        id: Some(EventId(Uuid::from_u128(7))),
        tags: vec![weir_types::Tag::new("customer:42").unwrap()],
        ..event.clone()
    };
    let exists = weir_types::AppendRequest {
        expected: ExpectedVersion::Exists,
        ..samples::request_of(append, vec![chosen, event.clone()])
    };
    let (_, decided) = samples::writes();
    let transaction = weir_types::TransactionRequest {
        checks: decided.checks,
        conditions: decided.conditions,
        ..exists.clone().into()
    };
    for (file, value) in [
        ("forward_append_with_extras", ForwardRequest::Append(exists)),
        ("forward_transaction", ForwardRequest::Transact(transaction)),
        ("forward_append", ForwardRequest::Append(samples::request_of(append, vec![event]))),
        ("forward_register", ForwardRequest::Register(RegistryCommand::Deploy(samples::definition()))),
    ] {
        assert_eq!(ForwardRequest::decode(&golden(file, &value.encode())).unwrap(), value);
    }
}

#[test]
fn forwarded_responses_keep_their_bytes() {
    let ack = AppendAck {
        first_version: StreamVersion(1),
        last_version: StreamVersion(2),
        first_position: Position(300),
        event_ids: vec![EventId(Uuid::from_u128(1)), EventId(Uuid::from_u128(2))],
        repeated: true,
    };
    let reason = || "why".to_owned();
    let actual = EntityType::new("order").unwrap();
    let id = ProjectionId { name: samples::definition().name, deployed: LogIndex(70_000) };
    let errors = [
        AppendError::NoEvents,
        AppendError::TooLarge { what: "metadata bytes", actual: 70_000, max: 65_536 },
        AppendError::VersionConflict { expected: ExpectedVersion::Any, actual: StreamVersion(3) },
        AppendError::VersionConflict {
            expected: ExpectedVersion::Exact(StreamVersion(2)),
            actual: StreamVersion(3),
        },
        AppendError::TypeConflict { actual },
        AppendError::IdempotencyConflict,
        AppendError::Overloaded,
        AppendError::NotLeader { leader: Some(NodeId(3)) },
        AppendError::Unavailable { reason: reason() },
        AppendError::OutcomeUnknown { reason: reason() },
        AppendError::Storage { reason: reason() },
    ];
    let refused = |error| ForwardResponse::Register(Ok(RegistryOutcome::Refused(error)));
    let mut values = vec![ForwardResponse::Append(Ok(ack))];
    values.extend(errors.into_iter().map(|error| ForwardResponse::Append(Err(error))));
    values.push(ForwardResponse::Register(Ok(RegistryOutcome::Deployed(id))));
    values.push(ForwardResponse::Register(Ok(RegistryOutcome::Removed)));
    values.push(refused(RegistryError::Invalid { reason: reason() }));
    values.push(refused(RegistryError::NotFound));
    values.push(refused(RegistryError::TooMany { max: 256 }));
    values.push(ForwardResponse::Register(Err(AppendError::NotLeader { leader: None })));
    let entity_id = EntityId::new("order-1").unwrap();
    let ack = AppendAck {
        first_version: StreamVersion(4),
        last_version: StreamVersion(4),
        first_position: Position(9),
        event_ids: vec![EventId(Uuid::from_u128(1))],
        repeated: false,
    };
    let whole = TransactionAck { streams: vec![(entity_id.clone(), ack)], repeated: false };
    values.push(ForwardResponse::Transact(Ok(whole)));
    let (expected, actual) = (ExpectedVersion::Exists, StreamVersion::ZERO);
    let violations = vec![
        Violation::Version { entity_id: entity_id.clone(), expected, actual },
        Violation::Type { entity_id: entity_id.clone(), actual: EntityType::new("order").unwrap() },
        Violation::Condition { number: 1, position: Position(7) },
        Violation::ConditionTooWide { number: 2 },
    ];
    values.push(ForwardResponse::Transact(Err(AppendError::Violated { violations })));
    values.push(ForwardResponse::Transact(Err(AppendError::NamedTwice { entity_id })));
    values.push(ForwardResponse::Register(Ok(RegistryOutcome::Changed)));
    values.push(refused(RegistryError::NotRebuilding));
    for (number, value) in values.into_iter().enumerate() {
        let bytes = golden(&format!("forward_response_{number:02}"), &value.encode());
        assert_eq!(ForwardResponse::decode(&bytes).unwrap(), value);
    }
}

#[test]
fn index_values_keep_their_bytes() {
    let head = StreamHead {
        entity_id: EntityId::new("order-1").unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        version: StreamVersion(3),
        first_position: Position(100),
        last_position: Position(70_000),
        created_at: Timestamp(-1),
        updated_at: Timestamp(1_760_000_000_000_000),
    };
    let last_event = EventId(Uuid::from_u128(7));
    let whole = IndexHead { stream_no: StreamNo(100), head: head.clone(), last_event };
    let bytes = golden("index_head", &encode(&StoredHead::from(&whole)));
    let read = decode::<StoredHead<'_>>("head", &bytes).unwrap().read(head.entity_id.clone()).unwrap();
    assert_eq!(read, whole);

    let frames = vec![Frame { offset: 40, len: 300 }, Frame { offset: 380, len: 20 }];
    let run = Run { first_position: Position(100), segment: 1, payload: 5_000_000_000, frames };
    let bytes = golden("index_run", &encode(&StoredRun::from(&run)));
    assert_eq!(Run::try_from(decode::<StoredRun>("run", &bytes).unwrap()).unwrap(), run);

    let positions = [100, 101, 355].map(Position);
    let bytes = golden("index_positions", &encode(&StoredPositions::from(&positions[..])));
    let read = decode::<StoredPositions>("positions", &bytes).unwrap().read(Position(100)).unwrap();
    assert_eq!(read, positions);

    let remembered = Remembered {
        digest: 0xdead_beef_0bad_cafe,
        first_version: StreamVersion(4),
        last_version: StreamVersion(6),
        first_position: Position(99),
    };
    let bytes = golden("index_remembered", &encode(&StoredRemembered::from(&remembered)));
    assert_eq!(Remembered::from(decode::<StoredRemembered>("remembered", &bytes).unwrap()), remembered);

    let expiring = vec![Expiring {
        position: Position(99),
        entity_id: EntityId::new("order-1").unwrap(),
        key: IdempotencyKey::new("k").unwrap(),
    }];
    let bytes = golden("index_expiry", &encode(&StoredExpiry::from(&expiring[..])));
    let read = Vec::<Expiring>::try_from(decode::<StoredExpiry<'_>>("expiry", &bytes).unwrap()).unwrap();
    assert_eq!(read, expiring);

    let id = |index| LogId { term: Term(3), leader: NodeId(2), index: LogIndex(index) };
    let mark = AppliedMark {
        log_id: id(900),
        position: Position(70_000),
        membership: Bytes::from_static(b"opaque"),
        membership_at: Some(id(1)),
        registry: LogIndex(12),
        kv: LogIndex::ZERO,
        rules: LogIndex::ZERO,
        digest: u64::MAX - 1,
    };
    let bytes = golden("index_mark", &encode(&StoredMark::from(&mark)));
    assert_eq!(AppliedMark::from(decode::<StoredMark<'_>>("mark", &bytes).unwrap()), mark);
}

#[test]
fn state_values_keep_their_bytes() {
    let definition = samples::definition();
    let sink = Some(weir_types::SinkName::new("reporting").unwrap());
    for (file, kind, sink) in [
        ("state_definition", definition.kind, None),
        ("state_definition_virtual", ProjectionKind::Virtual, None),
        ("state_definition_sql", ProjectionKind::Sql, None),
        ("state_definition_sink", ProjectionKind::Sql, sink),
    ] {
        let definition = weir_types::ProjectionDefinition { kind, sink, ..definition.clone() };
        let bytes = golden(file, &encode(&StoredDefinition::from(&definition)));
        let read: StoredDefinition<'_> = decode("definition", &bytes).unwrap();
        assert_eq!(weir_types::ProjectionDefinition::try_from(read).unwrap(), definition);
    }

    let outcome = RegistryOutcome::Deployed(ProjectionId { name: definition.name, deployed: LogIndex(7) });
    let bytes = golden("state_registry_outcome", &encode(&StoredRegistryOutcome::from(&outcome)));
    let read: StoredRegistryOutcome<'_> = decode("outcome", &bytes).unwrap();
    assert_eq!(RegistryOutcome::try_from(read).unwrap(), outcome);

    let event = samples::bad_event();
    let bytes = golden("state_dead_letter", &encode(&StoredBadEvent::from(&event)));
    let read: StoredBadEvent<'_> = decode("dead letter", &bytes).unwrap();
    assert_eq!(BadEvent::try_from(read).unwrap(), event);

    let parked = Some(Box::new(Parked { event, resumed: LogIndex(8) }));
    let checkpoint =
        Checkpoint { position: Position(500), events: 400, digest: 1, parked, dead_letters: 3, serves: true };
    let bytes = golden("state_checkpoint", &encode(&StoredCheckpoint::from(&checkpoint)));
    let read: StoredCheckpoint<'_> = decode("checkpoint", &bytes).unwrap();
    assert_eq!(Checkpoint::try_from(read).unwrap(), checkpoint);

    let mut deployment = Deployment::new(
        ProjectionId { name: samples::definition().name, deployed: LogIndex(7) },
        samples::definition(),
    );
    (deployment.paused, deployment.resumed) = (true, LogIndex(70_000));
    let next = ProjectionId { name: deployment.name.clone(), deployed: LogIndex(70_001) };
    deployment = deployment.succeeded_by(next, samples::definition());
    deployment.rebuild = Some(Rebuild { asked_at: Timestamp(1_760_000_000_000_000), cancelled: true });
    deployment.name = ProjectionName::new("switched").unwrap();
    let bytes = golden("state_deployment", &encode_deployment(&deployment));
    assert_eq!(decode_deployment(&bytes).unwrap(), deployment);
    for (at, partition, cancelled) in [(70_002, "a", false), (70_003, "größe", true)] {
        deployment = deployment.with_partition_rebuild(PartitionRebuild {
            at: LogIndex(at),
            partition: PartitionKey::new(partition).unwrap(),
            asked_at: Timestamp(1_760_000_000_000_000),
            cancelled,
        });
    }
    let bytes = golden("state_deployment_with_partitions", &encode_deployment(&deployment));
    assert_eq!(decode_deployment(&bytes).unwrap(), deployment);

    for (file, failure) in
        [("state_partition_rebuild", None), ("state_partition_rebuild_failed", Some("no".to_owned()))]
    {
        let end = PartitionRebuildEnd { at: LogIndex(70_003), position: Position(500), failure };
        let bytes = golden(file, &encode(&StoredPartitionRebuildEnd::from(&end)));
        let read: StoredPartitionRebuildEnd<'_> = decode("partition rebuild", &bytes).unwrap();
        assert_eq!(PartitionRebuildEnd::from(read), end);
    }

    let view = View { state: Bytes::from_static(br#"{"n":1}"#), position: Position(499) };
    let bytes = golden("state_view", &encode(&StoredView::from(&view)));
    assert_eq!(View::from(decode::<StoredView<'_>>("view", &bytes).unwrap()), view);
}

#[test]
fn peer_messages_keep_their_bytes() {
    let message = (7_u64, Some("text".to_owned()), vec![1_u8, 2, 3]);
    let bytes = golden("peer_message", &peer::encode(&message));
    assert_eq!(peer::decode::<(u64, Option<String>, Vec<u8>)>(&bytes).unwrap(), message);
}
