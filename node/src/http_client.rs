//! How a node asks servers outside over HTTP.

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use weir_types::with_causes;

use crate::tls;

/// Bytes of an answer that are read, so that its connection can be used again. They say nothing.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Whoever sends a request to the server that its URL names.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends it once, and waits for the answer as long as it takes: its status, or why there is none.
    async fn send(&self, request: Request<Vec<u8>>) -> Result<StatusCode, String>;
}

/// HTTP/1.1 over TCP, or over TLS, by connections that stay.
pub(crate) struct Connections(Client<HttpsConnector<HttpConnector>, Body>);

impl Connections {
    pub(crate) fn new() -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls::client_config());
        let connector = connector.https_or_http().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

#[async_trait]
impl HttpClient for Connections {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<StatusCode, String> {
        let answer = self.0.request(request.map(Body::from)).await.map_err(|error| with_causes(&error))?;
        let (head, body) = answer.into_parts();
        // What is too long ends the connection.
        drop(to_bytes(Body::new(body), ANSWER_BYTES_MAX).await);
        Ok(head.status)
    }
}
