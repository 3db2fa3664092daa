//! The behaviour: who decides, who publishes, who folds.

pub mod local_feed;
pub mod projection;
pub mod reducer;
