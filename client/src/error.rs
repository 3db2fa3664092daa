use std::time::Duration;

use weir_api::{ApiError, ErrorCode};

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The server answered with an error.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// No connection could be made; nothing was sent.
    #[error("no connection to {url}: {reason}")]
    NoConnection {
        /// Where to.
        url: String,
        /// Why.
        reason: String,
    },
    /// The request was sent and the answer was lost: the outcome is not known.
    #[error("answer of {url} was lost: {reason}")]
    Lost {
        /// Whose.
        url: String,
        /// Why.
        reason: String,
    },
    /// The deadline passed.
    #[error("no answer within {after:?}, last: {last}")]
    Deadline {
        /// The deadline.
        after: Duration,
        /// Whether a try may have changed something.
        outcome_unknown: bool,
        /// How the last try ended.
        last: Box<ClientError>,
    },
    /// An answer came that this client does not understand.
    #[error("answer of {url} is not understood: {reason}")]
    NotUnderstood {
        /// Whose.
        url: String,
        /// Why.
        reason: String,
    },
    /// A read failed. Whatever became of it, it changed nothing.
    #[error("{0}")]
    Read(Box<ClientError>),
    /// A server address is not legal.
    #[error("server address `{url}` is not legal: {reason}")]
    Address {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
}

impl ClientError {
    /// The server's code, if the server answered.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(error) => Some(error.code),
            Self::Deadline { last, .. } | Self::Read(last) => last.code(),
            Self::NoConnection { .. }
            | Self::Lost { .. }
            | Self::NotUnderstood { .. }
            | Self::Address { .. } => None,
        }
    }

    /// Whether a change may have happened nevertheless.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Api(error) => error.code.outcome_unknown(),
            Self::Lost { .. } | Self::NotUnderstood { .. } => true,
            Self::Deadline { outcome_unknown, .. } => *outcome_unknown,
            Self::NoConnection { .. } | Self::Read(_) | Self::Address { .. } => false,
        }
    }

    /// Whether the same request may be sent again; when the outcome is unknown
    /// too, only with the same idempotency key.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // A projection that is parked here is parked wherever it has come as far.
            Self::Api(error) => error.code.is_retryable() && !error.details.contains_key("parked"),
            Self::NoConnection { .. } | Self::Lost { .. } | Self::Deadline { .. } => true,
            Self::Read(error) => error.is_retryable(),
            Self::NotUnderstood { .. } | Self::Address { .. } => false,
        }
    }

    /// Whether another node might do better.
    pub(crate) fn blames_node(&self) -> bool {
        match self {
            Self::Api(error) => matches!(
                error.code,
                ErrorCode::NotLeader
                    | ErrorCode::Unavailable
                    | ErrorCode::NotInitialized
                    | ErrorCode::StorageFailed
                    | ErrorCode::OutcomeUnknown
            ),
            Self::NoConnection { .. } | Self::Lost { .. } => true,
            Self::Read(error) => error.blames_node(),
            Self::Deadline { .. } | Self::NotUnderstood { .. } | Self::Address { .. } => false,
        }
    }
}
