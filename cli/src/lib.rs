//! The commands of `weir` that speak to a running cluster.
//!
//! stdout carries data only; progress, prompts and errors go to stderr. With
//! `--json` the data is JSON of the REST API's shapes. Exit codes are in [`exit`].

mod bench;
mod cluster;
mod command;
mod details;
mod duration;
mod error;
pub mod exit;
mod global;
mod group;
mod import;
mod kv;
mod log;
mod moment;
mod openapi;
mod outbox;
mod output;
mod payload;
mod progress;
mod projection;
mod rebuild;
mod rules;
mod sandbox;
mod snapshot;
mod sql;
mod stream;
mod transact;
mod upcaster;
mod verify;

pub use command::Command;
#[cfg(feature = "inside")]
pub use import::inside;
pub use sandbox::Sandbox;
