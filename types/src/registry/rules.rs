//! The rules and schemas of the registry.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    EventName, EventSchema, LogIndex, RuleSet, Rules, RulesChanged, RulesCommand, RulesError, RulesLimit,
    RulesScope, limits,
};

/// What a change of rules writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesChange {
    /// A schema takes the place of any other of its name and version.
    PutSchema(EventSchema),
    /// A schema is gone.
    DeleteSchema(EventName, u32),
    /// A scope has these rules.
    Set(RulesScope, Rules),
    /// A scope has no rules.
    Delete(RulesScope),
}

/// What is known of the rules in memory, as of the last registry command that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RuleBook {
    /// The scopes that have rules, and whether an invariant is among them.
    scopes: BTreeMap<RulesScope, bool>,
    schemas: BTreeSet<(EventName, u32)>,
}

impl RuleBook {
    /// The book of these rules.
    pub(super) fn new(set: &RuleSet) -> Self {
        let scopes = set.rules.iter().map(|(scope, rules, _)| (scope.clone(), rules.invariant.is_some()));
        let schemas = set.schemas.iter().map(|schema| (schema.name.clone(), schema.version));
        Self { scopes: scopes.collect(), schemas: schemas.collect() }
    }

    /// Takes a change.
    pub(super) fn take(&mut self, change: RulesChange) {
        match change {
            RulesChange::PutSchema(schema) => {
                self.schemas.insert((schema.name, schema.version));
            }
            RulesChange::DeleteSchema(name, version) => {
                self.schemas.remove(&(name, version));
            }
            RulesChange::Set(scope, rules) => {
                self.scopes.insert(scope, rules.invariant.is_some());
            }
            RulesChange::Delete(scope) => {
                self.scopes.remove(&scope);
            }
        }
    }

    /// Whether `what` has no room for one more.
    fn check_room(&self, what: RulesLimit) -> Result<(), RulesError> {
        let (there, max) = match what {
            RulesLimit::Schemas => (self.schemas.len(), limits::EVENT_SCHEMAS_MAX),
            RulesLimit::Rules => (self.scopes.len(), limits::RULES_MAX),
            RulesLimit::Invariants => {
                (self.scopes.values().filter(|invariant| **invariant).count(), limits::INVARIANTS_MAX)
            }
        };
        if there < max { Ok(()) } else { Err(RulesError::TooMany { what, max }) }
    }
}

/// What becomes of a change of rules at `index`.
///
/// # Errors
/// [`RulesError`], for which nothing changes.
pub(super) fn judge_rules(
    book: &RuleBook,
    index: LogIndex,
    command: &RulesCommand,
) -> Result<(RulesChange, RulesChanged), RulesError> {
    let (change, existed) = match command {
        RulesCommand::PutSchema(schema) => {
            schema.check_limits()?;
            let existed = book.schemas.contains(&(schema.name.clone(), schema.version));
            if !existed {
                book.check_room(RulesLimit::Schemas)?;
            }
            (RulesChange::PutSchema(schema.clone()), existed)
        }
        RulesCommand::DeleteSchema(name, version) => {
            if !book.schemas.contains(&(name.clone(), *version)) {
                return Err(RulesError::SchemaNotFound);
            }
            (RulesChange::DeleteSchema(name.clone(), *version), true)
        }
        RulesCommand::Set(scope, rules) => {
            rules.check_limits(scope)?;
            let standing = book.scopes.get(scope);
            if standing.is_none() {
                book.check_room(RulesLimit::Rules)?;
            }
            if rules.invariant.is_some() && standing != Some(&true) {
                book.check_room(RulesLimit::Invariants)?;
            }
            (RulesChange::Set(scope.clone(), rules.clone()), standing.is_some())
        }
        RulesCommand::Delete(scope) => {
            if !book.scopes.contains_key(scope) {
                return Err(RulesError::NotFound);
            }
            (RulesChange::Delete(scope.clone()), true)
        }
    };
    Ok((change, RulesChanged { revision: index, existed }))
}
