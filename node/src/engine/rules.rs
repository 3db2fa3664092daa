//! Rules and schemas of events: changed through the leader, read anywhere.

use weir_actors::{reducer::inspect_invariant, rules::inspect_schema};
use weir_api::{ApiError, ErrorCode};
use weir_types::{
    Consistency, EventName, EventSchema, RegistryCommand, RegistryOutcome, RuleSet, Rules, RulesChanged,
    RulesCommand, RulesError, RulesScope,
};

use super::{Engine, inspected::inspected};

impl Engine {
    /// Checks a schema of events and registers it.
    ///
    /// # Errors
    /// `schema_invalid`, `rules_full`, or what an append may be refused with.
    pub async fn register_schema(&self, schema: EventSchema) -> Result<RulesChanged, ApiError> {
        schema.check_limits()?;
        let text = schema.schema.clone();
        // It may hold patterns that take a while to be compiled.
        inspected(ErrorCode::SchemaInvalid, "schema", move || inspect_schema(&text)).await?;
        self.change_rules(RulesCommand::PutSchema(schema)).await
    }

    /// A schema of events: of the newest version where none is named.
    ///
    /// # Errors
    /// `schema_not_found`, or those of a linearizable read.
    pub async fn schema(&self, name: &EventName, version: Option<u32>) -> Result<EventSchema, ApiError> {
        let of_name = self.rules().await?.schemas.into_iter().filter(|schema| schema.name == *name);
        let mut wanted = of_name.filter(|schema| version.is_none_or(|version| version == schema.version));
        // They are in order of versions.
        wanted.next_back().ok_or_else(|| RulesError::SchemaNotFound.into())
    }

    /// Sets the rules of a scope.
    ///
    /// # Errors
    /// `rules_invalid`, `rules_full`, or what an append may be refused with.
    pub async fn set_rules(&self, scope: RulesScope, rules: Rules) -> Result<RulesChanged, ApiError> {
        rules.check_limits(&scope)?;
        if let Some(source) = rules.invariant.clone() {
            let inspect = move || inspect_invariant(&source).map_err(|error| format!("invariant: {error}"));
            inspected(ErrorCode::RulesInvalid, "invariant", inspect).await?;
        }
        self.change_rules(RulesCommand::Set(scope, rules)).await
    }

    /// All rules and schemas, with every change that was answered before.
    ///
    /// # Errors
    /// Those of a linearizable read.
    pub async fn rules(&self) -> Result<RuleSet, ApiError> {
        self.ready(Consistency::Linearizable).await?;
        Ok(self.ports.rules.rules(self.group).await?)
    }

    /// Changes rules through the leader.
    ///
    /// # Errors
    /// Those of rules, or what an append may be refused with.
    pub async fn change_rules(&self, command: RulesCommand) -> Result<RulesChanged, ApiError> {
        match self.register(RegistryCommand::Rules(command)).await? {
            RegistryOutcome::RulesChanged(changed) => Ok(changed),
            RegistryOutcome::RulesRefused(error) => Err(error.into()),
            other => {
                let message = format!("change of rules was answered with {other:?}");
                Err(ApiError::new(ErrorCode::Internal, message))
            }
        }
    }
}
