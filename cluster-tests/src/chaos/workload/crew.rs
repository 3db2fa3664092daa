//! The clients of one workload, at work together.

use std::future::Future;

use anyhow::Result;
use tokio::task::JoinSet;

/// Tasks that all work until they end by themselves.
#[derive(Debug, Default)]
pub(super) struct Crew(JoinSet<Result<()>>);

impl Crew {
    /// One more.
    pub(super) fn hire(&mut self, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.0.spawn(work);
    }

    /// Waits for all; the first error that one of them ended with.
    pub(super) async fn end(mut self) -> Result<()> {
        let mut verdict = Ok(());
        while let Some(ended) = self.0.join_next().await {
            verdict = verdict.and(ended.map_err(anyhow::Error::from).and_then(|result| result));
        }
        verdict
    }
}
