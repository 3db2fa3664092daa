//! The edges of live subscriptions: server-sent events, the WebSocket and the Connect stream of the
//! contract, and gRPC. All of them write what one [`weir_actors::live::Subscriber`] says.

pub(crate) mod buckets;
pub(crate) mod end;
mod group;
pub(crate) mod grpc;
mod held;
mod join;
pub(crate) mod pubsub;
pub(crate) mod socket;
pub(crate) mod sse;
pub(crate) mod views;
