//! All that one node keeps of one group: the log, and what is made from it.

mod open;
mod read;
mod replay;
mod search;

use std::path::PathBuf;

pub use open::{OpenError, Opened, Rebuilt};
use weir_types::GroupId;

use crate::{index::Index, log::Log, state::State};

/// The log of a group with its index and its state. Clones share them.
#[derive(Clone)]
pub struct GroupStore {
    /// The event store.
    pub log: Log,
    /// Where events lie and what streams are at; rebuilt from the log when lost.
    pub index: Index,
    /// Registry, views and checkpoints; rebuilt from the log when lost.
    pub state: State,
    group: GroupId,
    log_dir: PathBuf,
}

impl GroupStore {
    /// Whether its log lies on a simulated disk, where whoever asks does all the work.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.log.is_simulated()
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }
}
