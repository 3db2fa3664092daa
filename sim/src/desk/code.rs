use tracing::error;
use weir_api::{ApiError, v1::StateQuery};
use weir_check::history::Seen;
use weir_types::{
    Consistency, EntityId, EntityType, EventName, PartitionKey, Position, ProjectionName, Rules, RulesScope,
    Timestamp, Upcaster,
};

use super::{Desk, StateAsked, StateTold};
use crate::{
    folds::{ACCOUNT, INLINE, MOVED, invariant, projections, upcaster},
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
        let sleeps = self.plant == Some(Plant::InvariantAsleep);
        let rules = Rules { invariant: Some(invariant(generation, sleeps).into()), ..Rules::default() };
        self.engine.set_rules(RulesScope::Type(EntityType::new(ACCOUNT)?), rules).await?;
        for source in projections(generation) {
            self.engine.deploy(&source).await?;
        }
        self.make_group().await
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

    pub(super) async fn state(&self, asked: StateAsked) -> Result<StateTold, ApiError> {
        let ask = |as_of_version| StateQuery {
            projection: asked.projection.clone(),
            as_of_version,
            ..StateQuery::default()
        };
        let before = |version: u64| version.saturating_sub(1);
        let as_of = match self.plant {
            Some(Plant::StateOfBefore) => asked.version.map(before),
            _ => asked.version,
        };
        let state = self.engine.state(EntityId::new(&asked.stream)?, &ask(as_of)).await?;
        let value = serde_json::to_value(&state.state).unwrap_or_default();
        Ok(StateTold { version: state.version, value })
    }
}
