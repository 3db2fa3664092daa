//! The pinned bytes of what concerns rules and schemas of events.

use uuid::Uuid;
use weir_types::{
    AppendError, EntityId, EntityType, EventId, EventName, EventSchema, Judged, LogIndex, MetadataRule,
    MetadataType, RegistryCommand, RegistryOutcome, RuleFault, RuleFaults, RuleKind, Rules, RulesChanged,
    RulesCommand, RulesError, RulesLimit, RulesScope, SchemaMode, Timestamp, Upcaster, Violation,
};

use super::{
    StoredRules, StoredSchema, StoredUpcaster, command, decode, encode,
    forward::{ForwardRequest, ForwardResponse},
    golden::golden,
    samples,
};

fn schema() -> EventSchema {
    EventSchema {
        name: EventName::new("order.placed").unwrap(),
        version: 300,
        schema: r#"{"type":"object"}"#.into(),
        description: "größe".into(),
        registered_at: Timestamp(1_760_000_000_000_000),
    }
}

fn upcaster() -> Upcaster {
    Upcaster {
        name: EventName::new("order.placed").unwrap(),
        from: 1,
        to: 300,
        source: "export const upcast = (data) => data; // ü".into(),
        description: "größe".into(),
        registered_at: Timestamp(1_760_000_000_000_000),
    }
}

fn rules() -> Rules {
    let kinds = [
        MetadataType::Any,
        MetadataType::Text,
        MetadataType::Number,
        MetadataType::Integer,
        MetadataType::Boolean,
        MetadataType::Object,
        MetadataType::Array,
    ];
    let rule = |(number, kind): (usize, MetadataType)| {
        (format!("key{number}"), MetadataRule { kind, required: number % 2 == 0 })
    };
    Rules {
        schemas: Some(SchemaMode::Known),
        metadata: kinds.into_iter().enumerate().map(rule).collect(),
        invariant: Some("export const x = 'ü';".into()),
    }
}

#[test]
fn commands_of_rules_keep_their_bytes() {
    let account = RulesScope::Type(EntityType::new("account").unwrap());
    let modes = [None, Some(SchemaMode::Off), Some(SchemaMode::Required)];
    let mut commands = vec![
        RulesCommand::PutSchema(schema()),
        RulesCommand::DeleteSchema(schema().name, 2),
        RulesCommand::Set(account, rules()),
        RulesCommand::Delete(RulesScope::Namespace),
    ];
    let set = |schemas| RulesCommand::Set(RulesScope::Namespace, Rules { schemas, ..Rules::default() });
    commands.extend(modes.map(set));
    commands.push(RulesCommand::SetUpcaster(upcaster()));
    commands.push(RulesCommand::DeleteUpcaster(upcaster().name, 300));
    for (number, command) in commands.into_iter().enumerate() {
        let command = RegistryCommand::Rules(command);
        let payload = golden(&format!("command_rules_{number}"), &command::encode_registry(&command));
        assert!(command::is_registry(&payload));
        assert_eq!(command::Command::decode(&payload).unwrap(), command::Command::Registry(command.clone()));
        let request = ForwardRequest::Register(command);
        assert_eq!(ForwardRequest::decode(&request.encode()).unwrap(), request);
    }
}

#[test]
fn outcomes_and_refusals_of_rules_keep_their_bytes() {
    let reason = || "why".to_owned();
    let too_many = |what| RulesError::TooMany { what, max: 7 };
    let refused = |error| ForwardResponse::Register(Ok(RegistryOutcome::RulesRefused(error)));
    let changed = RulesChanged { revision: LogIndex(70_000), existed: true };
    let fault = |rule, path: &str| RuleFault {
        entity_id: EntityId::new("a-1").unwrap(),
        event: 3,
        rule,
        path: path.to_owned(),
        message: "größe".to_owned(),
    };
    let faults = RuleFaults {
        own: vec![fault(RuleKind::Schema, "/total"), fault(RuleKind::Metadata, "/tenant")],
        state: vec![fault(RuleKind::Invariant, "")],
    };
    let violations = vec![Violation::JudgedOnOther { entity_id: EntityId::new("a-1").unwrap() }];
    let entity_type = EntityType::new("account").unwrap();
    let values = [
        ForwardResponse::Register(Ok(RegistryOutcome::RulesChanged(changed))),
        refused(RulesError::Invalid { reason: reason() }),
        refused(RulesError::SchemaInvalid { reason: reason() }),
        refused(RulesError::NotFound),
        refused(RulesError::SchemaNotFound),
        refused(too_many(RulesLimit::Schemas)),
        refused(too_many(RulesLimit::Rules)),
        refused(too_many(RulesLimit::Invariants)),
        ForwardResponse::Append(Err(AppendError::Invalid { faults })),
        ForwardResponse::Append(Err(AppendError::InvariantFailed { entity_type, reason: reason() })),
        ForwardResponse::Transact(Err(AppendError::Violated { violations })),
        refused(RulesError::UpcasterInvalid { reason: reason() }),
        refused(RulesError::UpcasterNotFound),
        refused(too_many(RulesLimit::Upcasters)),
    ];
    for (number, value) in values.into_iter().enumerate() {
        let bytes = golden(&format!("forward_response_rules_{number:02}"), &value.encode());
        assert_eq!(ForwardResponse::decode(&bytes).unwrap(), value);
    }
}

#[test]
fn judged_appends_keep_their_bytes() {
    let mut appends = samples::appends();
    appends[0].judged = Some(Judged { rules: LogIndex(70_000), last: Some(EventId(Uuid::from_u128(9))) });
    appends[1].judged = Some(Judged { rules: LogIndex(7), last: None });
    let payload = golden("command_appends_judged", &command::encode_appends(&appends));
    let command::Command::Writes(decoded) = command::Command::decode(&payload).unwrap() else {
        panic!("an append batch")
    };
    for (decoded, append) in decoded.iter().flat_map(command::CommandWrite::appends).zip(&appends) {
        assert_eq!((decoded.meta.judged, &decoded.meta.entity_id), (append.judged, &append.entity_id));
        let body = decoded.frames[0].body(&payload);
        assert_eq!(super::event::id_of(&body).unwrap(), append.events[0].id);
    }
}

#[test]
fn rules_in_the_state_keep_their_bytes() {
    let bytes = golden("state_rules", &encode(&StoredRules::from(&rules())));
    assert_eq!(Rules::from(decode::<StoredRules<'_>>("rules", &bytes).unwrap()), rules());
    let bytes = golden("state_schema", &encode(&StoredSchema::from(&schema())));
    assert_eq!(
        EventSchema::try_from(decode::<StoredSchema<'_>>("schema", &bytes).unwrap()).unwrap(),
        schema()
    );
    for (name, stored) in [("state_upcaster", Some(upcaster())), ("state_upcaster_removed", None)] {
        let bytes = golden(name, &encode(&stored.as_ref().map(StoredUpcaster::from)));
        let read = decode::<Option<StoredUpcaster<'_>>>("upcaster", &bytes).unwrap();
        assert_eq!(read.map(|read| Upcaster::try_from(read).unwrap()), stored);
    }
}
