//! The process: config, edges, wiring, shutdown. The only crate that knows all the others.

mod ask;
mod begin;
mod bucket_clock;
mod buckets;
mod build_info;
pub mod bus;
mod clock;
mod command;
pub mod config;
mod connect;
mod consumers;
mod deciding;
mod dev;
pub mod engine;
mod family;
mod forward;
mod grpc;
mod guard;
mod http;
pub mod http_client;
#[cfg(feature = "inside")]
pub mod inside;
mod keeper;
mod live;
pub mod node;
mod parent;
pub mod platform;
mod rejoin;
mod repair;
mod serve;
mod shutdown;
mod sinks;
mod slots;
mod tables;
mod telemetry;
mod tls;
mod tryout;
pub mod wire;
mod workers;

pub use command::Weir;
