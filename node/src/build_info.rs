//! What this binary is.

/// The version, as `weir --version` and `/health` say it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
