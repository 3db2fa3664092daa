use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{
    EventSchemaBody, EventSchemaList, EventSchemaRegistered, EventSchemaView, EventSchemasQuery, RulesBody,
    RulesList, RulesResult, RulesView, paths,
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

impl Client {
    /// Registers the schema of a version of the events of a name, in the place of any other.
    ///
    /// # Errors
    /// [`ClientError`]; `schema_invalid` says what is wrong with it.
    pub async fn register_schema(
        &self,
        schema: &EventSchemaBody,
    ) -> Result<EventSchemaRegistered, ClientError> {
        self.call(Call::new(Method::POST, paths::EVENT_SCHEMAS, Repeat::Harmless).body(schema)).await
    }

    /// Schemas, in order of names and versions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn schemas(&self, query: &EventSchemasQuery) -> Result<EventSchemaList, ClientError> {
        self.call(Call::new(Method::GET, paths::EVENT_SCHEMAS, Repeat::Harmless).query(query)).await
    }

    /// A schema: of the newest version where none is named.
    ///
    /// # Errors
    /// [`ClientError`]; `schema_not_found`.
    pub async fn schema(&self, name: &str, version: Option<u32>) -> Result<EventSchemaView, ClientError> {
        let path = paths::event_schema(name, version);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// Removes a schema.
    ///
    /// # Errors
    /// [`ClientError`]; `schema_not_found`.
    pub async fn delete_schema(&self, name: &str, version: u32) -> Result<(), ClientError> {
        let path = paths::event_schema(name, Some(version));
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// Sets the rules of an entity type, or without one of the namespace, in the place of any others.
    ///
    /// # Errors
    /// [`ClientError`]; `rules_invalid` says what is wrong with them.
    pub async fn set_rules(
        &self,
        entity_type: Option<&str>,
        rules: &RulesBody,
    ) -> Result<RulesResult, ClientError> {
        let path = paths::rules_of(entity_type);
        self.call(Call::new(Method::PUT, &path, Repeat::Harmless).body(rules)).await
    }

    /// The rules of an entity type, or without one of the namespace.
    ///
    /// # Errors
    /// [`ClientError`]; `rules_not_found`.
    pub async fn rules(&self, entity_type: Option<&str>) -> Result<RulesView, ClientError> {
        self.call(Call::new(Method::GET, &paths::rules_of(entity_type), Repeat::Harmless)).await
    }

    /// All rules.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn all_rules(&self) -> Result<RulesList, ClientError> {
        self.call(Call::new(Method::GET, paths::RULES, Repeat::Harmless)).await
    }

    /// Removes the rules of an entity type, or without one of the namespace.
    ///
    /// # Errors
    /// [`ClientError`]; `rules_not_found`.
    pub async fn delete_rules(&self, entity_type: Option<&str>) -> Result<(), ClientError> {
        let path = paths::rules_of(entity_type);
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }
}
