use std::{collections::BTreeMap, sync::Arc};

use weir_types::{
    LogIndex, PartitionKey, ProjectionDefinition, ProjectionKind, RecordedEvent, Trial,
    ports::{Checkpoint, View},
};

use super::fold::{Judgement, Policy, bad_event, full, judge};
use crate::{
    off_runtime::off_runtime,
    reducer::{FoldOutcome, FoldResult, ReducerError, ReducerLimits, ReducerThread, ThreadError, inspect},
};

/// Events of one step, as a node takes them.
const BATCH_EVENTS: usize = 2_000;

/// Why events were not folded at all.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The source is no projection.
    #[error(transparent)]
    Source(#[from] ReducerError),
    /// The reducer's thread did not do its job.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}

/// Folds events with a projection's source as a node would, in the same engine
/// with the same limits and policy, and keeps nothing. Positions of the events
/// rise; they may have holes.
///
/// # Errors
/// [`TrialError`]. An event that cannot be folded is no error, but told in the [`Trial`].
pub async fn trial(
    source: String,
    events: Vec<RecordedEvent>,
    limits: ReducerLimits,
) -> Result<Trial, TrialError> {
    let inspected = off_runtime(move || inspect(&source)).await;
    let definition = inspected.map_err(|_| ThreadError::Gone)??;
    let definition = match definition.kind {
        // Its states are of streams.
        ProjectionKind::Virtual => {
            ProjectionDefinition { partition_key: Some("$.entityId".to_owned()), ..definition }
        }
        ProjectionKind::Async | ProjectionKind::Inline | ProjectionKind::Sql => definition,
    };
    let mut running = Running {
        policy: Policy { on_error: definition.on_error, resumed: LogIndex::ZERO },
        reducer: ReducerThread::new(Arc::new(definition.clone()), limits),
        states: BTreeMap::new(),
        trial: empty(definition),
    };
    let mut rest = events.as_slice();
    while !rest.is_empty() && running.trial.failed.is_none() {
        let batch = Arc::new(rest[..rest.len().min(BATCH_EVENTS)].to_vec());
        rest = &rest[running.step(&batch).await?..];
    }
    let Running { states, trial, .. } = running;
    Ok(Trial { states: states.into_iter().collect(), ..trial })
}

struct Running {
    policy: Policy,
    reducer: ReducerThread,
    states: BTreeMap<PartitionKey, View>,
    trial: Trial,
}

impl Running {
    /// Folds a first part of a batch, and gives how many events are behind us.
    async fn step(&mut self, batch: &Arc<Vec<RecordedEvent>>) -> Result<usize, TrialError> {
        let FoldResult { passed, handled, unkeyed, views, failure, .. } = self.reduce(batch).await?;
        for (partition, view) in views {
            let view = match self.trial.definition.kind {
                ProjectionKind::Async | ProjectionKind::Inline | ProjectionKind::Virtual => view,
                ProjectionKind::Sql => after(self.states.get(&partition), view),
            };
            self.states.insert(partition, view);
        }
        self.trial.folded += handled;
        self.trial.unkeyed += unkeyed;
        let Some(failure) = failure else { return Ok(passed) };
        let bad = bad_event(&batch[passed], &failure.fault);
        let so_far =
            Checkpoint { dead_letters: self.trial.dead_letters.len() as u64, ..Checkpoint::default() };
        match judge(self.policy, &so_far, &failure.fault) {
            Judgement::Skip => self.trial.dead_letters.push(bad),
            Judgement::Park => self.trial.failed = Some(bad),
            Judgement::ParkFull => self.trial.failed = Some(full(bad)),
        }
        Ok(passed + 1)
    }

    async fn reduce(&self, batch: &Arc<Vec<RecordedEvent>>) -> Result<FoldResult, ThreadError> {
        let mut take = batch.len();
        loop {
            let missing = self.reducer.prepare(batch.clone(), take).await?;
            let state = |key: PartitionKey| {
                let state = self.states.get(&key).map(|view| view.state.clone());
                (key, state)
            };
            match self.reducer.run(missing.into_iter().map(state).collect()).await? {
                FoldOutcome::Done(result) => return Ok(result),
                FoldOutcome::Again { take: fewer } => take = fewer,
            }
        }
    }
}

/// What is folded into tables has no states: shown are the statements of all events, as one list of JSON.
fn after(before: Option<&View>, view: View) -> View {
    let Some(before) = before.filter(|before| before.state.len() > "[]".len()) else { return view };
    if view.state.len() <= "[]".len() {
        return before.clone();
    }
    let (list, more) = (&before.state[..before.state.len() - 1], &view.state[1..]);
    View { state: [list, b",", more].concat().into(), ..view }
}

fn empty(definition: ProjectionDefinition) -> Trial {
    Trial { definition, states: Vec::new(), folded: 0, unkeyed: 0, dead_letters: Vec::new(), failed: None }
}

#[cfg(test)]
mod tests {
    use weir_types::Position;

    use super::*;

    #[test]
    fn statements_of_all_batches_are_shown() {
        let view = |text: &'static str, at| View { state: text.into(), position: Position(at) };
        for (before, next, expected) in [
            (None, "[[1,[]]]", "[[1,[]]]"),
            (Some("[]"), "[[2,[]]]", "[[2,[]]]"),
            (Some("[[1,[]]]"), "[[2,[]],[3,[]]]", "[[1,[]],[2,[]],[3,[]]]"),
            (Some("[[1,[]]]"), "[]", "[[1,[]]]"),
        ] {
            let before = before.map(|text| view(text, 1));
            assert_eq!(after(before.as_ref(), view(next, 3)).state, expected);
        }
    }
}
