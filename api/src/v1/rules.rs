//! Schemas of events, whose names are the contract's, in snake case; and rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_types::{
    EntityType, EventName, EventSchema, LogIndex, MetadataRule, MetadataType, Rules, RulesChanged,
    RulesScope, SchemaMode, Timestamp, limits,
};

use super::read::limit_of;
use crate::{ApiError, JsonText, format_timestamp, json::present, number};

/// POST: register the schema of a version of the events of a name.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSchemaBody {
    /// The name of the events.
    #[serde(alias = "eventName", alias = "name")]
    pub event_name: String,
    /// Their schema version; absent means 1.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The JSON Schema as a text; or else `schema`.
    #[serde(alias = "schemaJson", default, skip_serializing_if = "Option::is_none")]
    pub schema_json: Option<String>,
    /// The JSON Schema.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonText>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl EventSchemaBody {
    /// The schema that is asked for, registered `now`.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_request`, or `schema_invalid`.
    pub fn into_schema(self, now: Timestamp) -> Result<EventSchema, ApiError> {
        let text = match (self.schema_json, self.schema) {
            (Some(text), None) => text,
            (None, Some(schema)) => schema.get().to_owned(),
            _ => return Err(ApiError::invalid("one of `schema` and `schema_json` must be given")),
        };
        let schema = EventSchema {
            name: EventName::new(&self.event_name)?,
            version: self.version.unwrap_or(1),
            schema: text.into(),
            description: self.description.unwrap_or_default(),
            registered_at: now,
        };
        schema.check_limits()?;
        Ok(schema)
    }
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventSchemaRegistered {
    /// The name of the events.
    pub event_name: String,
    /// Their schema version.
    pub version: u32,
    /// `created`, or `updated` where there was one in its place.
    pub status: String,
    /// The log index since which it holds.
    pub revision: u64,
}

impl EventSchemaRegistered {
    /// What came of registering a schema.
    #[must_use]
    pub fn new(name: &EventName, version: u32, changed: RulesChanged) -> Self {
        let status = if changed.existed { "updated" } else { "created" };
        let (event_name, revision) = (name.as_str().to_owned(), changed.revision.0);
        Self { event_name, version, status: status.to_owned(), revision }
    }
}

/// A schema.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventSchemaView {
    /// The name of the events.
    pub event_name: String,
    /// Their schema version.
    pub version: u32,
    /// The JSON Schema as a text.
    pub schema_json: String,
    /// The JSON Schema.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonText>,
    /// For people.
    pub description: String,
    /// When it was registered, RFC 3339.
    pub created_at: String,
}

impl From<&EventSchema> for EventSchemaView {
    fn from(schema: &EventSchema) -> Self {
        Self {
            event_name: schema.name.as_str().to_owned(),
            version: schema.version,
            schema_json: schema.schema.to_string(),
            schema: Some(JsonText::of_stored(schema.schema.as_bytes())),
            description: schema.description.clone(),
            created_at: format_timestamp(schema.registered_at),
        }
    }
}

/// A schema without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventSchemaSummary {
    /// The name of the events.
    pub event_name: String,
    /// Their schema version.
    pub version: u32,
    /// For people.
    pub description: String,
    /// When it was registered, RFC 3339.
    pub created_at: String,
}

impl From<&EventSchema> for EventSchemaSummary {
    fn from(schema: &EventSchema) -> Self {
        Self {
            event_name: schema.name.as_str().to_owned(),
            version: schema.version,
            description: schema.description.clone(),
            created_at: format_timestamp(schema.registered_at),
        }
    }
}

/// Schemas, in order of names and versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventSchemaList {
    /// The schemas of the page.
    pub schemas: Vec<EventSchemaSummary>,
    /// Their number on all pages.
    pub total_count: usize,
}

/// GET: which schemas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSchemasQuery {
    /// Only those of events of this name.
    #[serde(alias = "eventName", default, skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Schemas of the page; absent or 0 is 100.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Schemas that come before the page.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl EventSchemasQuery {
    /// The page of all schemas that is asked for.
    ///
    /// # Errors
    /// `too_large`.
    pub fn page(&self, all: &[EventSchema]) -> Result<EventSchemaList, ApiError> {
        let wanted = |schema: &&EventSchema| {
            self.event_name
                .as_ref()
                .filter(|name| !name.is_empty())
                .is_none_or(|name| name == schema.name.as_str())
        };
        let limit = limit_of(self.limit.filter(|limit| *limit > 0), 100, limits::EVENT_SCHEMAS_MAX)?;
        let offset = usize::try_from(self.offset.unwrap_or(0)).unwrap_or(usize::MAX);
        let found = || all.iter().filter(wanted);
        let schemas = found().skip(offset).take(limit).map(EventSchemaSummary::from).collect();
        Ok(EventSchemaList { schemas, total_count: found().count() })
    }
}

/// Which events are checked against their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaModeKind {
    /// None.
    Off,
    /// Those of a name that has a schema.
    Known,
    /// All.
    Required,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetadataKind {
    /// Anything but null.
    Any,
    /// A text that is not empty.
    String,
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

/// What a metadata key must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataRuleBody {
    /// What the value must be, where there is one.
    #[serde(rename = "type")]
    pub kind: MetadataKind,
    /// Whether there must be one; absent means that there must.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// What events must keep to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesBody {
    /// Which events are checked against their schema; absent is as the namespace says, and none there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<SchemaModeKind>,
    /// By metadata key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, MetadataRuleBody>,
    /// The JavaScript module that folds a stream and checks it; of an entity type only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invariant: Option<String>,
}

impl From<RulesBody> for Rules {
    fn from(body: RulesBody) -> Self {
        let rule = |rule: MetadataRuleBody| MetadataRule { kind: rule.kind.into(), required: rule.required };
        Self {
            schemas: body.schemas.map(|mode| match mode {
                SchemaModeKind::Off => SchemaMode::Off,
                SchemaModeKind::Known => SchemaMode::Known,
                SchemaModeKind::Required => SchemaMode::Required,
            }),
            metadata: body.metadata.into_iter().map(|(key, body)| (key, rule(body))).collect(),
            invariant: body.invariant.map(Into::into),
        }
    }
}

impl From<&Rules> for RulesBody {
    fn from(rules: &Rules) -> Self {
        let rule = |rule: &MetadataRule| MetadataRuleBody { kind: rule.kind.into(), required: rule.required };
        Self {
            schemas: rules.schemas.map(|mode| match mode {
                SchemaMode::Off => SchemaModeKind::Off,
                SchemaMode::Known => SchemaModeKind::Known,
                SchemaMode::Required => SchemaModeKind::Required,
            }),
            metadata: rules.metadata.iter().map(|(key, found)| (key.clone(), rule(found))).collect(),
            invariant: rules.invariant.as_deref().map(str::to_owned),
        }
    }
}

impl From<MetadataKind> for MetadataType {
    fn from(kind: MetadataKind) -> Self {
        match kind {
            MetadataKind::Any => Self::Any,
            MetadataKind::String => Self::Text,
            MetadataKind::Number => Self::Number,
            MetadataKind::Integer => Self::Integer,
            MetadataKind::Boolean => Self::Boolean,
            MetadataKind::Object => Self::Object,
            MetadataKind::Array => Self::Array,
        }
    }
}

impl From<MetadataType> for MetadataKind {
    fn from(kind: MetadataType) -> Self {
        match kind {
            MetadataType::Any => Self::Any,
            MetadataType::Text => Self::String,
            MetadataType::Number => Self::Number,
            MetadataType::Integer => Self::Integer,
            MetadataType::Boolean => Self::Boolean,
            MetadataType::Object => Self::Object,
            MetadataType::Array => Self::Array,
        }
    }
}

/// The answer to a change of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesResult {
    /// The log index since which they hold.
    pub revision: u64,
    /// Whether there were others in their place.
    pub existed: bool,
}

impl From<RulesChanged> for RulesResult {
    fn from(changed: RulesChanged) -> Self {
        Self { revision: changed.revision.0, existed: changed.existed }
    }
}

/// The rules of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesView {
    /// The entity type; absent for the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// The log index since which they hold.
    pub revision: u64,
    /// The rules.
    pub rules: RulesBody,
}

impl RulesView {
    /// The rules of a scope, which hold since `revision`.
    #[must_use]
    pub fn new(scope: &RulesScope, rules: &Rules, revision: LogIndex) -> Self {
        let entity_type = match scope {
            RulesScope::Namespace => None,
            RulesScope::Type(entity_type) => Some(EntityType::as_str(entity_type).to_owned()),
        };
        Self { entity_type, revision: revision.0, rules: rules.into() }
    }
}

/// All rules: first the namespace's, then those of entity types in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesList {
    /// The rules.
    pub rules: Vec<RulesView>,
    /// The log index of the last change of rules or schemas; 0 when there was none.
    pub revision: u64,
}
