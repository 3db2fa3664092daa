//! The disk: one segmented log per group, and what is materialized from it.

mod directory;
pub mod folder;
pub mod log;
