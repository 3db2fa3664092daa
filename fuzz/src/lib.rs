//! Fuzz targets: one function of bytes for everything that reads bytes it did
//! not write.
//!
//! The same function runs under libFuzzer (`cargo xtask accept prove/fuzz`),
//! over the corpus in every test run, and over one file that failed
//! (`cargo run -p weir-fuzz -- TARGET FILE`).

mod corpus;
mod edits;
mod memory;
mod mutate;
mod seal;
mod target;
mod targets;

pub use corpus::{Input, corpus_dir, inputs, seed_folders};
pub use mutate::Mutator;
pub use target::{Finding, Target, find, hold};
pub use targets::TARGETS;
