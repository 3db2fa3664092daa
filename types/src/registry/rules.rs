//! The rules and schemas of the registry.

use std::collections::{BTreeMap, BTreeSet};

use super::upcasters::{UpcasterBook, UpcasterChange};
use crate::{
    EventName, EventSchema, LogIndex, RuleSet, Rules, RulesChanged, RulesCommand, RulesError, RulesLimit,
    RulesScope, UpcasterRecord, limits,
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
    /// An upcaster is set or removed.
    Upcaster(UpcasterChange),
}

/// What is known of the rules in memory, as of the last registry command that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RuleBook {
    /// The scopes that have rules, and whether an invariant is among them.
    scopes: BTreeMap<RulesScope, bool>,
    schemas: BTreeSet<(EventName, u32)>,
    upcasters: UpcasterBook,
}

impl RuleBook {
    /// The book of these rules.
    pub(super) fn new(set: &RuleSet) -> Self {
        let scopes = set.rules.iter().map(|(scope, rules, _)| (scope.clone(), rules.invariant.is_some()));
        let schemas = set.schemas.iter().map(|schema| (schema.name.clone(), schema.version));
        let upcasters = UpcasterBook::new(&set.upcasters);
        Self { scopes: scopes.collect(), schemas: schemas.collect(), upcasters }
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
            RulesChange::Upcaster(change) => self.upcasters.take(&change),
        }
    }

    fn check_room_for_schema(&self) -> Result<(), RulesError> {
        check_room(RulesLimit::Schemas, self.schemas.len(), limits::EVENT_SCHEMAS_MAX)
    }

    fn check_room_for_rules(&self) -> Result<(), RulesError> {
        check_room(RulesLimit::Rules, self.scopes.len(), limits::RULES_MAX)
    }

    fn check_room_for_invariant(&self) -> Result<(), RulesError> {
        let there = self.scopes.values().filter(|invariant| **invariant).count();
        check_room(RulesLimit::Invariants, there, limits::INVARIANTS_MAX)
    }
}

/// Whether there is room for one more.
fn check_room(what: RulesLimit, there: usize, max: usize) -> Result<(), RulesError> {
    if there < max { Ok(()) } else { Err(RulesError::TooMany { what, max }) }
}

/// What becomes of a change of rules at `index`, while projections of the log indexes `folding` may be folded.
///
/// # Errors
/// [`RulesError`], for which nothing changes.
pub(super) fn judge_rules(
    book: &RuleBook,
    index: LogIndex,
    command: &RulesCommand,
    folding: &[LogIndex],
) -> Result<(RulesChange, RulesChanged), RulesError> {
    let (change, existed) = match command {
        RulesCommand::PutSchema(schema) => {
            schema.check_limits()?;
            let existed = book.schemas.contains(&(schema.name.clone(), schema.version));
            if !existed {
                book.check_room_for_schema()?;
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
                book.check_room_for_rules()?;
            }
            if rules.invariant.is_some() && standing != Some(&true) {
                book.check_room_for_invariant()?;
            }
            (RulesChange::Set(scope.clone(), rules.clone()), standing.is_some())
        }
        RulesCommand::Delete(scope) => {
            if !book.scopes.contains_key(scope) {
                return Err(RulesError::NotFound);
            }
            (RulesChange::Delete(scope.clone()), true)
        }
        RulesCommand::SetUpcaster(upcaster) => {
            upcaster.check_limits()?;
            let (name, from, upcaster) = (upcaster.name.clone(), upcaster.from, Some(upcaster.clone()));
            let existed = book.upcasters.stands(&name, from);
            let record = UpcasterRecord { name, from, set: index, upcaster };
            (RulesChange::Upcaster(book.upcasters.judge(record, folding)?), existed)
        }
        RulesCommand::DeleteUpcaster(name, from) => {
            if !book.upcasters.stands(name, *from) {
                return Err(RulesError::UpcasterNotFound);
            }
            let record = UpcasterRecord { name: name.clone(), from: *from, set: index, upcaster: None };
            (RulesChange::Upcaster(book.upcasters.judge(record, folding)?), true)
        }
    };
    Ok((change, RulesChanged { revision: index, existed }))
}
