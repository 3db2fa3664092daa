//! What events must keep to before they are appended: schemas, metadata, and
//! the invariants of the streams of an entity type; and how older events are read as newer ones.

mod fault;
mod upcaster;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use fault::{RuleFault, RuleFaults, RuleKind};
pub use upcaster::{UpcastError, Upcaster, UpcasterRecord, Upcasters};

use crate::{EntityType, EventId, EventName, LogIndex, Timestamp, limits};

/// Whose events rules are for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RulesScope {
    /// All of the namespace.
    Namespace,
    /// Those of entities of one type.
    Type(EntityType),
}

impl fmt::Display for RulesScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace => f.write_str("namespace"),
            Self::Type(entity_type) => write!(f, "entity type `{entity_type}`"),
        }
    }
}

/// Which events are checked against their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaMode {
    /// None.
    #[default]
    Off,
    /// Those of a name that has a schema. Such a name's other versions are refused.
    Known,
    /// All: an event without a schema is refused.
    Required,
}

/// What the value of a metadata key must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataType {
    /// Anything but null.
    Any,
    /// A text that is not empty.
    Text,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// True or false.
    Boolean,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// What metadata must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRule {
    /// What the value must be, where there is one.
    pub kind: MetadataType,
    /// Whether there must be one.
    pub required: bool,
}

/// What events of a scope must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Which events are checked against their schema; `None` is as the namespace says.
    pub schemas: Option<SchemaMode>,
    /// By metadata key.
    pub metadata: BTreeMap<String, MetadataRule>,
    /// The text of the JavaScript module that folds a stream and checks it; of an entity type only.
    pub invariant: Option<Arc<str>>,
}

impl Rules {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`RulesError::Invalid`].
    pub fn check_limits(&self, scope: &RulesScope) -> Result<(), RulesError> {
        let refuse = |reason: String| Err(RulesError::Invalid { reason });
        if self.metadata.len() > limits::RULES_METADATA_KEYS_MAX {
            return refuse(format!("rules name over {} metadata keys", limits::RULES_METADATA_KEYS_MAX));
        }
        if self.metadata.keys().any(|key| key.is_empty() || key.len() > limits::NAME_BYTES_MAX) {
            return refuse(format!("a metadata key has none or over {} bytes", limits::NAME_BYTES_MAX));
        }
        match &self.invariant {
            Some(_) if *scope == RulesScope::Namespace => {
                refuse("an invariant is of an entity type, not of the namespace".to_owned())
            }
            Some(source) if source.len() > limits::INVARIANT_SOURCE_BYTES_MAX => {
                refuse(format!("invariant has over {} bytes", limits::INVARIANT_SOURCE_BYTES_MAX))
            }
            _ => Ok(()),
        }
    }
}

/// The schema of one version of the events of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSchema {
    /// The name of the events.
    pub name: EventName,
    /// Their schema version, from 1.
    pub version: u32,
    /// The JSON Schema, as text.
    pub schema: Arc<str>,
    /// For people; may be empty.
    pub description: String,
    /// When it was registered, by the clock of the node that was asked.
    pub registered_at: Timestamp,
}

impl EventSchema {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`RulesError::SchemaInvalid`].
    pub fn check_limits(&self) -> Result<(), RulesError> {
        let refuse = |reason: String| Err(RulesError::SchemaInvalid { reason });
        if self.version == 0 {
            return refuse("versions of schemas begin with 1".to_owned());
        }
        for (what, actual, max) in [
            ("schema", self.schema.len(), limits::EVENT_SCHEMA_BYTES_MAX),
            ("description", self.description.len(), limits::DESCRIPTION_BYTES_MAX),
        ] {
            if actual > max {
                return refuse(format!("{what} has {actual} bytes, over the limit of {max}"));
            }
        }
        Ok(())
    }

    /// Whether it says the same as another, whenever that was registered.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        self.schema == other.schema && self.description == other.description
    }
}

/// A change of rules and schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesCommand {
    /// Register a schema, in the place of any other of its name and version.
    PutSchema(EventSchema),
    /// Remove a schema.
    DeleteSchema(EventName, u32),
    /// Set the rules of a scope, in the place of those that it has.
    Set(RulesScope, Rules),
    /// Remove the rules of a scope.
    Delete(RulesScope),
    /// Set an upcaster, in the place of any other of its name and first version.
    SetUpcaster(Upcaster),
    /// Remove the upcaster of a name and first version.
    DeleteUpcaster(EventName, u32),
}

/// What apply made of a change of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulesChanged {
    /// The log index of the command.
    pub revision: LogIndex,
    /// Whether there was something in its place.
    pub existed: bool,
}

/// Why a change of rules was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The rules are not legal.
    #[error("{reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// The schema is not legal.
    #[error("{reason}")]
    SchemaInvalid {
        /// What is wrong.
        reason: String,
    },
    /// There are no such rules.
    #[error("rules not found")]
    NotFound,
    /// There is no such schema.
    #[error("schema not found")]
    SchemaNotFound,
    /// The upcaster is not legal.
    #[error("{reason}")]
    UpcasterInvalid {
        /// What is wrong.
        reason: String,
    },
    /// There is no such upcaster.
    #[error("upcaster not found")]
    UpcasterNotFound,
    /// The group has as many schemas, rules or invariants as it may.
    #[error("group has {max} {what}, which is the limit")]
    TooMany {
        /// Of what.
        what: RulesLimit,
        /// The limit.
        max: usize,
    },
}

/// What there may not be more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulesLimit {
    /// Schemas of events.
    Schemas,
    /// Scopes that have rules.
    Rules,
    /// Invariants.
    Invariants,
    /// Upcasters, with those before them that projections still fold by.
    Upcasters,
}

impl fmt::Display for RulesLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schemas => "schemas",
            Self::Rules => "rules",
            Self::Invariants => "invariants",
            Self::Upcasters => "upcasters",
        })
    }
}

/// Rules and schemas as of one log index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSet {
    /// The log index of the last command that changed any of it; 0 when none did.
    pub revision: LogIndex,
    /// In order of scopes, each with the log index of the command that set it.
    pub rules: Vec<(RulesScope, Rules, LogIndex)>,
    /// In order of names and versions.
    pub schemas: Vec<EventSchema>,
    /// Upcasters of events.
    pub upcasters: Upcasters,
}

/// What an append was judged against. Apply refuses it against anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The [`RuleSet::revision`] of the group.
    pub rules: LogIndex,
    /// The stream's last event, on which an invariant was judged; `None` when there was no
    /// event, or no invariant. The id and not the version: after a change of leaders the same
    /// version may be another event.
    pub last: Option<EventId>,
}
