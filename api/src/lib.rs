//! The wire of Weir: what clients and servers say to each other.
//!
//! REST bodies are in [`v1`], the JSON of the Connect service
//! `ironflow.v1.EntityStreamService` in [`connect`], and the messages of
//! the gRPC services `weir.v1` in [`proto`], with their conversions in
//! [`session`], [`reading`], [`subscription`] and [`event`]. Errors are codes,
//! in [`error`]. Nothing here does I/O; every conversion into the domain types
//! checks.

pub mod connect;
pub mod error;
pub mod event;
mod json;
mod number;
pub mod objects;
pub mod openapi;
pub mod reading;
mod rfc3339;
pub mod session;
pub mod socket;
mod source;
pub mod subscription;
mod trace;
pub mod v1;
mod view_update;

pub use error::{ApiError, ErrorBody, ErrorCode};
pub use json::JsonText;
pub use rfc3339::{format_timestamp, parse_timestamp};
pub use trace::give_trace;
pub use view_update::ViewUpdate;

/// Messages, server trait and client of the services `weir.v1`, generated from `proto/`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::too_many_lines)]
pub mod proto {
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/weir_proto.rs"));
    }
    pub use generated::weir::v1;
}
