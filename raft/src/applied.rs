//! How far this node has applied, as everything that waits for it sees it.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};
use weir_storage::index::AppliedMark;
use weir_types::{LogId, LogIndex, Position};

/// What is applied. It grows, and is published only after the index holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    /// The last entry.
    pub(crate) log_id: Option<LogId>,
    /// The last position.
    pub(crate) position: Position,
    /// The digest over all of it.
    pub(crate) digest: u64,
    /// The last entry that held a registry command.
    pub(crate) registry: LogIndex,
    /// The last entry that changed rules.
    pub(crate) rules: LogIndex,
}

impl Applied {
    /// What a mark says; `None` is an empty group.
    pub(crate) fn of(mark: Option<&AppliedMark>) -> Self {
        mark.map_or_else(Self::default, |mark| Self {
            log_id: Some(mark.log_id),
            position: mark.position,
            digest: mark.digest,
            registry: mark.registry,
            rules: mark.rules,
        })
    }

    /// The last entry's index; zero when there is none.
    pub(crate) fn index(&self) -> LogIndex {
        self.log_id.map_or(LogIndex::ZERO, |id| id.index)
    }
}

/// Waits until `reached` holds. `Err` is what there was when time ran out or the node stopped.
pub(crate) async fn wait_for(
    applied: &watch::Receiver<Applied>,
    wait_max: Duration,
    reached: impl FnMut(&Applied) -> bool,
) -> Result<Applied, Applied> {
    let mut applied = applied.clone();
    if let Ok(Ok(found)) = timeout(wait_max, applied.wait_for(reached)).await {
        return Ok(*found);
    }
    Err(*applied.borrow())
}
