//! Rules and schemas.

use async_trait::async_trait;

use super::{Inner, MemoryLog};
use crate::{
    DecidedAppend, GroupId, LogIndex, ReadError, RegistryCommand, RegistryOutcome, RuleSet, RulesChanged,
    RulesCommand, UpcasterRecord,
    ports::RuleStore,
    registry::{RegistryChange, RulesChange},
};

#[async_trait]
impl RuleStore for MemoryLog {
    fn rules_at(&self, _group: GroupId) -> LogIndex {
        self.inner().rules.revision
    }

    async fn rules(&self, _group: GroupId) -> Result<RuleSet, ReadError> {
        Ok(self.inner().rules.clone())
    }
}

impl MemoryLog {
    /// Changes rules, as a command of the log does.
    ///
    /// # Panics
    /// Panics when they are refused.
    pub fn change_rules(&self, command: RulesCommand) -> RulesChanged {
        let mut inner = self.inner();
        inner.entries += 1;
        let index = LogIndex(inner.entries);
        let (change, outcome) = inner.registry.judge(index, &RegistryCommand::Rules(command));
        inner.take_rules(index, &change);
        inner.registry.take(change);
        match outcome {
            RegistryOutcome::RulesChanged(changed) => changed,
            other => panic!("rules do not fit: {other:?}"),
        }
    }
}

impl Inner {
    /// Keeps what the registry knows of rules only by name.
    pub(super) fn take_rules(&mut self, revision: LogIndex, change: &RegistryChange) {
        let RegistryChange::Rules(change) = change else { return };
        let RuleSet { rules, schemas, upcasters, .. } = &mut self.rules;
        match &**change {
            RulesChange::Set(scope, set) => {
                rules.retain(|(found, ..)| found != scope);
                rules.push((scope.clone(), set.clone(), revision));
            }
            RulesChange::Delete(scope) => rules.retain(|(found, ..)| found != scope),
            RulesChange::PutSchema(schema) => {
                schemas.retain(|found| (&found.name, found.version) != (&schema.name, schema.version));
                schemas.push(schema.clone());
            }
            RulesChange::DeleteSchema(name, version) => {
                schemas.retain(|found| (&found.name, found.version) != (name, *version));
            }
            RulesChange::Upcaster(change) => {
                upcasters.revision = revision;
                let key = |record: &UpcasterRecord| (record.name.clone(), record.from, record.set);
                upcasters.records.push(change.record.clone());
                upcasters.records.retain(|record| !change.dropped.contains(&key(record)));
                upcasters.records.sort_by_key(key);
            }
        }
        rules.sort_by(|a, b| a.0.cmp(&b.0));
        schemas.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        self.rules.revision = revision;
    }

    /// Whether an append was judged against the rules and the last event that there are.
    pub(super) fn judged_here(&self, append: &DecidedAppend) -> bool {
        let Some(judged) = append.judged else { return self.rules.revision == LogIndex::ZERO };
        let last = self.streams.get(&append.entity_id).and_then(|positions| positions.last());
        let last = last.map(|position| self.events[position.0 as usize - 1].id);
        judged.rules == self.rules.revision && judged.last.is_none_or(|on| Some(on) == last)
    }
}
