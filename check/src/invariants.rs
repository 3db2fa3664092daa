//! One checker per invariant of the design, one file each, by its id.
//!
//! Each is a pure function of the [`Evidence`]; what it found and how much it
//! compared stands in its [`Verdict`].

mod a1_acked_is_durable;
mod a2_versions_are_dense;
mod a3_one_key_one_outcome;
mod a4_refused_left_nothing;
mod o1_outbox_delivers_all;
mod p1_checkpoint_never_falls;
mod p2_view_is_fold;
mod q1_min_position_is_seen;
mod r1_equal_index_equal_state;
mod r2_one_order_of_positions;
mod s1_subscriber_sees_once;
mod stretch;
mod w1_one_decider_per_term;

pub use a1_acked_is_durable::check as a1;
pub use a2_versions_are_dense::check as a2;
pub use a3_one_key_one_outcome::check as a3;
pub use a4_refused_left_nothing::check as a4;
pub use o1_outbox_delivers_all::check as o1;
pub use p1_checkpoint_never_falls::check as p1;
pub use p2_view_is_fold::{Fold, Folds, NoFolds, check as p2};
pub use q1_min_position_is_seen::check as q1;
pub use r1_equal_index_equal_state::check as r1;
pub use r2_one_order_of_positions::check as r2;
pub use s1_subscriber_sees_once::check as s1;
pub use w1_one_decider_per_term::check as w1;

use weir_types::InvariantId;

use crate::verdict::{CheckId, Verdict};

const fn verdict(id: InvariantId) -> Verdict {
    Verdict::new(CheckId::Invariant(id))
}
