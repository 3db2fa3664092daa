use std::io;

use weir_client::{ApiError, ClientError};

use crate::exit;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A call failed.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The arguments are not legal.
    #[error("{0}")]
    Usage(String),
    /// A file, or the output, failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was done with what.
        what: String,
        source: io::Error,
    },
    /// A condition is not met.
    #[error("{0}")]
    NotHealthy(String),
    /// What was asked for stands against what is there.
    #[error("{0}")]
    Conflict(String),
    /// It failed, in a way that no other variant names.
    #[error("{0}")]
    Failed(String),
    /// It did not end in time, and may have happened.
    #[error("{0}")]
    OutcomeUnknown(String),
}

impl CliError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => exit::of(error),
            Self::Usage(_) => exit::USAGE,
            Self::Io { .. } | Self::Failed(_) => exit::FAILED,
            Self::NotHealthy(_) => exit::NOT_HEALTHY,
            Self::Conflict(_) => exit::CONFLICT,
            Self::OutcomeUnknown(_) => exit::OUTCOME_UNKNOWN,
        }
    }

    /// Whether the reader of the output has gone, which is no error.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        Self::Client(error.into())
    }
}
