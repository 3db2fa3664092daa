//! Reads over one HTTP/2 connection, whose events are bytes.

use std::{fmt, sync::Arc, time::Duration};

use connectrpc::{
    ConnectError,
    client::{CallOptions, SharedHttp2Connection},
};
use futures::{Stream, stream};
use tokio::time::timeout;
use weir_api::{
    ApiError,
    proto::v1::{self, ReadServiceClient},
    reading::{self, EventPage},
    v1::LogQuery,
};
use weir_types::{LogSlice, limits};

use crate::{ClientError, ReadOptions, connection, endpoints::checked};

/// The largest message that is taken: a page's events, and as much again for what is around them.
const MESSAGE_BYTES_MAX: usize = 2 * limits::READ_BYTES_MAX;

/// A session of reads with one node. Cheap to clone; clones share the connection.
///
/// It answers what [`Client::read_page`](crate::Client::read_page) and
/// [`Client::search_log`](crate::Client::search_log) answer, with less work on
/// both sides. It asks this node alone and once: going on with another one is
/// the caller's choice.
#[derive(Clone)]
pub struct ReadSession {
    url: String,
    client: Arc<ReadServiceClient<SharedHttp2Connection>>,
    deadline: Duration,
}

impl fmt::Debug for ReadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSession").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ReadSession {
    /// Connects to the node at `url`. A page is waited for as long as `deadline`.
    ///
    /// # Errors
    /// [`ClientError::Address`] or [`ClientError::NoConnection`].
    pub async fn open(url: &str, deadline: Duration) -> Result<Self, ClientError> {
        let url = checked(url)?;
        let (connection, config) = connection::open(&url).await?;
        let config = config.with_default_max_message_size(MESSAGE_BYTES_MAX);
        let client = Arc::new(ReadServiceClient::new(connection, config));
        Ok(Self { url, client, deadline })
    }

    /// One page of a stream. A stream without events is an empty page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_page(&self, entity_id: &str, options: ReadOptions) -> Result<EventPage, ClientError> {
        let request = reading::stream_request(entity_id, &options.query());
        let patience = CallOptions::default().with_timeout(self.deadline + options.wait);
        let answer = self.client.read_stream_with_options(request, patience).await;
        let page = answer.map_err(|error| self.failed(&error))?.into_view();
        reading::event_page(page.reborrow(), page.bytes()).map_err(|error| self.not_understood(&error))
    }

    /// The log, page after page, until the node has nothing more of it.
    ///
    /// # Errors
    /// [`ClientError`]; the first one of a page ends the walk.
    pub async fn read_log(
        &self,
        query: &LogQuery,
    ) -> Result<impl Stream<Item = Result<LogSlice, ClientError>> + Send + use<>, ClientError> {
        let opened = self.client.read_log(reading::log_request(query)).await;
        let (session, pages) = (self.clone(), opened.map_err(|error| self.failed(&error))?);
        Ok(stream::try_unfold(pages, move |mut pages| {
            let session = session.clone();
            async move {
                let next = timeout(session.deadline, pages.message::<v1::ReadLogResponse>()).await;
                let message = match next {
                    Ok(message) => message.map_err(|error| session.failed(&error))?,
                    Err(_) => return Err(session.lost("no page came in time")),
                };
                let Some(message) = message else { return Ok(None) };
                let slice = reading::log_slice(message.view(), message.bytes());
                Ok(Some((slice.map_err(|error| session.not_understood(&error))?, pages)))
            }
        }))
    }

    /// The node's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn failed(&self, error: &ConnectError) -> ClientError {
        match ApiError::from_connect(error) {
            Some(error) if !error.code.outcome_unknown() => error.into(),
            Some(error) => ClientError::Read(Box::new(error.into())),
            None => self.lost(&connection::reason_of(error)),
        }
    }

    fn lost(&self, reason: &str) -> ClientError {
        ClientError::Read(Box::new(ClientError::Lost { url: self.url.clone(), reason: reason.into() }))
    }

    fn not_understood(&self, error: &ApiError) -> ClientError {
        ClientError::NotUnderstood { url: self.url.clone(), reason: error.to_string() }
    }
}
