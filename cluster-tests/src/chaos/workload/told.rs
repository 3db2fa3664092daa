//! What a client was told of its append.

use serde_json::Value;
use weir_api::{ApiError, ErrorCode};
use weir_check::history::{Pending, Seen};

/// The fate of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It is in the stream.
    Acked(Ack),
    /// It is not, and this try will never be.
    Refused {
        /// Why.
        code: String,
        /// The stream's version, if the refusal names it.
        actual: Option<u64>,
    },
    /// Nobody knows.
    Unknown(String),
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) first_version: u64,
    pub(super) last_version: u64,
    pub(super) first_position: u64,
    /// The id of its last event.
    pub(super) event_id: String,
    /// Whether the answer says that it repeats an earlier one; `None` where answers do not say.
    pub(super) repeated: Option<bool>,
}

impl Ack {
    /// The position of its last event.
    pub(super) fn last_position(&self) -> u64 {
        self.first_position + self.last_version.saturating_sub(self.first_version)
    }

    /// Whether another answer names the same events.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let what =
            |ack: &Self| (ack.first_version, ack.last_version, ack.first_position, ack.event_id.clone());
        what(self) == what(other)
    }
}

impl Told {
    /// What an error answer tells.
    pub(super) fn of_error(error: &ApiError) -> Self {
        let code = error.code.as_str().to_owned();
        match error.code.outcome_unknown() {
            true => Self::Unknown(code),
            false => {
                Self::Refused { code, actual: error.details.get("actualVersion").and_then(Value::as_u64) }
            }
        }
    }

    /// Nothing was sent.
    pub(super) fn not_sent() -> Self {
        Self::Refused { code: "no_connection".to_owned(), actual: None }
    }

    /// The code of a refusal.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Acked(_) | Self::Unknown(_) => "",
        }
    }

    /// Whether the same append may still succeed at another try.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Acked(_) => false,
            Self::Unknown(_) => true,
            Self::Refused { code, .. } => {
                code == "no_connection" || code.parse::<ErrorCode>().is_ok_and(ErrorCode::is_retryable)
            }
        }
    }

    /// The acknowledgement, if it is one.
    pub(super) fn ack(&self) -> Option<&Ack> {
        match self {
            Self::Acked(ack) => Some(ack),
            Self::Refused { .. } | Self::Unknown(_) => None,
        }
    }

    /// Writes it down. Where an answer does not say whether it is a repeat, an append with a key may be one.
    pub(super) fn record(&self, pending: Pending, keyed: bool) {
        match self {
            Self::Acked(ack) => pending.ok(Seen::Appended {
                first_version: ack.first_version,
                last_version: ack.last_version,
                first_position: ack.first_position,
                repeated: ack.repeated.unwrap_or(keyed),
            }),
            Self::Refused { code, actual } => pending.refused(code, *actual),
            Self::Unknown(reason) => pending.unknown(reason),
        }
    }
}
