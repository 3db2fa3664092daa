//! The edge of a real single node, through its public port.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod connect;
mod eventually;
mod filters;
mod group_calls;
mod groups;
mod inline;
mod kv;
mod live;
mod live_views;
mod moments;
mod openapi;
mod past;
#[path = "../support/postgres.rs"]
mod postgres;
mod projections;
mod reading;
mod refusals;
mod rest;
mod rules;
mod running;
mod session;
mod sinks;
mod snapshots;
mod sql;
mod stopping;
mod trace;
mod transactions;
mod upcasters;
mod views;
mod virtual_projections;
mod waits;
mod workers;
