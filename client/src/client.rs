use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use weir_api::{
    ApiError, ErrorBody, ErrorCode,
    v1::{ClusterStatus, paths},
};

use crate::{
    ClientError, ClientOptions,
    endpoints::{Endpoints, checked},
    retry::{Repeat, pause},
};

/// A client of one cluster. Cheap to clone; clones share connections and what
/// is known of the leader.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoints: Arc<Mutex<Endpoints>>,
    options: ClientOptions,
}

/// One call: what to send, where, and whether it may be sent again.
pub(crate) struct Call<'a, Q: ?Sized, B: ?Sized> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a Q>,
    pub(crate) body: Option<&'a B>,
    /// A body of bytes, in place of `body`.
    pub(crate) bytes: Option<Bytes>,
    /// One header more.
    pub(crate) header: Option<(&'static str, String)>,
    pub(crate) repeat: Repeat,
    /// How long the server may wait on purpose.
    pub(crate) wait: Duration,
}

impl<'a> Call<'a, (), ()> {
    pub(crate) fn new(method: Method, path: &'a str, repeat: Repeat) -> Self {
        let wait = Duration::ZERO;
        Self { method, path, query: None, body: None, bytes: None, header: None, repeat, wait }
    }
}

impl<'a, Q: ?Sized, B: ?Sized> Call<'a, Q, B> {
    pub(crate) fn query<T: ?Sized>(self, query: &'a T) -> Call<'a, T, B> {
        let Self { method, path, body, bytes, header, repeat, wait, .. } = self;
        Call { method, path, query: Some(query), body, bytes, header, repeat, wait }
    }

    pub(crate) fn body<T: ?Sized>(self, body: &'a T) -> Call<'a, Q, T> {
        let Self { method, path, query, bytes, header, repeat, wait, .. } = self;
        Call { method, path, query, body: Some(body), bytes, header, repeat, wait }
    }

    pub(crate) fn bytes(mut self, bytes: Bytes) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(crate) fn header(mut self, header: Option<(&'static str, String)>) -> Self {
        self.header = header;
        self
    }

    pub(crate) fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl Client {
    /// A client of the nodes at these addresses, `http://host:port` each. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new<S: AsRef<str>>(
        urls: impl IntoIterator<Item = S>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let endpoints = Endpoints::new(urls)?;
        let http =
            reqwest::Client::builder().connect_timeout(options.connect).no_proxy().build().map_err(
                |error| ClientError::Address { url: endpoints.current().into(), reason: why(&error) },
            )?;
        Ok(Self { http, endpoints: Arc::new(Mutex::new(endpoints)), options })
    }

    /// As [`Client::new`] with the default options, and finds the leader. A
    /// cluster without a leader is no error as long as one node answers.
    ///
    /// # Errors
    /// [`ClientError::Address`], or why no node answered.
    pub async fn connect<S: AsRef<str>>(urls: impl IntoIterator<Item = S>) -> Result<Self, ClientError> {
        let client = Self::new(urls, ClientOptions::default())?;
        client.find_leader().await?;
        Ok(client)
    }

    /// A clone with another deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let options = ClientOptions { deadline, ..self.options };
        Self { options, ..self.clone() }
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> ClientOptions {
        self.options
    }

    /// The address of the node that is asked now.
    #[must_use]
    pub fn current_url(&self) -> String {
        self.endpoints(|endpoints| endpoints.current().to_owned())
    }

    /// Asks the named nodes who leads, and prefers that one from now on if it
    /// can be reached from here. Returns its address, or `None` without a leader.
    ///
    /// # Errors
    /// Why the last node did not answer, when none did.
    pub async fn find_leader(&self) -> Result<Option<String>, ClientError> {
        let mut newest: Option<ClusterStatus> = None;
        let mut last = None;
        for url in self.endpoints(|endpoints| endpoints.named()) {
            match self.ask_status(&url).await {
                Ok(status) if newest.as_ref().is_none_or(|known| known.term < status.term) => {
                    newest = Some(status);
                }
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
        }
        let Some(status) = newest else { return last.map_or(Ok(None), Err) };
        let Some(url) = status.leader_url.and_then(|url| checked(&url).ok()) else { return Ok(None) };
        if self.ask_status(&url).await.is_err() {
            return Ok(None);
        }
        self.endpoints(|endpoints| endpoints.found_leader(url.clone()));
        Ok(Some(url))
    }

    async fn ask_status(&self, url: &str) -> Result<ClusterStatus, ClientError> {
        let request = self.http.get(format!("{url}{}", paths::CLUSTER));
        self.attempt(url, request, self.options.connect * 2).await
    }

    /// Sends a call until it is answered, may not be repeated, or the deadline passes.
    pub(crate) async fn call<Q, B, T>(&self, call: Call<'_, Q, B>) -> Result<T, ClientError>
    where
        Q: Serialize + ?Sized,
        B: Serialize + ?Sized,
        T: DeserializeOwned,
    {
        let deadline = self.options.deadline + call.wait;
        let end = Instant::now() + deadline;
        let changes = call.method != Method::GET;
        let (mut tries, mut unknown) = (0, false);
        loop {
            let url = self.current_url();
            let began = Instant::now();
            let limit = end.saturating_duration_since(began).min(self.options.attempt + call.wait);
            let error = match self.attempt(&url, self.request(&url, &call), limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries += 1;
            unknown |= changes && error.outcome_unknown();
            if !call.repeat.allows(&error) {
                let is_unknown = error.outcome_unknown();
                return Err(if is_unknown && !changes { ClientError::Read(Box::new(error)) } else { error });
            }
            let jitter = Uuid::new_v4().as_bytes()[0];
            // A change that was surely not made is not sent once more for the deadline to cut off.
            let next = if changes && !error.outcome_unknown() { began.elapsed() } else { Duration::ZERO };
            if Instant::now() + pause(tries, jitter) + next >= end {
                let last = Box::new(error);
                return Err(ClientError::Deadline { after: deadline, outcome_unknown: unknown, last });
            }
            if error.blames_node() {
                self.node_failed(&url);
                self.prefer_leader(&error).await;
            }
            tokio::time::sleep(pause(tries, jitter)).await;
        }
    }

    /// After a node said that it does not lead; other failures find their way by trying.
    async fn prefer_leader(&self, error: &ClientError) {
        if error.code() == Some(ErrorCode::NotLeader) {
            self.find_leader().await.ok();
        }
    }

    fn request<Q, B>(&self, url: &str, call: &Call<'_, Q, B>) -> RequestBuilder
    where
        Q: Serialize + ?Sized,
        B: Serialize + ?Sized,
    {
        let mut request = self.http.request(call.method.clone(), format!("{url}{}", call.path));
        if let Some(query) = call.query {
            request = request.query(query);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        if let Some(bytes) = &call.bytes {
            request = request.body(bytes.clone()).header("content-type", "application/octet-stream");
        }
        if let Some((name, value)) = &call.header {
            request = request.header(*name, value);
        }
        request
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        url: &str,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let answer = request.timeout(limit).send().await.map_err(|error| send_error(url, &error))?;
        let status = answer.status();
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| ClientError::Lost { url: url.into(), reason: why(&error) })?;
        if status.is_success() {
            let bytes: &[u8] = if status == StatusCode::NO_CONTENT { b"null" } else { &bytes };
            return serde_json::from_slice(bytes)
                .map_err(|error| ClientError::NotUnderstood { url: url.into(), reason: error.to_string() });
        }
        Err(ClientError::Api(api_error(status.as_u16(), &bytes)))
    }

    /// Opens an answer that goes on; its body is not read yet.
    pub(crate) async fn open(
        &self,
        url: &str,
        path: &str,
        query: &impl Serialize,
    ) -> Result<reqwest::Response, ClientError> {
        let sent = self.http.get(format!("{url}{path}")).query(query).send();
        let late = |_| ClientError::Lost { url: url.into(), reason: "timed out".into() };
        let answer = tokio::time::timeout(self.options.attempt, sent).await.map_err(late)?;
        let answer = answer.map_err(|error| send_error(url, &error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap_or_default();
        Err(ClientError::Api(api_error(status, &bytes)))
    }

    /// This node did not do well: another one is asked next.
    pub(crate) fn node_failed(&self, url: &str) {
        self.endpoints(|endpoints| endpoints.failed(url));
    }

    fn endpoints<T>(&self, act: impl FnOnce(&mut Endpoints) -> T) -> T {
        act(&mut self.endpoints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn send_error(url: &str, error: &reqwest::Error) -> ClientError {
    let (url, reason) = (url.to_owned(), why(error));
    if error.is_connect() {
        ClientError::NoConnection { url, reason }
    } else if error.is_builder() {
        ClientError::Address { url, reason }
    } else {
        ClientError::Lost { url, reason }
    }
}

fn api_error(status: u16, bytes: &[u8]) -> ApiError {
    match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(body) => body.into_error(status),
        Err(_) => {
            let empty = ErrorBody {
                error: String::new(),
                message: foreign(status, bytes),
                code: String::new(),
                details: serde_json::Map::default(),
            };
            empty.into_error(status)
        }
    }
}

/// What is said of an error that no node of Weir has written: a proxy's, or another server's.
fn foreign(status: u16, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let told: String = first.chars().filter(|c| !c.is_control()).take(200).collect();
    let told = if told.is_empty() || told.starts_with('<') { String::new() } else { format!(": {told}") };
    format!("HTTP status {status}, and not from a node of weir{told}")
}

/// The innermost reason, which is what a user can act on.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".into();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_weirs_is_told_in_one_line_without_markup() {
        for (status, body, told) in [
            (404, "<!DOCTYPE HTML>\n<html>", "HTTP status 404, and not from a node of weir"),
            (503, "\nno backend\nx", "HTTP status 503, and not from a node of weir: no backend"),
            (500, "", "HTTP status 500, and not from a node of weir"),
        ] {
            assert_eq!(api_error(status, body.as_bytes()).to_string(), told);
        }
        let ours = r#"{"error":"m","message":"m","code":"stale","details":{}}"#;
        assert_eq!(api_error(504, ours.as_bytes()).to_string(), "m");
    }
}
