//! The behaviour: who decides, who publishes, who folds.
//!
//! An append goes through the [`router`] to the actor of its stream, which
//! decides it (several at once, for a transaction); what is committed goes from the log through the [`outbox`] to
//! [`jetstream`], and through feeds to the actors of [`projection`]. Everything
//! meets the rest of the node through the ports of `weir_types`.

mod admission;
pub mod consumers;
mod event_ids;
pub mod filter;
#[cfg(feature = "inside")]
pub mod inside;
mod invariant;
pub mod jetstream;
pub mod live;
pub mod local_feed;
pub mod moment;
pub mod observe;
mod off_runtime;
pub mod outbox;
pub mod projection;
pub mod reducer;
pub mod router;
pub mod rules;
pub mod states;
mod stream;
mod supervisor;
mod transaction;
pub mod upcast;
mod work_time;
pub mod workers;

pub use admission::AdmissionBounds;
pub use event_ids::EventIds;
pub use observe::{OutboxPhase, OutboxSnapshot, RouterSnapshot};
pub use off_runtime::off_runtime;
#[cfg(feature = "sim")]
pub use off_runtime::simulate;
pub use outbox::{OutboxHandle, RebuildError};
pub use router::{RouterConfig, RouterHandle};
pub use supervisor::StartError;
