//! Exit codes. Scripts may rely on them.

use weir_client::{ClientError, ErrorCode};

/// Done, or healthy.
pub const OK: u8 = 0;
/// It failed, in a way that no other code names.
pub const FAILED: u8 = 1;
/// The command line is not legal.
pub const USAGE: u8 = 2;
/// What is asked for is not there: whatever the server answers with 404.
pub const NOT_FOUND: u8 = 3;
/// A conflict: wrong version, other type, exists already.
pub const CONFLICT: u8 = 4;
/// Not healthy, or the condition waited for was not met.
pub const NOT_HEALTHY: u8 = 5;
/// No connection, or no leader. Nothing was changed.
pub const NO_CONNECTION: u8 = 6;
/// No answer in time. The outcome is **not known**: it may have happened.
pub const OUTCOME_UNKNOWN: u8 = 7;

/// The exit code of a call that failed.
#[must_use]
pub fn of(error: &ClientError) -> u8 {
    if error.outcome_unknown() {
        return OUTCOME_UNKNOWN;
    }
    of_known(error)
}

/// Of a call that changed nothing: each try, or the whole of it, was a read or was refused.
fn of_known(error: &ClientError) -> u8 {
    match error {
        ClientError::Address { .. } => USAGE,
        ClientError::NoConnection { .. } | ClientError::Lost { .. } => NO_CONNECTION,
        ClientError::Deadline { last, .. } | ClientError::Read(last) => of_known(last),
        ClientError::Api(error) => of_code(error.code),
        ClientError::NotUnderstood { .. } => FAILED,
    }
}

fn of_code(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::AlreadyInitialized
        | ErrorCode::BucketExists
        | ErrorCode::ConsumerGroupExists
        | ErrorCode::EntityTypeConflict
        | ErrorCode::IdempotencyConflict
        | ErrorCode::LeaseLost
        | ErrorCode::MembershipConflict
        | ErrorCode::PositionPassed
        | ErrorCode::ProjectionKindConflict
        | ErrorCode::RebuildConflict
        | ErrorCode::RevisionConflict
        | ErrorCode::TransactionRefused
        | ErrorCode::VersionConflict => CONFLICT,
        ErrorCode::BusDiverged
        | ErrorCode::BusUnavailable
        | ErrorCode::ProjectionParked
        | ErrorCode::ProjectionPaused
        | ErrorCode::Stale => NOT_HEALTHY,
        ErrorCode::DeadlineExceeded
        | ErrorCode::NotInitialized
        | ErrorCode::NotLeader
        | ErrorCode::Unavailable => NO_CONNECTION,
        // By its status, so that no noun is left out, whenever it comes.
        code if code.status() == 404 => NOT_FOUND,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weir_client::ApiError;

    use super::*;

    #[test]
    fn every_end_has_its_code() {
        let api = |code| ClientError::Api(ApiError::new(code, ""));
        let none = ClientError::NoConnection { url: String::new(), reason: String::new() };
        let late = |outcome_unknown| ClientError::Deadline {
            after: Duration::ZERO,
            outcome_unknown,
            last: Box::new(none.clone()),
        };
        let lost = ClientError::Lost { url: String::new(), reason: String::new() };
        let late_read = |last| ClientError::Deadline {
            after: Duration::ZERO,
            outcome_unknown: false,
            last: Box::new(last),
        };
        for (error, code) in [
            (api(ErrorCode::StreamNotFound), NOT_FOUND),
            (api(ErrorCode::ProjectionNotFound), NOT_FOUND),
            (api(ErrorCode::VersionConflict), CONFLICT),
            (api(ErrorCode::AlreadyInitialized), CONFLICT),
            (api(ErrorCode::TransactionRefused), CONFLICT),
            (api(ErrorCode::Unavailable), NO_CONNECTION),
            (api(ErrorCode::OutcomeUnknown), OUTCOME_UNKNOWN),
            (api(ErrorCode::StorageFailed), OUTCOME_UNKNOWN),
            (api(ErrorCode::InvalidRequest), FAILED),
            (none.clone(), NO_CONNECTION),
            (late(false), NO_CONNECTION),
            (late(true), OUTCOME_UNKNOWN),
            (late_read(lost.clone()), NO_CONNECTION),
            (late_read(api(ErrorCode::DeadlineExceeded)), NO_CONNECTION),
            (late_read(api(ErrorCode::Unavailable)), NO_CONNECTION),
            (ClientError::Read(Box::new(api(ErrorCode::StorageFailed))), FAILED),
            (ClientError::Read(Box::new(lost.clone())), NO_CONNECTION),
            (lost, OUTCOME_UNKNOWN),
            (ClientError::Address { url: String::new(), reason: String::new() }, USAGE),
        ] {
            assert_eq!(of(&error), code, "{error:?}");
        }
    }

    #[test]
    fn what_is_missing_and_what_is_in_the_way_is_told_of_every_noun() {
        for code in ErrorCode::ALL {
            let exit = of(&ClientError::Api(ApiError::new(*code, "")));
            match (code.status(), code) {
                (404, _) => assert_eq!(exit, NOT_FOUND, "{code}"),
                (409, ErrorCode::BusDiverged | ErrorCode::ProjectionParked | ErrorCode::ProjectionPaused) => {
                    assert_eq!(exit, NOT_HEALTHY, "{code}");
                }
                // A limit, and a question that can never be answered, are no conflict with what others did.
                (409, ErrorCode::ProjectionVirtual) => assert_eq!(exit, FAILED, "{code}"),
                (409, _) if code.as_str().ends_with("_full") => assert_eq!(exit, FAILED, "{code}"),
                (409 | 412, _) => assert_eq!(exit, CONFLICT, "{code}"),
                _ => assert!(![NOT_FOUND, CONFLICT].contains(&exit), "{code}: {exit}"),
            }
        }
    }
}
