//! The replicated rules and schemas of events.

use serde::{Deserialize, Serialize};
use weir_types::{
    EventName, EventSchema, LogIndex, RuleSet, Rules, RulesScope, UpcasterRecord, Upcasters,
    registry::{RulesChange, UpcasterChange},
};

use super::{State, StateError};
use crate::{
    codec::{CodecError, StoredRules, StoredSchema, StoredUpcaster, decode, encode, scope_of, scope_text},
    schema::StateKey,
};

#[derive(Serialize, Deserialize)]
struct StoredScope<'a> {
    set: u64,
    #[serde(borrow)]
    rules: StoredRules<'a>,
}

/// How often rules are read again because they were changed meanwhile.
const READS_MAX: usize = 64;

impl State {
    /// All rules and schemas, as of one log index.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn rules(&self) -> Result<RuleSet, StateError> {
        for _ in 0..READS_MAX {
            let revision = self.rules_revision()?;
            let (rules, schemas, upcasters) = (self.scopes()?, self.schemas()?, self.upcasters()?);
            let set = RuleSet { revision, rules, schemas, upcasters };
            if self.rules_revision()? == revision {
                return Ok(set);
            }
        }
        // Each change is one entry of the log, and flushed: none is so fast.
        unreachable!("rules have changed {READS_MAX} times while they were read")
    }

    fn rules_revision(&self) -> Result<LogIndex, StateError> {
        let Some(bytes) = self.get(StateKey::RulesRevision)? else { return Ok(LogIndex::ZERO) };
        decode("rules revision", &bytes).map(LogIndex).map_err(|e| self.damaged("rules revision", e))
    }

    fn scopes(&self) -> Result<Vec<(RulesScope, Rules, LogIndex)>, StateError> {
        let mut scopes = Vec::new();
        for entry in self.tree.scan_prefix(StateKey::Rules("").encode(self.group)) {
            let (key, value) = entry.map_err(|error| self.failed("rules", error))?;
            let Some((_, StateKey::Rules(scope))) = StateKey::decode(&key) else {
                return Err(self.damaged("rules", "a key is malformed"));
            };
            let scope = scope_of(scope).map_err(|e| self.damaged("rules", e))?;
            let stored: StoredScope<'_> = decode("rules", &value).map_err(|e| self.damaged("rules", e))?;
            scopes.push((scope, stored.rules.into(), LogIndex(stored.set)));
        }
        Ok(scopes)
    }

    fn schemas(&self) -> Result<Vec<EventSchema>, StateError> {
        let mut schemas = Vec::new();
        for entry in self.tree.scan_prefix(StateKey::schemas(self.group)) {
            let (_, value) = entry.map_err(|error| self.failed("schema", error))?;
            let stored: StoredSchema<'_> = decode("schema", &value).map_err(|e| self.damaged("schema", e))?;
            schemas.push(stored.try_into().map_err(|e| self.damaged("schema", e))?);
        }
        Ok(schemas)
    }

    fn upcasters(&self) -> Result<Upcasters, StateError> {
        let revision = match self.get(StateKey::UpcastersRevision)? {
            Some(bytes) => decode("upcasters revision", &bytes)
                .map(LogIndex)
                .map_err(|e| self.damaged("upcasters revision", e))?,
            None => LogIndex::ZERO,
        };
        let mut records = Vec::new();
        for entry in self.tree.scan_prefix(StateKey::upcasters(self.group)) {
            let (key, value) = entry.map_err(|error| self.failed("upcaster", error))?;
            let Some((_, StateKey::Upcaster(name, from, set))) = StateKey::decode(&key) else {
                return Err(self.damaged("upcaster", "a key is malformed"));
            };
            let name = EventName::new(name).map_err(|e| self.damaged("upcaster", e))?;
            let stored: Option<StoredUpcaster<'_>> =
                decode("upcaster", &value).map_err(|e| self.damaged("upcaster", e))?;
            let upcaster = stored.map(TryInto::try_into).transpose();
            let upcaster = upcaster.map_err(|e: CodecError| self.damaged("upcaster", e))?;
            records.push(UpcasterRecord { name, from, set, upcaster });
        }
        Ok(Upcasters { revision, records })
    }

    pub(super) fn put_rules(&self, index: LogIndex, change: &RulesChange, batch: &mut sled::Batch) {
        let scope_key = |scope| StateKey::Rules(scope_text(scope)).encode(self.group);
        let schema_key =
            |name: &EventName, version| StateKey::Schema(name.as_str(), version).encode(self.group);
        match change {
            RulesChange::PutSchema(schema) => {
                batch.insert(schema_key(&schema.name, schema.version), encode(&StoredSchema::from(schema)));
            }
            RulesChange::DeleteSchema(name, version) => batch.remove(schema_key(name, *version)),
            RulesChange::Set(scope, rules) => {
                let stored = StoredScope { set: index.0, rules: rules.into() };
                batch.insert(scope_key(scope), encode(&stored));
            }
            RulesChange::Delete(scope) => batch.remove(scope_key(scope)),
            RulesChange::Upcaster(UpcasterChange { record, dropped }) => {
                let key = |name: &EventName, from, set| {
                    StateKey::Upcaster(name.as_str(), from, set).encode(self.group)
                };
                let stored = record.upcaster.as_ref().map(StoredUpcaster::from);
                batch.insert(key(&record.name, record.from, record.set), encode(&stored));
                // After it, for it may be among them.
                for (name, from, set) in dropped {
                    batch.remove(key(name, *from, *set));
                }
                batch.insert(StateKey::UpcastersRevision.encode(self.group), encode(&index.0));
            }
        }
        batch.insert(StateKey::RulesRevision.encode(self.group), encode(&index.0));
    }
}
