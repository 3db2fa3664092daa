//! Key-value buckets: what is asked of them, what they hold, and what comes of it.

mod bucket;
mod command;
mod entry;
mod error;
mod filter;
mod name;

pub use bucket::{BucketConfig, BucketInfo};
pub use command::{KvCommand, KvGuard, KvOutcome, KvWrite, StampedKv};
pub use entry::{KvEntry, KvKeys, KvOperation, KvRead, KvVersions, Revision};
pub use error::{KvError, KvReadError};
pub use filter::KvFilter;
pub use name::{BucketName, KvKey};
