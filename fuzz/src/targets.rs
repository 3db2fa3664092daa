//! All targets.

mod answers;
mod codec;
mod connect;
mod grpc;
mod names;
mod peers;
mod reads;
mod rest;
mod store;
mod subscriptions;

#[cfg(feature = "edge")]
mod bus;
#[cfg(feature = "edge")]
mod config;
#[cfg(feature = "edge")]
mod edge;
#[cfg(feature = "edge")]
mod import;
#[cfg(feature = "edge")]
mod projection;

use crate::Target;

/// Every target; those of feature `edge` are the last ones.
pub const TARGETS: &[Target] = &[
    store::SEGMENT,
    store::SLOTS,
    store::IDENTITY,
    codec::COMMAND,
    codec::EVENT,
    codec::FORWARD,
    codec::VALUES,
    codec::KEYS,
    reads::READS,
    peers::FRAMES,
    peers::MESSAGES,
    peers::RECORDS,
    names::NAMES,
    names::TIMES,
    rest::APPEND,
    rest::TRANSACTION,
    connect::CONNECT,
    grpc::GRPC,
    answers::ANSWERS,
    subscriptions::PATTERNS,
    #[cfg(feature = "edge")]
    edge::REQUESTS,
    #[cfg(feature = "edge")]
    edge::PATHS,
    #[cfg(feature = "edge")]
    bus::ENVELOPE,
    #[cfg(feature = "edge")]
    config::CONFIG,
    #[cfg(feature = "edge")]
    import::IMPORT,
    #[cfg(feature = "edge")]
    projection::PARTITION,
    #[cfg(feature = "edge")]
    projection::MODULE,
];

/// A run that takes no store and no engine.
const PARSER: crate::memory::Bound = crate::memory::Bound { fixed: 256 * 1024, per_byte: 64 };

/// A run of the codec: serde reserves up to 1 MiB by what a length field says, and no more.
const CODEC: crate::memory::Bound = crate::memory::Bound { fixed: 3 * 1024 * 1024, per_byte: 64 };
