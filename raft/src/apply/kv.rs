//! Key-value commands: judged, and written once per call of apply.

mod changes;
mod digest;
mod judge;
mod writer;

pub use changes::KvStored;
pub use judge::{KeyChange, KvStanding, judge_delete, judge_put};
pub(super) use writer::KvWriter;
