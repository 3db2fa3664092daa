//! Upcasters: an author's JavaScript leads the data of an event from the schema version in which it was appended to
//! the newest, step by step, wherever events are read or folded. What the log holds stays as it is.
//!
//! Invariants:
//! - A step is a function of the module's text and the event: it runs in the sandbox of reducers, with its limits.
//! - Which steps there are is decided by a log index. A projection folds by those that stood when it was deployed, on
//!   every node and whenever it folds; reads, subscriptions and invariants go by the newest that are applied.
//! - A chain that ends before its newest version is an error that names the gap; no event is given half upcast.
//!
//! The code of one name runs on a thread of its own, so that one that loops holds up nothing but events of its name.

mod book;
mod chain;
mod pages;
mod steps;

pub use self::{
    book::{Upcasted, Upcasting, Upcasts},
    chain::{TestStep, Tested, UpcastFault},
};
