//! Live subscriptions: history, then what comes, each matching event once and
//! in order (invariant S1).
//!
//! One task of a node, the [`tail`], reads the applied log once and puts its
//! events into a bounded ring that all subscribers take from. A subscriber
//! holds no events of its own but those of one small batch: it is a place in
//! the log. Behind the ring it reads pages of history by itself; where the
//! ring begins, it joins at its exact position. What waits for it is counted
//! and not kept, so a stuck subscriber costs a node nothing.

mod event;
mod flow;
mod hub;
mod newest;
mod ring;
mod seek;
mod subscriber;
mod tail;

pub use event::SharedEvent;
pub use hub::{Hub, HubFull, NotSubscribed};
pub use subscriber::{EndReason, Frame, Subscriber};
