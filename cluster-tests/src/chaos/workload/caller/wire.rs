//! One request and its answer.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_api::{ApiError, ErrorBody};

use super::Caller;
use crate::edge::Edge;

/// How long a connection may take: a cut link answers nothing.
const CONNECT: Duration = Duration::from_millis(800);

/// A client without a connection yet.
pub(super) fn http() -> reqwest::Client {
    let http = reqwest::Client::builder().connect_timeout(CONNECT).no_proxy().build();
    http.expect("a client without TLS has nothing to fail at")
}

/// What came back.
#[derive(Debug, Clone)]
pub(in super::super) struct Answer {
    pub(in super::super) status: u16,
    pub(in super::super) bytes: Vec<u8>,
    /// The revision that a header names.
    pub(in super::super) revision: Option<u64>,
}

/// Why nothing came back.
#[derive(Debug, Clone)]
pub(in super::super) enum Lost {
    /// No connection: nothing was sent.
    NotSent,
    /// It was sent, or may have been.
    Sent(String),
}

impl Answer {
    pub(in super::super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as the shape that a success has.
    pub(in super::super) fn parsed<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let text = || String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(400)]).into_owned();
        serde_json::from_slice(&self.bytes).with_context(|| format!("answer {}: {}", self.status, text()))
    }

    /// The body as an error of REST.
    pub(in super::super) fn error(&self) -> ApiError {
        let body = serde_json::from_slice(&self.bytes).unwrap_or_else(|_| ErrorBody {
            error: String::new(),
            message: "answer has no error body".to_owned(),
            code: String::new(),
            details: serde_json::Map::new(),
        });
        body.into_error(self.status)
    }

    /// The body as an error of Connect: ours is in the detail.
    pub(in super::super) fn connect_error(&self) -> ApiError {
        let body: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        let debug = &body["details"][0]["debug"];
        let body = ErrorBody {
            error: String::new(),
            message: body["message"].as_str().unwrap_or_default().to_owned(),
            code: debug["code"].as_str().unwrap_or_default().to_owned(),
            details: debug["details"].as_object().cloned().unwrap_or_default(),
        };
        body.into_error(self.status)
    }
}

impl Caller {
    /// Sends one request to one node and waits for its answer, for no longer than this client waits.
    pub(in super::super) async fn exchange(
        &self,
        edge: &Edge,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Lost> {
        self.exchange_with(edge, method, path, &[], body).await
    }

    /// As [`Caller::exchange`], with headers.
    pub(in super::super) async fn exchange_with(
        &self,
        edge: &Edge,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Lost> {
        let mut request = self.http.request(method, format!("{}{path}", edge.base())).timeout(self.patience);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let lost = |error: reqwest::Error| match error.is_connect() || error.is_builder() {
            true => Lost::NotSent,
            false if error.is_timeout() => Lost::Sent("time-out".to_owned()),
            false => Lost::Sent(format!("disconnect: {error}")),
        };
        let response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let revision = response.headers().get("x-weir-revision");
        let revision = revision.and_then(|value| value.to_str().ok()?.parse().ok());
        // A connection that breaks now was made before, whatever the error says.
        let bytes = response.bytes().await.map_err(|error| Lost::Sent(format!("cut answer: {error}")))?;
        Ok(Answer { status, bytes: bytes.to_vec(), revision })
    }

    /// GETs from one node; nothing when no good answer came.
    pub(in super::super) async fn get<T: DeserializeOwned>(&self, edge: &Edge, path: &str) -> Option<T> {
        let answer = self.exchange(edge, Method::GET, path, None).await.ok()?;
        answer.is_ok().then(|| answer.parsed().ok()).flatten()
    }
}
