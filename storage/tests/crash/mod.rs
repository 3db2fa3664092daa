//! A log on a disk in memory: what it was asked, what it promised, and whether
//! a disk that lost power keeps the promise.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

pub mod check;
pub mod model;
pub mod random;
pub mod scenario;
