use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use weir_types::{
    GroupId, PartitionKey, Position, ProjectionId, ReadError,
    ports::{Checkpoint, View, ViewStore},
};

use super::{brake::Hold, handle::ViewError, supervisor::Running};

/// How long folds are held at most to be compared.
pub(super) const COMPARE_MAX: Duration = Duration::from_secs(10);
/// Partitions that one page of a comparison reads.
const PAGE: usize = 500;

/// Why two folds were not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Nothing of that name answers here.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The registry has forgotten the source of what answers here.
    #[error("another source of the projection is about to take over on this node")]
    Outdated,
    /// It is folded further than where it was to be looked at.
    #[error("projection is folded up to {folded}, past {wanted}")]
    Passed {
        /// Where it was to be looked at.
        wanted: Position,
        /// Where it is.
        folded: Position,
    },
    /// It is parked or paused before, or was not there in time.
    #[error("projection is folded up to {folded} only, not {wanted}")]
    NotThere {
        /// Where it was to be looked at.
        wanted: Position,
        /// Where it is.
        folded: Position,
    },
    /// It could not be held for as long as it took.
    #[error("comparison took longer than {} s, for which folds are held at most", COMPARE_MAX.as_secs())]
    TooLong,
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A partition of which two folds hold something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub partition: PartitionKey,
    /// What the one holds.
    pub left: Option<View>,
    /// What the other holds.
    pub right: Option<View>,
}

/// Two folds at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The position.
    pub position: Position,
    /// Digests there.
    pub digests: (u64, u64),
    /// The first partitions that differ, in byte order of their keys.
    pub differences: Vec<Difference>,
    /// Whether there are more that were not looked for.
    pub truncated: bool,
}

impl Running {
    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.progress.borrow().checkpoint.clone()
    }

    pub(super) async fn hold(&self, patience: Duration) -> Hold {
        self.brake.hold(|| self.progress.borrow().checkpoint.position, patience).await
    }

    /// Lets a held fold go on to exactly `position`, and gives its checkpoint there.
    pub(super) async fn fold_to(
        &self,
        hold: &mut Hold,
        position: Position,
        deadline: Instant,
    ) -> Result<Checkpoint, CompareError> {
        hold.lift(position);
        let mut progress = self.progress.subscribe();
        let done = |now: &super::progress::Progress| now.checkpoint.position >= position || now.is_stopped();
        let folded = tokio::select! {
            Ok(now) = progress.wait_for(done) => now.checkpoint.clone(),
            () = sleep_until(deadline) => self.checkpoint(),
        };
        match folded.position {
            at if at == position => Ok(folded),
            at if at > position => Err(CompareError::Passed { wanted: position, folded: at }),
            at => Err(CompareError::NotThere { wanted: position, folded: at }),
        }
    }
}

/// The first `limit` partitions that differ, and whether there may be more.
pub(super) async fn differences(
    views: &Arc<dyn ViewStore>,
    group: GroupId,
    left: &ProjectionId,
    right: &ProjectionId,
    limit: usize,
) -> Result<(Vec<Difference>, bool), ReadError> {
    let mut found = Vec::new();
    let mut after: Option<PartitionKey> = None;
    loop {
        let (lefts, rights) = tokio::try_join!(
            views.views(group, left, after.as_ref(), PAGE),
            views.views(group, right, after.as_ref(), PAGE)
        )?;
        let ended = lefts.len() < PAGE && rights.len() < PAGE;
        // Beyond the shorter page's end the other one may have partitions that the next page has too.
        let ends = [&lefts, &rights].into_iter().filter(|page| page.len() == PAGE);
        let end = ends.filter_map(|page| page.last().map(|(key, _)| key.clone())).min();
        let within = |(key, _): &(PartitionKey, View)| end.as_ref().is_none_or(|end| key <= end);
        let merged = merge(lefts.into_iter().filter(within), rights.into_iter().filter(within));
        for difference in merged {
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(difference);
        }
        if ended {
            return Ok((found, false));
        }
        after = end;
    }
}

/// What differs between two lists in order of keys.
fn merge(
    lefts: impl Iterator<Item = (PartitionKey, View)>,
    rights: impl Iterator<Item = (PartitionKey, View)>,
) -> Vec<Difference> {
    let (mut lefts, mut rights) = (lefts.peekable(), rights.peekable());
    let mut found = Vec::new();
    loop {
        let key = match (lefts.peek(), rights.peek()) {
            (None, None) => return found,
            (Some((key, _)), None) | (None, Some((key, _))) => key.clone(),
            (Some((left, _)), Some((right, _))) => left.min(right).clone(),
        };
        let left = lefts.next_if(|(other, _)| *other == key).map(|(_, view)| view);
        let right = rights.next_if(|(other, _)| *other == key).map(|(_, view)| view);
        if left.as_ref().map(|view| &view.state) != right.as_ref().map(|view| &view.state) {
            found.push(Difference { partition: key, left, right });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_one_side_and_other_states_differ() {
        let list = |text: &str| {
            let views = text.split_whitespace().map(|pair| {
                let (key, state) = pair.split_once('=').unwrap();
                let state = bytes::Bytes::copy_from_slice(state.as_bytes());
                (PartitionKey::new(key).unwrap(), View { state, position: Position(1) })
            });
            views.collect::<Vec<_>>().into_iter()
        };
        for (left, right, expected) in [
            ("", "", ""),
            ("a=1 b=2", "a=1 b=2", ""),
            ("a=1 b=2", "a=1 b=3", "b"),
            ("a=1 c=2", "b=1 c=2", "a b"),
            ("", "a=1", "a"),
            ("a=1 z=1", "", "a z"),
        ] {
            let found = merge(list(left), list(right));
            let keys: Vec<_> = found.iter().map(|one| one.partition.as_str()).collect();
            assert_eq!(keys.join(" "), expected, "{left} | {right}");
        }
    }
}
