//! The rules of one log index, ready to judge by.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use jsonschema::Validator;
use weir_types::{
    EntityType, EventName, GroupId, LogIndex, MetadataRule, ReadError, RuleSet, Rules, RulesScope,
    SchemaMode, ports::RuleStore,
};

use super::schema::{self, SchemaFault};
use crate::{
    invariant::Invariant,
    upcast::{Upcasting, Upcasts},
};

/// All rules as of one log index.
#[derive(Default)]
pub(crate) struct Rulebook {
    revision: LogIndex,
    namespace: Rules,
    types: HashMap<EntityType, TypeRules>,
    schemas: HashMap<EventName, BTreeMap<u32, Schema>>,
    upcasts: Arc<Upcasts>,
}

/// The rules of an entity type.
struct TypeRules {
    rules: Rules,
    invariant: Option<Arc<Invariant>>,
}

/// A schema, which is compiled when it is first used.
pub(super) struct Schema {
    text: Arc<str>,
    compiled: OnceLock<Result<Validator, SchemaFault>>,
}

/// What is known of the schema that an event asks for.
pub(super) enum Known<'a> {
    /// The name has no schema.
    Unknown,
    /// The name has schemas, and none of this version.
    OtherVersions,
    /// This one.
    Schema(&'a Schema),
}

impl Rulebook {
    /// Invariants that stand as they stood in the book `before` go on with their threads.
    fn new(set: RuleSet, upcasts: Arc<Upcasts>, before: Option<&Self>) -> Self {
        let changed = set.upcasters.revision;
        let mut book = Self { revision: set.revision, upcasts, ..Self::default() };
        for (scope, rules, at) in set.rules {
            match scope {
                RulesScope::Namespace => book.namespace = rules,
                RulesScope::Type(entity_type) => {
                    // By other upcasters the same events fold to another state.
                    let at = at.max(changed);
                    let stood = before.and_then(|before| before.invariant(&entity_type));
                    let invariant = rules.invariant.clone().map(|source| match stood {
                        Some(stood) if stood.set == at => Arc::clone(stood),
                        _ => Arc::new(Invariant::new(entity_type.clone(), at, source)),
                    });
                    book.types.insert(entity_type, TypeRules { rules, invariant });
                }
            }
        }
        for found in set.schemas {
            let schema = Schema { text: found.schema, compiled: OnceLock::new() };
            book.schemas.entry(found.name).or_default().insert(found.version, schema);
        }
        book
    }

    /// The log index that the book is of.
    pub(crate) fn revision(&self) -> LogIndex {
        self.revision
    }

    /// Which events of entities of a type are checked against their schema.
    pub(super) fn schema_mode(&self, entity_type: &EntityType) -> SchemaMode {
        let own = self.types.get(entity_type).and_then(|found| found.rules.schemas);
        own.or(self.namespace.schemas).unwrap_or_default()
    }

    /// What metadata must hold: by the namespace, and by the entity type.
    pub(super) fn metadata(
        &self,
        entity_type: &EntityType,
    ) -> impl Iterator<Item = &BTreeMap<String, MetadataRule>> {
        let of_type = self.types.get(entity_type).map(|found| &found.rules.metadata);
        [Some(&self.namespace.metadata), of_type].into_iter().flatten().filter(|rules| !rules.is_empty())
    }

    /// The invariant of streams of an entity type.
    pub(crate) fn invariant(&self, entity_type: &EntityType) -> Option<&Arc<Invariant>> {
        self.types.get(entity_type).and_then(|found| found.invariant.as_ref())
    }

    /// What leads events of older schema versions to the newest.
    pub(crate) fn upcasts(&self) -> &Arc<Upcasts> {
        &self.upcasts
    }

    /// The schema of an event.
    pub(super) fn schema(&self, name: &EventName, version: u32) -> Known<'_> {
        match self.schemas.get(name).map(|versions| versions.get(&version)) {
            None => Known::Unknown,
            Some(None) => Known::OtherVersions,
            Some(Some(schema)) => Known::Schema(schema),
        }
    }
}

impl Schema {
    /// The schema, ready. What was registered was checked, so it fails only where this
    /// build knows less than the one that checked.
    pub(super) fn ready(&self) -> Result<&Validator, &SchemaFault> {
        self.compiled.get_or_init(|| schema::compile(&self.text)).as_ref()
    }

    /// Whether it costs no more than the check.
    pub(super) fn is_ready(&self) -> bool {
        self.compiled.get().is_some()
    }
}

/// The newest rulebook of a group, read again when rules have changed.
pub(crate) struct Rulebooks {
    group: GroupId,
    store: Arc<dyn RuleStore>,
    upcasting: Upcasting,
    newest: Mutex<Option<Arc<Rulebook>>>,
    /// One at a time reads the rules.
    reading: tokio::sync::Mutex<()>,
}

impl Rulebooks {
    pub(crate) fn new(group: GroupId, store: Arc<dyn RuleStore>) -> Self {
        let upcasting = Upcasting::new(group, Arc::clone(&store));
        Self { group, store, upcasting, newest: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// The upcasters of any log index.
    pub(crate) fn upcasting(&self) -> &Upcasting {
        &self.upcasting
    }

    /// Whether there never were any rules, as of what is applied here.
    pub(crate) fn are_none(&self) -> bool {
        self.store.rules_at(self.group) == LogIndex::ZERO
    }

    /// The rules as of what is applied here, or later; `None` when there never were any.
    pub(crate) async fn current(&self) -> Result<Option<Arc<Rulebook>>, ReadError> {
        let at = self.store.rules_at(self.group);
        if at == LogIndex::ZERO {
            return Ok(None);
        }
        if let Some(book) = self.of(at) {
            return Ok(Some(book));
        }
        let _turn = self.reading.lock().await;
        if let Some(book) = self.of(at) {
            return Ok(Some(book));
        }
        let before = self.of(LogIndex::ZERO);
        let set = self.store.rules(self.group).await?;
        let upcasts = self.upcasting.of(&set.upcasters);
        let book = Arc::new(Rulebook::new(set, upcasts, before.as_deref()));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&book));
        Ok(Some(book))
    }

    fn of(&self, at: LogIndex) -> Option<Arc<Rulebook>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().filter(|book| book.revision >= at).cloned()
    }
}
