//! The Rust client of Weir.
//!
//! [`Client`] speaks REST to any node, follows the leader, and repeats what may
//! be repeated under one deadline; every append carries an idempotency key, so
//! a repeat is never a second append. [`AppendSession`] keeps many appends in
//! flight over one connection, [`ReadSession`] reads without JSON around events. A [`Subscription`] gives events as they come, each once, and goes on by itself at
//! another node. An error says whether the outcome is known.

mod append;
mod appender;
mod client;
mod cluster;
mod command_dedup;
mod connection;
mod consumer_groups;
mod decide;
mod endpoints;
mod error;
mod frames;
mod kv;
mod kv_watch;
mod options;
mod projection;
mod projection_watch;
mod read;
mod read_session;
mod retry;
mod rules;
mod session;
mod snapshots;
mod sse;
mod stream;
mod subscribe;
mod transaction;
mod upcasters;
mod worker;

pub use append::Append;
pub use appender::Appender;
pub use client::Client;
pub use command_dedup::{Claim, CommandDedup, FinalizeError, HeldClaim};
pub use decide::DecideError;
pub use error::ClientError;
pub use kv::KvExpect;
pub use kv_watch::KvWatch;
pub use options::ClientOptions;
pub use projection_watch::{ProjectionWatch, StateNotice};
pub use read::{ReadOptions, Start};
pub use read_session::ReadSession;
pub use session::{AppendSession, PendingAppend};
pub use subscribe::{Notice, Subscribe, Subscription};
pub use transaction::Transaction;
pub use weir_api::{
    ApiError, ErrorCode, JsonText,
    connect::{
        PollProjectionResponse, ProjectionEvent, RegisterProjectionRequest, RegisterProjectionResponse,
        SaveProjectionRequest, SubjectBody, WebhookBody,
    },
    reading::EventPage,
    v1,
};
pub use worker::{EffectWorker, FoldError, FoldingWorker, Worker, WorkerError};
