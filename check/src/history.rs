//! The format of a history: a header line, then one JSON line per operation.
//!
//! All moments are microseconds of one monotonic clock that began with the
//! run. An operation is written when it completes; what never completed is
//! written as unknown when its [`Pending`] is dropped. Fields and variants may
//! be added without a new format version as long as old lines still read.

mod call;
mod header;
mod operation;
mod outcome;
mod reader;
mod recorder;
mod seen;

pub use call::{Call, Expected, Filter, KvOp, MembershipOp, ReadConsistency, ReadDirection, Source};
pub use header::{FORMAT, Header, Topology};
pub use operation::Operation;
pub use outcome::Outcome;
pub use reader::{History, HistoryError};
pub use recorder::{Counts, Pending, Recorder};
pub use seen::{CaughtUp, Checkpoint, Delivered, NodeReport, Seen, SeenEvent};
