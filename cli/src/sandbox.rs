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
}
