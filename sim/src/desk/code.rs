use std::collections::BTreeMap;

use tracing::error;
use weir_api::{
    ApiError, format_timestamp,
    v1::{RebuildBody, StateQuery},
};
use weir_check::history::Seen;
use weir_types::{
    Consistency, EntityId, EntityType, EventName, EventSchema, MetadataRule, MetadataType, PartitionKey,
    Position, ProjectionName, Rules, RulesScope, SchemaMode, Timestamp, Upcaster,
};

use super::{Desk, StateAsked, StateTold, Way};
use crate::{
    folds::{ACCOUNT, BALANCE, COUNTS, INLINE, MOVED, TELLER, invariant, projections, schema, upcaster},
    plant::Plant,
};

impl Desk {
    /// Hands in all code, in an order in which what is folded by upcasters comes after them, and makes the group.
    pub(super) async fn prepare(&self, generation: u64) -> Result<(), ApiError> {
        let upcaster = Upcaster {
            name: EventName::new(MOVED)?,
            from: 1,
            to: 2,
            source: upcaster(generation).into(),
            description: String::new(),
            registered_at: Timestamp(0),
        };
        self.engine.set_upcaster(upcaster).await?;
        self.set_rules(generation).await?;
        for source in projections(generation) {
            self.engine.deploy(&source).await?;
        }
        self.make_group().await?;
        self.register_worked().await?;
        self.register_sent().await
    }

    /// The rules of accounts: schemas of their events, metadata, and an invariant.
    async fn set_rules(&self, generation: u64) -> Result<(), ApiError> {
        for version in [1, 2] {
            let schema = EventSchema {
                name: EventName::new(MOVED)?,
                version,
                schema: schema(version).into(),
                description: format!("generation {generation}"),
                registered_at: Timestamp(0),
            };
            self.engine.register_schema(schema).await?;
        }
        let teller = MetadataRule { kind: MetadataType::Text, required: true };
        let sleeps = self.plant == Some(Plant::InvariantAsleep);
        let mut rules = Rules {
            schemas: Some(SchemaMode::Required),
            metadata: BTreeMap::from([(TELLER.to_owned(), teller)]),
            invariant: Some(invariant(generation, sleeps).into()),
        };
        match self.plant {
            Some(Plant::SchemasAsleep) => rules.schemas = Some(SchemaMode::Off),
            Some(Plant::MetadataAsleep) => rules.metadata.clear(),
            _ => {}
        }
        self.engine.set_rules(RulesScope::Type(EntityType::new(ACCOUNT)?), rules).await?;
        Ok(())
    }

    pub(super) async fn view(
        &self,
        projection: &str,
        partition: &str,
        min_position: Option<u64>,
    ) -> Result<Seen, ApiError> {
        let position = min_position.filter(|_| self.plant != Some(Plant::PositionIgnored));
        let consistency =
            position.map_or(Consistency::Local, |position| Consistency::AtLeast(Position(position)));
        let (name, partition) = (ProjectionName::new(projection)?, PartitionKey::new(partition)?);
        let applied = self.engine.status().applied_position;
        let (status, view) = self.engine.view(&name, &partition, consistency).await?;
        if projection == INLINE && status.checkpoint < applied {
            // An error that is logged is a finding.
            error!(applied, status.checkpoint, "inline view is behind what was applied before it was read");
        }
        let value = view.and_then(|view| serde_json::from_slice(&view.state).ok());
        Ok(Seen::View { value, checkpoint: status.checkpoint })
    }

    /// Has every node fold a partition anew.
    pub(super) async fn mend(&self, partition: String) -> Result<(), ApiError> {
        let body = RebuildBody { partition: Some(partition), ..RebuildBody::default() };
        self.engine.rebuild(ProjectionName::new(COUNTS[0])?, &body).await?;
        Ok(())
    }

    pub(super) async fn state(&self, asked: &StateAsked) -> Result<StateTold, ApiError> {
        let projection = match asked.way {
            Way::Invariant => None,
            Way::Projection => Some(BALANCE.to_owned()),
            Way::Snapshot => return self.kept(asked).await,
            Way::FromSnapshot => return self.since_snapshot(asked).await,
        };
        let time = |time: Option<i64>| {
            time.filter(|_| self.plant != Some(Plant::TimesIgnored)).map(|us| format_timestamp(Timestamp(us)))
        };
        let before = |version: u64| version.saturating_sub(1);
        let as_of_version = match self.plant {
            Some(Plant::StateOfBefore) => asked.version.map(before),
            _ => asked.version,
        };
        let (as_of, at) = (time(asked.as_of_us), time(asked.at_us));
        let query = StateQuery { projection, as_of, at, as_of_version, ..StateQuery::default() };
        let state = self.engine.state(EntityId::new(&asked.stream)?, &query).await?;
        let value = serde_json::to_value(&state.state).unwrap_or_default();
        Ok(StateTold { version: state.version, value })
    }
}
