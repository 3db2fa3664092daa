//! Why the index did not do what it was asked.

use std::{fmt::Display, path::PathBuf};

use weir_types::{ReadError, with_causes};

use super::Index;
use crate::condemned;

/// Why the index did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It cannot be opened as it is.
    #[error("index at {} does not open: {reason}", dir.display())]
    Open {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
    /// What it holds is damaged. It is condemned: the next open moves it aside
    /// and it is rebuilt from the log.
    #[error("index at {} is damaged in {what}: {reason}", dir.display())]
    Damaged {
        /// Its folder.
        dir: PathBuf,
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the engine refused.
    #[error("index at {} failed in {what}: {reason}", dir.display())]
    Failed {
        /// Its folder.
        dir: PathBuf,
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Damaged { .. } => Self::Damaged { detail: error.to_string() },
            _ => Self::Storage { reason: with_causes(&error) },
        }
    }
}

impl Index {
    pub(super) fn unspilled(&self, reason: String) -> IndexError {
        IndexError::Failed { dir: self.inner.dir.clone(), what: "spill", reason }
    }

    pub(super) fn failed(&self, what: &'static str, error: fjall::Error) -> IndexError {
        if is_damage(&error) {
            return self.damaged(what, error);
        }
        IndexError::Failed { dir: self.inner.dir.clone(), what, reason: error.to_string() }
    }

    /// Says that the index is damaged, and condemns it so that it does not come back at the next start.
    pub(super) fn damaged(&self, what: &'static str, reason: impl Display) -> IndexError {
        let dir = self.inner.dir.clone();
        condemned::condemn(&dir, what);
        IndexError::Damaged { dir, what, reason: reason.to_string() }
    }
}

fn is_damage(error: &fjall::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    let io = |error: &std::io::Error| matches!(error.kind(), InvalidData | NotFound | UnexpectedEof);
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => io(error),
        fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted | fjall::Error::Locked => false,
        _ => true,
    }
}
