use std::path::PathBuf;

use futures::future::BoxFuture;
use weir_types::{RecordedEvent, Trial};

/// Runs projections in this process, as a node does. Only a binary that has the
/// engine of a node can give one; commands that need it say so when there is none.
pub trait Sandbox: Send + Sync {
    /// Folds events, whose positions rise, with a module's source.
    ///
    /// # Errors
    /// Why the source is no projection, in a text for its author.
    fn trial(&self, source: String, events: Vec<RecordedEvent>) -> BoxFuture<'_, Result<Trial, String>>;

    /// Puts a module's text, which is of a file in `folder`, and all that it imports into one source.
    ///
    /// # Errors
    /// What it imports that is not there, in a text for its author.
    fn assemble(&self, first: String, folder: PathBuf) -> BoxFuture<'_, Result<String, String>>;
}
