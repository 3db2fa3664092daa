//! Projections: each deployed one is folded by an actor on every node of the group.
//!
//! Invariants:
//! - P1: a checkpoint never falls; a deployment folds each position once, in order.
//! - P2: the views are the fold of the events up to the checkpoint, for both are
//!   one commit; and no event is folded that this node has not applied.
//!
//! A deployment of another source, and a rebuild, are another generation: it is
//! folded beside the one that answers, and takes its place on a node when it is
//! not behind it there (ADR 0026). A checkpoint that a reader sees never falls.
//!
//! One partition alone may be folded again beside the generation that answers;
//! it is put in its place in one commit with the checkpoint that it belongs to
//! (ADR 0032).
//!
//! Events come from the bus while it keeps up and from the local log whenever
//! it does not: the bus may be late, double, holey or gone, and nothing depends
//! on it.

mod actor;
mod brake;
mod compare;
mod dry_run;
mod fold;
mod follow;
mod given;
mod handle;
mod partition;
mod partition_rebuilds;
mod past;
mod plan;
mod progress;
mod recent;
mod sql;
mod state;
mod supervisor;
mod trial;
mod watch;

pub use compare::{CompareError, Comparison, Difference};
pub use dry_run::{DryRun, DryRunEnd};
pub use given::Given;
pub use handle::{ProjectionsHandle, ViewAnswer, ViewError, ViewsAnswer};
pub use partition_rebuilds::{PartitionFolding, PartitionProgress};
pub use past::{Moment, Past, PastEnd, PastError};
pub use progress::{FeedKind, FoldState, ProjectionSnapshot};
pub use supervisor::{ProjectionsArguments, ProjectionsError};
pub use trial::{TrialError, trial};
pub use watch::{ViewFrame, ViewWatch};
