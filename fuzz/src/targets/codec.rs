//! The codec: bytes are a value or a typed error, and what is read is written
//! as what is read as the same.

use bytes::Bytes;
use weir_storage::{
    codec::{
        command::{Command, CommandWrite, encode_appends, encode_registry, encode_writes, event_count},
        event,
        forward::{ForwardRequest, ForwardResponse},
    },
    inside::values_again,
    schema::{IndexKey, StateKey},
};
use weir_types::{DecidedAppend, DecidedEvent, Position, RecordedEvent, StreamVersion};

use super::CODEC;
use crate::{Target, seal};

pub(super) const COMMAND: Target = Target {
    name: "codec-command",
    about: "a log entry's payload: every frame lies within it, one behind the other",
    run: command,
    memory: CODEC,
    seeds: &["storage/golden/v1"],
    slow_ms: 0,
};

pub(super) const EVENT: Target = Target {
    name: "codec-event",
    about: "an event's frame and its body, with a right checksum too",
    run: event_frame,
    memory: CODEC,
    seeds: &["storage/golden/v1"],
    slow_ms: 0,
};

pub(super) const FORWARD: Target = Target {
    name: "codec-forward",
    about: "what nodes forward to the leader, and its answers",
    run: forward,
    memory: CODEC,
    seeds: &["storage/golden/v1"],
    slow_ms: 0,
};

pub(super) const VALUES: Target = Target {
    name: "codec-values",
    about: "the values of index and state",
    run: values,
    memory: CODEC,
    seeds: &["storage/golden/v1"],
    slow_ms: 0,
};

pub(super) const KEYS: Target = Target {
    name: "codec-keys",
    about: "the keys of index and state: what is a key is written as the same bytes",
    run: keys,
    memory: CODEC,
    seeds: &[],
    slow_ms: 0,
};

fn command(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    match Command::decode(&payload) {
        Err(_) => assert_eq!(event_count(&payload), 0),
        Ok(Command::Registry(command)) => {
            let again = encode_registry(&command);
            assert_eq!(
                Command::decode(&again).expect("what was written is read"),
                Command::Registry(command)
            );
        }
        Ok(Command::Writes(writes)) => {
            let mut end = 0;
            let mut events = 0;
            for frame in writes.iter().flat_map(CommandWrite::appends).flat_map(|append| &append.frames) {
                assert!(frame.offset >= end, "frames lie one behind the other");
                end = frame.offset + frame.len;
                events += 1;
                // Its checksum is its reader's; here it may be anything.
                let _ = event::decode(&frame.body(&payload), Position(1));
            }
            assert!(end as usize <= payload.len());
            assert_eq!(event_count(&payload), events);
        }
    }
}

fn event_frame(data: &[u8]) {
    let mut sealed = data.to_vec();
    seal::event_frame(&mut sealed);
    for frame in [data, &sealed] {
        let frame = Bytes::copy_from_slice(frame);
        let Ok(event) = event::decode_frame(&frame, Position(7)) else { continue };
        let mut again = Vec::new();
        let (append, decided) = decided(&event);
        event::encode_frame(&append, &decided, event.version, &mut again);
        let read = event::decode_frame(&Bytes::from(again), Position(7)).expect("what was written is read");
        assert_eq!(read, event);
    }
}

fn decided(event: &RecordedEvent) -> (DecidedAppend, DecidedEvent) {
    let append = DecidedAppend {
        judged: None,
        entity_id: event.entity_id.clone(),
        entity_type: event.entity_type.clone(),
        base: StreamVersion::ZERO,
        idempotency: None,
        recorded_at: event.recorded_at,
        events: Vec::new(),
    };
    let decided = DecidedEvent {
        id: event.id,
        name: event.name.clone(),
        schema_version: event.schema_version,
        content_type: event.content_type.clone(),
        data: event.data.clone(),
        metadata: event.metadata.clone(),
        occurred_at: event.occurred_at,
        source: event.source,
        tags: event.tags.clone(),
    };
    (append, decided)
}

fn forward(data: &[u8]) {
    if let Ok(request) = ForwardRequest::decode(&Bytes::copy_from_slice(data)) {
        assert_eq!(ForwardRequest::decode(&request.encode()).expect("what was written is read"), request);
        match request {
            ForwardRequest::Append(request) if request.check_limits().is_ok() => batch_of(&request),
            ForwardRequest::Transact(request) if request.check_limits().is_ok() => {
                transaction_of(&request);
            }
            _ => {}
        }
    }
    if let Ok(response) = ForwardResponse::decode(data) {
        assert_eq!(ForwardResponse::decode(&response.encode()).expect("what was written is read"), response);
        if let ForwardResponse::Append(Ok(ack)) = response {
            assert!(ack.last_version >= ack.first_version && ack.last_position() >= ack.first_position);
        }
    }
}

/// A forwarded append that is decided is a batch that apply reads.
fn batch_of(request: &weir_types::AppendRequest) {
    let append = append_of(&request.entity_id, &request.entity_type, &request.events);
    assert_eq!(event_count(&encode_appends(&[append])), request.events.len() as u64);
}

/// As [`batch_of`], of a transaction.
fn transaction_of(request: &weir_types::TransactionRequest) {
    let append =
        |part: &weir_types::StreamAppend| append_of(&part.entity_id, &part.entity_type, &part.events);
    let transaction = weir_types::DecidedTransaction {
        idempotency: None,
        recorded_at: weir_types::Timestamp(1),
        appends: request.appends.iter().map(append).collect(),
        checks: request.checks.clone(),
        conditions: request.conditions.clone(),
    };
    let payload = encode_writes(&[weir_types::DecidedWrite::Transaction(transaction)]);
    assert_eq!(event_count(&payload), request.events() as u64);
    let Ok(Command::Writes(writes)) = Command::decode(&payload) else { panic!("what was written is read") };
    let [CommandWrite::Transaction(read)] = &writes[..] else { panic!("it is one transaction") };
    assert_eq!((&read.meta.checks, &read.meta.conditions), (&request.checks, &request.conditions));
}

fn append_of(
    entity_id: &weir_types::EntityId,
    entity_type: &weir_types::EntityType,
    events: &[weir_types::NewEvent],
) -> DecidedAppend {
    let event = |event: &weir_types::NewEvent| DecidedEvent {
        id: weir_types::EventId(uuid::Uuid::nil()),
        name: event.name.clone(),
        schema_version: event.schema_version,
        content_type: event.content_type.clone(),
        data: event.data.clone(),
        metadata: event.metadata.clone(),
        occurred_at: event.occurred_at,
        source: event.source,
        tags: event.tags.clone(),
    };
    DecidedAppend {
        judged: None,
        entity_id: entity_id.clone(),
        entity_type: entity_type.clone(),
        base: StreamVersion(3),
        idempotency: None,
        recorded_at: weir_types::Timestamp(1),
        events: events.iter().map(event).collect(),
    }
}

fn values(data: &[u8]) {
    for (kind, written) in values_again(data) {
        let again = values_again(&written);
        assert!(again.contains(&(kind, written)), "{kind} is not written as it was");
    }
}

fn keys(data: &[u8]) {
    if let Some((group, key)) = IndexKey::decode(data) {
        assert_eq!(key.encode(group), data, "{key:?}");
    }
    if let Some((group, key)) = StateKey::decode(data) {
        assert_eq!(key.encode(group), data, "{key:?}");
    }
}
