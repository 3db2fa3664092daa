//! Why the state did not do what it was asked.

use std::{fmt::Display, path::PathBuf};

use weir_types::{Position, ReadError, with_causes};

use super::State;
use crate::condemned;

/// Why the state did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It cannot be opened as it is.
    #[error("state at {} does not open: {reason}", dir.display())]
    Open {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
    /// What it holds is damaged. It is condemned: the next open moves it aside
    /// and it is rebuilt from the log.
    #[error("state at {} is damaged in {what}: {reason}", dir.display())]
    Damaged {
        /// Its folder.
        dir: PathBuf,
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the engine refused.
    #[error("state at {} failed in {what}: {reason}", dir.display())]
    Failed {
        /// Its folder.
        dir: PathBuf,
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint would fall (invariant P1). Nothing was written.
    #[error("checkpoint is at {stored} and would fall to {offered}")]
    CheckpointFell {
        /// What is stored.
        stored: Position,
        /// What was offered.
        offered: Position,
    },
}

impl From<StateError> for ReadError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Damaged { .. } => Self::Damaged { detail: error.to_string() },
            _ => Self::Storage { reason: with_causes(&error) },
        }
    }
}

impl State {
    pub(super) fn failed(&self, what: &'static str, error: sled::Error) -> StateError {
        let reason = error.to_string();
        match error {
            sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => self.damaged(what, reason),
            _ => {
                let refused = matches!(error, sled::Error::Io(_));
                let error = StateError::Failed { dir: self.dir.clone(), what, reason };
                if refused {
                    // The first one counts.
                    let _ = self.failure.set(error.to_string());
                }
                error
            }
        }
    }

    /// Says that the state is damaged, and condemns it so that it does not come back at the next start.
    pub(super) fn damaged(&self, what: &'static str, reason: impl Display) -> StateError {
        condemned::condemn(&self.dir, what);
        StateError::Damaged { dir: self.dir.clone(), what, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use weir_types::GroupId;

    use super::*;

    #[test]
    fn a_disk_that_refused_is_remembered_by_every_clone() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), GroupId::DEFAULT).unwrap();
        let clone = state.clone();
        state.failed("views", sled::Error::Unsupported("no disk has refused".to_owned()));
        assert_eq!(clone.failure(), None);
        state.failed("views", sled::Error::Io(io::Error::from(io::ErrorKind::StorageFull)));
        state.failed("registry", sled::Error::Io(io::Error::from(io::ErrorKind::StorageFull)));
        assert!(clone.failure().unwrap().contains("failed in views"));
    }
}
