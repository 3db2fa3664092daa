//! Rules and schemas of events, their commands, and what came of those.

use serde::{Deserialize, Serialize};
use weir_types::{
    EntityId, EntityType, EventName, EventSchema, LogIndex, MetadataRule, MetadataType, RuleFault,
    RuleFaults, RuleKind, Rules, RulesChanged, RulesCommand, RulesError, RulesLimit, RulesScope, SchemaMode,
    Timestamp, Upcaster,
};

use super::CodecError;

const WHAT: &str = "rules";

/// The text by which a scope is kept: no entity type is empty.
pub(crate) fn scope_text(scope: &RulesScope) -> &str {
    match scope {
        RulesScope::Namespace => "",
        RulesScope::Type(entity_type) => entity_type.as_str(),
    }
}

/// The scope that is kept by this text.
pub(crate) fn scope_of(text: &str) -> Result<RulesScope, CodecError> {
    match text {
        "" => Ok(RulesScope::Namespace),
        text => EntityType::new(text).map(RulesScope::Type).map_err(CodecError::name(WHAT)),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSchema<'a> {
    name: &'a str,
    version: u32,
    schema: &'a str,
    description: &'a str,
    registered_at: i64,
}

impl<'a> From<&'a EventSchema> for StoredSchema<'a> {
    fn from(schema: &'a EventSchema) -> Self {
        Self {
            name: schema.name.as_str(),
            version: schema.version,
            schema: &schema.schema,
            description: &schema.description,
            registered_at: schema.registered_at.0,
        }
    }
}

impl TryFrom<StoredSchema<'_>> for EventSchema {
    type Error = CodecError;

    fn try_from(stored: StoredSchema<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            name: EventName::new(stored.name).map_err(CodecError::name(WHAT))?,
            version: stored.version,
            schema: stored.schema.into(),
            description: stored.description.to_owned(),
            registered_at: Timestamp(stored.registered_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredUpcaster<'a> {
    name: &'a str,
    from: u32,
    to: u32,
    source: &'a str,
    description: &'a str,
    registered_at: i64,
}

impl<'a> From<&'a Upcaster> for StoredUpcaster<'a> {
    fn from(upcaster: &'a Upcaster) -> Self {
        Self {
            name: upcaster.name.as_str(),
            from: upcaster.from,
            to: upcaster.to,
            source: &upcaster.source,
            description: &upcaster.description,
            registered_at: upcaster.registered_at.0,
        }
    }
}

impl TryFrom<StoredUpcaster<'_>> for Upcaster {
    type Error = CodecError;

    fn try_from(stored: StoredUpcaster<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            name: EventName::new(stored.name).map_err(CodecError::name(WHAT))?,
            from: stored.from,
            to: stored.to,
            source: stored.source.into(),
            description: stored.description.to_owned(),
            registered_at: Timestamp(stored.registered_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum StoredMode {
    Off,
    Known,
    Required,
}

#[derive(Serialize, Deserialize)]
enum StoredKind {
    Any,
    Text,
    Number,
    Integer,
    Boolean,
    Object,
    Array,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredRules<'a> {
    schemas: Option<StoredMode>,
    #[serde(borrow)]
    metadata: Vec<(&'a str, StoredKind, bool)>,
    invariant: Option<&'a str>,
}

impl<'a> From<&'a Rules> for StoredRules<'a> {
    fn from(rules: &'a Rules) -> Self {
        let metadata = rules.metadata.iter();
        Self {
            schemas: rules.schemas.map(|mode| match mode {
                SchemaMode::Off => StoredMode::Off,
                SchemaMode::Known => StoredMode::Known,
                SchemaMode::Required => StoredMode::Required,
            }),
            metadata: metadata.map(|(key, rule)| (key.as_str(), rule.kind.into(), rule.required)).collect(),
            invariant: rules.invariant.as_deref(),
        }
    }
}

impl From<StoredRules<'_>> for Rules {
    fn from(stored: StoredRules<'_>) -> Self {
        let metadata = stored.metadata.into_iter();
        Self {
            schemas: stored.schemas.map(|mode| match mode {
                StoredMode::Off => SchemaMode::Off,
                StoredMode::Known => SchemaMode::Known,
                StoredMode::Required => SchemaMode::Required,
            }),
            metadata: metadata
                .map(|(key, kind, required)| (key.to_owned(), MetadataRule { kind: kind.into(), required }))
                .collect(),
            invariant: stored.invariant.map(Into::into),
        }
    }
}

impl From<MetadataType> for StoredKind {
    fn from(kind: MetadataType) -> Self {
        match kind {
            MetadataType::Any => Self::Any,
            MetadataType::Text => Self::Text,
            MetadataType::Number => Self::Number,
            MetadataType::Integer => Self::Integer,
            MetadataType::Boolean => Self::Boolean,
            MetadataType::Object => Self::Object,
            MetadataType::Array => Self::Array,
        }
    }
}

impl From<StoredKind> for MetadataType {
    fn from(stored: StoredKind) -> Self {
        match stored {
            StoredKind::Any => Self::Any,
            StoredKind::Text => Self::Text,
            StoredKind::Number => Self::Number,
            StoredKind::Integer => Self::Integer,
            StoredKind::Boolean => Self::Boolean,
            StoredKind::Object => Self::Object,
            StoredKind::Array => Self::Array,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredRulesCommand<'a> {
    #[serde(borrow)]
    PutSchema(StoredSchema<'a>),
    DeleteSchema(&'a str, u32),
    Set(&'a str, #[serde(borrow)] StoredRules<'a>),
    Delete(&'a str),
    SetUpcaster(#[serde(borrow)] StoredUpcaster<'a>),
    DeleteUpcaster(&'a str, u32),
}

impl<'a> From<&'a RulesCommand> for StoredRulesCommand<'a> {
    fn from(command: &'a RulesCommand) -> Self {
        match command {
            RulesCommand::PutSchema(schema) => Self::PutSchema(schema.into()),
            RulesCommand::DeleteSchema(name, version) => Self::DeleteSchema(name.as_str(), *version),
            RulesCommand::Set(scope, rules) => Self::Set(scope_text(scope), rules.into()),
            RulesCommand::Delete(scope) => Self::Delete(scope_text(scope)),
            RulesCommand::SetUpcaster(upcaster) => Self::SetUpcaster(upcaster.into()),
            RulesCommand::DeleteUpcaster(name, from) => Self::DeleteUpcaster(name.as_str(), *from),
        }
    }
}

impl TryFrom<StoredRulesCommand<'_>> for RulesCommand {
    type Error = CodecError;

    fn try_from(stored: StoredRulesCommand<'_>) -> Result<Self, CodecError> {
        use StoredRulesCommand as Stored;
        Ok(match stored {
            Stored::PutSchema(schema) => Self::PutSchema(schema.try_into()?),
            Stored::DeleteSchema(name, version) => {
                Self::DeleteSchema(EventName::new(name).map_err(CodecError::name(WHAT))?, version)
            }
            Stored::Set(scope, rules) => Self::Set(scope_of(scope)?, rules.into()),
            Stored::Delete(scope) => Self::Delete(scope_of(scope)?),
            Stored::SetUpcaster(upcaster) => Self::SetUpcaster(upcaster.try_into()?),
            Stored::DeleteUpcaster(name, from) => {
                Self::DeleteUpcaster(EventName::new(name).map_err(CodecError::name(WHAT))?, from)
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredRulesChanged {
    revision: u64,
    existed: bool,
}

impl From<RulesChanged> for StoredRulesChanged {
    fn from(changed: RulesChanged) -> Self {
        Self { revision: changed.revision.0, existed: changed.existed }
    }
}

impl From<StoredRulesChanged> for RulesChanged {
    fn from(stored: StoredRulesChanged) -> Self {
        Self { revision: LogIndex(stored.revision), existed: stored.existed }
    }
}

// Texts are borrowed: an owned one takes the memory that its length field names before it is read.
#[derive(Serialize, Deserialize)]
pub(crate) enum StoredRulesError<'a> {
    Invalid { reason: &'a str },
    SchemaInvalid { reason: &'a str },
    NotFound,
    SchemaNotFound,
    TooManySchemas { max: u64 },
    TooManyRules { max: u64 },
    TooManyInvariants { max: u64 },
    UpcasterInvalid { reason: &'a str },
    UpcasterNotFound,
    TooManyUpcasters { max: u64 },
}

impl<'a> From<&'a RulesError> for StoredRulesError<'a> {
    fn from(error: &'a RulesError) -> Self {
        match error {
            RulesError::Invalid { reason } => Self::Invalid { reason },
            RulesError::SchemaInvalid { reason } => Self::SchemaInvalid { reason },
            RulesError::NotFound => Self::NotFound,
            RulesError::SchemaNotFound => Self::SchemaNotFound,
            RulesError::UpcasterInvalid { reason } => Self::UpcasterInvalid { reason },
            RulesError::UpcasterNotFound => Self::UpcasterNotFound,
            RulesError::TooMany { what, max } => {
                let max = *max as u64;
                match what {
                    RulesLimit::Schemas => Self::TooManySchemas { max },
                    RulesLimit::Rules => Self::TooManyRules { max },
                    RulesLimit::Invariants => Self::TooManyInvariants { max },
                    RulesLimit::Upcasters => Self::TooManyUpcasters { max },
                }
            }
        }
    }
}

impl From<StoredRulesError<'_>> for RulesError {
    fn from(stored: StoredRulesError<'_>) -> Self {
        use StoredRulesError as Stored;
        let too_many = |what, max| Self::TooMany { what, max: usize::try_from(max).unwrap_or(usize::MAX) };
        match stored {
            Stored::Invalid { reason } => Self::Invalid { reason: reason.to_owned() },
            Stored::SchemaInvalid { reason } => Self::SchemaInvalid { reason: reason.to_owned() },
            Stored::NotFound => Self::NotFound,
            Stored::SchemaNotFound => Self::SchemaNotFound,
            Stored::TooManySchemas { max } => too_many(RulesLimit::Schemas, max),
            Stored::TooManyRules { max } => too_many(RulesLimit::Rules, max),
            Stored::TooManyInvariants { max } => too_many(RulesLimit::Invariants, max),
            Stored::UpcasterInvalid { reason } => Self::UpcasterInvalid { reason: reason.to_owned() },
            Stored::UpcasterNotFound => Self::UpcasterNotFound,
            Stored::TooManyUpcasters { max } => too_many(RulesLimit::Upcasters, max),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredFault<'a> {
    entity_id: &'a str,
    event: u32,
    rule: StoredRuleKind,
    path: &'a str,
    message: &'a str,
}

#[derive(Serialize, Deserialize)]
enum StoredRuleKind {
    Schema,
    Metadata,
    Invariant,
}

impl<'a> StoredFault<'a> {
    /// All faults, in one list.
    pub(super) fn all(faults: &'a RuleFaults) -> Vec<Self> {
        faults.own.iter().chain(&faults.state).map(Self::of).collect()
    }

    fn of(fault: &'a RuleFault) -> Self {
        Self {
            entity_id: fault.entity_id.as_str(),
            event: fault.event,
            rule: match fault.rule {
                RuleKind::Schema => StoredRuleKind::Schema,
                RuleKind::Metadata => StoredRuleKind::Metadata,
                RuleKind::Invariant => StoredRuleKind::Invariant,
            },
            path: &fault.path,
            message: &fault.message,
        }
    }

    /// The faults of a list.
    pub(super) fn read(stored: &[Self]) -> Result<RuleFaults, CodecError> {
        let read = |fault: &Self| {
            Ok(RuleFault {
                entity_id: EntityId::new(fault.entity_id).map_err(CodecError::name(WHAT))?,
                event: fault.event,
                rule: match fault.rule {
                    StoredRuleKind::Schema => RuleKind::Schema,
                    StoredRuleKind::Metadata => RuleKind::Metadata,
                    StoredRuleKind::Invariant => RuleKind::Invariant,
                },
                path: fault.path.to_owned(),
                message: fault.message.to_owned(),
            })
        };
        let all = stored.iter().map(read).collect::<Result<Vec<_>, CodecError>>()?;
        let (state, own) = all.into_iter().partition(|fault| fault.rule == RuleKind::Invariant);
        Ok(RuleFaults { own, state })
    }
}
