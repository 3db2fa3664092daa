use reqwest::Method;
use weir_api::v1::{HistoryPage, ListPage, ListQuery, ReadQuery, StreamSummary, paths};

use crate::{Client, ClientError, client::Call, retry::Repeat};

impl Client {
    /// What is known of a stream.
    ///
    /// # Errors
    /// [`ClientError`]; `stream_not_found` when it has no events.
    pub async fn stream(&self, entity_id: &str) -> Result<StreamSummary, ClientError> {
        let path = paths::fill(paths::STREAM, entity_id);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// One page of streams, in the order of their creation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn streams(&self, query: &ListQuery) -> Result<ListPage, ClientError> {
        self.call(Call::new(Method::GET, paths::STREAMS, Repeat::Harmless).query(query)).await
    }

    /// One page of a stream's history, as the contract's SDKs read it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn history(&self, entity_id: &str, query: &ReadQuery) -> Result<HistoryPage, ClientError> {
        let path = paths::fill(paths::STREAM_HISTORY, entity_id);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }
}
