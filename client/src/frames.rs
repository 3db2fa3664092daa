//! What a node says without end, from one node after another.

use std::time::Duration;

use reqwest::Response;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use uuid::Uuid;
use weir_api::{ApiError, ErrorBody, ErrorCode};

use crate::{
    Client, ClientError,
    retry::pause,
    sse::{Message, Reader},
};

/// How long beyond two heartbeats a node may be silent before another is asked.
const SILENCE: Duration = Duration::from_secs(3);

/// Messages of a question that is put to one node after another.
#[derive(Debug)]
pub(crate) struct Frames {
    client: Client,
    open: Option<(String, Response, Reader)>,
    /// Nodes that were lost since one had something to say.
    tries: u32,
}

/// What a node says at its end.
#[derive(Debug, Deserialize)]
pub(crate) struct End {
    code: String,
    message: String,
}

/// Why a stretch at one node ended.
pub(crate) enum Cut {
    /// Another node may go on.
    Lost(ClientError),
    /// No node will.
    Final(ClientError),
}

impl Cut {
    /// A call that failed at one node may go well at another, unless its error is of the request.
    fn of(error: ClientError) -> Self {
        match error.is_retryable() || error.code() == Some(ErrorCode::StorageDamaged) {
            true => Self::Lost(ClientError::Read(Box::new(error))),
            false => Self::Final(error),
        }
    }

    /// The node at `url` does not go on.
    fn lost(url: &str, reason: &str) -> Self {
        let lost = ClientError::Lost { url: url.into(), reason: reason.into() };
        Self::Lost(ClientError::Read(Box::new(lost)))
    }

    /// What a node says at its end, unless its error is of the request, is not the end at another.
    pub(crate) fn ended(End { code, message }: End) -> Self {
        let body = ErrorBody { error: String::new(), message, code, details: serde_json::Map::default() };
        let error: ApiError = body.into_error(503);
        match error.code.is_retryable() || error.code == ErrorCode::StorageDamaged {
            true => Self::Lost(ClientError::Api(error)),
            false => Self::Final(ClientError::Api(error)),
        }
    }
}

impl Frames {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, open: None, tries: 0 }
    }

    /// The next message, from the node that is asked already or from another; `None` when only a part of one has come.
    pub(crate) async fn next(
        &mut self,
        path: &str,
        query: &impl Serialize,
        heartbeat: Duration,
    ) -> Result<Option<Message>, Cut> {
        if self.open.is_none() {
            let url = self.client.current_url();
            let opened = self.client.open(&url, path, query).await;
            let response = opened.map_err(|error| {
                self.client.node_failed(&url);
                Cut::of(error)
            })?;
            self.open = Some((url, response, Reader::default()));
        }
        let Some((url, response, reader)) = &mut self.open else { return Ok(None) };
        if let Some(message) = reader.next() {
            return Ok(Some(message));
        }
        let lost = |reason: &str| Cut::lost(url, reason);
        match timeout(heartbeat * 2 + SILENCE, response.chunk()).await {
            Err(_) => Err(lost("it is silent")),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Ok(Ok(None)) => Err(lost("it ended the answer")),
            Ok(Ok(Some(bytes))) => match reader.push(&bytes) {
                Ok(()) => Ok(None),
                Err(_) => Err(lost("a message has no end")),
            },
        }
    }

    /// What is to be said of a node that was lost: the first of a row, and after the others a pause.
    pub(crate) async fn lost(&mut self, error: &ClientError) -> Option<String> {
        if let Some((url, ..)) = self.open.take() {
            self.client.node_failed(&url);
        }
        self.tries += 1;
        if self.tries == 1 {
            return Some(error.to_string());
        }
        tokio::time::sleep(pause(self.tries, Uuid::new_v4().as_bytes()[0])).await;
        None
    }

    /// The node had something to say: the next that is lost is the first of a row.
    pub(crate) fn goes_on(&mut self) {
        self.tries = 0;
    }

    pub(crate) fn parsed<T: DeserializeOwned>(&self, message: &Message) -> Result<T, Cut> {
        let url = self.open.as_ref().map_or(String::new(), |(url, ..)| url.clone());
        serde_json::from_str(&message.data)
            .map_err(|error| Cut::Final(ClientError::NotUnderstood { url, reason: error.to_string() }))
    }
}
