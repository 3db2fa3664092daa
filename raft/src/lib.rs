//! stub

pub mod apply;
