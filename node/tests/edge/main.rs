//! The edge of a real single node, through its public port.

mod cluster;
mod connect;
mod refusals;
mod rest;
mod running;
mod session;
mod stopping;
