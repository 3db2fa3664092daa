//! What the command line runs in its own process, in the engine of a node.

use futures::{FutureExt as _, future::BoxFuture};
use weir_actors::{projection::trial, reducer::ReducerLimits};
use weir_cli::Sandbox;
use weir_types::{RecordedEvent, Trial};

/// A node's engine and limits, without a node.
pub(crate) struct Tryout;

impl Sandbox for Tryout {
    fn trial(&self, source: String, events: Vec<RecordedEvent>) -> BoxFuture<'_, Result<Trial, String>> {
        let folded = trial(source, events, ReducerLimits::default());
        async { folded.await.map_err(|error| error.to_string()) }.boxed()
    }
}
