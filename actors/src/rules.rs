//! What events must keep to before they are proposed: schemas, metadata and invariants.
//!
//! Rules are replicated. Here they become a [`Rulebook`] of one log index, made
//! anew when they change; appends say by which index they were judged, and
//! apply refuses what was judged by another.

mod book;
mod bounds;
mod judge;
mod metadata;
mod own;
mod schema;

pub use schema::{SchemaFault, inspect_schema};

pub(crate) use self::{
    book::Rulebooks,
    judge::{Judgement, judge},
};
