//! Placing and shipping orders, as an application on Weir would.
//!
//! [`command`] is what people want, [`order`] decides and has no I/O,
//! [`catalog`] is what the decision must know of others, and [`handler`] brings
//! them together: each command once, whatever happens. [`views`] is what people look at.

pub mod catalog;
pub mod command;
pub mod handler;
pub mod order;
pub mod views;
