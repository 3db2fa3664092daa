//! `ironflow.v1.EventSchemaService`: the same schemas and upcasters as over REST.

use serde::{Deserialize, Serialize};
use weir_types::{EventName, EventSchema, RulesChanged};

use super::proto_json::{is_zero, text};
use crate::{
    ApiError, JsonText, format_timestamp, number,
    v1::{EventSchemaBody, EventSchemaList, EventSchemaSummary, EventSchemasQuery, UpcastBody, UpcastResult},
};

/// `RegisterSchema`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterSchemaRequest {
    /// The name of the events.
    #[serde(alias = "event_name", deserialize_with = "text")]
    pub event_name: String,
    /// Their schema version; 0 is 1.
    #[serde(deserialize_with = "number::or_zero")]
    pub version: u64,
    /// The JSON Schema.
    #[serde(alias = "schema_json", deserialize_with = "text")]
    pub schema_json: String,
    /// For people.
    #[serde(deserialize_with = "text")]
    pub description: String,
}

impl RegisterSchemaRequest {
    /// The same as REST has it.
    ///
    /// # Errors
    /// `invalid_request` for a version that is none.
    pub fn into_body(self) -> Result<EventSchemaBody, ApiError> {
        Ok(EventSchemaBody {
            event_name: self.event_name,
            version: version_of(self.version)?,
            schema_json: Some(self.schema_json),
            schema: None,
            description: Some(self.description),
        })
    }
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisterSchemaResponse {
    /// `created`, or `updated` where there was one in its place.
    pub status: &'static str,
}

impl From<RulesChanged> for RegisterSchemaResponse {
    fn from(changed: RulesChanged) -> Self {
        Self { status: if changed.existed { "updated" } else { "created" } }
    }
}

/// `GetSchema` and `DeleteSchema`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedSchemaRequest {
    /// The name of the events.
    #[serde(alias = "event_name", deserialize_with = "text")]
    pub event_name: String,
    /// Their schema version; of a read, 0 is the newest.
    #[serde(deserialize_with = "number::or_zero")]
    pub version: u64,
}

impl NamedSchemaRequest {
    /// The name, and the version unless it is 0.
    ///
    /// # Errors
    /// `invalid_name`, or `invalid_request` for a version that is none.
    pub fn checked(&self) -> Result<(EventName, Option<u32>), ApiError> {
        Ok((EventName::new(&self.event_name)?, version_of(self.version)?))
    }
}

fn version_of(version: u64) -> Result<Option<u32>, ApiError> {
    let version = u32::try_from(version).map_err(|_| ApiError::invalid("`version` is over 4294967295"))?;
    Ok(Some(version).filter(|version| *version > 0))
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetSchemaResponse {
    /// The name of the events.
    pub event_name: String,
    /// Their schema version.
    pub version: u32,
    /// The JSON Schema.
    pub schema_json: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was registered, RFC 3339.
    pub created_at: String,
}

impl From<&EventSchema> for GetSchemaResponse {
    fn from(schema: &EventSchema) -> Self {
        Self {
            event_name: schema.name.as_str().to_owned(),
            version: schema.version,
            schema_json: schema.schema.to_string(),
            description: schema.description.clone(),
            created_at: format_timestamp(schema.registered_at),
        }
    }
}

/// `ListSchemas`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListSchemasRequest {
    /// Only those of events of this name.
    #[serde(alias = "event_name", deserialize_with = "text")]
    pub event_name: String,
    /// Schemas of the page; 0 is 100.
    #[serde(deserialize_with = "number::or_zero")]
    pub limit: u64,
    /// Schemas that come before the page.
    #[serde(deserialize_with = "number::or_zero")]
    pub offset: u64,
}

impl ListSchemasRequest {
    /// The page of all schemas that is asked for.
    ///
    /// # Errors
    /// `too_large`.
    pub fn page(self, all: &[EventSchema]) -> Result<ListSchemasResponse, ApiError> {
        let (limit, offset) = (Some(self.limit), Some(self.offset));
        let query = EventSchemasQuery { event_name: Some(self.event_name), limit, offset };
        let EventSchemaList { schemas, total_count } = query.page(all)?;
        Ok(ListSchemasResponse { schemas: schemas.into_iter().map(SchemaInfo::from).collect(), total_count })
    }
}

/// Schemas, in order of names and versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListSchemasResponse {
    /// The schemas of the page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<SchemaInfo>,
    /// Their number on all pages.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_count: usize,
}

/// A schema without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaInfo {
    event_name: String,
    version: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    created_at: String,
}

impl From<EventSchemaSummary> for SchemaInfo {
    fn from(summary: EventSchemaSummary) -> Self {
        let EventSchemaSummary { event_name, version, description, created_at } = summary;
        Self { event_name, version, description, created_at }
    }
}

/// `TestUpcast`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TestUpcastRequest {
    /// The name of the events.
    #[serde(alias = "event_name", deserialize_with = "text")]
    pub event_name: String,
    /// The schema version of the data; 0 is 1.
    #[serde(alias = "from_version", deserialize_with = "number::or_zero")]
    pub from_version: u64,
    /// The schema version that is wanted; 0 is the newest.
    #[serde(alias = "to_version", deserialize_with = "number::or_zero")]
    pub to_version: u64,
    /// The data; absent, an empty object.
    pub data: Option<JsonText>,
}

impl TestUpcastRequest {
    /// The same as REST has it.
    ///
    /// # Errors
    /// `invalid_request` for a version that is none.
    pub fn into_body(self) -> Result<UpcastBody, ApiError> {
        Ok(UpcastBody {
            event_name: Some(self.event_name),
            from_version: version_of(self.from_version)?,
            to_version: version_of(self.to_version)?,
            data: self.data.unwrap_or_else(|| JsonText::of_stored(b"{}")),
            metadata: None,
        })
    }
}

/// What came of a try that reached the version that was wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestUpcastResponse {
    /// The data as it was led.
    pub data: JsonText,
    /// The steps that were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps_applied: Vec<AppliedStep>,
}

/// One step of a try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedStep {
    from_version: u32,
    to_version: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

impl From<UpcastResult> for TestUpcastResponse {
    fn from(result: UpcastResult) -> Self {
        let step = |step: crate::v1::UpcastStep| AppliedStep {
            from_version: step.from_version,
            to_version: step.to_version,
            description: step.description,
        };
        Self { data: result.data, steps_applied: result.steps.into_iter().map(step).collect() }
    }
}
