use serde::{Deserialize, Serialize};
use weir_api::ApiError;
use weir_types::{
    Consistency, Direction, EntityType, EventPattern, GroupId, LogFilter, LogRead, Position, Tag,
};

use super::Desk;
use crate::{
    folds::{ACCOUNT, TAG, THINGS},
    plant::Plant,
};

/// A page of the log that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Search {
    /// Which events.
    pub by: By,
    /// From this position on, which is part of it.
    pub from: u64,
    /// Whether towards the beginning.
    pub backward: bool,
    /// So many, at most.
    pub limit: usize,
}

/// Which events are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// Those of accounts, by their type.
    Type,
    /// All others, by the beginning of their names.
    Name,
    /// Those that have a tag.
    Tag,
}

/// What a search found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FoundEvents {
    /// Where, in order.
    pub positions: Vec<u64>,
    /// Where the next page begins.
    pub next: u64,
    /// How far the node had applied the log.
    pub applied: u64,
}

impl Desk {
    pub(super) async fn search(&self, asked: Search) -> Result<FoundEvents, ApiError> {
        let mut filter = LogFilter::default();
        match asked.by {
            By::Type => filter.entity_type = Some(EntityType::new(ACCOUNT)?),
            By::Name => filter.names = Some(EventPattern::new(THINGS)?),
            By::Tag => filter.tag = Some(Tag::new(TAG)?),
        }
        let read = LogRead {
            group: GroupId::DEFAULT,
            from: Some(Position(asked.from)),
            direction: if asked.backward { Direction::Backward } else { Direction::Forward },
            limit: asked.limit,
            filter,
        };
        let page = self.engine.log(read, Consistency::Local).await?;
        let mut positions: Vec<u64> = page.events.iter().map(|event| event.position.0).collect();
        if self.plant == Some(Plant::SearchWithHole) && positions.len() > 2 {
            positions.remove(1);
        }
        Ok(FoundEvents { positions, next: page.next.0, applied: page.applied.0 })
    }
}
