//! Errors as clients see them: a code with a page in `docs/errors/`, a
//! message for people, and details for programs.

mod body;
mod code;
mod convert;

pub use body::{ApiError, ErrorBody};
pub use code::{ErrorCode, UnknownCode};
pub(crate) use convert::expected_number;
