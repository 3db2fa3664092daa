//! One partition alone: the fold of it, and what comes of putting that in the place of what answers.

use std::sync::Arc;

use weir_types::{
    BadEvent, LogIndex, PartitionKey, PartitionRebuild, Position, ProjectionDefinition, ProjectionId,
    ReadError, RecordedEvent, limits,
    ports::{Checkpoint, PartitionRebuildEnd, Rebuilt, View, ViewChange},
};

use super::{
    dry_run::{StepError, step},
    fold::{Fold, FoldError},
    supervisor::ProjectionsArguments,
};
use crate::{
    reducer::{dead_letter_digest, partition_of, state_digest},
    upcast::Upcasts,
};

/// What is added to a generation's number for what is folded of its partitions. No command has such an index.
const SCRATCH: u64 = u64::MAX / 4;
/// From how near to its generation a partition's fold is handed over: it is stopped for these events at most.
const NEAR_EVENTS: u64 = 1_000;
/// Dead letters that are read at once.
const LETTERS_PAGE: usize = 256;

/// What the fold of a generation's partition keeps while it runs.
pub(super) fn scratch_of(id: &ProjectionId) -> ProjectionId {
    ProjectionId { name: id.name.clone(), deployed: LogIndex(SCRATCH + id.deployed.0) }
}

/// The generation of which this is what the fold of a partition keeps.
pub(super) fn generation_of(scratch: &ProjectionId) -> Option<ProjectionId> {
    let deployed = scratch.deployed.0.checked_sub(SCRATCH).filter(|deployed| *deployed < SCRATCH)?;
    Some(ProjectionId { name: scratch.name.clone(), deployed: LogIndex(deployed) })
}

/// What there is of a partition: its state and its dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) view: Option<View>,
    pub(super) letters: Vec<BadEvent>,
}

impl Side {
    /// What the partition adds to its projection's digest.
    pub(super) fn digest(&self, partition: &PartitionKey) -> u64 {
        let state = self.view.as_ref().map_or(0, |view| state_digest(partition, &view.state));
        let letters = self.letters.iter().map(dead_letter_digest);
        letters.fold(state, u64::wrapping_add)
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.view.is_none() && self.letters.is_empty()
    }
}

/// A partition of a generation, and where a fold of it alone is kept.
pub(super) struct Part {
    pub(super) stands_on: ProjectionsArguments,
    /// The generation.
    pub(super) of: ProjectionId,
    pub(super) scratch: ProjectionId,
    pub(super) partition: PartitionKey,
    pub(super) definition: Arc<ProjectionDefinition>,
    /// Those that the generation folds by.
    pub(super) upcasts: Arc<Upcasts>,
}

impl Part {
    /// A fold of it that begins.
    pub(super) async fn fold(&self) -> Result<Fold, FoldError> {
        let (scratch, definition) = (self.scratch.clone(), self.definition.clone());
        self.stands_on.forget(&self.scratch).await?;
        let fold = Fold::start(&self.stands_on, scratch, definition, self.upcasts.clone(), LogIndex::ZERO);
        Ok(fold.await?.only(self.partition.clone()))
    }

    /// What the fold of it alone came to.
    pub(super) async fn ours(&self) -> Result<Side, ReadError> {
        let ProjectionsArguments { views, group, .. } = &self.stands_on;
        let view = views.view(*group, &self.scratch, &self.partition).await?;
        Ok(Side { view, letters: self.letters(&self.scratch).await? })
    }

    /// What the generation has of it.
    pub(super) async fn theirs(&self, ours: &Side) -> Result<Side, ReadError> {
        let ProjectionsArguments { views, group, .. } = &self.stands_on;
        let view = views.view(*group, &self.of, &self.partition).await?;
        let mut letters = Vec::new();
        for letter in self.letters(&self.of).await? {
            let known = ours.letters.iter().any(|one| one.position == letter.position);
            if known || self.is_of(letter.position).await? {
                letters.push(letter);
            }
        }
        Ok(Side { view, letters })
    }

    async fn letters(&self, id: &ProjectionId) -> Result<Vec<BadEvent>, ReadError> {
        let ProjectionsArguments { views, group, .. } = &self.stands_on;
        let mut all: Vec<BadEvent> = Vec::new();
        loop {
            let after = all.last().map_or(Position::ZERO, |last| last.position);
            let page = views.dead_letters(*group, id, after, LETTERS_PAGE).await?;
            let whole = page.len() < LETTERS_PAGE;
            all.extend(page);
            if whole {
                return Ok(all);
            }
        }
    }

    /// Whether the event at a position is of the partition. One that has no legal key is of none.
    async fn is_of(&self, position: Position) -> Result<bool, ReadError> {
        let ProjectionsArguments { reader, group, .. } = &self.stands_on;
        let mut events = reader.read_log(*group, position, 1).await?;
        events.retain(|event| event.position == position);
        let folds = |event: &RecordedEvent| self.definition.folds(&event.name);
        let upcast = self.upcasts.upcast_where(events, folds).await;
        let key = upcast.events.first().and_then(|event| partition_of(&self.definition, event));
        Ok(key.as_ref() == Some(&self.partition))
    }
}

/// A fold of one partition alone, beside the generation that it is of.
pub(super) struct PartFold {
    pub(super) part: Part,
    pub(super) rebuild: PartitionRebuild,
    fold: Fold,
    at: Checkpoint,
}

impl PartFold {
    pub(super) async fn start(part: Part, rebuild: PartitionRebuild) -> Result<Self, FoldError> {
        let fold = part.fold().await?;
        Ok(Self { part, rebuild, fold, at: Checkpoint::default() })
    }

    /// What it has folded.
    pub(super) fn position(&self) -> Position {
        self.at.position
    }

    /// Whether little is left to a position.
    pub(super) fn is_near(&self, position: Position) -> bool {
        position.0 <= self.at.position.0.saturating_add(NEAR_EVENTS)
    }

    /// Folds one step towards a position.
    pub(super) async fn step(&mut self, upto: Position) -> Result<(), StepError> {
        self.at = step(&self.part.stands_on, &self.fold, self.at.clone(), Some(upto)).await?;
        Ok(())
    }

    /// Folds on to exactly where its generation is, and gives what puts it in the place of what answers.
    pub(super) async fn replacement(&mut self, serving: &Checkpoint) -> Result<ViewChange, StepError> {
        if self.at.position > serving.position {
            return Err(StepError::Failed("what answers has fallen behind the fold of the partition".into()));
        }
        while self.at.position < serving.position {
            self.step(serving.position).await?;
        }
        let failed = |error: ReadError| StepError::Failed(error.to_string());
        let ours = self.part.ours().await.map_err(failed)?;
        if ours.digest(&self.part.partition) != self.at.digest {
            return Err(StepError::Failed("what is kept of the partition is not what was folded".into()));
        }
        let theirs = self.part.theirs(&ours).await.map_err(failed)?;
        Ok(replacing(serving, &self.rebuild, theirs, ours))
    }
}

/// What puts `ours` in the place of `theirs`, both of one partition at the position of the checkpoint `serving`.
/// Everything of other partitions stays, and so the digest and the counts change by the difference alone.
fn replacing(serving: &Checkpoint, rebuild: &PartitionRebuild, theirs: Side, ours: Side) -> ViewChange {
    let partition = &rebuild.partition;
    if theirs.is_nothing() && ours.is_nothing() {
        return failing(serving, rebuild, no_events(partition, serving.position));
    }
    let (before, after) = (theirs.letters.len() as u64, ours.letters.len() as u64);
    let dead_letters = (serving.dead_letters + after).saturating_sub(before);
    if dead_letters > limits::PROJECTION_DEAD_LETTERS_MAX {
        let max = limits::PROJECTION_DEAD_LETTERS_MAX;
        return failing(serving, rebuild, format!("there would be over {max} dead letters"));
    }
    let digest = serving.digest.wrapping_sub(theirs.digest(partition)).wrapping_add(ours.digest(partition));
    let dropped = theirs.letters.iter().map(|letter| letter.position);
    let rebuilt = Rebuilt {
        dropped_view: ours.view.is_none().then(|| partition.clone()),
        dropped_letters: dropped.filter(|at| !ours.letters.iter().any(|one| one.position == *at)).collect(),
        end: PartitionRebuildEnd { at: rebuild.at, position: serving.position, failure: None },
    };
    ViewChange {
        // An event of it that was folded and is a dead letter now, or the other way round, is counted once.
        checkpoint: Checkpoint {
            digest,
            dead_letters,
            events: (serving.events + before).saturating_sub(after),
            ..serving.clone()
        },
        views: ours.view.map(|view| (partition.clone(), view)).into_iter().collect(),
        dead_letters: ours.letters,
        rebuilt: Some(Box::new(rebuilt)),
    }
}

/// Notes that a rebuild ended and changed nothing.
pub(super) fn failing(serving: &Checkpoint, rebuild: &PartitionRebuild, reason: String) -> ViewChange {
    let end = PartitionRebuildEnd { at: rebuild.at, position: serving.position, failure: Some(reason) };
    let rebuilt = Rebuilt { end, dropped_view: None, dropped_letters: Vec::new() };
    ViewChange { checkpoint: serving.clone(), rebuilt: Some(Box::new(rebuilt)), ..ViewChange::default() }
}

/// What is told of a partition of which nothing was ever appended.
pub(super) fn no_events(partition: &PartitionKey, upto: Position) -> String {
    format!("partition `{partition}` has no events up to position {upto}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::{EntityId, EventId, EventName, ProjectionName, StreamVersion, Timestamp};

    use super::*;

    fn letter(position: u64) -> BadEvent {
        BadEvent {
            id: EventId(uuid::Uuid::from_u128(u128::from(position))),
            name: EventName::new("n").unwrap(),
            entity_id: EntityId::new("e").unwrap(),
            version: StreamVersion(1),
            position: Position(position),
            message: "no".into(),
            stack: String::new(),
        }
    }

    fn side(state: Option<&'static str>, letters: &[u64]) -> Side {
        let view =
            state.map(|state| View { state: Bytes::from_static(state.as_bytes()), position: Position(9) });
        Side { view, letters: letters.iter().copied().map(letter).collect() }
    }

    fn rebuild() -> PartitionRebuild {
        let partition = PartitionKey::new("p").unwrap();
        PartitionRebuild { at: LogIndex(7), partition, asked_at: Timestamp(1), cancelled: false }
    }

    /// A projection of which one other partition has a state, with what there is of `p`.
    fn serving(of_p: &Side) -> Checkpoint {
        Checkpoint {
            position: Position(20),
            events: 20 - of_p.letters.len() as u64,
            digest: 1_000_u64.wrapping_add(of_p.digest(&rebuild().partition)),
            parked: None,
            dead_letters: of_p.letters.len() as u64,
            serves: true,
        }
    }

    #[test]
    fn after_a_swap_the_checkpoint_is_as_if_it_had_always_been_so() {
        let right = side(Some("1"), &[3, 5]);
        for (theirs, dropped) in [
            (right.clone(), vec![]),
            (side(Some("2"), &[3, 5]), vec![]),
            (side(None, &[]), vec![]),
            (side(Some("2"), &[3, 4, 6]), vec![4, 6]),
        ] {
            let change = replacing(&serving(&theirs), &rebuild(), theirs, right.clone());
            assert_eq!(change.checkpoint, serving(&right));
            assert_eq!(change.views[0].1, right.view.clone().unwrap());
            let rebuilt = change.rebuilt.unwrap();
            assert_eq!(
                (rebuilt.end.at, rebuilt.end.failure, rebuilt.dropped_view),
                (LogIndex(7), None, None)
            );
            assert_eq!(rebuilt.dropped_letters.iter().map(|at| at.0).collect::<Vec<_>>(), dropped);
        }
    }

    #[test]
    fn a_state_that_no_event_made_goes_and_nothing_at_all_is_told() {
        let junk = side(Some("2"), &[]);
        let change = replacing(&serving(&junk), &rebuild(), junk, Side::default());
        assert_eq!((change.checkpoint, change.views.len()), (serving(&Side::default()), 0));
        assert_eq!(change.rebuilt.unwrap().dropped_view, Some(rebuild().partition));
        let change = replacing(&serving(&Side::default()), &rebuild(), Side::default(), Side::default());
        let failure = change.rebuilt.unwrap().end.failure.unwrap();
        assert_eq!(
            (failure.as_str(), change.checkpoint),
            ("partition `p` has no events up to position 20", serving(&Side::default()))
        );
    }

    #[test]
    fn no_more_dead_letters_come_of_it_than_may_be() {
        let max = limits::PROJECTION_DEAD_LETTERS_MAX;
        let full = Checkpoint { dead_letters: max, ..serving(&side(Some("1"), &[])) };
        let change = replacing(&full, &rebuild(), side(Some("1"), &[]), side(None, &[3]));
        assert_eq!(change.checkpoint, full);
        assert!(change.rebuilt.unwrap().end.failure.unwrap().contains("1000 dead letters"));
    }

    #[test]
    fn what_a_fold_keeps_is_known_by_its_number() {
        let id = ProjectionId { name: ProjectionName::new("p").unwrap(), deployed: LogIndex(812) };
        assert_eq!(generation_of(&scratch_of(&id)), Some(id.clone()));
        for other in [812, u64::MAX - 812, u64::MAX / 2 + 1] {
            assert_eq!(generation_of(&ProjectionId { deployed: LogIndex(other), ..id.clone() }), None);
        }
    }
}
