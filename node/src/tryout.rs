//! What the command line runs in its own process, in the engine of a node.

use std::{fs, path::PathBuf};

use futures::{FutureExt as _, future::BoxFuture};
use weir_actors::{
    off_runtime,
    projection::trial,
    reducer::{ReducerLimits, assemble},
};
use weir_cli::Sandbox;
use weir_types::{RecordedEvent, Trial};

/// A node's engine and limits, without a node.
pub(crate) struct Tryout;

impl Sandbox for Tryout {
    fn trial(&self, source: String, events: Vec<RecordedEvent>) -> BoxFuture<'_, Result<Trial, String>> {
        let folded = trial(source, events, ReducerLimits::default());
        async { folded.await.map_err(|error| error.to_string()) }.boxed()
    }

    fn assemble(&self, first: String, folder: PathBuf) -> BoxFuture<'_, Result<String, String>> {
        let assembled =
            off_runtime(move || assemble(&first, move |name| fs::read_to_string(folder.join(name))));
        async {
            let assembled = assembled.await.map_err(|panic| panic.to_string())?;
            assembled.map_err(|error| error.to_string())
        }
        .boxed()
    }
}
