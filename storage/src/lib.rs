//! The disk: one segmented log per group, and what is materialized from it.

pub mod codec;
mod condemned;
mod directory;
pub mod disk;
pub mod folder;
pub mod group_store;
pub mod index;
#[cfg(feature = "inside")]
pub mod inside;
pub mod log;
pub mod schema;
pub mod state;
pub mod tables;
