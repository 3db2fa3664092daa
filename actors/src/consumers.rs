//! Consumer groups: on the leader, each group's desk hands the events of a
//! pattern to those who ask in its name, until they are settled.
//!
//! [`Dispatcher`] decides and knows no clock and no I/O. The [`Desk`] runs it:
//! it subscribes to the pattern, waits for those who ask, and has written what
//! was decided. What is replicated is the [`Ledger`] and the dead letters; who
//! has which event until when is the desk's memory, and a new leader hands out
//! again what was not settled.

mod desk;
mod dispatcher;
mod ledger;

pub use desk::{Desk, DeskEnded, DeskStart, DeskStore, Settle};
pub use dispatcher::{Delivery, Dispatcher, DispatcherCounts, Told, Writing};
pub use ledger::{Ledger, LedgerError};
