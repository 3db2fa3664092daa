//! When to try again, and how long to wait before: decisions without I/O.

use std::time::Duration;

use crate::ClientError;

/// What may happen to a call whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A repeat changes nothing more: a read, or an append with its key.
    Harmless,
    /// A repeat could do it twice, or to another node.
    OnlyIfNothingHappened,
    /// The call is meant for one node and one try.
    Never,
}

impl Repeat {
    /// Whether a call that ended so is tried again.
    pub(crate) fn allows(self, error: &ClientError) -> bool {
        match self {
            Self::Harmless => error.is_retryable(),
            Self::OnlyIfNothingHappened => error.is_retryable() && !error.outcome_unknown(),
            Self::Never => false,
        }
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The pause before try `tries + 1`: it doubles, and `jitter` (0 to 255) takes
/// up to half of it away, so that many clients do not come back at once.
pub(crate) fn pause(tries: u32, jitter: u8) -> Duration {
    let full = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(PAUSE_MAX);
    full - full * u32::from(jitter) / 512
}

#[cfg(test)]
mod tests {
    use weir_api::{ApiError, ErrorCode};

    use super::*;

    #[test]
    fn only_what_may_be_repeated_is() {
        let api = |code| ClientError::Api(ApiError::new(code, ""));
        let parked = ApiError::new(ErrorCode::Stale, "").with("parked", "e-1");
        let lost = ClientError::Lost { url: String::new(), reason: String::new() };
        let none = ClientError::NoConnection { url: String::new(), reason: String::new() };
        for (error, harmless, only_if_nothing) in [
            (api(ErrorCode::VersionConflict), false, false),
            (api(ErrorCode::NotLeader), true, true),
            (api(ErrorCode::Overloaded), true, true),
            (api(ErrorCode::OutcomeUnknown), true, false),
            (api(ErrorCode::Stale), true, true),
            (ClientError::Api(parked), false, false),
            (lost, true, false),
            (none, true, true),
        ] {
            assert_eq!(Repeat::Harmless.allows(&error), harmless, "{error:?}");
            assert_eq!(Repeat::OnlyIfNothingHappened.allows(&error), only_if_nothing, "{error:?}");
            assert!(!Repeat::Never.allows(&error));
        }
    }

    #[test]
    fn pauses_grow_and_have_a_ceiling() {
        let pauses: Vec<u128> = (1..=8).map(|tries| pause(tries, 0).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 500, 500]);
        assert!(pause(1, 255) >= PAUSE_MIN / 2);
        assert_eq!(pause(u32::MAX, 0), PAUSE_MAX);
    }
}
